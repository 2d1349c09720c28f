//go:build linux

package hub

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/server"
)

// words is a message in any dialect, and how often it was made in each of two.
type words struct{ made [2]atomic.Int32 }

func (w *words) say(text string) Encoder {
	return func(dialect int) []byte {
		w.made[dialect].Add(1)
		return fmt.Appendf(nil, "%s/%d", text, dialect)
	}
}

func (w *words) want(t *testing.T, zero, one int32) {
	t.Helper()
	if a, b := w.made[0].Load(), w.made[1].Load(); a != zero || b != one {
		t.Errorf("made %d and %d times, want %d and %d", a, b, zero, one)
	}
}

// TestEncodersAreAskedForWhatIsHeard, and for the rest when a member joins that hears it.
func TestEncodersAreAskedForWhatIsHeard(t *testing.T) {
	home := serve(t, &Hub{History: 9, Dialects: 2})
	alice, ear := home.join("lobby", "alice")
	var w words
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(alice.Topic().RecordFunc(frame.OpText, w.say("a")))
	must(alice.Topic().PublishFunc(frame.OpText, w.say("b")))
	_, err := alice.Topic().DirectFunc("alice", frame.OpText, w.say("c"))
	must(err)
	ear.wantHeard("a/0", "b/0", "c/0")
	w.want(t, 3, 0)

	other := home.dial()
	bob, err := home.JoinAs("lobby", "bob", 1, other.Conn)
	must(err)
	other.wantHeard("a/1")
	w.want(t, 3, 1)
	must(alice.Topic().RecordFunc(frame.OpText, w.say("d")))
	ear.wantHeard("d/0")
	other.wantHeard("d/1")
	w.want(t, 4, 2)
	late := home.dial()
	carol, err := home.JoinAs("lobby", "carol", 1, late.Conn)
	must(err)
	late.wantHeard("a/1", "d/1")
	for _, m := range []*Member{bob, carol} {
		m.Leave()
	}
	w.made[1].Store(0)
	must(alice.Topic().RecordFunc(frame.OpText, w.say("e")))
	w.want(t, 5, 0)
}

// TestNilEncoder: none of the verbs takes it for an empty message.
func TestNilEncoder(t *testing.T) {
	home := serve(t, new(Hub))
	alice, ear := home.join("lobby", "alice")
	for name, f := range map[string]func(){
		"PublishFunc":     func() { _ = alice.Topic().PublishFunc(frame.OpText, nil) },
		"RecordFunc":      func() { _ = alice.Topic().RecordFunc(frame.OpText, nil) },
		"DirectFunc":      func() { _, _ = alice.Topic().DirectFunc("nobody", frame.OpText, nil) },
		"Hub.PublishFunc": func() { _ = home.PublishFunc("lobby", frame.OpText, nil) },
		"Hub.RecordFunc":  func() { _ = home.RecordFunc("lobby", frame.OpText, nil) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: got no panic", name)
				}
			}()
			f()
		}()
	}
	ear.wantHeard()
}

// TestEncodersAndHooks: hooks are called with every dialect, and a broker has them all.
func TestEncodersAndHooks(t *testing.T) {
	var local Local
	hooks := []server.Middleware{{Send: func(next server.SendFunc) server.SendFunc { return next }}}
	for name, h := range map[string]*Hub{"hooks": {Dialects: 2, Middleware: hooks}, "broker": {Dialects: 2, Broker: &local}} {
		home := serve(t, h)
		alice, ear := home.join(name, "alice")
		var w words
		if err := alice.Topic().RecordFunc(frame.OpText, w.say("a")); err != nil {
			t.Error(err)
		}
		ear.wantHeard("a/0")
		w.want(t, 1, 1)
	}
}

// TestNobodyMissesADialect: a member that joins in a dialect that nobody spoke hears all of each
// talker from some message on, and each message once.
func TestNobodyMissesADialect(t *testing.T) {
	const talkers, each, joiners = 2, 200, 8
	home := serve(t, &Hub{History: talkers * each, Dialects: 2})
	host, _ := home.join("lobby", "host")
	var all sync.WaitGroup
	for p := range talkers {
		all.Go(func() {
			for n := range each {
				err := host.Topic().RecordFunc(frame.OpText, func(int) []byte { return fmt.Appendf(nil, "%d %d", p, n) })
				if err != nil {
					t.Errorf("RecordFunc: %v", err)
				}
			}
		})
	}
	for i := range joiners {
		c := home.dial()
		all.Go(func() {
			if _, err := home.JoinAs("lobby", fmt.Sprint("u", i), 1, c.Conn); err != nil {
				t.Errorf("JoinAs: %v", err)
				return
			}
			c.hearInOrder(talkers, each)
		})
	}
	all.Wait()
}

// TestWhatIsToldIsCounted: what is kept for joiners belongs to the histories' share, gives
// way to messages, and ends with its topic.
func TestWhatIsToldIsCounted(t *testing.T) {
	const large = 10 << 10
	home := serve(t, &Hub{History: 50, HistoryBytes: 8 * large})
	text := strings.Repeat("x", large)
	alice, _ := home.join("lobby", "alice")
	record(t, alice, text)
	one := home.historyBytes.Load()
	bob, _ := home.join("lobby", "bob")
	if got := home.historyBytes.Load(); got < one+large || got > 4*large {
		t.Errorf("with what was told: got %d, more than %d and at most %d", got, one+large, 4*large)
	}
	for range 5 {
		record(t, alice, text)
	}
	if got := home.historyBytes.Load(); got != 6*one {
		t.Errorf("got %d, want six messages, %d", got, 6*one)
	}
	carol, ear := home.join("lobby", "carol")
	ear.wantHeard(text, text, text, text, text, text)
	if got := home.historyBytes.Load(); got != 6*one {
		t.Errorf("more than half is taken: got %d, want nothing beside the messages, %d", got, 6*one)
	}
	for _, m := range []*Member{alice, bob, carol} {
		m.Leave()
	}
	if got := home.historyBytes.Load(); got != 0 {
		t.Errorf("at the end: got %d, want 0", got)
	}
}
