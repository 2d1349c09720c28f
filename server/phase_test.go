//go:build linux

package server

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/usher-ws/usher/frame"
)

// TestPhases: whatever is asked of a Server, it answers in every phase, and an error or a
// panic says which it is.
func TestPhases(t *testing.T) {
	fine := func(s *Server, what string) {
		t.Helper()
		s.Stats()
		s.LimitStats()
		s.Sockets()
		s.AppendRoutes(nil)
		if _, ok := s.Conn("1-0-1-1"); ok {
			t.Errorf("%s: there is a Conn", what)
		}
	}
	says := func(phase string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), phase) {
			t.Errorf("got %v, want %q in it", err, phase)
		}
	}
	late := func(s *Server, phase string) {
		t.Helper()
		for what, f := range map[string]func(){
			"Route": func() { s.Route("/late", Route{}) },
			"Use":   func() { s.Use(Middleware{}) },
		} {
			if p := fmt.Sprint(panicOf(f)); !strings.Contains(p, what) || !strings.Contains(p, phase) {
				t.Errorf("%s: it panics with %q, want %q in it", what, p, phase)
			}
		}
		says(phase, s.Start())
	}
	idle := func(s *Server, phase string) {
		t.Helper()
		fine(s, phase)
		says(phase, s.Each(func(Conn) {}))
		_, err := s.CloseUser("alice", 1000, "")
		says(phase, err)
		says(phase, s.Shutdown(context.Background()))
		if a := s.Addrs(); a != nil {
			t.Errorf("%s: it listens on %v", phase, a)
		}
	}

	s := &Server{Addr: "127.0.0.1:0", Loops: 1, Drain: -1}
	s.Route("/", Route{})
	idle(s, "not been started")
	says("not been started", s.Wait())

	bad := &Server{Addr: "127.0.0.1:0,nowhere", Loops: 1}
	says("nowhere", bad.Start())
	idle(bad, "start has failed")
	late(bad, "start has failed")
	says("nowhere", bad.Wait())

	start := &Server{Addr: "127.0.0.1:0", Loops: 1}
	start.life.now.Store(int32(starting))
	idle(start, "it is starting")
	late(start, "it is starting")
	says("it is starting", start.Wait())

	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	fine(s, "running")
	late(s, "it runs")
	if a := s.Addrs(); len(a) != 1 {
		t.Errorf("Addrs: %v", a)
	}
	if err := s.Each(func(Conn) {}); err != nil {
		t.Error(err)
	}
	if err := s.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	fine(s, "down")
	late(s, "been shut down")
	says("been shut down", s.Shutdown(context.Background()))
	if err := s.Each(func(Conn) {}); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := s.Wait(); err != nil {
			t.Error(err)
		}
	}
}

// TestPhasesMeet: of many that shut a Server down one does, also while it starts, and all
// that ask it meanwhile get an answer.
func TestPhasesMeet(t *testing.T) {
	for range 20 {
		s := &Server{Addr: "127.0.0.1:0", Loops: 2, Drain: -1}
		s.Route("/", Route{})
		started, done := make(chan bool), make(chan bool)
		var asking, wait sync.WaitGroup
		for range 4 {
			asking.Go(func() {
				for {
					s.Stats()
					s.LimitStats()
					s.Addrs()
					s.Sockets()
					s.Conn("1-0-1-1")
					_ = s.Each(func(Conn) {})
					select {
					case <-done:
						return
					default:
					}
				}
			})
		}
		var mu sync.Mutex
		shut := 0
		for k := range 4 {
			wait.Go(func() {
				for {
					err := s.Shutdown(context.Background())
					if err == nil {
						mu.Lock()
						shut++
						mu.Unlock()
					}
					if p := s.life.phase(); p >= draining {
						break
					}
					if k > 0 {
						<-started
					}
				}
				if err := s.Wait(); err != nil {
					t.Error(err)
				}
			})
		}
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
		close(started)
		wait.Wait()
		close(done)
		asking.Wait()
		if shut != 1 {
			t.Errorf("%d have shut it down", shut)
		}
	}
}

// TestGroupOfTwoServers: the members are of one Server, whichever comes first; when that is
// down, and all its callbacks have returned, they may be of another.
func TestGroupOfTwoServers(t *testing.T) {
	gate := make(chan bool)
	newServer := func() (*Server, Conn) {
		s := &Server{Addr: "127.0.0.1:0", Loops: 1, Drain: -1}
		opened := make(chan Conn, 1)
		s.Route("/", Route{Open: func(c Conn) error { opened <- c; return nil }})
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
		dial(t, s.Addrs()[0].String(), "/")
		c := <-opened
		return s, c
	}
	a, ofA := newServer()
	b, ofB := newServer()
	for range 50 { // at the same time
		g := NewGroup()
		var wg sync.WaitGroup
		errs := make([]error, 8)
		for k := range errs {
			wg.Go(func() { errs[k] = g.Join([]Conn{ofA, ofB}[k%2]) })
		}
		wg.Wait()
		first, second := errs[0], errs[1]
		if (first == nil) == (second == nil) {
			t.Fatalf("got %v and %v, want one error", first, second)
		}
		for k, err := range errs {
			if (err == nil) != ([]error{first, second}[k%2] == nil) {
				t.Errorf("Join %d: %v", k, err)
			}
		}
		_ = g.Send(frame.OpText, []byte("hi"))
		_ = g.Leave(ofA)
		_ = g.Leave(ofB)
	}
	g := NewGroup()
	if err := g.Join(ofA); err != nil {
		t.Fatal(err)
	}
	on(t, ofA, func(Conn) {})
	held := make(chan bool)
	if err := ofA.Run(func(Conn) { close(held); <-gate }); err != nil {
		t.Fatal(err)
	}
	<-held
	if err := a.Shutdown(context.Background()); err == nil {
		t.Error("Shutdown does not tell of the callback")
	}
	if err := g.Join(ofB); err == nil {
		t.Error("Join while a callback of the first holds a member")
	}
	close(gate)
	<-a.loops[0].ended()
	if err := g.Join(ofB); err != nil {
		t.Errorf("Join when the first is down: %v", err)
	}
	on(t, ofB, func(Conn) {})
	if n := g.Len(); n != 1 {
		t.Errorf("%d members, want 1", n)
	}
	if err := b.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if n := g.Len(); n != 0 {
		t.Errorf("%d members at the end", n)
	}
}

// TestStatsNames: dashboards know these names, whatever the fields are called.
func TestStatsNames(t *testing.T) {
	b, err := json.Marshal(Stats{Overflowed: 7, Total: RouteStats{Stalls: 8}})
	if err != nil || !strings.Contains(string(b), `"slow":7`) || !strings.Contains(string(b), `"held":8`) {
		t.Errorf("got %s, %v", b, err)
	}
}
