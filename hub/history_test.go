//go:build linux

package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/usher-ws/usher/internal/websocket"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/server"
)

func record(t *testing.T, m *Member, text string) {
	t.Helper()
	if err := m.Topic().Record(frame.OpText, []byte(text)); err != nil {
		t.Errorf("Record(%q): %v", text, err)
	}
}

// spoken returns an Encoder of a message that has a text for each dialect, or fewer: then the
// last is for those beyond.
func spoken(text ...string) Encoder {
	return func(dialect int) []byte { return []byte(text[min(dialect, len(text)-1)]) }
}

func recordAll(t *testing.T, m *Member, text ...string) {
	t.Helper()
	if err := m.Topic().RecordFunc(frame.OpText, spoken(text...)); err != nil {
		t.Errorf("RecordFunc(%q): %v", text, err)
	}
}

func TestHistory(t *testing.T) {
	home := serve(t, &Hub{History: 3, Dialects: 2})
	alice, ear := home.join("lobby", "alice")
	for i := range 5 {
		recordAll(t, alice, fmt.Sprint("en ", i), fmt.Sprint("de ", i))
		publish(t, alice, "soon forgotten")
	}
	record(t, alice, "for all")
	ear.heard()
	late := home.dial()
	home.bring(late, "lobby", "bob")
	late.wantHeard("en 3", "en 4", "for all")
	german := home.dial()
	if _, err := home.JoinAs("lobby", "carl", 1, german.Conn); err != nil {
		t.Fatal(err)
	}
	german.wantHeard("de 3", "de 4", "for all")
	ear.wantHeard() // nothing of this was for her
}

// TestNobodyMissesAnything: a member that joins while others talk hears all of each talker from
// some message on, and each message once.
func TestNobodyMissesAnything(t *testing.T) {
	const talkers, each, joiners = 3, 300, 12
	home := serve(t, &Hub{History: talkers * each})
	host, _ := home.join("lobby", "host")
	var all sync.WaitGroup
	for p := range talkers {
		all.Go(func() {
			for n := range each {
				record(t, host, fmt.Sprintf("%d %d", p, n))
			}
		})
	}
	for i := range joiners {
		c := home.dial()
		all.Go(func() {
			if _, err := home.Join("lobby", fmt.Sprint("u", i), c.Conn); err != nil {
				t.Errorf("Join: %v", err)
				return
			}
			c.hearInOrder(talkers, each)
		})
	}
	all.Wait()
}

// TestHistoryIsBounded: by its topic, and by what all topics may take; and a topic gives back
// what it has taken.
func TestHistoryIsBounded(t *testing.T) {
	const large = 60 << 10
	home := serve(t, &Hub{History: 50, HistoryBytes: 6 * (large + keptCost)})
	taken := func(want int) {
		t.Helper()
		if got := home.historyBytes.Load(); got != int64(want*(large+keptCost)) {
			t.Errorf("histories take %d, want %d of %d", got, want, large+keptCost)
		}
	}
	text := func(c byte) string { return strings.Repeat(string(c), large) }
	attic, _ := home.join("attic", "alice")
	for _, c := range []byte("abcdef") {
		record(t, attic, text(c))
	}
	taken(4) // 256 KiB
	record(t, attic, strings.Repeat("x", maxTopicHistory))
	taken(4) // which is too large for any
	bob, inAttic := home.join("attic", "bob")
	inAttic.wantHeard(text('c'), text('d'), text('e'), text('f'))

	cellar, _ := home.join("cellar", "alice")
	for _, c := range []byte("123") {
		record(t, cellar, text(c))
	}
	taken(6)
	_, inCellar := home.join("cellar", "bob")
	inCellar.wantHeard(text('2'), text('3'))

	nook, _ := home.join("nook", "alice")
	record(t, nook, text('n'))
	taken(6)
	_, inNook := home.join("nook", "bob")
	inNook.wantHeard()

	bob.Leave()
	attic.Leave()
	taken(2)
	record(t, attic, "from the past")
	taken(2)
}

// TestHistoryKeepsWhatHooksLeft, in each dialect, and nothing of what they refused.
func TestHistoryKeepsWhatHooksLeft(t *testing.T) {
	refusal := errors.New("not that word")
	hooks := server.Middleware{Send: func(next server.SendFunc) server.SendFunc {
		return func(m server.Message) error {
			if string(m.Data) == "darn" {
				return refusal
			}
			for i, c := range m.Data { // a hook may
				m.Data[i] = c - 'a' + 'A'
			}
			return next(m)
		}
	}}
	home := serve(t, &Hub{History: 9, Dialects: 2, Middleware: []server.Middleware{hooks}})
	alice, ear := home.join("lobby", "alice")
	record(t, alice, "one")
	recordAll(t, alice, "two", "zwei")
	for _, text := range [][]string{{"darn"}, {"darn", "huch"}} {
		if err := alice.Topic().RecordFunc(frame.OpText, spoken(text...)); !errors.Is(err, refusal) {
			t.Errorf("%q: got %v, want %v", text, err, refusal)
		}
	}
	if err := alice.Topic().Record(frame.OpPing, nil); err == nil {
		t.Error("Record of a ping: got no error")
	}
	ear.wantHeard("ONE", "TWO")
	for d, want := range [][]string{{"ONE", "TWO"}, {"ONE", "ZWEI", "HUCH"}} {
		c := home.dial()
		if _, err := home.JoinAs("lobby", "bob", d, c.Conn); err != nil {
			t.Fatal(err)
		}
		c.wantHeard(want...)
	}
}

