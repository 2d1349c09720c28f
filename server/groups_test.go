//go:build linux

package server

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/stream"
)

// An idle connection with a name has no record beside its session: whether it is in groups,
// has spoken, was pinged, or was too loud a while ago.
func TestIdleHasNoExtra(t *testing.T) {
	s := &Server{PingInterval: time.Second, IdleTimeout: time.Minute}
	var room, user Group
	s.Route("/loud", Route{Message: echo, Limits: Limits{Messages: limiter.Rate{Limit: 1, Burst: 1}, Over: Drop, CloseAfter: 100}})
	b := newBench(t, s)
	idle := func(when string) {
		t.Helper()
		if b.settle(); b.s.HasExtra() || b.at() != isOpen {
			t.Errorf("%s: it is %v and has an extension: %+v", when, b.at(), *b.s.Extra())
		}
	}
	b.connect()
	half := len(upgradeHead) / 2
	b.send(fmt.Sprintf(upgradeHead, "/echo")[:half])
	readable(b)
	b.send(fmt.Sprintf(upgradeHead, "/echo")[half:])
	readable(b)
	idle("a request in two pieces")
	for k, g := range []*Group{&room, &user} {
		if err := g.Join(b.conn()); err != nil {
			t.Fatal(err)
		}
		idle(fmt.Sprint("in groups: ", k+1))
		if err := g.Send(frame.OpText, []byte("hi")); err != nil {
			t.Fatal(err)
		}
		idle("after what was published")
	}
	hello := b.message("Hello")
	b.send(hello[:4])
	readable(b)
	b.send(hello[4:])
	readable(b)
	idle("after a message in two pieces")
	b.receive()
	b.drive.Advance(stream.Ticks(2 * time.Second))
	b.drive.Due(b.s)
	if got := b.receive(); got != "\x89\x00" {
		t.Fatalf("got %q, want a ping", got)
	}
	idle("pinged")
	b.send(string(masked(frame.OpPong, nil)))
	readable(b)
	idle("after the pong")

	b.again("/loud")
	b.send(strings.Repeat(b.message("Hello"), 3))
	readable(b)
	b.drive.Advance(strikeTime)
	b.drive.Due(b.s)
	b.send(string(masked(frame.OpPong, nil)))
	readable(b)
	idle("a minute after it was too loud")
}

// TestMemberships: a connection is in the groups that a set would have, and its memory goes.
func TestMemberships(t *testing.T) {
	b := newBench(t, new(Server))
	groups := make([]Group, 5)
	b.members(new(Group), 1) // somebody else is in a group, too
	b.open(fmt.Sprintf(upgradeHead, "/echo"))
	var in []int
	for step := range 2000 {
		k := (step*step + step/7) % len(groups)
		if at := slices.Index(in, k); step%3 == 0 && at >= 0 {
			in = slices.Delete(in, at, at+1)
			_ = groups[k].Leave(b.conn())
		} else {
			if at < 0 {
				in = append(in, k)
			}
			_ = groups[k].Join(b.conn())
		}
		b.settle()
		for k := range groups {
			if got, want := groups[k].Len() == 1, slices.Contains(in, k); got != want {
				t.Fatalf("step %d: in group %d: %v, want %v", step, k, got, want)
			}
		}
		want := len(in)
		if want == 1 {
			want = 0
		}
		if got := b.l.groups.of.Len(); got != want {
			t.Fatalf("step %d: %d memberships for %d groups", step, got, len(in))
		}
	}
}

// TestJoinedAtOnce: what Open says behind a Join leaves with the 101, unless something waits
// that the Join must not overtake.
func TestJoinedAtOnce(t *testing.T) {
	s, b, published := new(Server), (*bench)(nil), ""
	var g Group
	s.Route("/join", Route{Open: func(c Conn) error {
		if published != "" {
			_ = g.Send(frame.OpText, []byte(published))
		}
		if err := g.Join(c); err != nil {
			t.Error(err)
		}
		_ = g.Send(frame.OpText, []byte("behind"))
		return c.Send(frame.OpText, []byte("welcome"))
	}})
	s.Route("/in", Route{Open: func(c Conn) error {
		_ = g.Join(c)
		return c.Send(frame.OpText, []byte("welcome"))
	}})
	b = newBench(t, s)
	b.members(&g, 1)
	b.connect()
	b.ask("/in")
	if got := b.receive(); !strings.HasSuffix(got, "\r\n\r\n\x81\x07welcome") || g.Len() != 2 {
		t.Errorf("of %d members it hears %q before the loop looks into its mailbox", g.Len(), got)
	}
	for _, published = range []string{"", "before"} {
		b.again("/join")
		if b.settle(); g.Len() != 2 {
			t.Errorf("%d members, want 2", g.Len())
		}
		_, got, _ := strings.Cut(b.receive(), "\r\n\r\n")
		if want := "\x81\x06behind\x81\x07welcome"; got != want {
			t.Errorf("behind %q: it hears %q, want %q", published, got, want)
		}
	}
}

// BenchmarkMillionMembersGC is BenchmarkMillionGC for connections that are in groups. Run it with
// -benchtime 10x.
func BenchmarkMillionMembersGC(b *testing.B) {
	for n := range 3 {
		b.Run(fmt.Sprint("groups=", n), func(b *testing.B) {
			l := newHall(b)
			seat(l, million, nil)
			for range n {
				g := new(Group)
				if err := g.bind(l); err != nil {
					b.Fatal(err)
				}
				for s := range l.All() {
					l.groups.join(s, g)
				}
			}
			runtime.GC()
			defer debug.SetGCPercent(debug.SetGCPercent(-1)) // only when we say so
			before := gcSeconds()
			for b.Loop() {
				runtime.GC()
			}
			b.ReportMetric(1000*(gcSeconds()-before)/float64(b.N), "cpu-ms/cycle")
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			b.ReportMetric(float64(m.HeapAlloc)/million, "B/conn")
			runtime.KeepAlive(l)
		})
	}
}
