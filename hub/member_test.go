//go:build linux

package hub

import (
	"testing"
	"unsafe"
)

// TestLeaveEndsOneMembership: the connection stays, and so do its other topics.
func TestLeaveEndsOneMembership(t *testing.T) {
	home := serve(t, new(Hub))
	c := home.dial()
	attic, cellar := home.bring(c, "attic", "alice"), home.bring(c, "cellar", "alice")
	bob, _ := home.join("attic", "bob")
	publish(t, bob, "1")
	if !attic.Leave() {
		t.Error("Leave with bob there: got false, want true")
	}
	publish(t, attic, "2") // by a member that has left
	publish(t, cellar, "3")
	c.wantHeard("1", "3")

	back := home.bring(c, "attic", "alice")
	attic.Leave() // once more, and too late to matter
	publish(t, back, "4")
	c.wantHeard("4")
	if back.Topic() != attic.Topic() || back.User() != "alice" {
		t.Errorf("back as %q in %p, want alice in %p", back.User(), back.Topic(), attic.Topic())
	}
}

func TestSeatSize(t *testing.T) {
	if got := unsafe.Sizeof(seat{}); got != 28 {
		t.Errorf("got %d bytes, want 28", got)
	}
}
