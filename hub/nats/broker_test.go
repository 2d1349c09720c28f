//go:build linux

package nats

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/hub"
)

// ear hears a topic without a hub.
type ear struct {
	mu     sync.Mutex
	heard  []hub.Message
	cancel func()
}

func listen(t testing.TB, b *Broker, topic string) *ear {
	t.Helper()
	e := new(ear)
	var err error
	e.cancel, err = b.Subscribe(topic, func(m hub.Message) error {
		e.mu.Lock()
		defer e.mu.Unlock()
		m.Data = slices.Clone(m.Data)
		for d, b := range m.Data {
			m.Data[d] = slices.Clone(b)
		}
		e.heard = append(e.heard, m)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// texts returns what was heard, of the first dialect.
func (e *ear) texts() (all []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, m := range e.heard {
		all = append(all, string(m.Data[0]))
	}
	return all
}

func say(t testing.TB, b *Broker, topic string, texts ...string) {
	t.Helper()
	m := hub.Message{Topic: topic, Opcode: frame.OpText}
	for _, text := range texts {
		m.Data = append(m.Data, []byte(text))
	}
	if err := b.Publish(m); err != nil {
		t.Errorf("Publish(%q, %q): %v", topic, texts, err)
	}
}

// settle waits until the servers have what b has said and subscribed to.
func settle(t testing.TB, all ...*Broker) {
	t.Helper()
	for _, b := range all {
		if err := b.Flush(context.Background()); err != nil {
			t.Fatalf("Flush: %v", err)
		}
	}
}

func wantTexts(t testing.TB, e *ear, want ...string) {
	t.Helper()
	await(t, fmt.Sprintf("%q is heard", want), func() bool { return len(e.texts()) >= len(want) })
	if got := e.texts(); !slices.Equal(got, want) {
		t.Errorf("heard: got %q, want %q", got, want)
	}
}

// topics have every kind of name.
var topics = []string{"lobby", "", ">", "*", "a.b", "with a space", "~", "\x00presence", "größe", string(make([]byte, maxTopic))}

// TestPublish: what a node says is heard here at once and there in order, in any topic, and by
// nobody else.
func TestPublish(t *testing.T) {
	s := serveNATS(t)
	north, south := s.connect(Config{Node: "north"}), s.connect(Config{Node: "south"})
	for _, topic := range topics {
		here, there := listen(t, north, topic), listen(t, south, topic)
		elsewhere := listen(t, south, "elsewhere")
		settle(t, north, south)
		say(t, north, topic, "1", "one")
		say(t, north, topic, "2", "two")
		if got := here.texts(); !slices.Equal(got, []string{"1", "2"}) {
			t.Errorf("%.20q: heard here: got %q, want both at once", topic, got)
		}
		wantTexts(t, there, "1", "2")
		say(t, south, topic, "3")
		wantTexts(t, here, "1", "2", "3")
		wantTexts(t, there, "1", "2", "3")
		for _, e := range []*ear{here, there} {
			first, last := e.heard[0], e.heard[2]
			if first.From != north.node || last.From != south.node || first.Seq+1 != e.heard[1].Seq || first.Opcode != frame.OpText || first.Topic != topic || string(first.Data[1]) != "one" {
				t.Errorf("%.20q: got %+v and %+v, want what was said", topic, first, last)
			}
		}
		if got := elsewhere.texts(); len(got) > 0 {
			t.Errorf("%.20q: heard elsewhere: got %q", topic, got)
		}
		here.cancel()
		there.cancel()
		elsewhere.cancel()
	}
	long := strings.Repeat("x", maxTopic+1)
	if _, err := north.Subscribe(long, nil); err == nil || north.Publish(hub.Message{Topic: long}) == nil {
		t.Error("got a topic with a long name, want errors")
	}
	if n := len(north.rooms.bySubject) + len(south.rooms.byTopic); n != 0 {
		t.Errorf("got %d rooms at the end, want none", n)
	}
	if got := south.Stats(); got.Lost+got.Repeated+got.Unknown+got.Malformed > 0 {
		t.Errorf("got %+v, want nothing lost", got)
	}
}

// TestOneSubscription: however many listen to a room, the servers have one subscription of the
// node, from the first to the last.
func TestOneSubscription(t *testing.T) {
	s := serveNATS(t)
	b := s.connect(Config{Node: "north"})
	settle(t, b)
	before := b.nc.NumSubscriptions()
	first, second := listen(t, b, "lobby"), listen(t, b, "lobby")
	settle(t, b)
	if got := b.nc.NumSubscriptions() - before; got != 1 {
		t.Errorf("got %d subscriptions, want 1", got)
	}
	first.cancel()
	say(t, b, "lobby", "hi")
	wantTexts(t, second, "hi")
	wantTexts(t, first)
	second.cancel()
	settle(t, b)
	if got := b.nc.NumSubscriptions() - before; got != 0 {
		t.Errorf("got %d subscriptions behind the last, want none", got)
	}
}

// TestOrder: what each of several goroutines says in a room is heard in its order everywhere.
func TestOrder(t *testing.T) {
	const publishers, each = 3, 500
	s := serveNATS(t)
	var nodes []*Broker
	var ears []*ear
	for i := range 3 {
		b := s.connect(Config{Node: fmt.Sprint("n", i)})
		nodes, ears = append(nodes, b), append(ears, listen(t, b, "lobby"))
	}
	settle(t, nodes...)
	var all sync.WaitGroup
	for i, b := range nodes {
		for p := range publishers {
			all.Go(func() {
				for n := range each {
					say(t, b, "lobby", fmt.Sprint(i*publishers+p, " ", n))
				}
			})
		}
	}
	all.Wait()
	for _, e := range ears {
		await(t, "all is heard", func() bool { return len(e.texts()) >= len(nodes)*publishers*each })
		next := make([]int, len(nodes)*publishers)
		for _, text := range e.texts() {
			var p, n int
			if _, err := fmt.Sscan(text, &p, &n); err != nil || n != next[p] {
				t.Fatalf("got %q, want one of %v", text, next)
			}
			next[p]++
		}
	}
}

var _ hub.Carrier = (*Broker)(nil)

// TestTell: what hubs tell each other reaches those that it is for, in the order of what is
// published in the room, and nobody who listens.
func TestTell(t *testing.T) {
	s := serveNATS(t)
	var mu sync.Mutex
	heard := make(map[string][]string)
	var all []*Broker
	links := make(map[string]hub.Link)
	for _, name := range []string{"north", "south", "e.ast"} {
		b := s.connect(Config{Node: name})
		links[name] = b.Connect(func(b []byte) {
			mu.Lock()
			defer mu.Unlock()
			heard[name] = append(heard[name], string(b))
		})
		if got := links[name].Node(); got != b.node {
			t.Errorf("Node: got %v, want %v", got, b.node)
		}
		all = append(all, b)
	}
	inRoom := listen(t, all[1], "lobby")
	settle(t, all...)
	for _, err := range []error{
		links["north"].Tell("lobby", []byte("room")),
		links["north"].TellAll([]byte("all")),
		links["north"].TellNode("e.ast", []byte("east")),
		links["south"].TellNode("north", []byte("end")),
		links["e.ast"].TellNode("north", []byte("end")),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	say(t, all[0], "lobby", "hi")
	wantTexts(t, inRoom, "hi")
	await(t, "all are told", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(heard["north"]) >= 2 && len(heard["south"]) >= 2 && len(heard["e.ast"]) >= 2
	})
	mu.Lock()
	defer mu.Unlock()
	for name, want := range map[string][]string{"north": {"end", "end"}, "south": {"all", "room"}, "e.ast": {"all", "east"}} {
		slices.Sort(heard[name])
		if !slices.Equal(heard[name], want) {
			t.Errorf("%s: got %q, want %q", name, heard[name], want)
		}
	}
}

// TestLost: members are told what is missing in its place. What comes twice, is of another
// version or is no message is not heard, and counted.
func TestLost(t *testing.T) {
	s := serveNATS(t)
	b := s.connect(Config{Node: "north", Lost: func(topic string, n uint64) hub.Encoder {
		return func(int) []byte { return fmt.Append(nil, n, " lost in ", topic) }
	}})
	room := heardEncoded(t, b, "lobby")
	settle(t, b)
	nc := s.client()
	say := func(seq uint64, change func(b []byte)) {
		m := message{began: 1, Message: hub.Message{Opcode: frame.OpText, From: hub.Node{Name: "south", Epoch: 1}, Seq: seq, Data: [][]byte{fmt.Append(nil, seq)}}}
		data := appendMessage(nil, &m)
		change(data)
		if err := nc.Publish("usher.room.lobby", data); err != nil {
			t.Fatal(err)
		}
	}
	asIs := func([]byte) {}
	for _, seq := range []uint64{3, 4, 4, 2, 7, 6, 9} {
		say(seq, asIs)
	}
	say(10, func(b []byte) { b[0]++ })
	say(10, func(b []byte) { b[1] |= 0x40 })
	say(10, func(b []byte) { b[3]++ })
	say(10, asIs)
	want := []string{"3", "4", "2 lost in lobby", "7", "1 lost in lobby", "9", "10"}
	await(t, "all is heard", func() bool { return len(room.texts()) >= len(want) })
	if got := room.texts(); !slices.Equal(got, want) {
		t.Errorf("heard: got %q, want %q", got, want)
	}
	if got, want := b.Stats(), (Stats{Received: 5, Lost: 3, Repeated: 3, Unknown: 2, Malformed: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
