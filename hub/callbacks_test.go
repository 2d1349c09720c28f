//go:build linux

package hub

import (
	"sync/atomic"
	"testing"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/server"
)

// TestCallbacksThatPanic: whatever a hub is given may panic in a join; the caller gets the
// panic, and nothing stays of the join.
func TestCallbacksThatPanic(t *testing.T) {
	var broken atomic.Bool
	fail := func() {
		if broken.Load() {
			panic("as asked")
		}
	}
	home := serve(t, &Hub{History: 5, MaxTopicsPerUser: 9})
	c := home.dial()
	join := func(topic string, fails bool) (failed bool) {
		broken.Store(fails)
		defer func() { failed = recover() != nil }()
		home.bring(c, topic, "alice").Leave()
		return false
	}
	for name, give := range map[string]func(h *Hub){
		"Announce": func(h *Hub) { h.Announce = func(Move) (frame.Opcode, Encoder) { fail(); return 0, nil } },
		"its encoder": func(h *Hub) {
			h.Announce = func(Move) (frame.Opcode, Encoder) {
				return frame.OpText, func(int) []byte { fail(); return nil }
			}
		},
		"Subscribe": func(h *Hub) { h.Broker = &nosy{publish: fail, subscribe: fail, cancel: func() {}} },
		"Replay":    func(h *Hub) { h.Replay = func(int, []server.Message) []server.Message { fail(); return nil } },
	} {
		t.Run(name, func(t *testing.T) {
			home.Announce, home.Broker, home.Replay = nil, nil, nil
			give(home.Hub)
			topic, topics := "attic", 0
			if name == "Replay" { // asked where there is a past
				host, _ := home.join("lobby", "host")
				defer host.Leave()
				record(t, host, "hi")
				topic, topics = "lobby", 1
			}
			if !join(topic, true) {
				t.Error("the panic did not reach the caller")
			}
			if home.Len() != topics || home.seats.names.Len() != topics {
				t.Errorf("got %d topics and %d names, want %d", home.Len(), home.seats.names.Len(), topics)
			}
			if join(topic, false) {
				t.Error("the next join failed")
			}
		})
	}
}

// busybody calls everything once when it is armed.
type busybody struct {
	x     *stage
	armed atomic.Bool
	hits  atomic.Int32
}

func (b *busybody) act() {
	if !b.armed.CompareAndSwap(true, false) {
		return
	}
	b.hits.Add(1)
	for _, method := range calls {
		b.x.call(method)
	}
}

func (b *busybody) encode(int) []byte {
	b.act()
	return []byte("hi")
}

// nosy is a broker that calls the hub that calls it.
type nosy struct {
	Local
	subscribe, publish, cancel func()
}

func (n *nosy) Publish(m Message) error {
	n.publish()
	return n.Local.Publish(m)
}

func (n *nosy) Subscribe(topic string, deliver func(Message) error) (func(), error) {
	n.subscribe()
	cancel, err := n.Local.Subscribe(topic, deliver)
	return func() { n.cancel(); cancel() }, err
}

// TestNothingIsCalledUnderALock: all that a hub is given may call all of its methods, wherever
// it is called.
func TestNothingIsCalledUnderALock(t *testing.T) {
	nothing := func() {}
	for name, give := range map[string]func(h *Hub, b *busybody){
		"Key": func(h *Hub, b *busybody) { h.Key = func(name string) string { b.act(); return name } },
		"Announce": func(h *Hub, b *busybody) {
			h.Announce = func(Move) (frame.Opcode, Encoder) { b.act(); return frame.OpText, hello }
		},
		"Announce's encoder": func(h *Hub, b *busybody) {
			h.Announce = func(Move) (frame.Opcode, Encoder) { return frame.OpText, b.encode }
		},
		"Moved": func(h *Hub, b *busybody) { h.Moved = func(*Topic, Move) { b.act() } },
		"Replay": func(h *Hub, b *busybody) {
			h.Replay = func(_ int, past []server.Message) []server.Message { b.act(); return past }
		},
		"Send": func(h *Hub, b *busybody) {
			h.Announce = func(Move) (frame.Opcode, Encoder) { return frame.OpText, hello }
			h.Middleware = []server.Middleware{{Send: func(next server.SendFunc) server.SendFunc {
				return func(m server.Message) error { b.act(); return next(m) }
			}}}
		},
		"an encoder":       func(*Hub, *busybody) {},
		"Broker.Publish":   func(h *Hub, b *busybody) { h.Broker = &nosy{publish: b.act, subscribe: nothing, cancel: nothing} },
		"Broker.Subscribe": func(h *Hub, b *busybody) { h.Broker = &nosy{publish: nothing, subscribe: b.act, cancel: nothing} },
		"Broker's cancel":  func(h *Hub, b *busybody) { h.Broker = &nosy{publish: nothing, subscribe: nothing, cancel: b.act} },
	} {
		t.Run(name, func(t *testing.T) {
			b := new(busybody)
			h := &Hub{History: 5, Dialects: 2}
			give(h, b)
			b.x = newStage(t, h)
			var guest, other *Member
			one, two := b.x.dial(), b.x.dial()
			for _, step := range []func(){
				func() { guest = b.x.bring(one, "lobby", "guest") },
				func() { _ = b.x.host.Topic().RecordFunc(frame.OpText, b.encode) },
				func() { _ = b.x.host.Topic().PublishFunc(frame.OpText, b.encode) },
				func() { _, _ = b.x.host.Topic().DirectFunc("host", frame.OpText, b.encode) },
				func() { other, _ = b.x.JoinAs("lobby", "other", 1, two.Conn) }, // asks for the past in a dialect
				func() { guest.Leave() },
				func() { other.Leave() },
				func() { guest = b.x.bring(one, "attic", "guest") },
				func() { guest.Leave() },
			} {
				b.armed.Store(true)
				step()
			}
			b.armed.Store(false)
			if b.hits.Load() == 0 {
				t.Error("it was not called")
			}
		})
	}
}
