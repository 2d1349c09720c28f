//go:build linux

package server

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/internal/websocket"
)

// An echo does not wait for what others have in the mailbox, and a full one is not the fault
// of who has nothing there.
func TestFullMailboxHurtsNobodyElse(t *testing.T) {
	x := newTroupe(t, &Server{MaxBacklog: 64 << 10, MaxBuffered: 64 << 10}, 4)
	var g Group
	_ = g.Join(x.conn(2))
	x.finish()
	refused := false
	for n := 0; !refused; n++ {
		switch err := x.conn(3).Send(frame.OpText, make([]byte, 1<<10)); err {
		case nil:
		case ErrBacklog:
			refused = true
		default:
			t.Fatal(err)
		}
		if n > 1<<10 {
			t.Fatal("there is no bound")
		}
	}
	x.perform(0, func(c Conn) { _ = c.Send(frame.OpText, raw("echo")) })
	x.say(0, string(masked(frame.OpPing, raw("p"))))
	x.listen()
	if got := x.texts(0); !slices.Equal(got, []string{"echo", "pong p"}) {
		t.Errorf("at once it heard %q", got)
	}
	x.perform(1, func(c Conn) {
		if err := g.Send(frame.OpText, raw("all")); err != nil {
			t.Errorf("another's message: %v", err)
		}
		for n := range 20 {
			if err := c.Send(frame.OpText, fmt.Append(nil, n)); err != nil {
				t.Errorf("to itself: %v", err)
			}
		}
	})
	x.finish()
	if got := x.texts(1); len(got) != 20 || got[19] != "19" {
		t.Errorf("it heard %q", got)
	}
	if got := x.texts(2); !slices.Equal(got, []string{"all"}) {
		t.Errorf("the member heard %q", got)
	}
	if err := x.conn(3).Send(frame.OpText, raw("again")); err != nil {
		t.Errorf("when there is room: %v", err)
	}
	x.finish()
}

// A lane has a bound, whoever fills it; a callback that does is told so and no other.
func TestSharesOfTheMailbox(t *testing.T) {
	const limit = 1 << 20
	x := newTroupe(t, &Server{MaxBacklog: limit, MaxBuffered: 64 << 10}, 40)
	var hot, cool Group
	_ = hot.Join(x.conn(0))
	_ = cool.Join(x.conn(0))
	x.finish()
	b := make([]byte, 4<<10)
	total := 0
	fill := func(send func() error) (n int) {
		for send() == nil {
			n++
			if total += len(b); total > 2*limit {
				t.Fatal("there is no bound")
			}
		}
		return n
	}
	first := 0
	for k := 1; k < 30; k++ {
		n := 0
		x.perform(k, func(Conn) { n = fill(func() error { return hot.Send(frame.OpText, b) }) })
		if k == 1 {
			first = n
		}
	}
	if most := limit / len(b); first < most/3 || total > limit*3/4 {
		t.Errorf("one could have %d of %d messages, one group %d", first, most, total/len(b))
	}
	x.perform(30, func(Conn) {
		if n := fill(func() error { return cool.Send(frame.OpText, b) }); n == 0 {
			t.Errorf("another group takes nothing")
		}
	})
	for k := 31; k < 40; k++ {
		x.perform(k, func(Conn) {
			if n := fill(func() error { return x.conn(0).Send(frame.OpText, b) }); n == 0 {
				t.Errorf("connection %d is refused", k)
			}
		})
	}
	x.finish()
}

// What is for many is charged once: a message to all connections of a user is not a copy for
// each.
func TestPreparedIsChargedOnce(t *testing.T) {
	x := newTroupe(t, &Server{}, 10)
	p := frame.Prepare(frame.OpText, make([]byte, 4<<10))
	x.perform(0, func(Conn) {
		for k := range x.all {
			_ = x.conn(k).SendPrepared(p)
		}
	})
	if n, want := x.l.mail.lane.charged, 9*entryCost+len(p.Bytes()); n != want {
		t.Errorf("%d bytes are charged, want %d", n, want)
	}
	x.finish()
}

// What a connection says comes behind what it wanted of others before, and so do its pongs
// and its close.
func TestSaidBehindOwnMail(t *testing.T) {
	x := newTroupe(t, &Server{}, 3)
	var g Group
	for k := range x.all {
		_ = g.Join(x.conn(k))
	}
	x.finish()
	x.perform(0, func(c Conn) {
		_ = c.Send(frame.OpText, raw("1"))
		_ = g.Send(frame.OpText, raw("2"))
		_ = c.Send(frame.OpText, raw("3"))
	})
	x.say(0, string(masked(frame.OpPing, raw("4"))))
	x.perform(1, func(c Conn) { _ = c.Send(frame.OpText, raw("echo")) })
	x.listen()
	if got := x.texts(0); !slices.Equal(got, []string{"1"}) {
		t.Errorf("at once it heard %q", got)
	}
	if got := x.texts(1); !slices.Equal(got, []string{"echo"}) {
		t.Errorf("at once another heard %q", got)
	}
	x.finish()
	if got := x.texts(0); !slices.Equal(got, strings.Fields("2 3")) && !slices.Equal(got, []string{"2", "3", "pong 4"}) {
		t.Errorf("then it heard %q", got)
	}
	x.perform(0, func(c Conn) {
		_ = g.Send(frame.OpText, raw("last"))
		_ = c.Close(frame.StatusNormalClosure, "")
	})
	x.finish()
	if got := x.texts(0); !slices.Equal(got, []string{"last", "\x03\xe8"}) {
		t.Errorf("at the end it heard %q", got)
	}
}

// A connection that wants more of others on all loops than these have done is held back, and
// nothing of it is refused or lost.
func TestHeldBackByOtherLoops(t *testing.T) {
	const messages, size, listeners = 2000, 1 << 10, 4
	s := &Server{Loops: 2, MaxBuffered: 1 << 20, MaxBacklog: 8 << 20}
	opened, seated := make(chan Conn, 1), make(chan bool)
	var all []Conn
	s.Route("/hear", Route{Open: func(c Conn) error { opened <- c; return nil }})
	s.Route("/say", Route{Message: func(_ Conn, m Message) error {
		<-seated
		for _, c := range all {
			if err := c.Send(m.Opcode, m.Data); err != nil {
				t.Error(err)
			}
		}
		return nil
	}})
	addr := start(t, s)
	var clients []*websocket.Conn
	for range listeners {
		clients = append(clients, dial(t, addr, "/hear"))
		all = append(all, <-opened)
	}
	close(seated)
	speaker := dial(t, addr, "/say")
	go func() {
		for n := range messages {
			if speaker.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, "%-*d", size, n)) != nil {
				return // the test has failed
			}
		}
	}()
	var wg sync.WaitGroup
	for _, c := range clients {
		wg.Go(func() {
			for n := range messages {
				if _, got, err := c.ReadMessage(); err != nil || string(got) != fmt.Sprintf("%-*d", size, n) {
					t.Errorf("message %d: got %.10q, %v", n, got, err)
					return
				}
			}
		})
	}
	wg.Wait()
}
