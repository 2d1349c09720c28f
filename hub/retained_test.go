//go:build linux

package hub

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/server"
)

func retain(t *testing.T, h *Hub, topic string, text ...string) {
	t.Helper()
	if err := h.Retain(topic, frame.OpText, spoken(text...)); err != nil {
		t.Errorf("Retain(%q, %q): %v", topic, text, err)
	}
}

// retained returns what a hub retains, "" for nothing.
func retained(h *Hub, topic string, dialect int) string {
	m, ok := h.Retained(topic, dialect)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%v %s", m.Opcode, m.Data)
}

// TestRetain: a value is heard by those that are there and by those that come, behind the
// history, also if nobody was there when it was retained, until it is forgotten.
func TestRetain(t *testing.T) {
	home := serve(t, &Hub{History: 5, Dialects: 2, MaxTopics: 1, Announce: func(m Move) (frame.Opcode, Encoder) {
		return frame.OpText, spoken(m.User)
	}})
	retain(t, home.Hub, "lobby", "first", "zuerst")
	retain(t, home.Hub, "attic", "elsewhere", "woanders")
	if home.Len() != 0 {
		t.Errorf("%d topics are in use", home.Len())
	}
	if got := home.Topics(); len(got) != 2 || got[0] != (TopicInfo{Name: "attic", Retained: true}) {
		t.Errorf("Topics: got %v", got)
	}
	alice, ear := home.join("lobby", "alice")
	ear.wantHeard("first", "alice")
	recordAll(t, alice, "en", "de")
	retain(t, home.Hub, "lobby", "second", "danach")
	recordAll(t, alice, "later", "später")
	ear.wantHeard("en", "second", "later")
	german := home.dial()
	if _, err := home.JoinAs("lobby", "bob", 1, german.Conn); err != nil {
		t.Fatal(err)
	}
	german.wantHeard("de", "später", "danach", "bob")
	if got := home.Topics(); len(got) != 2 || got[1] != (TopicInfo{"lobby", 2, 2, true}) {
		t.Errorf("Topics: got %v", got)
	}
	for _, tt := range []struct {
		topic   string
		dialect int
		want    string
	}{
		{"lobby", 0, "text second"}, {"lobby", 1, "text danach"}, {"attic", 1, "text woanders"}, {"cellar", 0, ""}, {"lobby", 2, ""}, {"lobby", -1, ""},
	} {
		if got := retained(home.Hub, tt.topic, tt.dialect); got != tt.want {
			t.Errorf("%s in %d: got %q, want %q", tt.topic, tt.dialect, got, tt.want)
		}
	}
	if !home.Forget("lobby") || home.Forget("lobby") || home.Forget("cellar") {
		t.Error("Forget: want true, and then false")
	}
	ear.wantHeard("bob") // and nothing of Forget
	late := home.dial()
	home.bring(late, "lobby", "carl")
	late.wantHeard("en", "later", "carl")

	home.Topic("lobby") // the topic goes, and what is retained of it stays
	retain(t, home.Hub, "lobby", "third", "drittens")
	home.LeaveUser("lobby", "alice")
	home.LeaveUser("lobby", "bob")
	home.LeaveUser("lobby", "carl")
	if home.Len() != 0 || retained(home.Hub, "lobby", 0) != "text third" {
		t.Errorf("%d topics are in use, and %q is retained", home.Len(), retained(home.Hub, "lobby", 0))
	}
	if err := home.Retain("lobby", frame.OpText, func(int) []byte { return nil }); err != nil {
		t.Fatal(err)
	}
	if got := retained(home.Hub, "lobby", 1); got != "text " {
		t.Errorf("an empty message: got %q", got)
	}
}

