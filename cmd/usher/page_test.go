//go:build linux

package main_test

import (
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// The chat's page as people see it, in a real browser.

// TestPageTwoPeople: they log in, talk, whisper, and see each other come, change
// and go.
func TestPageTwoPeople(t *testing.T) {
	t.Parallel()
	p := serve(t)
	b := newBrowser(t)
	alice, bob, carol := b.comes("alice", p, nil), b.comes("bob", p, nil), b.comes("carol", p, nil)
	alice.logIn("alice", "wonderland")
	alice.join("tea")
	bob.logIn("bob", "builder")
	bob.join("tea")
	carol.carries(token("carol"), "tea")
	alice.sees("#log", "carol has joined the chat")
	alice.sees("#here", "3 here")
	if got, want := alice.texts("#members .name"), []string{"alice (you)", "bob", "carol"}; !slices.Equal(got, want) {
		t.Errorf("members: got %q, want %q", got, want)
	}

	alice.say("hello bob")
	bob.sees("#log", "alice: hello bob")
	bob.say(`hello <b>alice</b> <img src="x" onerror="throw 1">`)
	alice.sees("#log", `bob: hello <b>alice</b> <img src="x" onerror="throw 1">`)

	alice.click(`#members button:has-text("bob")`)
	alice.sees("#to", "Privately to bob")
	alice.say("psst")
	bob.sees("#log .private", "alice to bob (private): psst")
	alice.sees("#log .private", "alice to bob (private): psst")
	alice.click("#to-all")
	alice.say("to all again")
	carol.sees("#log", "to all again")
	if said := strings.Join(carol.texts("#log > p"), "\n"); strings.Contains(said, "psst") {
		t.Errorf("carol saw what was private: %q", said)
	}

	bob.fill("#my-status", "at the door")
	bob.click("#set-status")
	alice.sees("#log", "bob is at the door")
	alice.finds(`#members li:has-text("bob") .away`)
	bob.fill("#my-status", "")
	bob.click("#set-status")
	alice.sees("#log", "bob is back")
	alice.misses(`#members li:has-text("bob") .away`)

	bob.fill("#my-status", "in the garden")
	bob.click("#set-status")
	alice.sees("#log", "bob is in the garden")
	bob.join("garden") // another room, and no longer this one
	alice.sees("#log", "bob has left the chat")
	alice.misses(`#members li:has-text("bob")`)
	alice.sees("#here", "2 here")
	bob.finds(`#members li:has-text("bob") .away`) // the status came along
	b.do("carol", "leave", nil)
	alice.sees("#here", "1 here")
}

// TestPageReload: after a reload the user is in the room again, and nobody else is told.
func TestPageReload(t *testing.T) {
	t.Parallel()
	p := serve(t, "--leave-grace", "1m")
	b := newBrowser(t)
	alice := b.comes("alice", p, nil)
	alice.logIn("alice", "wonderland")
	alice.join("tea")
	bob := b.comes("bob", p, nil)
	bob.logIn("bob", "builder")
	bob.join("tea")
	alice.do("alice", "reload", nil)
	alice.finds("#send:enabled")
	alice.sees("#title", "tea")
	alice.say("here again")
	bob.sees("#log", "here again")
	if got, want := bob.texts("#log > p"), []string{"bob has joined the chat", "alice: here again"}; !slices.Equal(got, want) {
		t.Errorf("bob's log: got %q, want %q", got, want)
	}
	alice.click("#logout")
	alice.finds("#login")
	alice.do("alice", "reload", nil)
	alice.finds("#login")
}

// TestPageCrowd: in a large room, users who come and go are counted, not named.
func TestPageCrowd(t *testing.T) {
	t.Parallel()
	p := serve(t, "--announce-max", "1", "--leave-grace", "10ms")
	b := newBrowser(t)
	alice, bob := b.comes("alice", p, nil), b.comes("bob", p, nil)
	alice.logIn("alice", "wonderland")
	alice.join("tea")
	bob.logIn("bob", "builder")
	bob.join("tea")
	alice.sees("#log .crowd", "1 joined, 2 here")
	alice.sees("#here", "2 here")
	carol := b.comes("carol", p, nil)
	carol.carries(token("carol"), "tea")
	alice.sees("#log .crowd", "2 joined, 3 here")
	b.do("bob", "leave", nil)
	alice.sees("#log .crowd", "2 joined, 1 left, 2 here")
}

// TestPageHistory: a user who joins sees what was said before, and one who lost the
// connection sees what they missed, and nothing twice.
func TestPageHistory(t *testing.T) {
	t.Parallel()
	p := serve(t)
	b := newBrowser(t)
	alice, bob := b.comes("alice", p, nil), b.comes("bob", p, nil)
	alice.logIn("alice", "wonderland")
	alice.join("tea")
	alice.say("one")
	alice.say("two")
	alice.sees("#log", "alice: two")
	bob.logIn("bob", "builder")
	bob.join("tea")
	bob.sees("#log", "alice: two")
	bob.do("bob", "evaluate", nil, "link.socket.close()")
	alice.say("three")
	bob.sees("#log", "alice: three")
	alice.say("four")
	bob.sees("#log", "alice: four")
	if got, want := bob.texts("#log .said"), []string{"alice: one", "alice: two", "alice: three", "alice: four"}; !slices.Equal(got, want) {
		t.Errorf("bob's log: got %q, want %q", got, want)
	}
}

// TestPageRestart: the page survives the server, and says what is going on. With
// another secret it asks to log in again, and goes back to the room.
func TestPageRestart(t *testing.T) {
	t.Parallel()
	p := serve(t, "--drain", "1s")
	b := newBrowser(t)
	alice, bob := b.comes("alice", p, nil), b.comes("bob", p, nil)
	alice.logIn("alice", "wonderland")
	alice.join("tea")
	bob.logIn("bob", "builder")
	bob.join("tea")
	restart := func(secret string) {
		t.Helper()
		p.signal(t, syscall.SIGTERM)
		alice.told("The server is restarting. Trying again in")
		if code := p.exit(t, patience); code != 0 {
			t.Fatalf("exit code %d, want 0", code)
		}
		cmd := usher(t, "serve", "--listen", p.addr, "--users", "demo", "--drain", "1s")
		cmd.Env = append(cmd.Env, "USHER_SECRET="+secret)
		p = start(t, cmd)
	}
	restart(secret)
	alice.finds("#send:enabled")
	bob.finds("#send:enabled")
	alice.sees("#members", "bob")
	alice.say("still here")
	bob.sees("#log", "alice: still here")

	restart(strings.ToUpper(secret))
	alice.sees("#status", "Please log in again.")
	alice.finds("#password:focus")
	alice.fill("#password", "wonderland")
	alice.click("#login")
	alice.finds("#send:enabled")
	alice.sees("#title", "tea")
}

// TestPageBackoff: the page waits as long as it is asked to, and then up to a span that
// doubles, half a minute at most.
func TestPageBackoff(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	alice := b.comes("alice", serve(t), nil)
	var waits []int // in seconds, rounded up
	alice.do("alice", "evaluate", &waits, `new Promise(told => {
		class Draining {
			constructor() { setTimeout(() => { this.onopen(); this.onclose({code: 1001, reason: "draining; retry-after-ms=7000"}); }); }
			close() {}
		}
		const waits = [], link = usher.connect(location.href, {WebSocket: Draining});
		link.addEventListener("state", event => {
			changed(event);
			if (event.state !== "waiting") return;
			waits.push(Number(/again in (\d+) s/.exec($("status").textContent)[1]));
			if (waits.length < 8) return link.connect();
			link.close();
			told(waits);
		});
	})`)
	if len(waits) != 8 {
		t.Fatalf("got %d, want 8 waits", waits)
	}
	for k, got := range waits {
		if longest := 7 + min(30, 1<<k); got < 7 || got > longest {
			t.Errorf("attempt %d waits %d s, want 7 to %d", k, got, longest)
		}
	}
}

// TestPageLimiter: a user who is too fast is told so, and what was not sent stays in the log.
func TestPageLimiter(t *testing.T) {
	t.Parallel()
	p := serve(t, "--rate", "1/m", "--burst", "3") // one of which asks who is there
	b := newBrowser(t)
	alice := b.comes("alice", p, nil)
	alice.logIn("alice", "wonderland")
	alice.join("tea")
	for _, text := range []string{"one", "two"} {
		alice.say(text)
		alice.sees("#log", "alice: "+text)
	}
	alice.say("/msg nobody psst")
	alice.sees("#log .warning", "Please slow down.")
	alice.finds("#send:disabled:has-text(' s')") // counting down
	alice.lost("psst", "Rate limit exceeded.")

	p = serve(t, "--rate", "60/m", "--burst", "2", "--over-limit", "close")
	bob := b.comes("bob", p, nil)
	bob.logIn("bob", "builder")
	bob.join("tea")
	bob.say("one")
	bob.sees("#log", "bob: one")
	bob.do("bob", "evaluate", nil, `for (const type of ["who", "who", "who"]) send({type})`)
	bob.told("You sent too many messages. Trying again in")
	bob.finds("#send:enabled") // by itself
}

// TestPageRefusals: a user who is not let in is told why, in words.
func TestPageRefusals(t *testing.T) {
	t.Parallel()
	p := serve(t, "--rooms", "tea,garden", "--max-conns-per-user", "3")
	b := newBrowser(t)
	alice := b.comes("alice", p, nil)
	alice.logIn("alice", "wrong")
	alice.sees("#status", "Not logged in: No user has this name and password.")
	alice.finds("#password:focus")
	alice.do("alice", "evaluate", nil, `Promise.all(Array.from({length: 11}, () =>
		fetch("/token", {method: "POST", body: new URLSearchParams({username: "mallory", password: "x"})})))`)
	alice.logIn("mallory", "x")
	alice.sees("#status", "Not logged in: Too many attempts to log in. Try again in")
	alice.logIn("alice", "wonderland")
	alice.finds("#room:focus")
	alice.fill("#room", "attic")
	alice.click("#join")
	alice.sees("#status", "Not let in to attic: There is no room of this name.")
	alice.finds("#room:focus")
	alice.join("tea")

	dora := b.comes("dora", p, nil)
	dora.carries(token("dora", "garden"), "tea")
	dora.sees("#status", "Not let in to tea: Your token does not open this room.")
	dora.join("garden")

	for _, tab := range []string{"second", "third"} {
		b.comes(tab, p, nil).carries(token("alice"), "tea")
		b.do(tab, "waitForSelector", nil, "#send:enabled")
	}
	fourth := b.comes("fourth", p, nil)
	fourth.carries(token("alice"), "tea")
	fourth.told("Not let in for now: Too many connections of this user. Trying again in")
	b.do("second", "leave", nil)
	fourth.finds("#send:enabled") // by itself

	late := b.comes("late", p, nil)
	late.carries(sign(jwt.SigningMethodHS256, jwt.MapClaims{"sub": "eve", "exp": time.Now().Add(3 * time.Second).Unix()}), "tea")
	late.sees("#status", "log in again.")
	late.finds("#username:focus")
}

// TestPageByToken: where tokens are made elsewhere, the page takes one.
func TestPageByToken(t *testing.T) {
	t.Parallel()
	pairs := newKeyPairs(t)
	ed := pairs[slices.IndexFunc(pairs, func(k keyPair) bool { return k.algorithm == "EdDSA" })]
	cmd := usher(t, "serve", "--listen", "127.0.0.1:0", "--public-key", ed.publicFile)
	cmd.Env = append(cmd.Env, "USHER_SECRET=")
	p := start(t, cmd)
	signed, err := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{"sub": "carol", "exp": time.Now().Add(time.Hour).Unix()}).SignedString(ed.signer)
	if err != nil {
		t.Fatal(err)
	}
	b := newBrowser(t)
	carol := b.comes("carol", p, nil)
	carol.fill("#token", "nonsense")
	carol.click("#login")
	carol.sees("#status", "this is not a token")
	carol.fill("#token", signed)
	carol.click("#login")
	carol.join("tea")
	carol.sees("#log", "carol has joined the chat")
}

