package upgrade

import (
	"bufio"
	"bytes"
	"net/http"
	"testing"
)

// FuzzHead holds the gate against http.ReadRequest: what that refuses we
// refuse; we may refuse more. Where both accept, they must have read the same
// thing. And the verdict must not depend on where the bytes were cut.
func FuzzHead(f *testing.F) {
	for _, c := range cases {
		if len(c.head) < 1000 {
			f.Add([]byte(c.head), uint16(len(c.head)/2))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, cut uint16) {
		at := min(int(cut), len(b))
		answer, early, err := knock(authDoor, string(b))
		a, e, _ := knock(authDoor, string(b[:at]), string(b[at:]))
		if a != answer || e != early {
			t.Fatalf("cut at %d: %q\nwhole: %q\nhead %x", at, a, answer, b)
		}
		if answer != "" && err == nil && verdict(answer) != "101" {
			t.Fatalf("no error with %q", answer)
		}
		if verdict(answer) == "500 internal" {
			t.Fatalf("gobwas/ws and the gate disagree: %v\nhead %q", err, b)
		}
		n, err := authDoor.findEnd(b, 0)
		r := new(Request)
		if n == 0 || err != nil || authDoor.Parse(b[:n], r) != nil {
			return
		}
		agree(t, r, b[:n])
	})
}

// agree checks that net/http reads a head that we accepted as we did.
func agree(t *testing.T, r *Request, head []byte) {
	t.Helper()
	req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head)))
	if err != nil {
		t.Fatalf("accepted what net/http refuses: %v\nhead %q", err, head)
	}
	path := req.URL.Path
	if path == "" {
		path = "/"
	}
	if r.Method() != req.Method || r.Path() != path || string(r.RawQuery()) != req.URL.RawQuery || r.Host() != req.Host {
		t.Fatalf("got %s %q ? %q at %q\nwant %s %q ? %q at %q\nhead %q", r.Method(), r.Path(), r.RawQuery(), r.Host(),
			req.Method, path, req.URL.RawQuery, req.Host, head)
	}
	for name, values := range req.Header {
		if got := string(r.Header(name)); got != values[0] {
			t.Fatalf("%s: got %q, want %q\nhead %q", name, got, values[0], head)
		}
	}
}