// TestRetainIsBounded: in number and bytes, and what is refused is not published.
func TestRetainIsBounded(t *testing.T) {
	home := serve(t, &Hub{MaxRetained: 3, HistoryBytes: 400 << 10})
	_, ear := home.join("a", "alice")
	s := ear.Server()
	before := s.Stats().Buffered
	for _, topic := range []string{"a", "b", "c", "a"} {
		retain(t, home.Hub, topic, topic)
	}
	refused := func(topic, text string) {
		t.Helper()
		if err := home.Retain(topic, frame.OpText, spoken(text)); !errors.Is(err, ErrTooManyRetained) {
			t.Errorf("%s: got %v, want %v", topic, err, ErrTooManyRetained)
		}
	}
	refused("d", "d")
	refused("a", strings.Repeat("x", 60<<10)) // twice that and the others are over 100 KiB
	ear.wantHeard("a", "a")
	home.Forget("b")
	retain(t, home.Hub, "a", strings.Repeat("x", 40<<10))
	refused("c", strings.Repeat("x", 20<<10))
	if took := s.Stats().Buffered - before; took < 80<<10 || took > 100<<10 {
		t.Errorf("values count for %d bytes", took)
	}
	home.Forget("a")
	home.Forget("c")
	if took := s.Stats().Buffered - before; took != 3*(1+keptCost) || home.retained != nil {
		t.Errorf("no values count for %d bytes, want what three that were forgotten do", took)
	}
}

// A user that joins more often than ReplayRate hears no value: nothing is sent for it.
func TestRetainedRate(t *testing.T) {
	home := serve(t, &Hub{ReplayRate: limiter.Rate{Limit: 1. / 3600, Burst: 2}})
	retain(t, home.Hub, "lobby", "x")
	c := home.dial()
	for range 4 {
		home.bring(c, "lobby", "alice").Leave()
	}
	c.wantHeard("x", "x")
}

// What hooks let through of a value is what is kept; what they refuse changes nothing.
func TestRetainThroughHooks(t *testing.T) {
	refusal := errors.New("no")
	home := serve(t, &Hub{Dialects: 2, Middleware: []server.Middleware{{Send: func(next server.SendFunc) server.SendFunc {
		return func(m server.Message) error {
			if strings.HasPrefix(string(m.Data), "bad") {
				return refusal
			}
			m.Data = append(m.Data, '!')
			return next(m)
		}
	}}}})
	_, ear := home.join("lobby", "alice")
	retain(t, home.Hub, "lobby", "en", "de")
	for _, text := range []string{"bad", "en"} {
		if err := home.Retain("lobby", frame.OpText, spoken(text, "bad")); !errors.Is(err, refusal) {
			t.Errorf("got %v, want %v", err, refusal)
		}
		if want := map[string]string{"bad": "text de!", "en": ""}[text]; retained(home.Hub, "lobby", 1) != want {
			t.Errorf("%s: got %q, want %q", text, retained(home.Hub, "lobby", 1), want)
		}
	}
	ear.wantHeard("en!", "en!")
}

// TestRetainedInOrder: whatever is retained, recorded, published and forgotten while members come
// and go, each hears the numbers of one publisher in order and none twice, and begins with the
// value that was there.
func TestRetainedInOrder(t *testing.T) {
	const joiners, each = 6, 400
	home := serve(t, new(Hub))
	var all sync.WaitGroup
	done := make(chan bool)
	all.Go(func() {
		defer close(done)
		rng := rand.New(rand.NewPCG(1, 1))
		for n := range each {
			text := []byte(strconv.Itoa(n))
			var err error
			if rng.IntN(2) == 0 {
				err = home.Retain("lobby", frame.OpText, func(int) []byte { return text })
			} else {
				err = home.Publish("lobby", frame.OpText, text)
			}
			if err != nil {
				t.Errorf("%d: %v", n, err)
			}
		}
	})
	for k := range joiners {
		c := home.dial()
		all.Go(func() {
			for {
				before := -1
				if v := retained(home.Hub, "lobby", 0); v != "" {
					before, _ = strconv.Atoi(strings.TrimPrefix(v, "text "))
				}
				m, err := home.Join("lobby", fmt.Sprint("user", k), c.Conn)
				if err != nil {
					t.Errorf("Join: %v", err)
					return
				}
				isOver := false
				select {
				case <-done:
					isOver = true
				default:
				}
				m.Leave()
				last := -1
				for i, text := range c.heard() {
					n, err := strconv.Atoi(text)
					if err != nil || n <= last || i == 0 && n < before {
						t.Errorf("heard %q behind %d, and %d was retained before", text, last, before)
						return
					}
					last = n
				}
				if last < before {
					t.Errorf("heard nothing of %d", before)
					return
				}
				if isOver {
					return
				}
			}
		})
	}
	all.Wait()
}

