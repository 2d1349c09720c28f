package upgrade

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

// behind is a door that trusts 10.0.0.0/8, fd00::/8 and unix sockets.
var behind = Upgrader{TrustedProxies: Proxies{
	Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}, Unix: true,
}}

// traced is a request with these header lines that a peer has sent; "" is one on a unix
// socket.
func traced(t testing.TB, u *Upgrader, peer string, lines ...string) (*Request, error) {
	t.Helper()
	r := new(Request)
	head := "GET / HTTP/1.1\r\nHost: inner\r\n" + strings.Join(append(lines, "\r\n"), "\r\n")
	if err := u.Parse([]byte(strings.Replace(head, "\r\n\r\n\r\n", "\r\n\r\n", 1)), r); err != nil {
		t.Fatalf("%q: %v", head, err)
	}
	var from netip.AddrPort
	if peer != "" {
		from = netip.MustParseAddrPort(peer)
	}
	return r, u.Trace(r, from)
}

// Who is the client, by what the headers say.
func TestTrace(t *testing.T) {
	const peer = "10.0.0.1:999"
	const xff, fwd = "X-Forwarded-For: ", "Forwarded: "
	for _, c := range []struct {
		name, peer string
		lines      []string
		want       string // the client; "" for the peer; "!" for a conflict
	}{
		{"nothing", peer, nil, ""},
		{"one hop", peer, []string{xff + "203.0.113.7"}, "203.0.113.7:0"},
		{"a stranger's", "192.0.2.9:1", []string{xff + "203.0.113.7"}, ""},
		{"a stranger's, both", "192.0.2.9:1", []string{xff + "203.0.113.7", fwd + "for=198.51.100.1"}, ""},
		{"of a unix socket", "", []string{xff + "203.0.113.7"}, "203.0.113.7:0"},
		{"of a unix socket, nothing", "", nil, ""},
		{"of a unix socket, no address", "", []string{xff + "unknown"}, ""},
		{"spoofed", peer, []string{xff + "1.1.1.1, 203.0.113.7"}, "203.0.113.7:0"},
		{"spoofed trusted ones", peer, []string{xff + "10.9.9.9, 203.0.113.7"}, "203.0.113.7:0"},
		{"two hops", peer, []string{xff + "1.1.1.1, 203.0.113.7, 10.0.0.2"}, "203.0.113.7:0"},
		{"three hops, two lines", peer, []string{xff + "203.0.113.7 ,fd00::2", xff + "10.0.0.2"}, "203.0.113.7:0"},
		{"lines in order", peer, []string{xff + "1.1.1.1", xff + "203.0.113.7"}, "203.0.113.7:0"},
		{"all trusted", peer, []string{xff + "10.0.0.3, 10.0.0.2"}, "10.0.0.3:0"},
		{"the peer itself", peer, []string{xff + "10.0.0.1"}, ""},
		{"empty entries", peer, []string{xff + " , 203.0.113.7, ,"}, "203.0.113.7:0"},
		{"an empty line", peer, []string{xff + "203.0.113.7", xff}, "203.0.113.7:0"},
		{"no entry", peer, []string{xff}, ""},
		{"IPv6", peer, []string{xff + "2001:db8::7"}, "[2001:db8::7]:0"},
		{"IPv6 in brackets", peer, []string{xff + "[2001:db8::7]"}, "[2001:db8::7]:0"},
		{"IPv4 within IPv6", peer, []string{xff + "::ffff:203.0.113.7"}, "203.0.113.7:0"},
		{"a trusted one within IPv6", peer, []string{xff + "203.0.113.7, ::ffff:10.0.0.2"}, "203.0.113.7:0"},
		{"ports", peer, []string{xff + "203.0.113.7:4711, 10.0.0.2:80"}, "203.0.113.7:0"},
		{"IPv6 with a port", peer, []string{xff + `"[2001:db8::7]:4711"`}, "[2001:db8::7]:0"},
		{"unknown", peer, []string{xff + "203.0.113.7, unknown"}, ""},
		{"unknown behind a trusted one", peer, []string{xff + "203.0.113.7, unknown, 10.0.0.2"}, "10.0.0.2:0"},
		{"obfuscated", peer, []string{xff + "203.0.113.7, _hidden"}, ""},
		{"a name", peer, []string{xff + "203.0.113.7, localhost"}, ""},
		{"a zone", peer, []string{xff + "fe80::1%eth0"}, ""},
		{"unspecified", peer, []string{xff + "0.0.0.0"}, ""},
		{"a network", peer, []string{xff + "10.0.0.0/8"}, ""},
		{"a bad port", peer, []string{xff + "203.0.113.7:x"}, ""},
		{"an empty port", peer, []string{xff + "203.0.113.7:"}, ""},
		{"IPv4 in brackets", peer, []string{xff + "[203.0.113.7]:80"}, ""},
		{"half a bracket", peer, []string{xff + "[2001:db8::7"}, ""},
		{"a short address", peer, []string{xff + "203.0.113"}, ""},
		{"octal", peer, []string{xff + "0203.0.113.7"}, ""},
		{"a long entry", peer, []string{xff + strings.Repeat("1", 1000)}, ""},

		{"Forwarded", peer, []string{fwd + "for=203.0.113.7"}, "203.0.113.7:0"},
		{"Forwarded with more", peer, []string{fwd + `For="203.0.113.7:4711";by=10.0.0.1; proto=https ;host="a.example:8443";ext="a,b;c"`}, "203.0.113.7:0"},
		{"Forwarded, IPv6", peer, []string{fwd + `for="[2001:db8:cafe::17]:4711"`}, "[2001:db8:cafe::17]:0"},
		{"Forwarded, escapes", peer, []string{fwd + `for="\2\03.0.113.7"`}, "203.0.113.7:0"},
		{"Forwarded, obfuscated port", peer, []string{fwd + `for="203.0.113.7:_port-1.a"`}, "203.0.113.7:0"},
		{"Forwarded, not quoted", peer, []string{fwd + `for=203.0.113.7:80`}, "203.0.113.7:0"},
		{"Forwarded, two hops", peer, []string{fwd + `for=1.1.1.1, for=203.0.113.7;proto=https, for="[fd00::2]"`}, "203.0.113.7:0"},
		{"Forwarded, lines", peer, []string{fwd + "for=203.0.113.7", fwd + "for=10.0.0.2"}, "203.0.113.7:0"},
		{"Forwarded, unknown", peer, []string{fwd + "for=203.0.113.7, for=unknown, for=10.0.0.2"}, "10.0.0.2:0"},
		{"Forwarded, obfuscated", peer, []string{fwd + "for=203.0.113.7, for=_SEVKISEK"}, ""},
		{"Forwarded without for", peer, []string{fwd + "for=203.0.113.7, proto=https"}, ""},
		{"Forwarded, for twice", peer, []string{fwd + "for=203.0.113.7;for=203.0.113.7"}, ""},
		{"Forwarded, malformed", peer, []string{fwd + "for 203.0.113.7"}, ""},
		{"Forwarded, an empty value", peer, []string{fwd + "for=;proto=https"}, ""},
		{"Forwarded, half a quote", peer, []string{fwd + `for="203.0.113.7`}, ""},
		{"Forwarded, spoofed half a quote", peer, []string{fwd + `for="1.1.1.1, for=203.0.113.7`}, "203.0.113.7:0"},
		{"Forwarded, spoofed half a quote before one in quotes", peer, []string{fwd + `for="x, for="[2001:db8::7]:1";proto=http`}, "[2001:db8::7]:0"},
		{"Forwarded, a quoted comma", peer, []string{fwd + `for=203.0.113.7;ext="a\",b"`}, "203.0.113.7:0"},

		{"both, the same", peer, []string{xff + "203.0.113.7", fwd + "for=203.0.113.7"}, "203.0.113.7:0"},
		{"both, the same by another way", peer, []string{xff + "1.1.1.1, 203.0.113.7, 10.0.0.2", fwd + `for="203.0.113.7:80"`}, "203.0.113.7:0"},
		{"both, not the same", peer, []string{xff + "203.0.113.7", fwd + "for=203.0.113.8"}, "!"},
		{"both, one is unknown", peer, []string{xff + "203.0.113.7", fwd + "for=unknown"}, "!"},
		{"both, one is malformed", peer, []string{xff + "203.0.113.7", fwd + "x"}, "!"},
		{"both, the other is unknown", peer, []string{xff + "unknown", fwd + "for=203.0.113.7"}, "!"},
		{"both, neither says", peer, []string{xff + "unknown", fwd + "for=_x"}, ""},
		{"both, one speaks of something else", peer, []string{xff + "203.0.113.7", fwd + "proto=https"}, "203.0.113.7:0"},
		{"both, one is empty", peer, []string{xff, fwd + "for=203.0.113.7"}, "203.0.113.7:0"},
	} {
		r, err := traced(t, &behind, c.peer, c.lines...)
		if c.want == "!" {
			var e *Rejection
			if !errors.As(err, &e) || e.Status != 400 || e.Code != CodeForwardedConflict {
				t.Errorf("%s: got %v, %v, want a conflict", c.name, r.RemoteAddr, err)
			}
			continue
		}
		if c.want == "" {
			c.want = c.peer
		}
		if got := r.RemoteAddr; err != nil || got.IsValid() != (c.want != "") || got.IsValid() && got.String() != c.want {
			t.Errorf("%s: got %v, %v, want %q", c.name, got, err, c.want)
		}
	}
}

