//go:build linux

package hub_test

import (
	"context"
	"fmt"
	"log"

	"github.com/gobwas/ws"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/hub"
	"github.com/usher-ws/usher/server"
	"github.com/usher-ws/usher/upgrade"
)

// Two people in one topic, and what the topic is told of them.
func Example() {
	h := &hub.Hub{Announce: func(m hub.Move) (frame.Opcode, hub.Encoder) {
		return frame.OpText, func(int) []byte {
			if m.Joined > 0 {
				return fmt.Appendf(nil, "%s has joined; %d here", m.User, m.Count)
			}
			return fmt.Appendf(nil, "%s has left; %d here", m.User, m.Count)
		}
	}}
	s := &server.Server{Addr: "127.0.0.1:0"}
	s.Route("/{topic}/{user}", server.Route{ // a guard would say which user this is
		Open: func(c server.Conn) error {
			_, err := h.Join(c.PathValue("topic"), c.PathValue("user"), c)
			return err
		},
		Message: func(c server.Conn, msg server.Message) error {
			m := h.Member(c.PathValue("topic"), c)
			return m.Topic().Publish(msg.Opcode, fmt.Appendf(nil, "%s: %s", m.User(), msg.Data))
		},
	})
	if err := s.Start(); err != nil {
		log.Fatal(err)
	}
	defer func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // do not wait for the clients to go
		_ = s.Shutdown(ctx)
	}()

	dial := func(path string) *upgrade.Conn {
		conn, ahead, _, err := ws.Dial(context.Background(), fmt.Sprintf("ws://%v%s", s.Addrs()[0], path))
		if err != nil {
			log.Fatal(err)
		}
		var early []byte // what was said right behind the 101
		if ahead != nil {
			early, _ = ahead.Peek(ahead.Buffered())
		}
		return upgrade.NewClientConn(conn, 0, early)
	}
	hear := func(c *upgrade.Conn) {
		_, text, err := c.ReadMessage()
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s\n", text)
	}

	alice := dial("/lobby/alice")
	hear(alice)
	bob := dial("/lobby/bob")
	hear(alice)
	if err := bob.WriteMessage(frame.OpText, []byte("hi")); err != nil {
		log.Fatal(err)
	}
	hear(alice)
	if err := bob.Close(frame.StatusNormalClosure, ""); err != nil {
		log.Fatal(err)
	}
	hear(alice)
	if err := alice.Close(frame.StatusNormalClosure, ""); err != nil {
		log.Fatal(err)
	}

	// Output:
	// alice has joined; 1 here
	// bob has joined; 2 here
	// bob: hi
	// bob has left; 1 here
}

// A value of a topic that whoever joins later hears, too: here before anybody is there.
func ExampleHub_Retain() {
	var h hub.Hub
	say := func(text string) hub.Encoder { return func(dialect int) []byte { return []byte(text) } }
	for _, score := range []string{"0:0", "1:0"} {
		if err := h.Retain("match", frame.OpText, say(score)); err != nil {
			log.Fatal(err)
		}
	}
	m, ok := h.Retained("match", 0)
	fmt.Printf("%s %v\n", m.Data, ok)
	fmt.Println(h.Len(), "topics in use,", len(h.Topics()), "with something in them")
	fmt.Println(h.Forget("match"), h.Forget("match"))
	// Output:
	// 1:0 true
	// 0 topics in use, 1 with something in them
	// true false
}
