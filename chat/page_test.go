//go:build linux

package chat

import (
	"context"
	"regexp"
	"strings"
	"testing"

	"github.com/usher-ws/usher/upgrade/jwt"
)

// TestPageIsWhole: the page brings all it needs, and its policy allows that and
// no more.
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
	if want := strings.Replace(pageHTML, `data-login=""`, `data-login="demo"`, 1); w.Body.String() != want {
		t.Error("the page is not what was embedded")
	}
	// One element of each, or the digest is of another one.
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

// TestPageLogin: the page offers the log-in that there is, and tells of the demo
// users nowhere else.
func TestPageLogin(t *testing.T) {
	jwks := &jwt.Verifier{}
	secret := []byte(strings.Repeat("s", 32))
	for _, tt := range []struct {
		want   string
		config Config
	}{
		{"demo", Config{Secret: secret, DemoUsers: true}},
		{"password", Config{Secret: secret, CheckPassword: func(context.Context, string, string) error { return ErrPassword }}},
		{"token", Config{Secret: secret}},
		{"token", Config{Verifier: jwks}},
		{"token", Config{Verifier: jwks, DemoUsers: true}}, // nothing signs their tokens
	} {
		c, err := New(tt.config)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(c.page.html, `<html lang="en" data-login="`+tt.want+`">`) {
			t.Errorf("%s: got %.80s", tt.want, c.page.html)
		}
		// Where nobody can log in there is no such path, whatever the method.
		bad, get := ask(c, "POST", "/token", "{", jsonType), ask(c, "GET", "/token", "")
		index := ask(c, "GET", "/", "", "Accept: application/json").Body.String()
		wantBad, wantGet := 400, 405
		if tt.want == "token" {
			wantBad, wantGet = 404, 404
		}
		if bad.Code != wantBad || get.Code != wantGet || strings.Contains(index, "/token") != (tt.want != "token") {
			t.Errorf("%s: got %d and %d at /token, want %d and %d; the index is %s", tt.want, bad.Code, get.Code, wantBad, wantGet, index)
		}
	}
}

// TestPageCanBeDriven: the elements that tests of browsers look for, each once
// and each input with its label.
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