// What an Origin is compared with.
func TestTraceOrigin(t *testing.T) {
	const peer = "10.0.0.1:999"
	const xfh, xfp, fwd = "X-Forwarded-Host: ", "X-Forwarded-Proto: ", "Forwarded: "
	for _, c := range []struct {
		name, peer, origin string
		lines              []string
		allowed, vouched   bool
	}{
		{"its own host", peer, "http://inner", nil, true, true},
		{"another host", peer, "https://a.example", nil, false, false},
		{"a stranger's", "192.0.2.9:1", "https://a.example", []string{xfh + "a.example", xfp + "https"}, false, false},
		{"the forwarded host", peer, "https://a.example", []string{xfh + "a.example"}, true, true},
		{"no more its own", peer, "http://inner", []string{xfh + "a.example"}, false, false},
		{"host and scheme", peer, "https://a.example", []string{xfh + "a.example", xfp + "https"}, true, true},
		{"by its port", peer, "https://a.example", []string{xfh + "a.example:443", xfp + "https"}, true, true},
		{"another port", peer, "https://a.example:8443", []string{xfh + "a.example", xfp + "https"}, false, false},
		{"the same port", peer, "https://a.example:8443", []string{xfh + "a.example:8443", xfp + "https"}, true, true},
		{"another scheme", peer, "http://a.example", []string{xfh + "a.example", xfp + "https"}, false, false},
		{"in the clear", peer, "http://a.example", []string{xfh + "a.example", xfp + "http"}, true, true},
		{"TLS, but not for the proxy", peer, "https://a.example", []string{xfh + "a.example", xfp + "http"}, false, false},
		{"wss", peer, "https://a.example", []string{xfh + "a.example", xfp + "wss"}, true, true},
		{"a scheme alone", peer, "https://inner", []string{xfp + "https"}, true, true},
		{"of a unix socket", "", "https://a.example", []string{xfh + "a.example", xfp + "https"}, true, true},
		{"of the same hop", peer, "https://a.example", []string{"X-Forwarded-For: 203.0.113.7, 10.0.0.2", xfh + "b.example, a.example, inner2", xfp + "http, https, http"}, true, true},
		{"the client's", peer, "http://b.example", []string{"X-Forwarded-For: 203.0.113.7, 10.0.0.2", xfh + "b.example, a.example, inner2", xfp + "http, https, http"}, false, false},
		{"of the hop before no address", peer, "https://a.example", []string{"X-Forwarded-For: unknown, 10.0.0.2", xfh + "b.example, a.example, inner2"}, true, true},
		{"replaced on the way", peer, "https://a.example", []string{"X-Forwarded-For: 203.0.113.7, 10.0.0.3, 10.0.0.2", xfh + "a.example", xfp + "https, http"}, true, true},
		{"Forwarded", peer, "https://a.example", []string{fwd + `for=203.0.113.7;host=a.example;proto=https, for=10.0.0.2;host=inner2;proto=http`}, true, true},
		{"Forwarded before the others", peer, "https://a.example", []string{fwd + `for=203.0.113.7;host=a.example;proto=https`, xfh + "b.example", xfp + "http"}, true, true},
		{"Forwarded by a stranger", peer, "https://a.example", []string{fwd + `for=203.0.113.7;host=a.example, for=203.0.113.8;host=b.example`}, false, false},
		{"not a host", peer, "http://inner", []string{xfh + "a.example/x"}, true, true},
		{"not a scheme", peer, "https://inner", []string{xfp + "gopher"}, true, true},
	} {
		r, err := traced(t, &behind, c.peer, append(c.lines, "Origin: "+c.origin)...)
		if err != nil || r.page.allowed != c.allowed || r.page.vouched != c.vouched {
			t.Errorf("%s: got %+v, %v, want %t, %t", c.name, r.page, err, c.allowed, c.vouched)
		}
	}
}

