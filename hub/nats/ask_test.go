//go:build linux

package nats

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/usher-ws/usher/hub"
)

// TestAsk: all others answer, each purpose on its own, with answers larger than the servers
// take at once; those that do not answer are named.
func TestAsk(t *testing.T) {
	s := serveNATS(t)
	north, south, east := s.connect(Config{Node: "north"}), s.connect(Config{Node: "south"}), s.connect(Config{Node: "east"})
	meet(t, north, south, east)
	large := bytes.Repeat([]byte("0123456789abcdef"), 3<<20/16)
	south.Nodes("echo").Serve(func(q []byte) []byte { return append([]byte("south: "), q...) })
	east.Nodes("echo").Serve(func(q []byte) []byte { return append([]byte("east: "), q...) })
	east.Nodes("large").Serve(func([]byte) []byte { return large })
	ctx := context.Background()
	for purpose, want := range map[string][]string{
		"echo":    {"east: hi", "south: hi"},
		"large":   {"", string(large)},
		"unknown": {"", ""},
	} {
		n := north.Nodes(purpose)
		answers, silent, err := n.Ask(ctx, []byte("hi"))
		slices.SortFunc(answers, bytes.Compare)
		if len(answers) != 2 || string(answers[0]) != want[0] || string(answers[1]) != want[1] || len(silent) > 0 || err != nil || n.Name() != "north" {
			t.Errorf("%s: got %.20q, silent %q, error %v; want %.20q", purpose, answers, silent, err, want)
		}
	}

	over, cancel := context.WithCancel(ctx)
	south.Nodes("slow").Serve(func([]byte) []byte { cancel(); <-south.done; return nil })
	east.Nodes("slow").Serve(func([]byte) []byte { <-east.done; return nil })
	if answers, silent, err := north.Nodes("slow").Ask(over, nil); len(answers) > 0 || !slices.Equal(silent, []string{"east", "south"}) || err != nil {
		t.Errorf("slow: got %q, silent %q, error %v; want both silent", answers, silent, err)
	}
	if answers, silent, err := north.Nodes("").Ask(ctx, make([]byte, 2<<20)); len(answers) > 0 || len(silent) != 2 || !errors.Is(err, errSize) {
		t.Errorf("a large question: got %q, silent %q, error %v; want %v", answers, silent, err, errSize)
	}
	east.Nodes("huge").Serve(func([]byte) []byte { return make([]byte, maxAnswer+1) })
	if _, silent, err := north.Nodes("huge").Ask(ctx, nil); !slices.Equal(silent, []string{"east"}) || err != nil {
		t.Errorf("huge: got silent %q, error %v; want east", silent, err)
	}
	s.kill()
	await(t, "the node is degraded", north.Degraded)
	if _, silent, err := north.Nodes("echo").Ask(ctx, nil); !slices.Equal(silent, []string{"east", "south"}) || err != hub.ErrDegraded {
		t.Errorf("degraded: got silent %q, error %v; want both and %v", silent, err, hub.ErrDegraded)
	}
	if err := north.Flush(ctx); err != hub.ErrDegraded {
		t.Errorf("Flush while degraded: got %v, want %v", err, hub.ErrDegraded)
	}
}

// TestAskNode: the node of that name answers, no other hears of it, and who does not answer is
// not waited for when the time is over.
func TestAskNode(t *testing.T) {
	s := serveNATS(t)
	north, south, east := s.connect(Config{Node: "north"}), s.connect(Config{Node: "south"}), s.connect(Config{Node: "east"})
	meet(t, north, south, east)
	ctx := context.Background()
	north.Nodes("echo").Serve(func([]byte) []byte { t.Error("north has asked itself"); return nil })
	south.Nodes("echo").Serve(func(q []byte) []byte { return append([]byte("south: "), q...) })
	east.Nodes("echo").Serve(func([]byte) []byte { t.Error("east was asked"); return nil })
	for range 10 {
		if answer, err := north.Nodes("echo").AskNode(ctx, "south", []byte("hi")); string(answer) != "south: hi" || err != nil {
			t.Fatalf("got %q, %v", answer, err)
		}
	}
	for _, name := range []string{"west", "north", ""} {
		if answer, err := north.Nodes("echo").AskNode(ctx, name, nil); answer != nil || err != hub.ErrSilent {
			t.Errorf("%q: got %q, %v, want %v", name, answer, err, hub.ErrSilent)
		}
	}
	if _, err := north.Nodes("echo").AskNode(ctx, "south", make([]byte, 2<<20)); !errors.Is(err, errSize) {
		t.Errorf("a large question: got %v, want %v", err, errSize)
	}
	over, cancel := context.WithCancel(ctx)
	south.Nodes("slow").Serve(func([]byte) []byte { cancel(); <-south.done; return nil })
	if answer, err := north.Nodes("slow").AskNode(over, "south", nil); answer != nil || err != hub.ErrSilent {
		t.Errorf("slow: got %q, %v, want %v", answer, err, hub.ErrSilent)
	}
	s.kill()
	await(t, "the node is degraded", north.Degraded)
	if _, err := north.Nodes("echo").AskNode(ctx, "south", nil); err != hub.ErrDegraded {
		t.Errorf("degraded: got %v, want %v", err, hub.ErrDegraded)
	}
}

// TestAskTheDead: nobody waits for a node that is gone.
func TestAskTheDead(t *testing.T) {
	s := serveNATS(t)
	north, south, east := s.connect(Config{Node: "north"}), s.connect(Config{Node: "south"}), s.connect(Config{Node: "east"})
	meet(t, north, south, east)
	dead := func([]byte) []byte { <-south.done; return nil }
	south.Nodes("x").Serve(func(b []byte) []byte {
		south.nc.Close() // as if it had crashed: without goodbye
		return dead(b)
	})
	answers, silent, err := north.Nodes("x").Ask(context.Background(), nil)
	if len(answers) != 1 || !slices.Equal(silent, []string{"south"}) || err != nil {
		t.Errorf("got %q, silent %q, error %v; want the answer of east alone", answers, silent, err)
	}
	if got := north.State().Nodes; len(got) != 1 || got[0] != east.node {
		t.Errorf("known: got %v, want east", got)
	}
}

// TestManyQuestions: a node answers so many at a time, and those beyond are told at once.
func TestManyQuestions(t *testing.T) {
	s := serveNATS(t)
	north, south := s.connect(Config{Node: "north"}), s.connect(Config{Node: "south"})
	meet(t, north, south)
	began, go_ := make(chan struct{}), make(chan struct{})
	south.Nodes("x").Serve(func([]byte) []byte { began <- struct{}{}; <-go_; return nil })
	results := make(chan string, maxServing)
	ask := func() {
		_, silent, _ := north.Nodes("x").Ask(context.Background(), nil)
		results <- strings.Join(silent, ",")
	}
	for range maxServing {
		go ask()
		<-began
	}
	go ask()
	if got := <-results; got != "south" {
		t.Errorf("beyond %d: got silent %q, want south", maxServing, got)
	}
	close(go_)
	for range maxServing {
		if got := <-results; got != "" {
			t.Errorf("got silent %q, want none", got)
		}
	}
}
