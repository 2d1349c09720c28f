//go:build linux

package hub

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/server"
)

// announce says a move as "+user count" or "-user count", and what was gathered as
// "+joined -left count".
func announce(m Move) (frame.Opcode, Encoder) {
	text := fmt.Sprintf("+%s %d", m.User, m.Count)
	switch {
	case m.User == "":
		text = fmt.Sprintf("+%d -%d %d", m.Joined, m.Left, m.Count)
	case m.Left == 1:
		text = fmt.Sprintf("-%s %d", m.User, m.Count)
	}
	return frame.OpText, func(dialect int) []byte { return []byte(text + strings.Repeat("!", dialect)) }
}

// TestAnnounce: a move is said to all, in their dialects; a further connection of a user hears
// alone that it is in.
func TestAnnounce(t *testing.T) {
	home := serve(t, &Hub{Announce: announce, Dialects: 2, History: 3})
	alice, ear := home.join("lobby", "alice")
	record(t, alice, "hi")
	other := home.dial()
	bob, err := home.JoinAs("lobby", "bob", 1, other.Conn)
	if err != nil {
		t.Fatal(err)
	}
	tab, inTab := home.join("lobby", "bob")
	bob.Leave()
	tab.Leave()
	home.vanish(other)
	ear.wantHeard("+alice 1", "hi", "+bob 2", "-bob 1")
	inTab.wantHeard("hi", "+bob 2")
}

// TestAnnounceNothing: a nil Encoder says nothing, and Announce is not asked when it is told to
// nobody.
func TestAnnounceNothing(t *testing.T) {
	asked := 0
	home := serve(t, &Hub{Announce: func(m Move) (frame.Opcode, Encoder) { asked++; return 0, nil }})
	alice, ear := home.join("lobby", "alice")
	bob, _ := home.join("lobby", "bob")
	bob.Leave()
	alice.Leave()
	ear.wantHeard()
	if asked != 3 {
		t.Errorf("Announce was asked %d times, want 3", asked)
	}
}

// TestAnnounceGathers as Moved does.
func TestAnnounceGathers(t *testing.T) {
	home := serve(t, &Hub{Announce: announce, GatherAbove: 1})
	_, ear := home.join("lobby", "a")
	b, inB := home.join("lobby", "b")
	home.join("lobby", "c")
	b.Leave()
	for _, want := range []string{"+a 1", "+2 -1 2"} {
		if got, err := ear.next(); got != want || err != nil {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
	}
	inB.wantHeard("+b 2")
}

// TestAnnounceThroughHooks: Send hooks are called with what is announced, for each dialect, and
// may refuse it.
func TestAnnounceThroughHooks(t *testing.T) {
	hook := server.Middleware{Send: func(next server.SendFunc) server.SendFunc {
		return func(m server.Message) error {
			if strings.HasPrefix(string(m.Data), "-") {
				return errors.New("nobody is to know")
			}
			m.Data = append([]byte("hooked "), m.Data...)
			return next(m)
		}
	}}
	home := serve(t, &Hub{Announce: announce, Dialects: 2, Middleware: []server.Middleware{hook}})
	_, ear := home.join("lobby", "alice")
	bob, _ := home.join("lobby", "bob")
	bob.Leave()
	ear.wantHeard("hooked +alice 1", "hooked +bob 2")
}

// TestAnnouncedInOneStep: while others talk, come and go, a member that joins hears its own move
// before any other, and the host hears moves that add up.
func TestAnnouncedInOneStep(t *testing.T) {
	const talkers, joiners, times = 2, 4, 100
	home := serve(t, &Hub{Announce: announce, History: 1})
	host, ear := home.join("lobby", "host")
	record(t, host, "talk")
	var all sync.WaitGroup
	for range talkers {
		all.Go(func() {
			for range joiners * times {
				record(t, host, "talk")
			}
		})
	}
	for i := range joiners {
		c := home.dial()
		me := fmt.Sprintf("+u%d ", i)
		all.Go(func() {
			for range times {
				m, err := home.Join("lobby", fmt.Sprint("u", i), c.Conn)
				if err != nil {
					t.Errorf("Join: %v", err)
					return
				}
				m.Leave()
				heard := c.heard()
				if i := slices.IndexFunc(heard, isMove); i < 1 || !strings.HasPrefix(heard[i], me) {
					t.Errorf("got %q, want the past and then %q", heard, me)
					return
				}
			}
		})
	}
	all.Wait()
	host.Leave()
	here := 0
	for _, text := range ear.heard() {
		var name string
		var count int
		switch _, err := fmt.Sscan(text, &name, &count); {
		case !isMove(text):
			continue
		case err != nil:
			t.Fatalf("%q: %v", text, err)
		case name[0] == '+':
			here++
		default:
			here--
		}
		if count != here {
			t.Fatalf("%q while there were %d", text, here)
		}
	}
	if here != 1 {
		t.Errorf("%d are announced in the end, want the host", here)
	}
}

func isMove(text string) bool { return text[0] == '+' || text[0] == '-' }

// TestRecordedWhileReplayed: what is recorded while the past is made for a member follows it;
// and what pushes all of the past out comes in its place.
func TestRecordedWhileReplayed(t *testing.T) {
	for meanwhile, want := range map[int][]string{
		0: {"1+2"},
		1: {"1+2", "new 0"},
		3: {"1+2", "new 0", "new 1", "new 2"},
		5: {"new 2", "new 3", "new 4"},
	} {
		var host *Member
		late := false
		home := serve(t, &Hub{History: 3, Dialects: 2, Replay: func(dialect int, past []server.Message) []server.Message {
			var all []string
			for _, m := range past {
				all = append(all, string(m.Data))
			}
			if !late { // and of the second one there is no call
				late = true
				for i := range meanwhile {
					_ = host.Topic().RecordFunc(frame.OpText, func(int) []byte { return fmt.Append(nil, "new ", i) })
				}
			}
			return []server.Message{{Opcode: frame.OpText, Data: []byte(strings.Join(all, "+"))}}
		}})
		host, _ = home.join("lobby", "host")
		for _, text := range []string{"1", "2"} {
			if err := host.Topic().RecordFunc(frame.OpText, func(int) []byte { return []byte(text) }); err != nil {
				t.Fatal(err)
			}
		}
		c := home.dial()
		if _, err := home.JoinAs("lobby", "alice", 1, c.Conn); err != nil {
			t.Fatal(err)
		}
		c.wantHeard(want...)
	}
}

// TestErrorsOfAllDialects: none is lost.
func TestErrorsOfAllDialects(t *testing.T) {
	errs := []error{errors.New("zero"), errors.New("one")}
	hook := server.Middleware{Send: func(server.SendFunc) server.SendFunc {
		return func(m server.Message) error { return errs[m.Data[0]-'0'] }
	}}
	home := serve(t, &Hub{Dialects: 2, History: 1, Middleware: []server.Middleware{hook}})
	alice, _ := home.join("lobby", "alice")
	digit := func(dialect int) []byte { return []byte{'0' + byte(dialect)} }
	for name, err := range map[string]error{
		"PublishFunc": alice.Topic().PublishFunc(frame.OpText, digit),
		"RecordFunc":  alice.Topic().RecordFunc(frame.OpText, digit),
	} {
		if !errors.Is(err, errs[0]) || !errors.Is(err, errs[1]) {
			t.Errorf("%s: got %v, want both of %v", name, err, errs)
		}
	}
}
