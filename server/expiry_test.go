//go:build linux

package server

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/usher-ws/usher/internal/websocket"
	"github.com/usher-ws/usher/stream"
	"github.com/usher-ws/usher/upgrade"
)

// within checks that a deadline lies about d from now.
func (b *bench) within(what string, d time.Duration) {
	b.Helper()
	got := time.Duration(b.drive.NextDue(b.s)-b.l.Tick()) * stream.TickLength
	if got < d-2*time.Second || got > d+2*time.Second {
		b.Errorf("%s: looked at in %v, want %v", what, got, d)
	}
}

// TestClockSteps: a clock that was set forward is noticed at the next deadline, one
// that was set back does not end a token early, and neither ends all at once.
func TestClockSteps(t *testing.T) {
	b := newBench(t, &Server{PingInterval: -1, IdleTimeout: -1})
	b.bring(isOpen)
	b.within("at first", time.Hour)
	start := time.Now()
	step := func(d time.Duration) { b.l.wall = func() time.Time { return start.Add(d) } }

	step(-time.Hour) // and then the hour passes
	dueNow(b)
	if got := b.at(); got != isOpen {
		t.Fatalf("the clock was set back: the connection is %v, want open", got)
	}
	b.within("set back", 2*time.Hour)

	step(30 * time.Minute)
	dueNow(b)
	b.within("set forward", 30*time.Minute)

	step(2 * time.Hour)
	dueNow(b)
	if got := b.receive(); got != tokenExpired {
		t.Errorf("set far forward: sent %q, want a close with 4401", got)
	}
}

// TestClockStepsElsewhere: no other deadline looks at the wall clock. The loop's clock
// is monotonic, poller.New has its origin from time.Now, and so is the timerfd.
func TestClockStepsElsewhere(t *testing.T) {
	for _, st := range []stage{isHead, isAsked, isOpen, isHeld, isFinishing, isLingering} {
		for _, years := range []int{-30, 30} {
			b := newBench(t, &Server{})
			off := func() { b.l.wall = func() time.Time { return time.Now().AddDate(years, 0, 0) } }
			switch st {
			case isOpen, isHeld: // of somebody without a token
				off()
				b.bring(isAsked)
				b.asks <- nil
				b.answeredElsewhere()
				if b.receive(); st == isHeld {
					b.fill()
				}
			case isFinishing, isLingering:
				b.bring(st)
				off()
			default:
				off()
				b.bring(st)
			}
			if got := b.at(); got != st {
				t.Fatalf("set-up: the connection is %v, want %v", got, st)
			}
			want := map[stage]time.Duration{
				isHead: b.l.srv.handshakeTimeout(), isAsked: b.l.srv.handshakeTimeout(),
				isHeld: b.l.srv.writeTimeout(), isFinishing: b.l.srv.writeTimeout(),
			}[st]
			switch at := time.Duration(b.drive.NextDue(b.s)-b.l.Tick()) * stream.TickLength; {
			case st == isLingering && b.drive.NextDue(b.s) != 0:
				t.Errorf("%v: due at %v", st, at)
			case st == isOpen && (at < b.l.srv.pingAfter()*4/5 || at > b.l.srv.pingAfter()*6/5+2*stream.TickLength):
				t.Errorf("%v, %d years off: looked at in %v, want the ping-interval", st, years, at)
			case want != 0:
				b.within(fmt.Sprint(st), want)
			}
			b.drive.Timer()
			for b.drive.Sweep() {
			}
			if got := b.at(); got != st {
				t.Errorf("%d years off: %v became %v", years, st, got)
			}
		}
	}
}

// TestDeadlinesHaveTheExp: whatever sets a deadline of an open or held connection
// heeds the token's.
func TestDeadlinesHaveTheExp(t *testing.T) {
	b := newBench(t, &Server{})
	b.bring(isOpen)
	const left = 5 * time.Second
	b.l.wall = func() time.Time { return b.exp.Add(-left) }
	b.drive.Advance(stream.Ticks(b.l.srv.pingAfter()))
	dueNow(b)
	b.within("after a ping", left)
	b.fill()
	b.within("held", left)
	dueNow(b)
	b.within("held, and looked at", left)
	b.empty()
	b.within("open again", left)
	b.delayed(time.Hour)
	b.within("delayed", left)
}

