//go:build linux

package main_test

import (
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The rows of docs/CODES.md that need the program to be in a certain state, and verdicts
// that depend on when bytes come.

// TestFull: row 2 of docs/CODES.md, --max-conns.
func TestFull(t *testing.T) {
	t.Parallel()
	p := serve(t, append([]string{"--max-conns", "1"}, door...)...)
	first := join(t, p.addr, upgradeTo("/echo")...)
	for _, r := range []row{
		{"1 < 2 two Hosts", upgradeTo("/echo", "+Host: a"), 400, "bad_request"},
		{"2 full", upgradeTo("/echo"), 503, "full"},
		{"2 < 3 unknown path", get("/nowhere"), 503, "full"},
		{"2 < 4 POST", upgradeTo("/echo", "POST /echo HTTP/1.1"), 503, "full"},
		{"2 < 5 probe", get("/echo", probe), 503, "full"},
		{"2 < 9 bad token", upgradeTo("/auth", bearer("x")), 503, "full"},
	} {
		knock(t, p.addr, r)
	}
	first.conn.Close()
	eventually(t, "room again", func() bool { return ask(t, p.addr, head(upgradeTo("/echo")...)).status == 101 })
}

// TestDraining: row 2 of docs/CODES.md, during a drain. Connections close one by one over
// 80 % of --drain, and the listener closes after the last of them.
func TestDraining(t *testing.T) {
	t.Parallel()
	p := serve(t, append([]string{"--drain", "1m"}, door...)...)
	for range 50 {
		join(t, p.addr, upgradeTo("/echo")...)
	}
	p.signal(t, syscall.SIGTERM)
	eventually(t, "draining", func() bool { return ask(t, p.addr, head(upgradeTo("/echo")...)).status == 503 })
	for _, r := range []row{
		{"1 < 2 two Hosts", upgradeTo("/echo", "+Host: a"), 400, "bad_request"},
		{"2 draining", upgradeTo("/echo"), 503, "draining"},
		{"2 < 3 unknown path", upgradeTo("/nowhere"), 503, "draining"},
		{"2 < 9 no token", upgradeTo("/auth"), 503, "draining"},
	} {
		knock(t, p.addr, r)
	}
}

// TestPerAddress: row 2 of docs/CODES.md, --max-conns-per-ip.
func TestPerAddress(t *testing.T) {
	t.Parallel()
	p := serve(t, append([]string{"--max-conns-per-ip", "2"}, door...)...)
	first := join(t, p.addr, upgradeTo("/echo")...)
	join(t, p.addr, upgradeTo("/echo")...)
	for _, r := range []row{
		{"1 < 2 two Hosts", upgradeTo("/echo", "+Host: a"), 400, "bad_request"},
		{"2 a third of one address", upgradeTo("/echo"), 429, "too_many_requests"},
		{"2 < 3 unknown path", upgradeTo("/nowhere"), 429, "too_many_requests"},
		{"2 < 9 no token", upgradeTo("/auth"), 429, "too_many_requests"},
	} {
		knock(t, p.addr, r)
	}
	other := dialFrom(t, "127.0.0.2", p.addr)
	other.write(head(upgradeTo("/echo")...))
	if a := other.answer(); a.status != 101 {
		t.Errorf("another address: got %s, want 101", a)
	}
	first.conn.Close()
	eventually(t, "a place again", func() bool { return ask(t, p.addr, head(upgradeTo("/echo")...)).status == 101 })
}

// TestPerUser: row 12 of docs/CODES.md, --max-conns-per-user.
func TestPerUser(t *testing.T) {
	t.Parallel()
	p := serve(t, append([]string{"--max-conns-per-user", "1"}, door...)...)
	first := join(t, p.addr, upgradeTo("/ws/lobby", bearer(token("alice")))...)
	for _, r := range []row{
		{"9 < 12 bad token", upgradeTo("/ws/lobby", bearer("x")), 401, "token_invalid"},
		{"10 < 12 unknown room", upgradeTo("/ws/attic", bearer(token("alice"))), 404, "room_unknown"},
		{"11 < 12 forbidden room", upgradeTo("/ws/cellar", bearer(token("alice", "lobby"))), 403, "room_forbidden"},
		{"12 a second of one user", upgradeTo("/ws/cellar", bearer(token("alice"))), 429, "too_many_requests"},
		{"12 a second, with another token", upgradeTo("/ws/lobby", bearer(token("alice", "lobby"))), 429, "too_many_requests"},
	} {
		knock(t, p.addr, r)
	}
	join(t, p.addr, upgradeTo("/ws/lobby", bearer(token("bob")))...)
	first.conn.Close()
	eventually(t, "a place again", func() bool {
		return ask(t, p.addr, head(upgradeTo("/ws/lobby", bearer(token("alice")))...)).status == 101
	})
}

// TestSlow: a head that does not end in time is answered 408; a silent connection is closed
// without an answer.
func TestSlow(t *testing.T) {
	t.Parallel()
	p := serve(t, append([]string{"--handshake-timeout", "1s"}, door...)...)
	whole := head(upgradeTo("/auth")...)
	for name, part := range map[string]string{
		"one byte":             whole[:1],
		"half a head":          whole[:len(whole)/2],
		"all but the last LF":  whole[:len(whole)-1],
		"half, on a bad token": strings.TrimSuffix(head(upgradeTo("/auth", bearer("x"))...), "\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, before := dial(t, p.addr), time.Now()
			w.write(part)
			a := w.answer()
			for _, flaw := range flawsOfRefusal(a, "GET", 408) {
				t.Error(flaw)
			}
			if took := time.Since(before); took < 900*time.Millisecond {
				t.Errorf("answered after %v, want the timeout of 1s", took)
			}
			if a.code() != "timeout" {
				t.Errorf("got %s, want code timeout", a)
			}
		})
	}
	t.Run("a byte now and then", func(t *testing.T) {
		t.Parallel()
		w, gone := dial(t, p.addr), make(chan struct{})
		var drip sync.WaitGroup
		drip.Go(func() {
			tick := time.NewTicker(50 * time.Millisecond)
			defer tick.Stop()
			for i := range len(whole) - 1 {
				w.conn.Write([]byte(whole[i : i+1])) // an error is the reader's to tell
				select {
				case <-tick.C:
				case <-gone:
					return
				}
			}
		})
		a := w.answer()
		close(gone)
		drip.Wait()
		if flaws := flawsOfRefusal(a, "GET", 408); flaws != nil {
			t.Errorf("got %s\n%s", a, strings.Join(flaws, "\n"))
		}
	})
	t.Run("silence", func(t *testing.T) {
		t.Parallel()
		w := dial(t, p.addr)
		if b, err := io.ReadAll(w.in); err != nil || len(b) > 0 {
			t.Errorf("got %q (error %v), want the end and nothing else", b, err)
		}
	})
}

