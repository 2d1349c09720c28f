//go:build linux

package main_test

import (
	"fmt"
	"syscall"
	"testing"
)

// TestClusterDirect: what somebody says to one user alone reaches all connections of that user, at all
// nodes, and shows at all of the speaker's; where it cannot arrive the speaker is told so.
func TestClusterDirect(t *testing.T) {
	t.Parallel()
	s := serveNATS(t)
	a, b, c := serveNode(t, serve, "a", "--cluster", s.url), serveNode(t, serve, "b", "--cluster", s.url), serveNode(t, serve, "c", "--cluster", s.url)
	meet(t, a, b, c)
	const subprotocol = "chat.usher.v1+json"
	alice, bob, carol := seat(t, a, "alice", "lobby"), seat(t, b, "bob", "lobby"), seat(t, c, "carol", "lobby")
	together("alice, bob, carol", alice, bob, carol)
	g, _ := enter(t, b.program, "bob", "lobby", subprotocol)
	typed := &member{guest: g}
	third, second := seat(t, c, "bob", "lobby"), seat(t, b, "alice", "lobby") // of people who are elsewhere, too
	bobs := []*member{bob, third}
	for _, m := range append(bobs, second) { // and these know it
		m.say("here")
	}
	for range 3 {
		typed.until(`{"type":"message"`)
	}

	const each = 20
	for k := range each {
		alice.say(fmt.Sprint("/msg bob this is ", k))
		line := fmt.Sprint("alice to bob (private): this is ", k)
		for _, m := range append(bobs, alice, second) {
			m.until(line)
		}
		typed.until(`{"type":"direct","from":"alice","to":"bob","text":"this is ` + fmt.Sprint(k) + `"`)
	}
	typed.say(`{"type":"direct","to":"alice","text":"typed","id":"d1"}`)
	for _, m := range append(bobs, alice, second) {
		m.until("bob to alice (private): typed")
	}
	typed.until(`{"type":"direct","from":"bob","to":"alice","text":"typed"`)
	alice.say("/msg carol and you")
	carol.until("alice to carol (private): and you")
	alice.until("alice to carol (private): and you")
	alice.say("/msg dora hello?")
	alice.until("Server: dora is not in this room; /who tells who is")
	typed.say(`{"type":"direct","to":"dora","text":"hello?","id":"d2"}`)
	typed.until(`{"type":"error","code":"user_unknown"`)
	alice.say("that was all")
	for _, m := range append(bobs, alice, second, carol) {
		m.until("alice: that was all")
		if m != carol {
			m.wantOnce("alice to bob (private): this is 0", fmt.Sprint("alice to bob (private): this is ", each-1), "bob to alice (private): typed")
		}
	}
	if has(carol.heard, "alice to bob (private): this is 0") || has(bob.heard, "alice to carol (private): and you") {
		t.Error("what was private was heard by others")
	}

	c.signal(t, syscall.SIGSTOP)
	alice.say("/msg carol are you there?")
	alice.until("Server: carol may be at a server that does not answer: your message may not have arrived")
	alice.say("/msg bob and you?") // half of whom is at the node that stands still, until it is known to
	bob.until("alice to bob (private): and you?")
	alice.until("alice to bob (private): and you?")
	if has(alice.heard, "alice to carol (private): are you there?") {
		t.Error("what carol does not hear was confirmed")
	}
}
