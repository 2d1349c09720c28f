//go:build linux

package chat_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/usher-ws/usher/chat"
)

// TestOneUserManyTabs: the others hear of a user once, and every tab hears that it is in.
func TestOneUserManyTabs(t *testing.T) {
	t.Parallel()
	addr := serve(t, chat.Config{})
	bob, carol := join(t, addr, "bob", "lobby"), dialJSON(t, addr, "carol", "lobby")
	carol.wantObjects(`{"count":2,"type":"joined","user":"carol"}`)
	bob.want("Server: carol has joined the chat")
	tab1, tab2 := join(t, addr, "alice", "lobby"), dialJSON(t, addr, "alice", "lobby")
	tab2.wantObjects(`{"count":3,"type":"joined","user":"alice"}`)
	tab1.leave()
	bob.say("between")
	bob.want("Server: alice has joined the chat", "bob: between")
	tab2.leave()
	bob.want("Server: alice has left the chat")
	carol.wantObjects(`{"count":3,"type":"joined","user":"alice"}`, `{"from":"bob","text":"between","type":"message"}`,
		`{"count":2,"type":"left","user":"alice"}`)
}

// TestReloadIsSilent: a user who comes back in time was not away, and keeps the status.
func TestReloadIsSilent(t *testing.T) {
	t.Parallel()
	addr := serve(t, chat.Config{LeaveGrace: time.Hour})
	bob, alice := join(t, addr, "bob", "lobby"), join(t, addr, "alice", "lobby")
	alice.say("/status busy")
	alice.want("Server: alice is busy")
	alice.leave()
	bob.say("/who")
	bob.say("/msg alice there?")
	bob.say("/msg dora there?")
	carol := dialJSON(t, addr, "carol", "lobby")
	carol.hear()
	carol.send(`{"type":"direct","to":"alice","text":"there?"}`)
	if o := carol.hear(); o["code"] != "user_away" {
		t.Errorf("to who is away: got %s, want user_away", o)
	}
	carol.leave()
	join(t, addr, "alice", "lobby").say("back")
	bob.want("Server: alice has joined the chat", "Server: alice is busy",
		"Server: 2 here: alice (busy), bob",
		"Server: alice is reconnecting or just leaving: your message was not sent; try again in a moment",
		"Server: dora is not in this room; /who tells who is", "Server: carol has joined the chat", "alice: back")
	bob.say("/who")
	bob.want("Server: 3 here: alice (busy), bob, carol")
	bob.say("/msg alice there?")
	bob.want("bob to alice (private): there?")
}

// TestLeftAfterGrace: a user who does not come back has left, and an empty room is
// forgotten.
func TestLeftAfterGrace(t *testing.T) {
	t.Parallel()
	app := newApp(t, chat.Config{LeaveGrace: 50 * time.Millisecond})
	addr := serveApp(t, app, app.Route())
	bob := join(t, addr, "bob", "lobby")
	for _, name := range []string{"alice", "carol", "alice"} {
		join(t, addr, name, "lobby").leave()
		bob.want("Server: "+name+" has joined the chat", "Server: "+name+" has left the chat")
	}
	bob.leave()
	for deadline := time.Now().Add(patience); app.Hub().Len() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("rooms in use: got %d, want 0", app.Hub().Len())
		}
	}
}

// TestCrowd: in a large room joins and leaves are gathered, so that their cost grows with
// their number and not with its square.
func TestCrowd(t *testing.T) {
	t.Parallel()
	const most, all = 3, 60
	addr := serve(t, chat.Config{AnnounceMax: most})
	bob := join(t, addr, "bob", "lobby")
	carol := dialJSON(t, addr, "carol", "lobby")
	carol.hear()
	var crowd []client
	for i := range all - 2 {
		crowd = append(crowd, join(t, addr, fmt.Sprint("u", i), "lobby")) // and hears that it is in
	}
	bob.want("Server: carol has joined the chat", "Server: u0 has joined the chat")
	carol.wantObjects(`{"count":3,"type":"joined","user":"u0"}`)
	for _, c := range crowd[10:] {
		c.leave()
	}
	joined, left, lines := 0, 0, 0
	for joined < all-most || left < all-12 {
		line, err := bob.next()
		var j, l, here int
		if _, scan := fmt.Sscanf(line, "Server: %d joined, %d left, %d here", &j, &l, &here); err != nil || scan != nil {
			t.Fatalf("got %q, error %v, after %d joined and %d left", line, err, joined, left)
		}
		joined, left, lines = joined+j, left+l, lines+1
		o := carol.hear()
		if o["joined"] != float64(j) || o["left"] != float64(l) || o["count"] != float64(here) || (o["type"] == "left") != (j == 0) {
			t.Errorf("got %s, while others got %q", o, line)
		}
		if here != most+joined-left {
			t.Errorf("got %q, with %d here before and %d joined, %d left", line, most, joined, left)
		}
	}
	if joined != all-most || left != all-12 || lines > all/4 {
		t.Errorf("got %d joined, %d left in %d lines, want %d and %d in a few", joined, left, lines, all-most, all-12)
	}
	crowd[0].say("end")
	before := crowd[0].until("u0: end")
	if len(before) != lines || strings.Contains(strings.Join(before, ""), "has") {
		t.Errorf("u0 heard %q", before)
	}
}