// TestJoinWithoutRoom: a connection that does not take all of the past gets an error, and is no
// member.
func TestJoinWithoutRoom(t *testing.T) {
	type answer struct {
		m   *Member
		err error
	}
	h, joined := &Hub{History: 3}, make(chan answer, 1)
	s := &server.Server{Addr: "127.0.0.1:0", Loops: 1, MaxBacklog: 64 << 10, Logger: slog.New(slog.DiscardHandler)}
	s.Route("/{user}", server.Route{Overflow: server.DropNewest, Open: func(c server.Conn) error {
		m, err := h.Join("lobby", c.PathValue("user"), c)
		joined <- answer{m, err}
		return nil
	}})
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = s.Shutdown(ctx)
	})
	join := func(user string) answer {
		ws, _, err := websocket.DefaultDialer.Dial("ws://"+s.Addrs()[0].String()+"/"+user, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ws.Close() })
		return <-joined
	}
	alice := join("alice").m
	for range 3 {
		record(t, alice, strings.Repeat("x", 30<<10))
	}
	if bob := join("bob"); !errors.Is(bob.err, server.ErrBacklog) || bob.m != nil {
		t.Errorf("got %v, %v, want %v", bob.m, bob.err, server.ErrBacklog)
	}
	if there, _ := alice.Topic().Presence(9); len(there) != 1 {
		t.Errorf("there are %v, want alice alone", there)
	}
}

// TestReplay: an application may tell the past in its own way, once for many.
func TestReplay(t *testing.T) {
	asked := 0
	home := serve(t, &Hub{History: 9, Replay: func(_ int, past []server.Message) []server.Message {
		asked++
		var all []string
		for _, p := range past {
			all = append(all, string(p.Data))
		}
		return []server.Message{{Opcode: frame.OpText, Data: []byte(strings.Join(all, "+"))}}
	}})
	alice, ear := home.join("lobby", "alice")
	record(t, alice, "1")
	record(t, alice, "2")
	for i := range 9 {
		_, late := home.join("lobby", fmt.Sprint("u", i))
		late.wantHeard("1+2")
	}
	if asked != 1 {
		t.Errorf("the past was encoded %d times for 9 that joined, want once", asked)
	}
	if got := ear.heard(); !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("got %q", got)
	}
}

// TestReplayRate: a user hears histories no more often than Hub.ReplayRate says, in all topics
// together, and nothing is made for the joins beyond. The user is in the topic all the same; a
// topic without a history costs nothing, and others have a rate of their own.
func TestReplayRate(t *testing.T) {
	made := 0
	home := serve(t, &Hub{History: 5, ReplayRate: limiter.Rate{Limit: limiter.Every(24 * time.Hour), Burst: 2},
		Replay: func(_ int, past []server.Message) []server.Message { made++; return past }})
	host, ear := home.join("lobby", "host")
	for range 3 {
		home.join("empty", "bob")
	}
	record(t, host, "before")
	ear.wantHeard("before")
	for _, want := range [][]string{{"before"}, {"before", "again"}, {}, {}} {
		c := home.dial()
		home.bring(c, "lobby", "bob")
		c.wantHeard(want...)
		publish(t, host, "now")
		c.wantHeard("now")
		ear.wantHeard("now")
		home.Member("lobby", c.Conn).Leave()
		record(t, host, "again") // so that it has to be made anew
		ear.wantHeard("again")
	}
	if made != 2 {
		t.Errorf("the history was made %d times, want 2", made)
	}
	c := home.dial()
	home.bring(c, "lobby", "carl")
	c.wantHeard("before", "again", "again", "again", "again")

	// SetLimits: bob has used two of four, and may be in no third topic.
	home.SetLimits(2, limiter.Rate{Limit: limiter.Every(24 * time.Hour), Burst: 4})
	for _, heard := range []int{5, 5, 0} {
		c := home.dial()
		home.bring(c, "lobby", "bob")
		c.wantHeard([]string{"before", "again", "again", "again", "again"}[:heard]...)
		if _, err := home.Join("another", "bob", home.dial().Conn); err != ErrTooManyOfUser {
			t.Errorf("a third topic: got %v", err)
		}
		home.Member("lobby", c.Conn).Leave()
	}
	home.SetLimits(0, limiter.Rate{})
	home.join("another", "bob")
	d := home.dial()
	home.bring(d, "lobby", "bob")
	d.wantHeard("before", "again", "again", "again", "again")
}
