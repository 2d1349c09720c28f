//go:build linux

package server

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/upgrade"
	"golang.org/x/sys/unix"
)

// dialFrom connects from an address of 127.0.0.0/8 and says nothing.
func dialFrom(t testing.TB, source, addr string) *net.TCPConn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}
	c, err := d.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Hour))
	return c.(*net.TCPConn)
}

// ask sends a request, and returns the status of the answer when all of it was read; 0 if
// there was none.
func ask(t testing.TB, c *net.TCPConn, path string) int {
	t.Helper()
	if _, err := fmt.Fprintf(c, upgradeHead, path); err != nil {
		return 0
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		if _, err := io.ReadAll(resp.Body); err != nil {
			return 0
		}
	}
	return resp.StatusCode
}

// startWithFew is start with a limit of open files: the reserve is a 32nd of that.
func startWithFew(t testing.TB, s *Server, files uint64) (addr string) {
	t.Helper()
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	few := before
	few.Cur = files
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	addr = start(t, s)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	return addr
}

// guarded adds a route that lets all in and one that lets nobody in.
func guarded(s *Server) *Server {
	no := upgrade.Guard{OnRequest: func(*upgrade.Request) error { return upgrade.Reject(http.StatusForbidden, "no", "No.") }}
	s.Route("/no", Route{Guards: []upgrade.Guard{no}})
	s.Route("/echo", Route{Message: echo})
	return s
}

// crowd are connections that say nothing, all of one address and renewed one by one.
type crowd struct {
	testing.TB
	source, addr string
	all          []net.Conn
}

// renew opens n of them in place of the oldest, of which most are kept.
func (c *crowd) renew(n, most int) {
	c.Helper()
	for range n {
		if len(c.all) == most {
			c.all[0].Close()
			c.all = c.all[1:]
		}
		c.all = append(c.all, dialFrom(c, c.source, c.addr))
	}
}

// each runs a test with one loop and with several.
func each(t *testing.T, f func(t *testing.T, loops int)) {
	for _, loops := range []int{1, 3} {
		t.Run(fmt.Sprint(loops, " loops"), func(t *testing.T) { f(t, loops) })
	}
}

// TestSilentAddress: however many connections of an address say nothing, it has the places of
// its limit. Others are let in, and are told what is wrong with them.
func TestSilentAddress(t *testing.T) {
	each(t, func(t *testing.T, loops int) {
		const conns, perIP = 40, 4
		s := guarded(&Server{Loops: loops, MaxConns: conns, MaxConnsPerIP: perIP, HandshakeTimeout: time.Hour})
		addr := startWithFew(t, s, 1024)
		silent := &crowd{t, "127.0.0.2", addr, nil}
		silent.renew(2*conns, 2*conns)
		for range perIP {
			if got := ask(t, dialFrom(t, "127.0.0.4", addr), "/echo"); got != 101 {
				t.Fatalf("got %d, want 101", got)
			}
		}
		for round := range 50 {
			silent.renew(10, 2*conns)
			for source, want := range map[string]int{"127.0.0.3": 101, "127.0.0.4": 429, "127.0.0.5": 403} {
				path := "/echo"
				if want == 403 {
					path = "/no"
				}
				c := dialFrom(t, source, addr)
				if got := ask(t, c, path); got != want {
					t.Fatalf("round %d, %s: got %d, want %d: %+v", round, source, got, want, s.engine.Stats())
				}
				c.Close()
			}
			eventually(t, "the one that was let in has gone", func() bool {
				return s.perIP.InUse(networkOf(netip.MustParseAddr("127.0.0.3"))) == 0
			})
		}
	})
}

// TestSilentMakeRoom: without a limit per address those that say nothing hold all places only
// until others want them.
func TestSilentMakeRoom(t *testing.T) {
	each(t, func(t *testing.T, loops int) {
		const conns = 20
		s := guarded(&Server{Loops: loops, MaxConns: conns, HandshakeTimeout: time.Hour})
		addr := start(t, s)
		silent := &crowd{t, "127.0.0.2", addr, nil}
		silent.renew(conns, conns)
		eventually(t, "all have come", func() bool { return s.total() == conns })
		for k := range conns {
			silent.renew(2, conns+2)
			if got := ask(t, dialFrom(t, "127.0.0.3", addr), "/echo"); got != 101 {
				t.Fatalf("%d of %d: got %d, want 101: %+v", k, conns, got, s.engine.Stats())
			}
		}
		for range 3 {
			if got := ask(t, dialFrom(t, "127.0.0.3", addr), "/echo"); got != 503 {
				t.Fatalf("beyond: got %d, want 503", got)
			}
		}
	})
}

// TestRefusedAmongTheSilent: with all places taken everybody is told so, however many of
// another address come and say nothing.
func TestRefusedAmongTheSilent(t *testing.T) {
	each(t, func(t *testing.T, loops int) {
		const reserve = 64
		s := guarded(&Server{Loops: loops, MaxConns: 2, HandshakeTimeout: time.Hour})
		addr := startWithFew(t, s, 32*reserve)
		for range 2 {
			dial(t, addr, "/echo")
		}
		silent := &crowd{t, "127.0.0.2", addr, nil}
		for k := range 200 {
			silent.renew(20, 2*reserve)
			c := dialFrom(t, "127.0.0.3", addr)
			if got := ask(t, c, "/echo"); got != 503 {
				t.Fatalf("number %d: got %d, want 503: %+v", k, got, s.engine.Stats())
			}
			c.Close()
		}
		if st := s.Stats(); st.TurnedAway == 0 || st.Sockets > 2+reserve {
			t.Errorf("got %+v, want some turned away and at most %d sockets", st, 2+reserve)
		}
	})
}

// TestSilentBeyond: a connection without a place is not waited for as long as others.
func TestSilentBeyond(t *testing.T) {
	s := guarded(&Server{MaxConns: 1, HandshakeTimeout: time.Hour})
	addr := start(t, s)
	dial(t, addr, "/echo")
	c := dialFrom(t, "127.0.0.2", addr)
	if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("read %d, %v, want the end", n, err)
	}
}

// TestSpokenBeforeSilent: those of an address that say what they want have its places before
// those that say nothing.
func TestSpokenBeforeSilent(t *testing.T) {
	const perIP, source = 3, "127.0.0.2"
	s := guarded(&Server{MaxConnsPerIP: perIP, HandshakeTimeout: time.Hour})
	addr := start(t, s)
	silent := &crowd{t, source, addr, nil}
	silent.renew(perIP, perIP)
	eventually(t, "all have come", func() bool { return s.total() == perIP })
	for k, want := range []int{101, 101, 101, 429} {
		if got := ask(t, dialFrom(t, source, addr), "/echo"); got != want {
			t.Errorf("number %d: got %d, want %d", k, got, want)
		}
	}
}

// TestSilentHaveCome: the rate of an address counts all that come.
func TestSilentHaveCome(t *testing.T) {
	const source = "127.0.0.2"
	s := guarded(&Server{ConnRate: limiter.Rate{Limit: limiter.Every(time.Hour), Burst: 3}, HandshakeTimeout: time.Hour})
	addr := start(t, s)
	silent := &crowd{t, source, addr, nil}
	silent.renew(2, 2)
	for k, want := range []int{101, 429, 429} {
		if got := ask(t, dialFrom(t, source, addr), "/echo"); got != want {
			t.Errorf("number %d: got %d, want %d", k, got, want)
		}
	}
	if got := ask(t, silent.all[0].(*net.TCPConn), "/echo"); got != 101 {
		t.Errorf("one of the silent: got %d, want 101", got)
	}
}