// TestRetainedElsewhere: with a Broker each hub has what one retains, whether it has the topic or
// not, and each member hears it once.
func TestRetainedElsewhere(t *testing.T) {
	var broker Local
	hubs := []*house{serve(t, &Hub{Broker: &broker, Dialects: 2}), serve(t, &Hub{Broker: &broker, Dialects: 2})}
	_, here := hubs[0].join("lobby", "alice")
	_, there := hubs[1].join("lobby", "bob")
	retain(t, hubs[0].Hub, "lobby", "one", "eins")
	retain(t, hubs[1].Hub, "lobby", "two", "zwei")
	retain(t, hubs[1].Hub, "attic", "three", "drei")
	for _, c := range []client{here, there} {
		c.wantHeard("one", "two")
	}
	for k, home := range hubs {
		if a, b := retained(home.Hub, "lobby", 1), retained(home.Hub, "attic", 0); a != "text zwei" || b != "text three" {
			t.Errorf("hub %d has %q and %q", k, a, b)
		}
	}
	_, late := hubs[0].join("attic", "carl")
	late.wantHeard("three")
	if !hubs[0].Forget("attic") || hubs[1].Forget("attic") {
		t.Error("what one hub forgets the other has")
	}

	// A hub that has missed something has it from another one, the latest of all that comes, in
	// whatever order.
	missed := serve(t, &Hub{Dialects: 2})
	_, ear := missed.join("lobby", "dora")
	all := hubs[1].AllRetained()
	slices.SortFunc(all, func(a, b Message) int { return strings.Compare(b.Topic, a.Topic) })
	if len(all) != 2 || all[1].Topic != "attic" || all[1].Data != nil {
		t.Errorf("a hub tells of %v", all)
	}
	old := Message{Topic: "lobby", Opcode: frame.OpText, Retained: all[0].Retained - 1, Data: [][]byte{[]byte("old")}}
	for _, m := range append(all, old, all[0]) {
		if err := missed.Keep(m); err != nil {
			t.Error(err)
		}
	}
	ear.wantHeard("two")
	if n := missed.nextRetained(); n <= all[0].Retained || n < time.Now().Add(-time.Minute).UnixNano() {
		t.Errorf("the next is of %d, and the last was of %d", n, all[0].Retained)
	}
	future := old
	future.Retained = time.Now().Add(time.Hour).UnixNano()
	if err := missed.Keep(future); err != nil {
		t.Error(err)
	}
	retain(t, missed.Hub, "lobby", "newest") // though the other's clock goes before ours
	ear.wantHeard("old", "newest")
}

// plainBroker is a Broker that is no Retainer.
type plainBroker struct{ Broker }

// With a Broker that does not carry it for all, a value is kept where there are members, and where
// it was retained.
func TestRetainedByAPlainBroker(t *testing.T) {
	broker := plainBroker{new(Local)}
	hubs := []*house{serve(t, &Hub{Broker: broker}), serve(t, &Hub{Broker: broker}), serve(t, &Hub{Broker: broker})}
	_, here := hubs[0].join("lobby", "alice")
	_, there := hubs[1].join("lobby", "bob")
	retain(t, hubs[0].Hub, "lobby", "one")
	retain(t, hubs[2].Hub, "lobby", "two")
	here.wantHeard("one", "two")
	there.wantHeard("one", "two")
	for k, home := range hubs {
		if got := retained(home.Hub, "lobby", 0); got != "text two" {
			t.Errorf("hub %d has %q", k, got)
		}
	}
}
