//go:build linux

package nats

import (
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/hub"
)

const (
	roomsThere     = 4
	membersThere   = 5 // in each room at each node
	pauseOfSpeaker = 5 * time.Millisecond
)

// house is a node with a hub and connections.
type house struct {
	*door
	broker  *Broker
	number  int
	sent    [roomsThere]atomic.Int64
	lost    [roomsThere]atomic.Int64
	members []*listener
}

// listener is a member that counts what it hears of each publisher.
type listener struct {
	home   *house
	room   int
	heard  []atomic.Int64 // by node
	strays atomic.Int64   // that came twice or out of order
	last   []int64        // by node: its own
}

func build(t *testing.T, s *served, number, nodes int) *house {
	h := &house{number: number}
	h.broker = s.connect(Config{
		Node: fmt.Sprint("n", number),
		Lost: func(topic string, n uint64) hub.Encoder {
			var room int
			_, _ = fmt.Sscanf(topic, "room%d", &room)
			h.lost[room].Add(int64(n))
			return nil
		},
	})
	h.door = newHouseFor(t, &hub.Hub{Broker: h.broker})
	for room := range roomsThere {
		for range membersThere {
			l := &listener{home: h, room: room, heard: make([]atomic.Int64, nodes), last: make([]int64, nodes)}
			h.members = append(h.members, l)
			h.join(nameOfRoom(room), l.hear)
		}
	}
	return h
}

func nameOfRoom(n int) string { return fmt.Sprint("room", n) }

// hear counts a message.
func (l *listener) hear(text string) {
	var p int
	var n int64
	if _, err := fmt.Sscan(text, &p, &n); err != nil || n <= l.last[p] {
		l.strays.Add(1)
		return
	}
	l.last[p] = n
	l.heard[p].Add(1)
}

// speak publishes to all rooms until stop is closed.
func (h *house) speak(stop <-chan struct{}) {
	for {
		for room := range roomsThere {
			n := h.sent[room].Add(1)
			_ = h.hub.Publish(nameOfRoom(room), frame.OpText, fmt.Appendf(nil, "%d %d", h.number, n)) // what is not sent is lost, and counted
		}
		select {
		case <-stop:
			return
		case <-time.After(pauseOfSpeaker):
		}
	}
}

// village is several houses, one at each of the servers, whose speakers speak.
func village(t *testing.T, servers ...*served) (all []*house, hush func()) {
	for i, s := range servers {
		all = append(all, build(t, s, i, len(servers)))
	}
	var brokers []*Broker
	for _, h := range all {
		brokers = append(brokers, h.broker)
	}
	meet(t, brokers...)
	settle(t, brokers...)
	stop := make(chan struct{})
	var speaking sync.WaitGroup
	hush = sync.OnceFunc(func() {
		close(stop)
		speaking.Wait()
	})
	t.Cleanup(hush)
	for _, h := range all {
		speaking.Go(func() { h.speak(stop) })
	}
	hear(t, all, "all hear all")
	return all, hush
}

// hear waits until every member has heard more of each of some publishers, or of all nodes.
func hear(t *testing.T, all []*house, what string, of ...int) {
	t.Helper()
	if len(of) == 0 {
		for p := range all {
			of = append(of, p)
		}
	}
	for _, h := range all {
		for _, l := range h.members {
			for _, p := range of {
				before := l.heard[p].Load()
				await(t, what, func() bool { return l.heard[p].Load() > before })
			}
		}
	}
}

// judge waits until each member has heard, or knows to have lost, all that was sent.
func judge(t *testing.T, all []*house) {
	t.Helper()
	var sent, lost int64
	for _, h := range all {
		for _, l := range h.members {
			want := int64(0)
			for _, from := range all {
				want += from.sent[l.room].Load()
			}
			got := func() (n int64) {
				for p := range l.heard {
					n += l.heard[p].Load()
				}
				return n + h.lost[l.room].Load()
			}
			await(t, "delivered + lost = sent", func() bool { return got() >= want })
			if got := got(); got != want {
				t.Errorf("node %d, room %d: got %d delivered and lost, want the %d that were sent", h.number, l.room, got, want)
			}
			if own, want := l.heard[h.number].Load(), h.sent[l.room].Load(); own != want {
				t.Errorf("node %d, room %d: got %d of its own, want all %d", h.number, l.room, own, want)
			}
			if n := l.strays.Load(); n > 0 {
				t.Errorf("node %d, room %d: got %d messages twice or out of order", h.number, l.room, n)
			}
			sent += want
			lost += h.lost[l.room].Load()
		}
	}
	t.Logf("%d for members, %d of them lost, and counted", sent, lost)
}

