//go:build linux

package events_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/usher-ws/usher/hub/events"
)

// A backend is told of what a program adds; srv.Use(sender.Middleware()) tells it of connections,
// and Note of rooms.
func Example() {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Events []struct{ Type, User, Room string }
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil { // one that is no example verifies it first
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		for _, e := range body.Events {
			fmt.Println(e.User, e.Type, e.Room)
		}
	}))
	defer backend.Close()

	keys, err := events.ParseKeys([]byte("whsec_c2VjcmV0IG9mIDI0IGJ5dGVzLCBoZXJl\n"))
	if err != nil {
		log.Fatal(err)
	}
	sender, err := events.Open(events.Config{URL: backend.URL, Keys: keys})
	if err != nil {
		log.Fatal(err)
	}
	sender.Note("lobby", "alice", true)
	sender.Add(events.Event{Type: events.Left, User: "bob", Room: "attic"})

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := sender.Close(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// alice joined lobby
	// bob left attic
}
