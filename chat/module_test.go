//go:build linux

package chat

import (
	"strings"
	"testing"

	"github.com/usher-ws/usher/upgrade"
)

// TestModule: the pages of any site may import usher.js, and ask only whether it has changed.
func TestModule(t *testing.T) {
	c := newChat(t, Config{})
	for path, want := range map[string]struct{ media, text string }{
		"/usher.js":   {"text/javascript; charset=utf-8", moduleJS},
		"/usher.d.ts": {"application/typescript; charset=utf-8", moduleTypes},
	} {
		w := ask(c, "GET", path, "", "Origin: https://elsewhere.example")
		if w.Code != 200 || w.Body.String() != want.text {
			t.Errorf("%s: got %d and %d bytes, want 200 and %d", path, w.Code, w.Body.Len(), len(want.text))
		}
		for name, value := range map[string]string{
			"Content-Type": want.media, "Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff",
			"Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin",
		} {
			if got := w.Header().Get(name); got != value {
				t.Errorf("%s: %s: got %q, want %q", path, name, got, value)
			}
		}
		tag := w.Header().Get("ETag")
		if w = ask(c, "GET", path, "", "If-None-Match: "+tag); w.Code != 304 || w.Body.Len() > 0 || w.Header().Get("ETag") != tag {
			t.Errorf("%s again: got %d, %d bytes and tag %s, want 304 and %s", path, w.Code, w.Body.Len(), w.Header().Get("ETag"), tag)
		}
		if w = ask(c, "GET", path, "", `If-None-Match: "other"`); w.Code != 200 {
			t.Errorf("%s, another: got %d, want 200", path, w.Code)
		}
		if w = ask(c, "POST", path, ""); w.Code != 405 {
			t.Errorf("POST %s: got %d, want 405", path, w.Code)
		}
		r, gate := new(upgrade.Request), new(upgrade.Upgrader)
		if err := gate.Parse([]byte("GET "+path+" HTTP/1.1\r\nHost: h\r\nIf-None-Match: "+tag+"\r\n\r\n"), r); err != nil {
			t.Fatal(err)
		}
		if got := c.Answer(nil, r); len(got) > 0 {
			t.Errorf("%s again, on the loop: got %.30q", path, got)
		}
	}
}

// TestPageContainsModule: the page runs what other pages import, line by line.
func TestPageContainsModule(t *testing.T) {
	_, rest, _ := strings.Cut(pageHTML, "const usher = (() => {")
	inner, _, isThere := strings.Cut(rest, "return {connect};\n })();")
	if !isThere {
		t.Fatal("the page has no module in it")
	}
	want := strings.Split(moduleJS, "\n")
	for k, line := range strings.Split(strings.TrimPrefix(inner, " \n"), "\n")[:len(want)] {
		if line != strings.TrimPrefix(want[k], "export ") {
			t.Fatalf("line %d: got %q, want %q", k+1, line, want[k])
		}
	}
	if strings.Contains(pageHTML, "\nexport ") {
		t.Error("a script that is no module exports something")
	}
}
