package upgrade

import (
	"net/netip"
	"strings"
	"testing"
)

func TestRequest(t *testing.T) {
	t.Parallel()
	h := []byte(up("GET /ws/caf%c3%a9%2Fx?a=%20b HTTP/1.1", "Origin: https://chat.example", "Sec-WebSocket-Protocol: chat.v1", "X-One: 1", "+x-one: 2"))
	r := new(Request)
	if err := openDoor.Parse(h, r); err != nil {
		t.Fatal(err)
	}
	r.RemoteAddr = netip.MustParseAddrPort("192.0.2.1:4711")
	r.SetPathValue("room", "x")
	r.SetPathValue("room", "a")
	r.SetPathValue("id", "7")
	if _, err := openDoor.Respond(nil, r); err != nil {
		t.Fatal(err)
	}
	c := r.Clone()
	check := func(r *Request) {
		t.Helper()
		for _, x := range []struct{ what, got, want string }{
			{"Method", r.Method(), "GET"},
			{"Path", r.Path(), "/ws/café/x"},
			{"RawPath", string(r.RawPath()), "/ws/caf%c3%a9%2Fx"},
			{"RawQuery", string(r.RawQuery()), "a=%20b"},
			{"Host", r.Host(), "chat.example"},
			{"Origin", r.Origin(), "https://chat.example"},
			{"Subprotocol", r.Subprotocol(), "chat.v1"},
			{"Header X-ONE", string(r.Header("X-ONE")), "1"},
			{"PathValue room", r.PathValue("room"), "a"},
			{"PathValue id", r.PathValue("id"), "7"},
			{"PathValue none", r.PathValue("none"), ""},
			{"RemoteAddr", r.RemoteAddr.String(), "192.0.2.1:4711"},
		} {
			if x.got != x.want {
				t.Errorf("%s: got %q, want %q", x.what, x.got, x.want)
			}
		}
		if r.Header("X-None") != nil || !r.IsUpgrade() || r.IsProbe() {
			t.Errorf("Header %q, IsUpgrade %v, IsProbe %v", r.Header("X-None"), r.IsUpgrade(), r.IsProbe())
		}
	}
	check(r)
	clear(h)
	if err := openDoor.Parse([]byte(head("GET /other HTTP/1.1", "Host: other")), r); err != nil {
		t.Fatal(err)
	}
	check(c)
	if r.RemoteAddr.IsValid() || r.PathValue("room") != "" || r.Subprotocol() != "" || r.Path() != "/other" || r.IsUpgrade() {
		t.Errorf("Parse left something behind: %+v", r)
	}
}

func TestParseNotAHead(t *testing.T) {
	t.Parallel()
	r := new(Request)
	for _, h := range []string{
		"", "GET", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: h", "GET / HTTP/1.1\r\nHost: h\r\n",
		up() + "x", up() + up(), strings.TrimSuffix(up(), "\n"), strings.TrimSuffix(up(), "\r\n"), fill(17000),
		strings.ReplaceAll(up(), "\r\n", "\n"), up("X: a\x00"), up("X: a\rb"), up("X\n: b"),
	} {
		err := openDoor.Parse([]byte(h), r)
		if err == nil {
			t.Errorf("accepted %q", h)
		}
		_, _, _, _ = r.Method(), r.Path(), r.Host(), r.IsProbe() // answers, whatever it is
		if _, err := openDoor.Respond(nil, r); err == nil && !r.IsUpgrade() {
			t.Errorf("then upgraded %q", h)
		}
	}
	if r := new(Request); r.Method() != "" || r.Path() != "" || r.Header("x") != nil || r.IsProbe() || r.Clone() == nil {
		t.Error("the zero Request does not behave")
	}
}

// TestParseFallThrough: requests that are for an http.Handler pass the gate.
func TestParseFallThrough(t *testing.T) {
	t.Parallel()
	for _, h := range []string{
		head("POST /token HTTP/1.1", "Host: h", "Content-Length: 5"),
		head("POST /token HTTP/1.1", "Host: h", "Transfer-Encoding: chunked", "Trailer: X-Sum"),
		head("GET / HTTP/1.0"),
		head("GET / HTTP/1.0", "Connection: keep-alive"),
		head("OPTIONS * HTTP/1.1", "Host: h"),
		head("GET / HTTP/1.1", "Host: h", "Upgrade: h2c", "Connection: Upgrade"),
	} {
		r := new(Request)
		if err := openDoor.Parse([]byte(h), r); err != nil || r.IsUpgrade() {
			t.Errorf("%v, IsUpgrade %v for %q", err, r.IsUpgrade(), h)
		}
	}
}
