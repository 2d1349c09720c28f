//go:build linux

package server

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/upgrade"
)

// What strangers let a server keep in tables is bounded by its budget: nobody is closed for it,
// and nobody is let in until some of them have gone.
func TestTablesAreBounded(t *testing.T) {
	const budget = 256 << 10
	for name, long := range map[string]func(k int) string{
		"names":       func(k int) string { return fmt.Sprintf("/a?%0*d", 4000, k) },
		"path values": func(k int) string { return fmt.Sprintf("/%0*d", 4000, k) },
	} {
		t.Run(name, func(t *testing.T) {
			s := &Server{Loops: 1, MaxBuffered: budget}
			s.Route("/{any}", Route{Message: echo, Guards: []upgrade.Guard{{OnBeforeUpgrade: func(r *upgrade.Request) (http.Header, error) {
				if q := r.RawQuery(); len(q) > 0 {
					r.Identity = &upgrade.Identity{Subject: string(q)}
				}
				return nil, nil
			}}}})
			addr := start(t, s)
			var in []*net.TCPConn
			status := 0
			for k := 0; k < 1000; k++ {
				c := dialFrom(t, "127.0.0.1", addr)
				if status = ask(t, c, long(k)); status != 101 {
					break
				}
				in = append(in, c)
			}
			if now := s.Stats().Buffered; status != 503 || len(in) < 10 || now < budget/2 || now > budget*3/4+32<<10 {
				t.Fatalf("after %d: got %d, and %d bytes are held; want 503 with about %d", len(in), status, now, budget*3/4)
			}
			if status := ask(t, dialFrom(t, "127.0.0.1", addr), "/short"); status != 503 {
				t.Errorf("without a name or a long path: got %d, want 503", status)
			}
			for _, c := range in {
				say := bufio.NewReader(c)
				fmt.Fprint(c, string(masked(2, []byte("hi"))))
				if b, err := say.Peek(4); err != nil || string(b) != "\x82\x02hi" {
					t.Fatalf("one of those that are in hears %q, %v", b, err)
				}
			}
			if n := s.Stats().Shed; n != 0 {
				t.Errorf("%d were closed for memory", n)
			}
			for _, c := range in[:len(in)/2] {
				c.Close()
			}
			eventually(t, "half of them have gone", func() bool { return s.Stats().Total.Conns == len(in)-len(in)/2 })
			if status := ask(t, dialFrom(t, "127.0.0.1", addr), long(0)); status != 101 {
				t.Errorf("when half of them have gone: got %d, want 101", status)
			}
		})
	}
}

// What an application charges counts as if it were the server's.
func TestCharge(t *testing.T) {
	s := &Server{Loops: 2, MaxBuffered: 1 << 20}
	s.Route("/", Route{})
	addr := start(t, s)
	knock := func() int { return ask(t, dialFrom(t, "127.0.0.1", addr), "/") }
	for _, step := range []struct{ charge, held, status int }{{1000, 1000, 101}, {1 << 20, 1<<20 + 1000, 503}, {-1 << 20, 1000, 101}, {-1000, 0, 101}} {
		s.Charge(step.charge)
		if status, held := knock(), s.Stats().Buffered; status != step.status || held != step.held {
			t.Errorf("with %d more: got %d, %d bytes held; want %d, %d", step.charge, status, held, step.status, step.held)
		}
	}
}

// What limits know of addresses and users counts, and is forgotten in time.
func TestLimitsCount(t *testing.T) {
	s := &Server{Loops: 1, ConnRate: limiter.Rate{Limit: 1, Burst: 100}}
	s.Route("/", Route{})
	if err := s.newEngine(); err != nil {
		t.Fatal(err)
	}
	defer s.engine.Close()
	s.arrivals.Rate = s.ConnRate
	for k := range 1000 {
		s.arrivals.AllowN(network(k+1), 0, 1)
	}
	s.tidy(0)
	l := s.loops[0]
	if l.weighTables(); l.Buffers.InUse() < 1000*20 {
		t.Errorf("%d bytes are held for a thousand addresses", l.Buffers.InUse())
	}
	for range 64 {
		s.tidy(100_000_000_000)
	}
	if l.weighTables(); l.Buffers.InUse() != 0 {
		t.Errorf("%d bytes are held for nobody", l.Buffers.InUse())
	}
}

// Of places that have gone nothing stays, nor of those that no client chose a part of.
func TestPlacesCount(t *testing.T) {
	l := newHall(t)
	fixed := l.places.find(&l.routes[0], nil, "chat")
	if l.places.bytes != 0 {
		t.Errorf("a place without values counts as %d bytes", l.places.bytes)
	}
	var all []uint32
	for range 3 {
		for k := range 100 {
			all = append(all, l.places.find(&l.routes[0], []string{strings.Repeat("x", k)}, ""))
		}
	}
	if n := l.places.bytes; n < 100*(placeSize+50) || n > 100*(placeSize+150) {
		t.Errorf("a hundred places take %d bytes", n)
	}
	for _, i := range append(all, fixed, 0) {
		l.places.Drop(i)
	}
	if n := l.places.bytes; n != 0 || l.places.Len() != 0 {
		t.Errorf("%d bytes are left", n)
	}
}
