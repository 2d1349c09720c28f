//go:build linux

package chat_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/usher-ws/usher/chat"
	"github.com/usher-ws/usher/hub"
	"github.com/usher-ws/usher/server"
)

func TestHear(t *testing.T) {
	t.Parallel()
	const commandsLine = "; there are /msg NAME TEXT, /who, /status TEXT; //text says /text"
	const nothing = "Server: your message was not sent: there is nothing to see in it"
	long := strings.Repeat("ü", 65)
	tests := []struct {
		said             string
		room, alice, bob []string // what each is sent
	}{
		{said: "hi", room: []string{"alice: hi"}},
		{said: "hi\r\n", room: []string{"alice: hi"}},
		{said: " hi  there ", room: []string{"alice:  hi  there "}},
		{said: "a\tb", room: []string{"alice: a\tb"}},
		{said: "Grüße 👋🏽 שלום", room: []string{"alice: Grüße 👋🏽 שלום"}},
		{said: "", alice: []string{nothing}},
		{said: " \n", alice: []string{nothing}},
		{said: "\u3164\u2800", alice: []string{nothing}},
		{said: "//\u200b", room: []string{"alice: /\u200b"}},
		{said: "/msg bob \u3164", alice: []string{nothing}},
		{said: "/msg \u3164 hi", alice: []string{"Server: your message was not sent: there is nothing to see in the name"}},
		{said: "/status \u3164", room: []string{"Server: alice is back"}},
		{said: "\u202ehi", room: []string{"alice: \u202ehi\u202c"}},
		{said: "/status \u202eaway", room: []string{"Server: alice is \u202eaway\u202c"}},
		{said: "/msg BOB hi", alice: []string{"alice to bob (private): hi"}, bob: []string{"alice to bob (private): hi"}},
		{said: strings.Repeat("ü", 4096), room: []string{"alice: " + strings.Repeat("ü", 4096)}},
		{said: strings.Repeat("ü", 4097), alice: []string{"Server: a text has at most 4096 characters"}},
		{said: "/msg bob " + strings.Repeat("x", 4097), alice: []string{"Server: a text has at most 4096 characters"}},
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
		{said: "/msg " + long + " hi", alice: []string{"Server: a name has at most 64 characters"}},

		{said: "/who", alice: []string{"Server: 3 here: alice, bob, carl (busy)"}},
		{said: "/status away", room: []string{"Server: alice is away"}},
		{said: "/status", room: []string{"Server: alice is back"}},
		{said: "/status " + long, alice: []string{"Server: a status has at most 64 characters"}},

		{said: "/x y", alice: []string{"Server: unknown command /x" + commandsLine}},
		{said: "/", alice: []string{"Server: unknown command /" + commandsLine}},
		{said: "/MSG bob hi", alice: []string{"Server: unknown command /MSG" + commandsLine}},
		{said: "/" + long, alice: []string{"Server: unknown command /" + long[:128] + "…" + commandsLine}},
	}
	addr := serve(t, chat.Config{})
	join(t, addr, "ella", "cellar")
	for i, tt := range tests {
		t.Run(fmt.Sprintf("%.20q", tt.said), func(t *testing.T) {
			room := fmt.Sprint("r", i)
			alice, bob, bob2, carl := join(t, addr, "alice", room), join(t, addr, "bob", room), join(t, addr, "bob", room), join(t, addr, "carl", room)
			carl.say("/status busy")
			carl.want("Server: carl is busy")
			for _, text := range []string{"begin", tt.said, "end"} {
				alice.say(text)
			}
			for _, who := range []struct {
				name string
				client
				want []string
			}{{"alice", alice, tt.alice}, {"bob", bob, tt.bob}, {"bob's other tab", bob2, tt.bob}, {"carl", carl, nil}} {
				who.until("alice: begin")
				want := append(slices.Clip(tt.room), who.want...)
				if got := who.until("alice: end"); !slices.Equal(got, want) {
					t.Errorf("%q, %s:\n got %q\nwant %q", tt.said, who.name, got, want)
				}
			}
		})
	}
}

func TestWhoIsBounded(t *testing.T) {
	t.Parallel()
	addr := serve(t, chat.Config{})
	var last client
	for i := range 102 {
		last = join(t, addr, fmt.Sprint("u", i), "lobby")
	}
	last.say("/who")
	got, err := last.next()
	list, counted := strings.CutPrefix(got, "Server: 102 here: ")
	list, more := strings.CutSuffix(list, " and 2 more")
	if n := strings.Count(list, ", ") + 1; err != nil || !counted || !more || n != 100 {
		t.Errorf("got %d names in %q, error %v; want 100 of 102", n, got, err)
	}
}

// TestStatusEndsWithTheUser: a user who left and comes back has no status any more.
func TestStatusEndsWithTheUser(t *testing.T) {
	t.Parallel()
	addr := serve(t, chat.Config{})
	bob, alice := join(t, addr, "bob", "lobby"), join(t, addr, "alice", "lobby")
	alice.say("/status away")
	alice.want("Server: alice is away")
	bob.want("Server: alice has joined the chat", "Server: alice is away")
	bob.say("/who")
	bob.want("Server: 2 here: alice (away), bob")
	alice.leave()
	join(t, addr, "alice", "lobby")
	bob.want("Server: alice has left the chat", "Server: alice has joined the chat")
	bob.say("/who")
	bob.want("Server: 2 here: alice, bob")
}

// TestBusyRoom: if a room takes no more, the speaker alone is told.
func TestBusyRoom(t *testing.T) {
	t.Parallel()
	app := newApp(t, chat.Config{})
	app.Hub().Middleware = []server.Middleware{{Send: func(next server.SendFunc) server.SendFunc {
		return func(m server.Message) error {
			if string(m.Data) == "alice: hi" {
				return server.ErrBacklog
			}
			return next(m)
		}
	}}}
	addr := serveApp(t, app, app.Route())
	bob, alice := join(t, addr, "bob", "lobby"), join(t, addr, "alice", "lobby")
	for _, text := range []string{"hi", "ho"} {
		alice.say(text)
	}
	alice.want("Server: the room is too busy: your message may not have reached everybody", "alice: ho")
	bob.want("Server: alice has joined the chat", "alice: ho")
}

// apart is a broker of a node that has lost the others.
type apart struct{ hub.Local }

func (b *apart) Publish(m hub.Message) error {
	return cmp.Or(b.Local.Publish(m), hub.ErrDegraded)
}

// TestApart: a node that has lost the others goes on by itself, and nobody is told to try again.
func TestApart(t *testing.T) {
	t.Parallel()
	app := newApp(t, chat.Config{})
	app.Hub().Broker = new(apart)
	addr := serveApp(t, app, app.Route())
	alice, bob := join(t, addr, "alice", "lobby"), join(t, addr, "bob", "lobby")
	alice.want("Server: bob has joined the chat")
	alice.say("hi")
	alice.say("ho")
	for _, c := range []client{alice, bob} {
		c.want("alice: hi")
		c.want("alice: ho")
	}
}