func degraded(all []*house, want bool) func() bool {
	return func() bool {
		for _, h := range all {
			if h.broker.Degraded() != want {
				return false
			}
		}
		return true
	}
}

// TestServerCrashes: while there is no server, members hear what is said at their node; when
// it is back they hear all, and what they have missed is counted.
func TestServerCrashes(t *testing.T) {
	s := serveNATS(t)
	all, hush := village(t, s, s, s)
	for range 2 {
		s.kill()
		await(t, "all are degraded", degraded(all, true))
		if err := all[0].hub.Publish("elsewhere", frame.OpText, nil); err == nil {
			t.Error("Publish while degraded: got no error")
		}
		for _, h := range all {
			for _, l := range h.members {
				before := l.heard[h.number].Load()
				await(t, "a member hears its own node", func() bool { return l.heard[h.number].Load() > before })
			}
		}
		s.restart()
		await(t, "all are back", degraded(all, false))
		hear(t, all, "all hear all again")
	}
	hush()
	judge(t, all)
}

// TestServerStands: a server that stands still is taken for gone, and so are the other nodes;
// when it goes on, what it still had is heard once or counted.
func TestServerStands(t *testing.T) {
	s := serveNATS(t)
	all, hush := village(t, s, s, s)
	s.signal(syscall.SIGSTOP)
	await(t, "all are degraded and alone", func() bool {
		for _, h := range all {
			if len(h.broker.State().Nodes) > 0 {
				return false
			}
		}
		return degraded(all, true)()
	})
	s.signal(syscall.SIGCONT)
	await(t, "all are back", degraded(all, false))
	hear(t, all, "all hear all again")
	hush()
	judge(t, all)
}

// TestLastWords: what was said last is counted too, if it was lost: no message follows it.
func TestLastWords(t *testing.T) {
	s := serveNATS(t)
	all, hush := village(t, s, s)
	s.kill()
	await(t, "all are degraded", degraded(all, true))
	for _, h := range all {
		for _, l := range h.members {
			before := l.heard[h.number].Load()
			await(t, "a member hears its own node", func() bool { return l.heard[h.number].Load() > before })
		}
	}
	hush()
	s.restart()
	judge(t, all)
	if all[0].lost[0].Load() == 0 {
		t.Error("nothing was lost")
	}
}

// TestNodeStands: a node that stands still is gone for the others, and when it goes on it is
// back, and has heard or counted all that was said.
func TestNodeStands(t *testing.T) {
	s := serveNATS(t)
	north := s.connect(Config{Node: "north"})
	child := run(t, "node", s.url)
	count := func() (received, lost, first int) {
		answers, _, err := north.Nodes("count").Ask(t.Context(), nil)
		if err != nil || len(answers) > 1 {
			t.Fatalf("Ask: got %q, error %v; want one answer", answers, err)
		}
		if len(answers) == 1 {
			_, _ = fmt.Sscan(string(answers[0]), &received, &lost, &first)
		}
		return received, lost, first
	}
	sent, first := 0, 0 // with the first that it hears it begins to count
	speak := func() {
		sent++
		say(t, north, "lobby", fmt.Sprint(sent))
	}
	await(t, "it hears", func() bool {
		speak()
		_, _, first = count()
		return first > 0
	})
	child.signal(t, syscall.SIGSTOP)
	for gone := false; !gone; gone = len(north.State().Nodes) == 0 {
		speak()
		time.Sleep(pauseOfSpeaker)
	}
	child.signal(t, syscall.SIGCONT)
	await(t, "it is back", func() bool { return len(north.State().Nodes) == 1 })
	speak()
	var received, lost int
	want := sent - first + 1
	await(t, "received + lost = sent", func() bool {
		received, lost, _ = count()
		return received+lost >= want
	})
	if received+lost != want {
		t.Errorf("got %d received and %d lost, want %d", received, lost, want)
	}
}
