//go:build linux

package nats

import (
	"fmt"
	"slices"
	"testing"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/hub"
)

var _ hub.Retainer = (*Broker)(nil)

// TestRetained: what is retained at one node is at all, whether they have members in the room
// or not; members hear it once, in its place among what that node says.
func TestRetained(t *testing.T) {
	s := serveNATS(t)
	var all []*Broker
	var hubs []*hub.Hub
	var doors []*door
	for _, name := range []string{"north", "south", "east"} {
		b := s.connect(Config{Node: name, Encode: encodeSaid})
		h := &hub.Hub{Broker: b, Dialects: 2, History: 10}
		all, hubs, doors = append(all, b), append(hubs, h), append(doors, newHouseFor(t, h))
	}
	var heard [2]users
	for i := range heard {
		doors[i].join("lobby", heard[i].note)
	}
	doors[2].join("elsewhere", func(string) {}) // with its first member a hub begins to listen
	meet(t, all...)
	settle(t, all...)
	const each = 20
	for n := range each {
		if err := hubs[0].Publish("lobby", frame.OpText, fmt.Append(nil, "said ", n)); err != nil {
			t.Error(err)
		}
		if err := hubs[0].Retain("lobby", frame.OpText, func(int) []byte { return fmt.Append(nil, "retained ", n) }); err != nil {
			t.Error(err)
		}
	}
	var want []string
	for n := range each {
		want = append(want, fmt.Sprint("said ", n), fmt.Sprint("retained ", n))
	}
	isThere := func(value string) func() bool {
		return func() bool {
			for _, h := range hubs {
				if m, _ := h.Retained("lobby", 1); string(m.Data) != value {
					return false
				}
			}
			return true
		}
	}
	await(t, "all retain the last", isThere(want[len(want)-1]))
	nc := s.client()
	if err := nc.Publish("usher.room.lobby", []byte(`{"text":"of a backend","retain":true}`)); err != nil {
		t.Fatal(err)
	}
	await(t, "all retain what the backend has said", isThere("/of a backend/"))
	want = append(want, "/of a backend/")
	for i := range heard {
		await(t, "members have heard all", func() bool { return len(heard[i].texts()) >= len(want) })
		if got := heard[i].texts(); !slices.Equal(got, want) {
			t.Errorf("%s: heard %q, want %q", all[i].Name(), got, want)
		}
	}
	if !hubs[1].Forget("lobby") {
		t.Error("Forget: got false")
	}
	await(t, "all forget it", isThere(""))
	for _, b := range all {
		if s := b.Stats(); s.Lost+s.Repeated+s.Malformed > 0 {
			t.Errorf("%s: got %+v, want nothing lost", b.Name(), s)
		}
	}
}
