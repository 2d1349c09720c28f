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
	publish(t, attic, "2") // by who has left
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

// TestVanish: a connection that ends hears nothing more, but is in the table until
// it is left.
func TestVanish(t *testing.T) {
	home := serve(t, new(Hub))
	alice, c := home.join("lobby", "alice")
	home.vanish(c)
	publish(t, alice, "anybody?")
	if _, total := alice.Topic().Presence(0); total != 1 || home.Len() != 1 {
		t.Errorf("before Leave: got %d users in %d topics, want 1 in 1", total, home.Len())
	}
	alice.Leave()
	if _, total := alice.Topic().Presence(0); total != 0 || home.Len() != 0 {
		t.Errorf("after Leave: got %d users in %d topics, want none", total, home.Len())
	}
}

func TestMemberSize(t *testing.T) {
	if got := unsafe.Sizeof(Member{}); unsafe.Sizeof(uintptr(0)) == 8 && got != 32 {
		t.Errorf("got %d bytes, want 32", got)
	}
}