// TestPageKeyboard: everything can be done without a mouse, and has a name.
func TestPageKeyboard(t *testing.T) {
	t.Parallel()
	p := serve(t)
	b := newBrowser(t)
	alice, bob := b.comes("alice", p, nil), b.comes("bob", p, nil)
	bob.logIn("bob", "builder")
	bob.join("tea")
	alice.keys(":alice", "Tab", ":wonderland", "Enter")
	alice.finds("#room:focus")
	alice.keys(":tea", "Enter") // over the room that is proposed
	alice.finds("#send:enabled")
	alice.finds("#text:focus")
	alice.keys(":hello", "Enter")
	bob.sees("#log", "alice: hello")
	alice.sees("#members", "bob")
	alice.do("alice", "focus", nil, `#members button:has-text("bob")`)
	alice.keys("Enter")
	alice.finds("#text:focus")
	alice.keys(":psst", "Enter")
	bob.sees("#log .private", "psst")
	alice.keys("Escape", ":aloud", "Enter")
	bob.finds("#log .said:not(.private):has-text('aloud')")

	var tree string
	alice.do("alice", "aria", &tree)
	for _, want := range []string{`log "Messages"`, `textbox "Message"`, `button "Send"`, `complementary "Rooms and people"`, `textbox "Room"`, "status"} {
		if !strings.Contains(tree, want) {
			t.Errorf("no %s in\n%s", want, tree)
		}
	}
	if nameless := regexp.MustCompile(`(?m)- (button|textbox|combobox|link)( \[.*\])*:?$`).FindString(tree); nameless != "" {
		t.Errorf("%q has no name in\n%s", nameless, tree)
	}
}
