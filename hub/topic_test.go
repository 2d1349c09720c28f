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

// TestPublish: while others come and go, every member that stays hears everything
// exactly once, in each publisher's order.
func TestPublish(t *testing.T) {
	const stay, publishers, each = 8, 4, 200
	home := serve(t, new(Hub))
	var ears []client
	var topic *Topic
	for i := range stay {
		m, c := home.join("lobby", fmt.Sprint("u", i))
		ears, topic = append(ears, c), m.Topic()
	}
	var all sync.WaitGroup
	for range 2 {
		c := home.dial() // reads nothing
		all.Go(func() {
			for range each {
				m, err := home.Join("lobby", "guest", c.Conn)
				if err != nil {
					t.Errorf("Join: %v", err)
					return
				}
				m.Leave()
			}
		})
	}
	for p := range publishers {
		all.Go(func() {
			for n := range each {
				if err := topic.Publish(frame.OpText, fmt.Appendf(nil, "%d %d", p, n)); err != nil {
					t.Errorf("Publish: %v", err)
				}
			}
		})
	}
	for _, c := range ears {
		all.Go(func() { c.hearInOrder(publishers, each) })
	}
	all.Wait()
	for _, c := range ears {
		c.wantHeard() // and nothing twice
	}
}

func TestPublishFindsItsTopicOnly(t *testing.T) {
	home := serve(t, new(Hub))
	alice, inAttic := home.join("attic", "alice")
	bob, inCellar := home.join("cellar", "bob")
	both := home.dial()
	home.bring(both, "attic", "carol")
	home.bring(both, "cellar", "carol")
	publish(t, alice, "up here")
	publish(t, bob, "down here")
	inAttic.wantHeard("up here")
	inCellar.wantHeard("down here")
	both.wantHeard("up here", "down here")
}

// TestDialects: members of one topic hear it in the encoding they chose, and what has only
// one as it is.
func TestDialects(t *testing.T) {
	home := serve(t, &Hub{Dialects: 3})
	var ears []client
	var topic *Topic
	for d := range 3 {
		c := home.dial()
		m, err := home.JoinAs("lobby", "alice", d, c.Conn)
		if err != nil {
			t.Fatal(err)
		}
		ears, topic = append(ears, c), m.Topic()
	}
	words := spoken("hello", "salut", "hallo")
	for name, err := range map[string]error{
		"Publish":         topic.Publish(frame.OpText, []byte("1")),
		"PublishFunc":     topic.PublishFunc(frame.OpText, words),
		"Hub.Publish":     home.Publish("lobby", frame.OpText, []byte("2")),
		"Hub.PublishFunc": home.PublishFunc("lobby", frame.OpText, words),
		"Hub.Record":      home.Record("lobby", frame.OpText, []byte("3")),
		"Hub.RecordFunc":  home.RecordFunc("lobby", frame.OpText, words),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got, err := topic.Direct("alice", frame.OpText, []byte("4")); got != 3 || err != nil {
		t.Errorf("Direct: got %d, error %v; want 3", got, err)
	}
	if got, err := topic.DirectFunc("alice", frame.OpText, words); got != 3 || err != nil {
		t.Errorf("DirectFunc: got %d, error %v; want 3", got, err)
	}
	for d, word := range []string{"hello", "salut", "hallo"} {
		heard := ears[d].heard()
		slices.Sort(heard) // maps are in no order
		if want := []string{"1", "2", "3", "4", word, word, word, word}; !slices.Equal(heard, want) {
			t.Errorf("dialect %d: heard %q, want %q", d, heard, want)
		}
	}
	for _, d := range []int{-1, 3} {
		if m, err := home.JoinAs("lobby", "bob", d, ears[0].Conn); err == nil {
			t.Errorf("dialect %d: got %v, want an error", d, m)
		}
	}
}

// TestPublishTakesNoLock: neither the table's, nor while a hook runs, which may ask
// the table.
func TestPublishTakesNoLock(t *testing.T) {
	var alice *Member
	h := &Hub{Middleware: []server.Middleware{{Send: func(next server.SendFunc) server.SendFunc {
		return func(m server.Message) error {
			if strings.HasPrefix(string(m.Data), "who") {
				alice.SetStatus("asked")
				some, _ := alice.Topic().Presence(1)
				m.Data = fmt.Append(nil, some)
			}
			return next(m)
		}
	}}}}
	home := serve(t, h)
	alice, ear := home.join("lobby", "alice")
	h.mu.Lock()
	publish(t, alice, "hi")
	h.mu.Unlock()
	publish(t, alice, "who")
	ear.wantHeard("hi", "[{alice asked}]")
}

func TestMiddleware(t *testing.T) {
	refusal := errors.New("not that word")
	shout := server.Middleware{Send: func(next server.SendFunc) server.SendFunc {
		return func(m server.Message) error {
			m.Data = []byte(strings.ToUpper(string(m.Data)))
			return next(m)
		}
	}}
	censor := server.Middleware{Send: func(next server.SendFunc) server.SendFunc {
		return func(m server.Message) error {
			if string(m.Data) == "DARN" {
				return refusal
			}
			return next(m)
		}
	}}
	home := serve(t, &Hub{Middleware: []server.Middleware{shout, censor}})
	alice, ear := home.join("lobby", "alice")
	publish(t, alice, "hi")
	if err := alice.Topic().Publish(frame.OpText, []byte("darn")); err != refusal {
		t.Errorf("got %v, want %v", err, refusal)
	}
	if _, err := alice.Topic().Direct("alice", frame.OpText, []byte("darn")); err != nil {
		t.Errorf("Direct: %v", err)
	}
	ear.wantHeard("HI", "darn")
}

func TestDirect(t *testing.T) {
	home := serve(t, new(Hub))
	alice, ear := home.join("lobby", "alice")
	var tabs []client
	var members []*Member
	for range 12 { // more than Direct's own few
		m, c := home.join("lobby", "bob")
		tabs, members = append(tabs, c), append(members, m)
	}
	_, elsewhere := home.join("cellar", "bob")
	direct := func(user, text string, want int) {
		t.Helper()
		if n, err := alice.Topic().Direct(user, frame.OpText, []byte(text)); n != want || err != nil {
			t.Errorf("Direct(%q): got %d, error %v; want %d", user, n, err, want)
		}
	}
	publish(t, alice, "1")
	direct("bob", "2", 12)
	publish(t, alice, "3")
	direct("eve", "4", 0)
	direct("alice", "5", 1)
	for _, c := range tabs {
		c.wantHeard("1", "2", "3")
	}
	ear.wantHeard("1", "3", "5")
	elsewhere.wantHeard()

	// The first, one amid, the last; then one that ended.
	for left, i := range []int{0, 5, 11} {
		members[i].Leave()
		direct("bob", "6", 12-1-left)
	}
	home.vanish(tabs[1], "lobby")
	direct("bob", "7", 8)
	tabs[0].wantHeard()
	tabs[5].wantHeard("6")
	tabs[11].wantHeard("6", "6")
	tabs[2].wantHeard("6", "6", "6", "7")
}

func TestOpcodes(t *testing.T) {
	home := serve(t, new(Hub))
	alice, ear := home.join("lobby", "alice")
	if err := alice.Topic().Publish(frame.OpPing, nil); err == nil {
		t.Error("Publish of a ping: got no error")
	}
	if n, err := alice.Topic().Direct("alice", frame.OpPing, nil); n != 1 || err == nil {
		t.Errorf("Direct of a ping: got %d, error %v; want 1 and an error", n, err)
	}
	ear.wantHeard()
}
