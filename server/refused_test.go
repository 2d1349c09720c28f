//go:build linux

package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"testing"

	"github.com/usher-ws/usher/upgrade"
	"golang.org/x/sys/unix"
)

// TestRefused: whoever wants to be told of refusals is told of each once, with and without a
// route, and whatever it does the answer is the same.
func TestRefused(t *testing.T) {
	for name, does := range map[string]func(){"returns": func() {}, "panics": func() { panic("as asked") }, "exits": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			told := make(chan string, 100)
			tell := func(who string) Middleware {
				return Middleware{Refused: func(r *upgrade.Request, e *upgrade.Rejection) {
					told <- fmt.Sprintf("%s %s %d %v", who, e.Word(), e.StatusCode(), r.RemoteAddr.IsValid())
					does()
				}}
			}
			s := &Server{Loops: 1}
			s.Use(tell("server"))
			route := func(path string, r Route) {
				r.Middleware = []Middleware{tell("route")}
				s.Route(path, r)
			}
			no := upgrade.Reject(http.StatusForbidden, "no", "no")
			route("/guard", Route{Guards: []upgrade.Guard{{OnRequest: func(*upgrade.Request) error { return no }}}})
			route("/odd", Route{Guards: []upgrade.Guard{{OnRequest: func(*upgrade.Request) error { return errors.New("odd") }}}})
			route("/authorize", Route{Authorize: func(context.Context, *upgrade.Request) error { return no }})
			route("/keep", Route{Keep: func(*upgrade.Request) any { panic("as asked") }})
			route("/good", Route{})
			addr := start(t, s)
			const bare = "GET %s HTTP/1.1\r\nHost: h\r\n\r\n"
			for _, x := range []struct {
				head, path, word string
				status           int
				routed           bool
			}{
				{upgradeHead, "/guard", "no", 403, true},
				{upgradeHead, "/odd", "internal", 500, true},
				{upgradeHead, "/authorize", "no", 403, true},
				{upgradeHead, "/keep", "internal", 500, true},
				{upgradeHead, "/nowhere", "not_found", 404, false},
				{bare, "/good", "upgrade_required", 426, true},
				{"%s\r\n\r\n", "nonsense", "", 400, false},
				{upgradeHead, "/good", "", 101, true},
			} {
				resp := knock(t, addr, fmt.Sprintf(x.head, x.path))
				if resp.StatusCode != x.status {
					t.Errorf("%s: %d, want %d", x.path, resp.StatusCode, x.status)
				}
				resp.Body.Close()
				var want []string
				if x.status != 101 {
					want = append(want, "server")
					if x.routed {
						want = append(want, "route")
					}
				}
				for _, who := range want {
					got := <-told
					if x.word == "" {
						continue
					}
					if all := fmt.Sprintf("%s %s %d true", who, x.word, x.status); got != all {
						t.Errorf("%s: told %q, want %q", x.path, got, all)
					}
				}
				if len(told) > 0 {
					t.Errorf("%s: told %q, too", x.path, <-told)
				}
			}
		})
	}
}

// TestSocketFailsUnderHandler: when the socket of a request to the Handler fails, its quotas
// and memory come back, and nobody else is harmed.
func TestSocketFailsUnderHandler(t *testing.T) {
	s := &Server{Loops: 1, MaxConnsPerIP: 1, Handler: http.NotFoundHandler()}
	addr := start(t, s)
	null, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(null)
	for range 3 { // the quota is of one
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(c, "GET / HTTP/1.1\r\n") // in two pieces: the head is kept
		eventually(t, "the head has begun", func() bool { return s.Stats().Buffered > 0 })
		swapped := make(chan bool)
		_ = s.loops[0].Post(func() { defer close(swapped); swap(t, c.LocalAddr().(*net.TCPAddr).Port, null) })
		<-swapped
		_ = s.loops[0].Post(func() {
			for conn := range s.loops[0].All() {
				owner{s.loops[0]}.Input(conn, []byte("Host: h\r\n\r\n"), false)
			}
		})
		eventually(t, "it is over", func() bool { return s.total() == 0 })
		if n := s.Stats().Buffered; n != 0 {
			t.Errorf("%d bytes are lent", n)
		}
		c.Close()
	}
	if resp := knock(t, addr, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"); resp.StatusCode != 404 {
		t.Errorf("the next one: %d, want 404", resp.StatusCode)
	}
}

// swap puts a copy of fd in the place of the socket whose peer has this port.
func swap(t *testing.T, port, fd int) {
	for at := range 1000 {
		peer, err := unix.Getpeername(at)
		if in, ok := peer.(*unix.SockaddrInet4); err == nil && ok && in.Port == port {
			if err := unix.Dup3(fd, at, unix.O_CLOEXEC); err != nil {
				t.Error(err)
			}
			return
		}
	}
	t.Error("no such socket")
}