// What the client has sent before what the proxy has added changes nothing.
func FuzzForwarded(f *testing.F) {
	for _, s := range []string{"", "1.1.1.1", `for="`, `for="\`, `"\\\"`, "10.0.0.1,", "for=10.0.0.1;", `a="b,c", `, "[", "::"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, sent string) {
		if len(sent) > 1000 || strings.ContainsFunc(sent, func(c rune) bool { return c < ' ' || c >= 0x7f }) {
			return
		}
		for _, added := range []string{"X-Forwarded-For: %, 203.0.113.7", "Forwarded: %, for=203.0.113.7;proto=https", `Forwarded: %,for="203.0.113.7:1"`,
			"X-Forwarded-For: %, 203.0.113.7, 10.0.0.2", `Forwarded: %, for=203.0.113.7;ext="a,\",b", for="[fd00::1]"`} {
			r, err := traced(t, &behind, "10.0.0.1:1", strings.Replace(added, "%", sent, 1))
			if err != nil || r.RemoteAddr.String() != "203.0.113.7:0" {
				t.Fatalf("%q in %q: got %v, %v", sent, added, r.RemoteAddr, err)
			}
		}
		r, _ := traced(t, &behind, "10.0.0.1:1", "X-Forwarded-For: "+sent, "Forwarded: "+sent)
		if host := r.forwarded.Host; host != "" && !validAuthority([]byte(host)) {
			t.Fatalf("%q: the host is %q", sent, host)
		}
	})
}

