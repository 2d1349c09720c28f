//go:build linux

package nats_test

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/hub"
	"github.com/usher-ws/usher/hub/nats"
)

// A node goes on by itself while no server of NATS can be reached, and publishing says so.
func Example() {
	b, err := nats.Connect(nats.Config{
		URLs:   []string{"nats://127.0.0.1:1"}, // where nobody listens
		Node:   "n1",
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer b.Close()

	h := &hub.Hub{Broker: b}
	err = h.Publish("lobby", frame.OpText, []byte("hello, all nodes"))
	fmt.Println(errors.Is(err, hub.ErrDegraded), b.State().Degraded)
	// Output: true true
}

// Names that cannot stand in a subject of NATS as they are have a token there.
func ExampleToken() {
	fmt.Println("usher.user." + nats.Token("alice"))
	fmt.Println("usher.user." + nats.Token("alice@example.com"))
	// Output:
	// usher.user.alice
	// usher.user.~YWxpY2VAZXhhbXBsZS5jb20
}