// TestEarly: what comes with the head, or soon after it, is the first input.
func TestEarly(t *testing.T) {
	t.Parallel()
	p := serve(t, door...)
	upgrade, hello := head(upgradeTo("/echo")...), masked(opText, "Hello")
	long := strings.Repeat("x", 60<<10)
	for name, c := range map[string]struct {
		first, then string // then is sent when the 101 is there
		want        []string
	}{
		"a whole frame":          {upgrade + hello, "", []string{"Hello"}},
		"two frames":             {upgrade + hello + hello, "", []string{"Hello", "Hello"}},
		"half a frame":           {upgrade + hello[:7], hello[7:], []string{"Hello"}},
		"half a frame's head":    {upgrade + hello[:1], hello[1:], []string{"Hello"}},
		"one and a half":         {upgrade + hello + hello[:3], hello[3:], []string{"Hello", "Hello"}},
		"more than a head's cap": {upgrade + masked(opText, long), "", []string{long}},
	} {
		t.Run(name, func(t *testing.T) {
			w := dial(t, p.addr)
			w.write(c.first)
			if a := w.answer(); a.status != 101 {
				t.Fatalf("got %s, want 101", a)
			}
			w.write(c.then)
			for _, want := range c.want {
				w.want(opText, want)
			}
		})
	}
}

// TestEarlyBehindRefusal: frames that come with a refused head are not taken for requests.
func TestEarlyBehindRefusal(t *testing.T) {
	t.Parallel()
	p := serve(t, door...)
	a := ask(t, p.addr, head(upgradeTo("/auth")...)+masked(opText, "Hello")+head(get("/")...))
	if flaws := flawsOfRefusal(a, "GET", 401); flaws != nil {
		t.Errorf("got %s\n%s", a, strings.Join(flaws, "\n"))
	}
}

// TestSubprotocol: the answer to the bearer form is never the token.
func TestSubprotocol(t *testing.T) {
	t.Parallel()
	p := serve(t, door...)
	alice := token("alice")
	for _, c := range []struct{ path, offer, want string }{
		{"/auth", "bearer, " + alice, "bearer"},
		{"/ws/lobby", "bearer, " + alice, "bearer"},
		{"/ws/lobby", "bearer, " + alice + ", soap", "bearer"},
	} {
		for order, head := range orders(upgradeTo(c.path, "Sec-WebSocket-Protocol: "+c.offer)) {
			w := dial(t, p.addr)
			w.write(head)
			a := w.answer()
			if got := strings.Join(a.values("Sec-WebSocket-Protocol"), " | "); a.status != 101 || got != c.want {
				t.Errorf("%s: got %s, want 101 with %q\nhead %q", order, a, c.want, head)
			}
			w.conn.Close()
		}
	}
}

// TestListeners: --listen takes a list, and the program prints each address.
func TestListeners(t *testing.T) {
	t.Parallel()
	p := start(t, usher(t, "serve", "--echo", "/echo", "--listen", "127.0.0.1:0,127.0.0.1:0"))
	var addrs []string
	eventually(t, "two lines that say where", func() bool {
		addrs = nil
		for line := range strings.Lines(p.stdout.String()) {
			if _, addr, ok := strings.Cut(strings.TrimSpace(line), "listening on http://"); ok {
				addrs = append(addrs, addr)
			}
		}
		return len(addrs) == 2
	})
	for _, addr := range addrs {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			t.Fatal(err)
		}
		w := join(t, addr, upgradeTo("/echo")...)
		w.write(masked(opText, addr))
		w.want(opText, addr)
	}
}
