//go:build linux

package nats

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/usher-ws/usher/hub"
)

// watched notes what a watcher is told.
type watched struct {
	mu  sync.Mutex
	all []string
}

func (w *watched) change(n hub.Node, here bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, fmt.Sprint(n.Name, " ", here))
}

func (w *watched) want(t *testing.T, want ...string) {
	t.Helper()
	await(t, fmt.Sprintf("the watcher is told %q", want), func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.all) >= len(want)
	})
	if !slices.Equal(w.all, want) {
		t.Errorf("got %q, want %q", w.all, want)
	}
}

// TestWatch: nodes come, say goodbye, crash, and come again.
func TestWatch(t *testing.T) {
	if ttl+beatInterval > 5*time.Second {
		t.Errorf("a node that dies is gone after %v, want 5 s at most", ttl+beatInterval)
	}
	s := serveNATS(t)
	north := s.connect(Config{Node: "north"})
	var w watched
	north.Watch(w.change)
	south := s.connect(Config{Node: "south"})
	w.want(t, "south true")
	south.Close()
	w.want(t, "south true", "south false")
	south = s.connect(Config{Node: "south"})
	w.want(t, "south true", "south false", "south true")
	south.nc.Close() // as if it had crashed
	w.want(t, "south true", "south false", "south true", "south false")
	south = s.connect(Config{Node: "south"})
	await(t, "it is back", func() bool { return len(north.State().Nodes) == 1 })
	var late watched
	north.Watch(late.change)
	late.want(t, "south true")
	if got := north.State().Nodes[0]; got != south.node {
		t.Errorf("got %v, want the later life %v", got, south.node)
	}
}

// TestTick: a node is gone after so many ticks without a beat, and a process that did not
// run, and so has not ticked, misses nobody.
func TestTick(t *testing.T) {
	var l members
	l.begin()
	n := note{from: hub.Node{Name: "south", Epoch: 2}, id: 5, body: []byte{4}}
	hear := func(epoch, id uint64, wantCame, wantMissed bool) {
		t.Helper()
		n.from.Epoch, n.id = epoch, id
		if came, missed := l.hear(&n); came != wantCame || missed != wantMissed {
			t.Errorf("epoch %d, beat %d: got came %t, missed %t; want %t, %t", epoch, id, came, missed, wantCame, wantMissed)
		}
	}
	hear(2, 5, true, false)
	for range 3 {
		l.tick()
	}
	hear(2, 6, false, false)
	hear(2, 9, false, true)
	hear(1, 1, false, false) // an earlier life
	for range 3 {
		l.tick()
	}
	if gone := l.tick(); len(gone) != 1 || gone[0] != (hub.Node{Name: "south", Epoch: 2}) {
		t.Errorf("got %v gone, want south", gone)
	}
	hear(2, 10, true, false)
	hear(3, 1, true, false)
}

// logged is a log that can be read while it is written.
type logged struct {
	mu sync.Mutex
	bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(b)
}

func (l *logged) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.String(), text)
}

// TestTwins: two processes of one name find each other.
func TestTwins(t *testing.T) {
	s := serveNATS(t)
	var logs [2]logged
	var twins []*Broker
	for i := range logs {
		twins = append(twins, s.connect(Config{Node: "north", Logger: slog.New(slog.NewTextHandler(&logs[i], nil))}))
	}
	for i, b := range twins {
		await(t, "a twin is found", func() bool { return b.State().Twin != "" && logs[i].has("another process has the name of this node") })
		if len(b.State().Nodes) > 0 {
			t.Errorf("got %v, want no other nodes", b.State().Nodes)
		}
	}
	there := listen(t, twins[1], "lobby")
	settle(t, twins...)
	say(t, twins[0], "lobby", "hi")
	wantTexts(t, there, "hi")
	twins[0].Close()
	await(t, "the twin is gone", func() bool { return twins[1].State().Twin == "" })
}
