//go:build linux

package main_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Messages that do not arrive. On the page each stands in the log as not delivered until its
// user sends it again or takes it back.

// lost waits until a message stands as not delivered, for a reason.
func (p person) lost(text, why string) {
	p.t.Helper()
	p.finds(fmt.Sprintf(`#log .lost:has-text(%q):has-text(%q)`, text, "Not delivered: "+why))
}

// holds waits until the text is in the input.
func (p person) holds(text string) {
	p.t.Helper()
	p.until(`$("text").value === ` + string(mustJSON(text)))
}

// heard waits for a last word of a person's, and returns all that one has of them.
func (p person) heard(from person, last string) (all []string) {
	p.t.Helper()
	from.say(last)
	p.sees("#log", last)
	for _, line := range p.texts("#log .said .text") {
		if line != last {
			all = append(all, line)
		}
	}
	return all
}

// TestPageLostLinks: in whatever way a link fails, what may not have arrived stands as
// not delivered, over a reconnect and a reload, and is not sent again by itself.
func TestPageLostLinks(t *testing.T) {
	t.Parallel()
	p := serve(t)
	b := newBrowser(t)
	bob := b.comes("bob", p, nil)
	bob.logIn("bob", "builder")
	bob.join("tea")
	for _, c := range []struct {
		name     string
		up, down bool // what is lost on the way
		cut      bool // and then the link ends
		arrived  bool // and bob has it all the same
	}{
		{"cut", true, false, true, false},
		{"half-open", true, true, false, false},
		{"one way", true, false, false, false}, // while what others say still arrives
		{"unconfirmed", false, true, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			alice := person{b, "alice " + c.name}
			k := newLink(t, p)
			b.opens(alice.name, "http://"+k.addr+"/", nil)
			alice.carries(token("alice"), "tea")
			alice.finds("#send:enabled")
			text := "over a link that is " + c.name
			k.deafen(c.up, c.down)
			alice.say(text)
			alice.finds(`#log .unsent:has-text("` + text + `")`)
			if !c.down {
				bob.say("can you hear " + c.name)
				alice.sees("#log", "can you hear "+c.name)
			}
			if c.arrived {
				bob.sees("#log", text)
			}
			if c.cut {
				k.cut()
			}
			alice.told("The connection was lost")
			if !c.arrived {
				alice.lost(text, "the connection was lost before an answer came")
			}
			k.deafen(false, false)
			if c.arrived { // the history knows it
				alice.misses("#log .unsent")
				alice.finds("#send:enabled")
			} else {
				alice.finds("#send:enabled")
				alice.lost(text, "the connection was lost")
				alice.do(alice.name, "reload", nil)
				alice.finds("#send:enabled")
				alice.lost(text, "the connection was lost")
				if got := bob.heard(bob, "not yet "+c.name); slices.Contains(got, text) {
					t.Errorf("%q was sent again by itself", text)
				}
				alice.do(alice.name, "focus", nil, ".resend")
				alice.keys("Enter")
				bob.sees("#log", text)
				alice.misses("#log .unsent")
			}
			got := bob.heard(alice, "end of "+c.name)
			if n := strings.Count(strings.Join(got, "\n"), text); n != 1 {
				t.Errorf("bob has it %d times in %q", n, got)
			}
			if got := alice.texts("#log .said .text"); strings.Count(strings.Join(got, "\n"), text) != 1 {
				t.Errorf("alice has %q", got)
			}
			b.do(alice.name, "leave", nil)
		})
	}
}

// TestPageIdleLink: a page that says nothing learns that its link is dead when it wakes
// up or its network changes, and that it cannot be opened.
func TestPageIdleLink(t *testing.T) {
	t.Parallel()
	p := serve(t)
	b := newBrowser(t)
	k := newLink(t, p)
	var people []person
	events := []string{"online", "offline", "pageshow", "resume", "visibilitychange"}
	for _, event := range events {
		alice := b.opens(event, "http://"+k.addr+"/", nil)
		alice.carries(token("alice"), "tea")
		alice.finds("#send:enabled")
		alice.finds("#members .name") // the answer to what it asked when it came
		alice.misses("[data-offline]")
		people = append(people, alice)
	}
	k.deafen(true, true)
	for i, event := range events {
		target := "window"
		if i >= 3 {
			target = "document"
		}
		people[i].do(event, "evaluate", nil, target+`.dispatchEvent(new Event("`+event+`"))`)
	}
	for _, alice := range people {
		alice.told("The connection was lost")
		alice.finds("[data-offline]")
	}
	people[0].until("link.state !== 'open'") // nor does the next one open, or say why
	people[0].told("The server cannot be reached")
}

