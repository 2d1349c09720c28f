//go:build linux

package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"slices"
	"testing"

	"github.com/usher-ws/usher/limiter"
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

// TestRefusedByQuotas: what no guard decides is told, too: of the route that the request is
// for, if there is one.
func TestRefusedByQuotas(t *testing.T) {
	named := upgrade.Guard{OnBeforeUpgrade: func(r *upgrade.Request) (http.Header, error) {
		r.Identity = &upgrade.Identity{Subject: "alice"}
		return nil, nil
	}}
	slow := limiter.Rate{Limit: 1e-6, Burst: 1}
	for _, x := range []struct {
		name   string
		server *Server
		path   string
		want   []string
	}{
		{"full", &Server{MaxConns: 1}, "/good", []string{"server full 503", "route full 503"}},
		{"full, and no route", &Server{MaxConns: 1}, "/nowhere", []string{"server full 503"}},
		{"the address's connections", &Server{MaxConnsPerIP: 1}, "/good", []string{"server too_many_requests 429", "route too_many_requests 429"}},
		{"the same, and no route", &Server{MaxConnsPerIP: 1}, "/nowhere", []string{"server too_many_requests 429"}},
		{"the address's rate", &Server{ConnRate: slow}, "/good", []string{"server too_many_requests 429", "route too_many_requests 429"}},
		{"the user's connections", &Server{MaxConnsPerUser: 1}, "/good", []string{"server too_many_requests 429", "route too_many_requests 429"}},
	} {
		t.Run(x.name, func(t *testing.T) {
			told := make(chan string, 10)
			tell := func(who string) Middleware {
				return Middleware{Refused: func(r *upgrade.Request, e *upgrade.Rejection) {
					told <- fmt.Sprintf("%s %s %d", who, e.Word(), e.StatusCode())
					if string(r.Path()) != x.path || !r.RemoteAddr.IsValid() {
						t.Errorf("%s: of %s from %v", who, r.Path(), r.RemoteAddr)
					}
				}}
			}
			s := x.server
			s.Loops = 1
			s.Use(tell("server"))
			s.Route("/good", Route{Guards: []upgrade.Guard{named}, Middleware: []Middleware{tell("route")}})
			addr := start(t, s)
			dial(t, addr, "/good")
			knock(t, addr, fmt.Sprintf(upgradeHead, x.path)).Body.Close()
			for _, want := range x.want {
				if got := <-told; got != want {
					t.Errorf("told %q, want %q", got, want)
				}
			}
			if len(told) > 0 {
				t.Errorf("told %q, too", <-told)
			}
		})
	}
}

// TestRefusedByClock: of a request that began and did not end only the address is known; one
// that did not begin is no refusal.
func TestRefusedByClock(t *testing.T) {
	for begun, want := range map[string][]string{"GET /w HTTP/1.1\r\nHost": {`timeout 408 ""`}, "": nil} {
		var told []string
		s := new(Server)
		s.Use(Middleware{Refused: func(r *upgrade.Request, e *upgrade.Rejection) {
			told = append(told, fmt.Sprintf("%s %d %q", e.Word(), e.StatusCode(), r.Path()))
		}})
		b := newBench(t, s)
		b.connect()
		if begun != "" {
			b.send(begun)
			readable(b)
		}
		after(later, dueNow)(b)
		if !slices.Equal(told, want) {
			t.Errorf("%q: told %q, want %q", begun, told, want)
		}
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
