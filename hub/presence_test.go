//go:build linux

package hub

import (
	"fmt"
	"slices"
	"testing"
)

func TestPresence(t *testing.T) {
	home := serve(t, new(Hub))
	var all []Presence
	var topic *Topic
	for i := range 30 {
		m, _ := home.join("lobby", fmt.Sprintf("u%02d", i))
		m.SetStatus(fmt.Sprint("status ", i))
		all = append(all, Presence{m.User(), fmt.Sprint("status ", i)})
		topic = m.Topic()
	}
	for _, most := range []int{30, 31, 1 << 40} {
		if got, total := topic.Presence(most); total != 30 || !slices.Equal(got, all) {
			t.Errorf("Presence(%d): got %v of %d, want %v of 30", most, got, total, all)
		}
	}
	for _, most := range []int{-1, 0, 1, 29} {
		got, total := topic.Presence(most)
		if total != 30 || len(got) != max(0, most) {
			t.Errorf("Presence(%d): got %d of %d, want %d of 30", most, len(got), total, max(0, most))
		}
		for i, p := range got {
			if i > 0 && p.User <= got[i-1].User || !slices.Contains(all, p) {
				t.Errorf("Presence(%d): got %v, want some of %v in order", most, got, all)
			}
		}
	}
}

// TestStatus: a user has one on all connections, and loses it with the last.
func TestStatus(t *testing.T) {
	home := serve(t, new(Hub))
	bob, _ := home.join("lobby", "bob")
	want := func(when string, want ...Presence) {
		t.Helper()
		if got, _ := bob.Topic().Presence(10); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", when, got, want)
		}
	}
	tab1, c := home.join("lobby", "alice")
	tab2, _ := home.join("lobby", "alice")
	home.bring(c, "cellar", "alice").SetStatus("below")
	tab1.SetStatus("away")
	want("one status for two tabs", Presence{"alice", "away"}, Presence{"bob", ""})
	tab2.SetStatus("busy")
	tab2.Leave()
	want("the other tab changed it and left", Presence{"alice", "busy"}, Presence{"bob", ""})
	tab2.SetStatus("a ghost's")
	want("a member that has left changes nothing", Presence{"alice", "busy"}, Presence{"bob", ""})
	tab1.Leave()
	want("all tabs have left", Presence{"bob", ""})
	tab1.SetStatus("a ghost's")
	home.bring(c, "lobby", "alice")
	want("alice is back", Presence{"alice", ""}, Presence{"bob", ""})
}