// TestPageOverTheLimit: messages that the limiter dropped stand in the log, whether or not it
// said so.
func TestPageOverTheLimit(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	for mode, why := range map[string]string{
		"warn":  "Rate limit exceeded. Please slow down.",
		"drop":  "the connection was lost before an answer came", // nobody can tell silence from that
		"close": "the connection was lost before an answer came",
	} {
		t.Run(mode, func(t *testing.T) {
			p := serve(t, "--rate", "6/m", "--burst", "3", "--over-limit", mode)
			alice := b.comes(mode, p, nil)
			alice.logIn("alice", "wonderland")
			alice.join("tea")
			alice.do(mode, "evaluate", nil, `for (const text of ["one", "two", "three", "four", "five"]) { $("text").value = text; say(new Event("submit")); }`)
			alice.lost("four", why)
			alice.lost("five", why)
			alice.finds("#send:enabled")
			alice.lost("five", why)
			alice.finds(`#log .said:not(.unsent):has-text("one")`)
		})
	}
}

// TestPageRefused: messages that the server refused stand in the log with the reason, and can
// be edited.
func TestPageRefused(t *testing.T) {
	t.Parallel()
	p := serve(t, "--max-message", "1KiB")
	b := newBrowser(t)
	alice := b.comes("alice", p, nil)
	alice.logIn("alice", "wonderland")
	alice.join("tea")

	alice.say("/msg nobody //psst")
	alice.lost("//psst", "Nobody is not in this room")
	alice.say("next")
	alice.sees("#log", "alice: next")
	alice.lost("//psst", "Nobody is not in this room")
	alice.fill("#text", "draft")
	alice.click(`button:has-text("Edit")`)
	alice.sees("#to", "Privately to nobody")
	alice.holds("///psst") // it is not a command, and the draft is where it was
	alice.misses("#log .unsent")
	alice.click("#to-all")
	alice.holds("draft")

	long := strings.Repeat("x", 2000)
	alice.say(long)
	alice.told("Your message was too long for this server")
	alice.lost(long, "it is too long for this server")
	alice.finds("#send:enabled")

	longer := strings.Repeat("🎭", 4097)
	alice.say(longer) // is not even sent
	alice.sees("#say-form .remark", "Too long by 1: at most 4,096 characters can be sent.")
	alice.holds(longer)
	alice.fill("#my-status", strings.Repeat("x", 65))
	alice.click("#set-status")
	alice.sees("#status-form .remark", "Too long by 1: at most 64 characters can be sent.")

	// Another room and another user do not see it, and leaving loses nothing.
	alice.join("garden")
	alice.misses("#log .unsent")
	alice.click("#logout")
	alice.logIn("bob", "builder")
	alice.join("tea")
	alice.misses("#log .unsent")
	alice.click("#logout")
	alice.logIn("alice", "wonderland")
	alice.join("tea")
	alice.lost(long, "it is too long for this server")
}

