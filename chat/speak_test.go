//go:build linux

package chat

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestHear(t *testing.T) {
	const commandsLine = "; there are /msg NAME TEXT, /who, /status TEXT; //text says /text"
	long := strings.Repeat("ü", 65)
	tests := []struct {
		said                   string
		room, alice, bob, carl []string // what each is sent
	}{
		{said: "hi", room: []string{"alice: hi"}},
		{said: "hi\r\n", room: []string{"alice: hi"}},
		{said: " hi  there ", room: []string{"alice:  hi  there "}},
		{said: "a\tb", room: []string{"alice: a\tb"}},
		{said: "Grüße 👋🏽 שלום", room: []string{"alice: Grüße 👋🏽 שלום"}},
		{said: ""},
		{said: " \n"},
		{said: "//x y", room: []string{"alice: /x y"}},
		{said: "///", room: []string{"alice: //"}},
		{said: "a\nServer: bob has left the chat", alice: []string{"Server: your message was not sent: it has control characters in it"}},
		{said: "a\x1b[2J", alice: []string{"Server: your message was not sent: it has control characters in it"}},
		{said: "a\u2028b", alice: []string{"Server: your message was not sent: it has control characters in it"}},
		{said: "a\u0085b", alice: []string{"Server: your message was not sent: it has control characters in it"}},

		{said: "/msg bob hi  you", alice: []string{"alice to bob (private): hi  you"}, bob: []string{"alice to bob (private): hi  you"}},
		{said: "/msg  bob  hi", alice: []string{"alice to bob (private): hi"}, bob: []string{"alice to bob (private): hi"}},
		{said: "/msg alice note", alice: []string{"alice to alice (private): note"}},
		{said: "/msg dora hi", alice: []string{"Server: dora is not in this room; /who tells who is"}},
		{said: "/msg ella hi", alice: []string{"Server: ella is not in this room; /who tells who is"}},
		{said: "/msg bob", alice: []string{"Server: to tell one member only: /msg NAME TEXT"}},
		{said: "/msg", alice: []string{"Server: to tell one member only: /msg NAME TEXT"}},
		{said: "/msg " + long + " hi", alice: []string{"Server: " + long[:128] + "… is not in this room; /who tells who is"}},

		{said: "/who", alice: []string{"Server: 3 here: alice, bob, carl (busy)"}},
		{said: "/status away", room: []string{"Server: alice is away"}},
		{said: "/status", room: []string{"Server: alice is back"}},
		{said: "/status " + long, alice: []string{"Server: a status has at most 64 characters"}},

		{said: "/x y", alice: []string{"Server: unknown command /x" + commandsLine}},
		{said: "/", alice: []string{"Server: unknown command /" + commandsLine}},
		{said: "/MSG bob hi", alice: []string{"Server: unknown command /MSG" + commandsLine}},
		{said: "/" + long, alice: []string{"Server: unknown command /" + long[:128] + "…" + commandsLine}},
	}
	for _, tt := range tests {
		t.Run(cut(tt.said, 20), func(t *testing.T) {
			rs := newRooms(nil, newEar)
			m, alice := mustJoin(t, rs, "lobby", "alice")
			_, bob := mustJoin(t, rs, "lobby", "bob")
			_, bob2 := mustJoin(t, rs, "lobby", "bob")
			c, carl := mustJoin(t, rs, "lobby", "carl")
			mustJoin(t, rs, "cellar", "ella")
			room := m.room.crowd.(*ear)
			rs.hear(c, []byte("/status busy"))
			room.take()

			rs.hear(m, []byte(tt.said))
			for _, who := range []struct {
				name string
				ear  *ear
				want []string
			}{{"the room", room, tt.room}, {"alice", alice, tt.alice}, {"bob", bob, tt.bob}, {"bob's other tab", bob2, tt.bob}, {"carl", carl, tt.carl}} {
				if got := who.ear.take(); !slices.Equal(got, who.want) {
					t.Errorf("%q, %s:\n got %q\nwant %q", tt.said, who.name, got, who.want)
				}
			}
		})
	}
}

// TestStatusEndsWithTheUser: who comes back is not away any more.
func TestStatusEndsWithTheUser(t *testing.T) {
	rs := newRooms(nil, newEar)
	bob, heard := mustJoin(t, rs, "lobby", "bob")
	alice, _ := mustJoin(t, rs, "lobby", "alice")
	rs.hear(alice, []byte("/status away"))
	rs.hear(bob, []byte("/who"))
	rs.leave(alice)
	rs.setStatus(alice, "a ghost") // must neither panic nor stay
	mustJoin(t, rs, "lobby", "alice")
	rs.hear(bob, []byte("/who"))
	want := []string{"Server: 2 here: alice (away), bob", "Server: 2 here: alice, bob"}
	if got := heard.take(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestSendErrors: a peer that fails is nobody else's concern; of a crowd that
// fails, the speaker is told.
func TestSendErrors(t *testing.T) {
	rs := newRooms(nil, newEar)
	m, alice := mustJoin(t, rs, "lobby", "alice")
	_, broken := mustJoin(t, rs, "lobby", "bob")
	_, bob := mustJoin(t, rs, "lobby", "bob")
	broken.err = errors.New("gone")
	rs.hear(m, []byte("/msg bob hi"))
	for name, e := range map[string]*ear{"alice": alice, "bob": bob} {
		if got, want := e.take(), []string{"alice to bob (private): hi"}; !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	m.room.crowd.(*ear).err = errors.New("full")
	rs.hear(m, []byte("hi"))
	if got, want := alice.take(), []string{"Server: the room is too busy: your message may not have reached everybody"}; !slices.Equal(got, want) {
		t.Errorf("alice: got %q, want %q", got, want)
	}
}
