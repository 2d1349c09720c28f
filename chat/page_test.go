//go:build linux

package chat

import (
	"regexp"
	"strings"
	"testing"
)

// TestPageIsWhole: the page contains all that it needs, and its policy allows that and no
// more.
func TestPageIsWhole(t *testing.T) {
	w := ask(newChat(t, Config{}), "GET", "/", "")
	policy := w.Header().Get("Content-Security-Policy")
	for _, part := range []string{
		"default-src 'none';", "connect-src 'self';", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
		"script-src '" + digest(pageHTML, "script") + "'", "style-src '" + digest(pageHTML, "style") + "'",
	} {
		if !strings.Contains(policy, part) {
			t.Errorf("policy %q: want %q in it", policy, part)
		}
	}
	if strings.Contains(policy, "unsafe") {
		t.Errorf("policy %q: want nothing unsafe in it", policy)
	}
	if want := strings.Replace(pageHTML, `data-login=""`, `data-login="token"`, 1); w.Body.String() != want {
		t.Error("the page is not what was embedded")
	}
	// There is one element of each, or the digest may be of another.
	for _, tag := range []string{"<script", "<style", "</script>", "</style>", "<script>", "<style>"} {
		if n := strings.Count(pageHTML, tag); n != 1 {
			t.Errorf("%s: got %d, want 1", tag, n)
		}
	}
	// The policy would stop these; the page should not try.
	for _, bad := range []string{`(?i)\son[a-z]+="`, `\sstyle="`, `\ssrc=`, `https?://`, `@import`, `url\(`, `innerHTML`, `\beval\b`} {
		if found := regexp.MustCompile(bad).FindString(pageHTML); found != "" {
			t.Errorf("the page contains %q", found)
		}
	}
}

// TestPageLogin: the page and its JSON offer the log-in that there is.
func TestPageLogin(t *testing.T) {
	for on, want := range map[LogIn]string{"": "token", ByToken: "token", ByPassword: "password", ByDemo: "demo"} {
		c := newChat(t, Config{LogIn: on})
		if page := ask(c, "GET", "/", "").Body.String(); !strings.Contains(page, `<html lang="en" data-login="`+want+`">`) {
			t.Errorf("%q: got %.80s", on, page)
		}
		index := ask(c, "GET", "/", "", "Accept: application/json").Body.String()
		if strings.Contains(index, "/token") != (want != "token") {
			t.Errorf("%q: the JSON is %s", on, index)
		}
	}
}

// TestPageCanBeDriven: the elements that browser tests look for are there, each once, and
// every input has a label.
func TestPageCanBeDriven(t *testing.T) {
	for _, id := range []string{"username", "password", "login", "room", "join", "log", "text", "send", "status"} {
		if n := strings.Count(pageHTML, `id="`+id+`"`); n != 1 {
			t.Errorf("id %q: got %d elements, want 1", id, n)
		}
	}
	for _, m := range regexp.MustCompile(`<input id="([^"]+)"`).FindAllStringSubmatch(pageHTML, -1) {
		if !strings.Contains(pageHTML, `<label for="`+m[1]+`"`) {
			t.Errorf("input %q has no label", m[1])
		}
	}
}