// TestPageCommandsFirst: a command is a command in a private chat too.
func TestPageCommandsFirst(t *testing.T) {
	t.Parallel()
	p := serve(t)
	b := newBrowser(t)
	alice, bob, carol := b.comes("alice", p, nil), b.comes("bob", p, nil), b.comes("carol", p, nil)
	bob.carries(token("bob"), "tea")
	bob.finds("#send:enabled")
	carol.carries(token("carol"), "tea")
	carol.finds("#send:enabled")
	alice.logIn("alice", "wonderland")
	alice.join("tea")
	alice.click(`#members button:has-text("bob")`)
	alice.sees("#to", "Privately to bob")

	alice.say("/msg carol for you  ")
	carol.sees("#log .private", "alice to carol (private): for you")
	alice.say("/who")
	alice.sees("#log", "3 here: alice, bob, carol")
	alice.say("/status in the foyer")
	carol.sees("#log", "alice is in the foyer")
	for _, no := range []string{"/", "/shout it", "/msg carol", "/Who", "/who?"} {
		alice.do("alice", "evaluate", nil, `$("log").querySelectorAll(".warning").forEach(line => line.remove())`)
		alice.say(no)
		alice.sees("#log .warning", "There are /msg")
		alice.holds(no)
	}
	alice.say("//who am I")
	bob.sees("#log .private", "alice to bob (private): /who am I")
	alice.say("for bob")
	bob.sees("#log", "for bob")
	alice.say("/msg carol end")
	carol.sees("#log", "alice to carol (private): end")
	for _, c := range []struct {
		of   person
		want []string
	}{
		{bob, []string{"/who am I", "for bob"}},
		{carol, []string{"for you", "end"}},
	} {
		if got := c.of.texts("#log .private .text"); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.of.name, got, c.want)
		}
	}
}

// TestPageDrafts: what is being written belongs to its user, room and addressee.
func TestPageDrafts(t *testing.T) {
	t.Parallel()
	p := serve(t)
	b := newBrowser(t)
	alice, bob := b.comes("alice", p, nil), b.comes("bob", p, nil)
	bob.carries(token("bob"), "tea")
	bob.finds("#send:enabled")
	alice.logIn("alice", "wonderland")
	alice.join("tea")
	alice.fill("#text", "to all in tea")
	alice.click(`#members button:has-text("bob")`)
	alice.holds("")
	alice.fill("#text", "to bob only")
	alice.keys("Escape")
	alice.holds("to all in tea")
	alice.join("garden")
	alice.holds("")
	alice.fill("#text", "to the garden")
	alice.join("tea")
	alice.holds("to all in tea")
	alice.click(`#members button:has-text("bob")`)
	alice.do("alice", "reload", nil)
	alice.sees("#to", "Privately to bob")
	alice.holds("to bob only")

	alice.click("#logout")
	alice.logIn("bob", "builder")
	alice.join("tea")
	alice.misses("#to")
	alice.holds("")
	alice.click("#logout")
	alice.logIn("alice", "wonderland")
	alice.join("tea")
	alice.holds("to all in tea")
	alice.say("to all in tea")
	bob.sees("#log", "alice: to all in tea")
	alice.do("alice", "reload", nil)
	alice.finds("#send:enabled")
	alice.holds("")
}

// TestPageStatusElsewhere: a tab that comes back takes over the status that was set
// elsewhere meanwhile, and does not set its own again.
func TestPageStatusElsewhere(t *testing.T) {
	t.Parallel()
	p := serve(t)
	b := newBrowser(t)
	k := newLink(t, p)
	sleeper := b.opens("sleeper", "http://"+k.addr+"/", nil)
	other := b.comes("other", p, nil)
	bob := b.comes("bob", p, nil)
	for _, who := range []person{sleeper, other} {
		who.carries(token("alice"), "tea")
		who.finds("#send:enabled")
	}
	bob.carries(token("bob"), "tea")
	bob.finds("#send:enabled")
	for _, newer := range []string{"busy", ""} {
		sleeper.fill("#my-status", "away")
		sleeper.click("#set-status")
		bob.finds(`#members li:has-text("alice") .text:text-is("away")`)
		k.deafen(true, true)
		k.cut()
		sleeper.finds("[data-offline]")
		other.fill("#my-status", newer)
		other.click("#set-status")
		seat := map[bool]string{true: ".seat:not(.away)", false: ".seat.away"}[newer == ""]
		bob.sees("#log", map[bool]string{true: "alice is back", false: "alice is busy"}[newer == ""])
		bob.finds(`#members li:has-text("alice") ` + seat)
		k.deafen(false, false)
		sleeper.finds("#send:enabled")
		sleeper.until(`$("my-status").value === "` + newer + `"`)
		sleeper.say("awake")
		bob.sees("#log", "awake")
		bob.do("bob", "evaluate", nil, `$("log").replaceChildren()`)
		bob.say("/who")
		want := "2 here: alice, bob"
		if newer != "" {
			want = "2 here: alice (" + newer + "), bob"
		}
		bob.sees("#log", want)
	}
}