func TestRenew(t *testing.T) {
	b := newBench(t, &Server{PingInterval: -1, IdleTimeout: -1})
	b.bring(isOpen)
	c := b.conn()
	id := func(subject string, d time.Duration) *upgrade.Identity {
		return &upgrade.Identity{Subject: subject, ExpiresAt: b.exp.Add(d)}
	}
	for name, bad := range map[string]*upgrade.Identity{
		"nobody":       nil,
		"another user": id("bob", time.Hour),
		"expired":      id("alice", -2*time.Hour),
	} {
		if err := c.Renew(bad); err != ErrRenew {
			t.Errorf("%s: got %v, want ErrRenew", name, err)
		}
	}
	later := id("alice", time.Hour)
	if err := c.Renew(later); err != nil || c.Identity() != later {
		t.Fatalf("got %v, %+v", err, c.Identity())
	}
	after(atExp, dueNow)(b)
	if got := b.at(); got != isOpen {
		t.Fatalf("at the old token's exp: %v, want open", got)
	}
	b.within("renewed", time.Hour)
	if err := c.Renew(id("alice", time.Minute)); err != nil {
		t.Fatal(err)
	}
	b.within("renewed for less", time.Minute)
	forever := &upgrade.Identity{Subject: "alice"}
	if err := c.Renew(forever); err != nil {
		t.Fatal(err)
	}
	dueNow(b)
	if got := b.drive.NextDue(b.s); got != 0 {
		t.Errorf("without an exp: due %d, want none", got)
	}
	if n := b.l.srv.users.len(); n != 2 {
		t.Errorf("%d things are kept, want a user and its connection", n)
	}
	b.s.Cut(stream.ErrHangup)
	if err := c.Renew(later); err != net.ErrClosed {
		t.Errorf("when it is gone: got %v, want net.ErrClosed", err)
	}
}

// TestExpiryWhileConnected: over sockets, with and without a new token in time, and
// in a delay.
func TestExpiryWhileConnected(t *testing.T) {
	t.Parallel()
	// An exp is in whole seconds.
	exp := time.Now().Add(4500 * time.Millisecond).Truncate(time.Second)
	ends := make(chan error, 3)
	s := &Server{Loops: 2, MaxConnsPerUser: 10}
	s.Route("/", Route{
		Guards: []upgrade.Guard{{OnBeforeUpgrade: func(r *upgrade.Request) (http.Header, error) {
			r.Identity = &upgrade.Identity{Subject: "alice", ExpiresAt: exp}
			return nil, nil
		}}},
		Limits: Limits{Over: Delay},
		Message: func(c Conn, m Message) error {
			if string(m.Data) == "renew" {
				return c.Renew(&upgrade.Identity{Subject: "alice", ExpiresAt: exp.Add(time.Hour)})
			}
			return echo(c, m)
		},
		Close: func(_ Conn, err error) { ends <- err },
	})
	s.routes[0].Limits.Messages.Limit = 1.0 / 3600
	s.routes[0].Limits.Messages.Burst = 2
	addr := start(t, s)
	idle, renewed, delayed := dial(t, addr, "/"), dial(t, addr, "/"), dial(t, addr, "/")
	say(t, renewed, "renew")
	for range 3 {
		say(t, delayed, "hi")
	}
	for name, c := range map[string]*websocket.Conn{"idle": idle, "delayed": delayed} {
		e := closeOf(t, c)
		if e.Code != 4401 || e.Text != "token_expired" {
			t.Errorf("%s: got %v, want 4401 token_expired", name, e)
		}
		if off := time.Since(exp); off < 0 {
			t.Errorf("%s: closed %v after exp", name, off)
		}
		if err := <-ends; err == nil || !strings.Contains(err.Error(), "token_expired") {
			t.Errorf("%s: Close got %v", name, err)
		}
	}
	say(t, renewed, "still here")
	if got := read(t, renewed); got != "still here" {
		t.Errorf("renewed: got %q", got)
	}
}

// TestSlowVerifierStallsNobody: while one loop's tokens are being verified, its
// other connections are served.
func TestSlowVerifierStallsNobody(t *testing.T) {
	t.Parallel()
	v := &gate{asked: make(chan struct{}, 10), open: make(chan struct{})}
	s := &Server{Loops: 1}
	s.Route("/echo", Route{Message: echo})
	s.Route("/slow", Route{Message: echo, Guards: []upgrade.Guard{upgrade.Bearer(v)}})
	addr := start(t, s)
	c := dial(t, addr, "/echo")
	type dialed struct {
		c   *websocket.Conn
		err error
	}
	all := make(chan dialed, 5)
	for range cap(all) {
		go func() {
			c, _, err := websocket.DefaultDialer.Dial("ws://"+addr+"/slow?token=x", nil)
			all <- dialed{c, err}
		}()
	}
	for range cap(all) {
		<-v.asked
	}
	for range 100 {
		say(t, c, "hi")
		read(t, c)
	}
	close(v.open)
	for range cap(all) {
		d := <-all
		if d.err != nil {
			t.Error(d.err)
			continue
		}
		say(t, d.c, "in")
		if got := read(t, d.c); got != "in" {
			t.Errorf("got %q", got)
		}
		d.c.Close()
	}
}

// gate is a SlowVerifier that answers when it is opened.
type gate struct {
	asked chan struct{}
	open  chan struct{}
}

func (g *gate) Verify([]byte, time.Time) (*upgrade.Identity, error) { return nil, upgrade.ErrSlow }

func (g *gate) Begin([]byte, time.Time) upgrade.Verification {
	return elsewhere(func(context.Context) (*upgrade.Identity, error) {
		g.asked <- struct{}{}
		<-g.open
		return &upgrade.Identity{Subject: "alice"}, nil
	})
}
