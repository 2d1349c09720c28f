//go:build linux

package nats

import (
	"errors"
	"syscall"
	"testing"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/hub"
)

// large is a message of which few fill a queue.
var large = hub.Message{Topic: "lobby", Opcode: frame.OpText, Data: [][]byte{make([]byte, 256<<10)}}

// TestServerTakesNothing: publishing does not wait for a server that takes nothing. What waits
// is bounded, and what finds no room there is an error and is counted.
func TestServerTakesNothing(t *testing.T) {
	s := serveNATS(t)
	north, south := s.connect(Config{Node: "north"}), s.connect(Config{Node: "south"})
	here, there := listen(t, north, "lobby"), listen(t, south, "lobby")
	settle(t, north, south)
	say(t, north, "lobby", "first")
	wantTexts(t, there, "first")
	s.signal(syscall.SIGSTOP)
	sent, full := 1, false
	for !full {
		err := north.Publish(large)
		sent++
		if full = errors.Is(err, errFull); err != nil && !full {
			t.Fatalf("message %d: got %v, want none before %v", sent, err, errFull)
		}
		if !full && sent > 1000 {
			t.Fatalf("got room for %d messages of %d bytes", sent, len(large.Data[0]))
		}
	}
	if !errors.Is(errFull, hub.ErrDegraded) {
		t.Errorf("got %v, want an ErrDegraded", errFull)
	}
	if got := len(here.texts()); got != sent {
		t.Errorf("heard here: got %d, want all %d", got, sent)
	}
	north.out.mu.Lock()
	if north.out.bytes > maxOut {
		t.Errorf("got %d bytes that wait, want at most %d", north.out.bytes, maxOut)
	}
	north.out.mu.Unlock()
	s.signal(syscall.SIGCONT)
	await(t, "delivered + lost = sent", func() bool { return len(there.texts())+int(south.Stats().Lost) >= sent })
	if got, lost := len(there.texts()), int(south.Stats().Lost); got+lost != sent || lost == 0 {
		t.Errorf("got %d delivered and %d lost, want %d", got, lost, sent)
	}
}

// TestSlowNode: a node that does not deliver keeps so many bytes and loses the rest, which it
// counts; nobody else is hurt.
func TestSlowNode(t *testing.T) {
	const sent = 300
	s := serveNATS(t)
	north, south, east := s.connect(Config{Node: "north"}), s.connect(Config{Node: "south"}), s.connect(Config{Node: "east"})
	release := make(chan struct{})
	delivered := 0
	_, err := south.Subscribe("lobby", func(hub.Message) error {
		<-release
		delivered++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	quick := listen(t, east, "lobby")
	settle(t, north, south, east)
	for range sent {
		if err := north.Publish(large); err != nil {
			t.Fatal(err)
		}
		settle(t, north)
	}
	await(t, "the others hear all", func() bool { return len(quick.texts()) == sent })
	await(t, "the slow node drops", func() bool { return south.Stats().Dropped > 0 })
	for i := range south.shards {
		q := &south.shards[i]
		q.mu.Lock()
		if q.bytes > q.most {
			t.Errorf("got %d bytes that wait, want at most %d", q.bytes, q.most)
		}
		q.mu.Unlock()
	}
	close(release)
	await(t, "delivered + lost = sent", func() bool {
		st := south.Stats()
		return st.Received+st.Lost >= sent
	})
	if st := south.Stats(); st.Received+st.Lost != sent || st.Lost == 0 {
		t.Errorf("got %+v, want %d received and lost", st, sent)
	}
}