// TestTracedElsewhere: in net/http the door traces the client, unless that was done before.
func TestTracedElsewhere(t *testing.T) {
	req := httptest.NewRequest("GET", "http://inner/", nil)
	req.RemoteAddr = "10.0.0.1:999"
	req.Header.Set("X-Forwarded-For", "203.0.113.7")
	req.Header.Set("X-Forwarded-Host", "a.example")
	req.Header.Set("Origin", "https://a.example")
	if r, err := behind.parseHTTP(req); err != nil || r.RemoteAddr.String() != "203.0.113.7:0" || !r.page.allowed {
		t.Errorf("got %v, %+v, %v", r.RemoteAddr, r.page, err)
	}
	if err := behind.JudgePage(req); err != nil {
		t.Errorf("its form: %v", err)
	}
	plain := new(Upgrader)
	if r, err := plain.parseHTTP(req); err != nil || r.RemoteAddr.String() != "10.0.0.1:999" || r.page.allowed {
		t.Errorf("without trust: got %v, %+v, %v", r.RemoteAddr, r.page, err)
	}
	f := Forwarded{RemoteAddr: netip.MustParseAddrPort("198.51.100.1:5"), Host: "a.example", Proto: "https"}
	before := req.WithContext(ContextWithForwarded(req.Context(), f))
	for _, door := range []*Upgrader{&behind, plain} {
		if r, err := door.parseHTTP(before); err != nil || r.RemoteAddr != f.RemoteAddr || !r.page.allowed || r.Forwarded() != f {
			t.Errorf("traced before: got %v, %+v, %v", r.Forwarded(), r.page, err)
		}
	}
	req.RemoteAddr = "@"
	if r, err := behind.parseHTTP(req); err != nil || r.RemoteAddr.IsValid() {
		t.Errorf("of a peer that is not known any more: got %v, %v", r.RemoteAddr, err)
	}
	local := context.WithValue(req.Context(), http.LocalAddrContextKey, &net.UnixAddr{Net: "unix", Name: "/run/x"})
	if r, err := behind.parseHTTP(req.WithContext(local)); err != nil || r.RemoteAddr.String() != "203.0.113.7:0" {
		t.Errorf("of a unix socket: got %v, %v", r.RemoteAddr, err)
	}
	req.Header.Set("Forwarded", "for=1.1.1.1")
	_, out, err := behind.judgeHTTP(req.WithContext(local))
	if err == nil || verdict(string(out)) != "400 forwarded_conflict" {
		t.Errorf("both headers: got %q, %v", out, err)
	}
}

// TestTraceCosts: a request of nobody's proxy costs nothing more.
func TestTraceCosts(t *testing.T) {
	r, from := new(Request), netip.MustParseAddrPort("192.0.2.9:1")
	head := []byte("GET / HTTP/1.1\r\nHost: inner\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n")
	if n := testing.AllocsPerRun(100, func() {
		if _ = behind.Parse(head, r); behind.Trace(r, from) != nil || r.RemoteAddr != from {
			t.Error(r.RemoteAddr)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
