//go:build linux

package hub_test

import (
	"context"
	"fmt"
	"log"

	"github.com/gorilla/websocket"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/hub"
	"github.com/usher-ws/usher/server"
)

// Two people in one topic, and somebody who says how they are.
func Example() {
	var h hub.Hub
	s := &server.Server{Addr: "127.0.0.1:0"}
	s.Route("/{topic}/{user}", server.Route{ // who the user is would be a guard's to say
		Open: func(c server.Conn) error {
			m, err := h.Join(c.PathValue("topic"), c.PathValue("user"), c)
			if err != nil {
				return err
			}
			c.SetData(m)
			return nil
		},
		Message: func(c server.Conn, msg server.Message) error {
			m := c.Data().(*hub.Member)
			m.SetStatus("talkative")
			return m.Topic().Publish(msg.Opcode, fmt.Appendf(nil, "%s: %s", m.User(), msg.Data))
		},
		Close: func(c server.Conn, _ error) {
			if m, ok := c.Data().(*hub.Member); ok && m.Leave() {
				some, total := m.Topic().Presence(10)
				_ = m.Topic().Publish(frame.OpText, fmt.Appendf(nil, "%s has left; %d here: %v", m.User(), total, some))
			}
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

	dial := func(path string) *websocket.Conn {
		conn, _, err := websocket.DefaultDialer.Dial("ws://"+s.Addrs()[0].String()+path, nil)
		if err != nil {
			log.Fatal(err)
		}
		return conn
	}
	hear := func(conn *websocket.Conn) {
		_, text, err := conn.ReadMessage()
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s\n", text)
	}

	alice, bob := dial("/lobby/alice"), dial("/lobby/bob")
	defer alice.Close()
	if err := bob.WriteMessage(websocket.TextMessage, []byte("hi")); err != nil {
		log.Fatal(err)
	}
	hear(alice)
	hear(bob)
	if err := alice.WriteMessage(websocket.TextMessage, []byte("oh, hello")); err != nil {
		log.Fatal(err)
	}
	hear(alice)
	bob.Close()
	hear(alice)

	// Output:
	// bob: hi
	// bob: hi
	// alice: oh, hello
	// bob has left; 1 here: [{alice talkative}]
}
