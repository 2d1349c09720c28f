//go:build linux

package nats

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/usher-ws/usher/hub"
)

// TestRetainedUnheard: what another client retains in a room is at all nodes, though nobody is in
// the room, or ever was at a node; who joins later hears it, and who is there in its place. It takes
// a subscription for all rooms, and each node hears it once.
func TestRetainedUnheard(t *testing.T) {
	s := serveNATS(t)
	var all []*Broker
	var hubs []*hub.Hub
	hasRoom := func(name string) bool { return !strings.HasPrefix(name, "no ") }
	for _, name := range []string{"north", "south", "east"} {
		b := s.connect(Config{Node: name, Encode: encodeSaid, HasRoom: hasRoom})
		h := &hub.Hub{Broker: b, Dialects: 2}
		for range 2 { // twice is once
			if err := h.Listen(); err != nil {
				t.Fatal(err)
			}
		}
		all, hubs = append(all, b), append(hubs, h)
	}
	settle(t, all...)
	subscriptions := all[0].nc.NumSubscriptions()
	nc := s.client()
	say := func(subject, message string) {
		t.Helper()
		if err := nc.Publish(subject, []byte(message)); err != nil {
			t.Fatal(err)
		}
	}
	rooms := []string{"attic", "größe", "a.b"}
	for _, room := range rooms {
		say("usher.retain."+Token(room), `{"text":"first"}`)
		say("usher.retain."+Token(room), fmt.Sprintf(`{"text":%q,"id":"1"}`, room))
		say("usher.retain."+Token(room), `{"text":"repeated","id":"1"}`)
	}
	for _, m := range []string{``, `{}`, `{"text":"bad"}`} {
		say("usher.retain.attic", m)
	}
	say("usher.retain."+Token("no room"), `{"text":"hi"}`)
	say("usher.retain.~YXR0aWM", `{"text":"no spelling of attic"}`)
	say("usher.room.cellar", `{"text":"hi","retain":true}`) // heard by nobody
	for k, h := range hubs {
		await(t, "all is counted", func() bool { return all[k].Stats().Refused == 5 })
		for _, room := range rooms {
			if m, _ := h.Retained(room, 1); string(m.Data) != "/"+room+"/" {
				t.Errorf("%s retains %q in %s", all[k].Name(), m.Data, room)
			}
		}
		if m, ok := h.Retained("cellar", 0); ok || len(h.AllRetained()) != len(rooms) {
			t.Errorf("%s retains %q, and %d in all", all[k].Name(), m.Data, len(h.AllRetained()))
		}
		if s := all[k].Stats(); s.Received != 2*uint64(len(rooms)) || s.Repeated != uint64(len(rooms)) {
			t.Errorf("%s: got %+v, want %d received, and %d again", all[k].Name(), s, 2*len(rooms), len(rooms))
		}
	}
	if n := all[0].nc.NumSubscriptions(); n != subscriptions {
		t.Errorf("got %d subscriptions, want %d", n, subscriptions)
	}
	var heard [2]users
	for k := range heard {
		newHouseFor(t, hubs[k]).join("attic", heard[k].note)
	}
	settle(t, all...)
	say("usher.room.attic", `{"text":"said"}`)
	say("usher.retain.attic", `{"text":"later"}`)
	say("usher.room.attic", `{"text":"said again"}`)
	for k := range heard {
		await(t, "members have heard all", func() bool { return len(heard[k].texts()) >= 4 })
		if got, want := heard[k].texts(), []string{"/attic/", "/said/", "/later/", "/said again/"}; !slices.Equal(got, want) {
			t.Errorf("%s: heard %q, want %q", all[k].Name(), got, want)
		}
	}
	await(t, "the last is kept without members", func() bool { m, _ := hubs[2].Retained("attic", 0); return string(m.Data) == "/later/" })
	if !hubs[2].Forget("attic") {
		t.Error("Forget: got false")
	}
	await(t, "all forget it", func() bool {
		return !slices.ContainsFunc(hubs, func(h *hub.Hub) bool { _, ok := h.Retained("attic", 0); return ok })
	})

	if _, err := exec.LookPath("python3"); err != nil {
		return
	}
	out, err := exec.Command("python3", filepath.Join("testdata", "publish.py"), strings.TrimPrefix(s.url, "nats://"),
		"usher.retain.attic", `{"text":"größer","from":"Python"}`).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	await(t, "it is kept", func() bool { m, _ := hubs[2].Retained("attic", 0); return string(m.Data) == "Python/größer/" })
}
