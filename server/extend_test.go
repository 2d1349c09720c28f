//go:build linux

package server

import (
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/usher-ws/usher/internal/websocket"
	"github.com/usher-ws/usher/upgrade"
)

// TestExtend: another exp takes the place of the token's, later or sooner, while the connection is
// read from and while it is held; and nothing else changes.
func TestExtend(t *testing.T) {
	for name, hold := range map[string]func(b *bench){
		"open": func(*bench) {}, "held": (*bench).fill, "delayed": func(b *bench) { b.delayed(100 * time.Hour) },
	} {
		b := newBench(t, &Server{PingInterval: -1, IdleTimeout: -1, WriteTimeout: -1})
		b.bring(isOpen)
		c := b.conn()
		c.SetData("kept")
		hold(b)
		was := b.at()
		for _, d := range []time.Duration{2 * time.Hour, 10 * time.Minute, 3 * time.Hour} {
			until := b.exp.Add(d - time.Hour) // the token's is in an hour
			if err := b.l.extend(c, until); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			b.advanceToDue() // by the loop's clock: the wall's is where it was
			if got := b.at(); got != was {
				t.Fatalf("%s, for %v: the connection is %v, want %v", name, d, got, was)
			}
			b.within(name, d)
			if id := c.Identity(); !id.ExpiresAt.Equal(until) || id.Subject != "alice" || c.Data() != "kept" {
				t.Errorf("%s: got %+v with %v", name, id, c.Data())
			}
		}
		if err := b.l.extend(c, time.Now().Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
		if name == "held" {
			b.empty()
		}
		dueNow(b)
		if got := b.at(); got == was {
			t.Errorf("%s, for no time: the connection is %v", name, got)
		}
		if got := b.receive(); name == "open" && got != tokenExpired {
			t.Errorf("%s: sent %q, want a close with 4401", name, got)
		}
		if err := b.l.extend(c, b.exp); err != net.ErrClosed {
			t.Errorf("%s, at the end: got %v, want %v", name, err, net.ErrClosed)
		}
	}
}

// TestExtendKeepsClaims: also where they are kept as the map that they were.
func TestExtendKeepsClaims(t *testing.T) {
	exp := time.Unix(1<<31, 0).UTC()
	claims := map[string]any{"sub": "alice", "exp": float64(1 << 31), "iat": float64(1<<31 - 60), "rooms": []any{"lobby"}}
	const text = `{"sub":"alice","exp":2147483648,"iat":2147483588,"rooms":["lobby"]}`
	for name, id := range map[string]*upgrade.Identity{
		"text":  upgrade.NewIdentity("alice", exp, claims, text),
		"a map": {Subject: "alice", ExpiresAt: exp, Claims: claims},
	} {
		s := newHalls(t, 1)
		l := s.loops[0]
		at := l.Drive().Seat()
		at.Data().facts.become(open)
		at.Data().place = l.places.find(&l.routes[0], nil, "")
		l.introduce(at, id, false)
		c := l.conn(at)
		for k, until := range []time.Time{exp.Add(time.Hour + 123), exp.Add(-time.Hour), exp} {
			if err := l.extend(c, until); err != nil {
				t.Fatal(err)
			}
			l.known = lastIdentity{} // it is read back
			got := c.Identity()
			if !got.ExpiresAt.Equal(until) || got.Subject != "alice" || len(got.Claims) != 4 || got.Claims["exp"] != float64(1<<31) ||
				got.Claims["iat"] != float64(1<<31-60) || got.ClaimsText() == "" && name == "text" {
				t.Errorf("%s, %d: got %+v", name, k, got)
			}
		}
		if n := s.users.len(); n > 4 {
			t.Errorf("%s: %d things are kept of one connection", name, n)
		}
		s.users.remove(at.Data().ident)
		if n, size := s.users.len(), s.users.size.Load(); n != 0 || size != 0 {
			t.Errorf("%s: %d things and %d bytes stay", name, n, size)
		}
		at.Data().ident = 0
		l.places.Drop(at.Data().place)
		at.Data().place = 0
		l.Drive().Unseat(at)
	}
}

// TestExtendFromElsewhere: over sockets, in the clear and by TLS, with handlers on the loop and
// off it, from goroutines and from callbacks.
func TestExtendFromElsewhere(t *testing.T) { onBothWires(t, testExtendFromElsewhere) }

func testExtendFromElsewhere(t *testing.T, w wire) {
	exp := time.Now().Add(time.Hour).Round(0).UTC()
	later := exp.Add(time.Hour)
	opened := make(chan Conn, 1)
	byName := upgrade.Guard{OnBeforeUpgrade: func(r *upgrade.Request) (http.Header, error) {
		if name := r.PathValue("user"); name != "nobody" {
			r.Identity = &upgrade.Identity{Subject: name, ExpiresAt: exp}
		}
		return nil, nil
	}}
	route := Route{
		Guards: []upgrade.Guard{byName},
		Open:   func(c Conn) error { opened <- c; return nil },
		Message: func(c Conn, m Message) error {
			if err := c.Extend(later); err != nil {
				return err
			}
			return c.Send(m.Opcode, []byte(c.Identity().ExpiresAt.Sub(exp).String()))
		},
	}
	off := route
	off.Middleware = []Middleware{Offload(2)}
	srv := w.server(&Server{Loops: 2})
	srv.Route("/{user}", route)
	srv.Route("/off/{user}", off)
	addr := start(t, srv)
	dial := func(path string) (*websocket.Conn, Conn) {
		t.Helper()
		c := w.dial(t, addr, path)
		return c, <-opened
	}
	for _, path := range []string{"/alice", "/off/alice"} {
		c, conn := dial(path)
		say(t, c, "extend")
		if got := read(t, c); got != "1h0m0s" {
			t.Errorf("%s, its own handler: got %q", path, got)
		}
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				if err := conn.Extend(later); err != nil {
					t.Errorf("%s, a goroutine: %v", path, err)
				}
			})
		}
		all.Wait()
		if err := conn.Extend(time.Time{}); err != ErrNoExpiry {
			t.Errorf("zero: got %v, want %v", err, ErrNoExpiry)
		}
		if err := conn.Extend(time.Now()); err != nil {
			t.Error(err)
		}
		if e := closeOf(t, c); e.Code != 4401 {
			t.Errorf("%s, for no time: got %v, want 4401", path, e)
		}
		for conn.Extend(later) == nil { // its loop may not have come to its end
			time.Sleep(time.Millisecond)
		}
		if err := conn.Extend(later); err != net.ErrClosed {
			t.Errorf("%s, at the end: got %v, want %v", path, err, net.ErrClosed)
		}
	}
	_, nobody := dial("/nobody")
	if err := nobody.Extend(later); err != ErrNoExpiry {
		t.Errorf("nobody: got %v, want %v", err, ErrNoExpiry)
	}
	if err := (Conn{}).Extend(later); err != net.ErrClosed {
		t.Errorf("the zero Conn: got %v, want %v", err, net.ErrClosed)
	}
	_, conn := dial("/bob")
	for other := nobody; ; _, other = dial("/nobody") {
		said, want := make(chan error), error(nil)
		if other.loop != conn.loop {
			want = ErrOnLoop
		}
		if err := other.Run(func(Conn) { err := conn.Extend(later); go func() { said <- err }() }); err != nil {
			t.Fatal(err)
		}
		if err := <-said; err != want {
			t.Errorf("in a callback of another connection: got %v, want %v", err, want)
		}
		if want != nil {
			break
		}
	}
}
