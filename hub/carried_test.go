//go:build linux

package hub

import (
	"bytes"
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/usher-ws/usher/frame"
)

// strands are what ties carriers together that are in one process.
type strands struct {
	mu    sync.Mutex
	nodes []*strand
}

// strand is a Carrier whose rooms are its own: what it tells the others is all that they hear.
type strand struct {
	plainBroker
	all    *strands
	name   string
	hear   func(b []byte)
	answer func(question []byte) []byte
}

func (l *strands) add() *strand {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &strand{plainBroker: plainBroker{new(Local)}, all: l, name: fmt.Sprint("node", len(l.nodes))}
	l.nodes = append(l.nodes, s)
	return s
}

// others are those that have begun, but s.
func (s *strand) others() (all []*strand) {
	s.all.mu.Lock()
	defer s.all.mu.Unlock()
	for _, o := range s.all.nodes {
		if o != s && o.hear != nil {
			all = append(all, o)
		}
	}
	return all
}

func (s *strand) Connect(hear func(b []byte)) Link {
	s.all.mu.Lock()
	defer s.all.mu.Unlock()
	s.hear = hear
	return s
}

func (s *strand) Node() Node                    { return Node{Name: s.name, Epoch: 1} }
func (s *strand) Tell(_ string, b []byte) error { return s.TellAll(b) }
func (s *strand) TellNode(string, []byte) error { return nil }
func (s *strand) Nodes(string) Nodes            { return s }
func (s *strand) Name() string                  { return s.name }
func (s *strand) Serve(answer func([]byte) []byte) {
	s.all.mu.Lock()
	defer s.all.mu.Unlock()
	s.answer = answer
}

func (s *strand) TellAll(b []byte) error {
	for _, o := range s.others() {
		o.hear(slices.Clone(b))
	}
	return nil
}

func (s *strand) Ask(_ context.Context, question []byte) (answers [][]byte, silent []string, err error) {
	for _, o := range s.others() {
		answers = append(answers, o.answer(question))
	}
	return answers, nil, nil
}

func (s *strand) AskNode(_ context.Context, name string, question []byte) (answer []byte, err error) {
	for _, o := range s.others() {
		if o.name == name {
			return o.answer(question), nil
		}
	}
	return nil, ErrSilent
}

// TestRetainedIsCarried: each hub has what any of them retains, members hear it once, and a hub that
// comes later has all that there is, however much.
func TestRetainedIsCarried(t *testing.T) {
	var all strands
	one, two := serve(t, &Hub{Broker: all.add(), Dialects: 2}), serve(t, &Hub{Broker: all.add(), Dialects: 2})
	_, here := one.join("lobby", "alice")
	_, there := two.join("lobby", "bob")
	retain(t, one.Hub, "lobby", "one", "eins")
	retain(t, two.Hub, "lobby", "two", "zwei")
	for _, c := range []client{here, there} {
		c.wantHeard("one", "two")
	}
	const many, large = 40, 20 << 10
	for k := range many {
		retain(t, two.Hub, fmt.Sprint("topic ", k), strings.Repeat("x", large)+fmt.Sprint(k), "")
	}
	retain(t, one.Hub, "attic", "soon forgotten")
	if !two.Forget("attic") || retained(one.Hub, "attic", 0) != "" {
		t.Error("what was forgotten at one hub is retained at the other")
	}

	late := serve(t, &Hub{Broker: all.add(), Dialects: 2})
	_, ear := late.join("cellar", "carl")
	await(t, "it has asked", func() bool { return retained(late.Hub, "topic 9", 0) != "" }) // the last
	for k := range many {
		if got := retained(late.Hub, fmt.Sprint("topic ", k), 0); !strings.HasSuffix(got, "x"+fmt.Sprint(k)) {
			t.Errorf("topic %d: got %.20q", k, got)
		}
	}
	_, in := late.join("lobby", "dora")
	in.wantHeard("two")
	ear.wantHeard()
	if got := retained(late.Hub, "lobby", 1); got != "text zwei" {
		t.Errorf("got %q", got)
	}
}

// A value is read as it was written, and nothing else is.
func TestCarriedValues(t *testing.T) {
	values := []Message{
		{Topic: "lobby", Opcode: frame.OpText, Retained: 1, Data: [][]byte{[]byte("en"), nil, {}}},
		{Topic: "", Opcode: frame.OpBinary, Retained: 1<<62 + 1, Data: [][]byte{bytes.Repeat([]byte("x"), 300)}},
		{Topic: strings.Repeat("long", 100), Opcode: frame.OpText, Retained: 7, Data: [][]byte{}},
	}
	var b []byte
	for _, m := range values {
		b = appendRetained(b, m)
	}
	rest := b
	for _, want := range values {
		got, behind, ok := parseRetained(rest)
		if !ok || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v, %v, want %+v", got, ok, want)
		}
		rest = behind
	}
	if _, _, ok := parseRetained(rest); ok {
		t.Error("there is one more")
	}
	for k := range appendRetained(nil, values[1]) {
		if m, _, ok := parseRetained(appendRetained(nil, values[1])[:k]); ok {
			t.Errorf("%d bytes of it are read as %+v", k, m)
		}
	}
}

func FuzzCarried(f *testing.F) {
	f.Add(appendRetained(nil, Message{Topic: "lobby", Opcode: frame.OpText, Retained: 1, Data: [][]byte{[]byte("en"), nil}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, rest, ok := parseRetained(b)
		if !ok {
			return
		}
		again, behind, ok := parseRetained(appendRetained(nil, m))
		if !ok || len(behind) > 0 || !reflect.DeepEqual(again, m) || len(rest) > len(b) {
			t.Errorf("%x is read as %+v, and that as %+v", b, m, again)
		}
	})
}
