//go:build linux

package main_test

import (
	"flag"
	"path/filepath"
	"testing"
)

var screenshots = flag.String("screenshots", "", "write pictures of the pages into this directory")

// looks are the settings in which a page has to look good.
var looks = []struct {
	name          string
	scheme        string
	width, height int
}{
	{"light", "light", 1280, 800},
	{"dark", "dark", 1280, 800},
	{"phone-light", "light", 390, 844},
	{"phone-dark", "dark", 390, 844},
	{"", "light", 320, 568},
}

// TestPageLooks: in every look all text can be read and nothing sticks out. With
// -screenshots there are pictures of it.
func TestPageLooks(t *testing.T) {
	t.Parallel()
	p := serve(t)
	b := newBrowser(t)
	bob, carol := b.comes("bob", p, nil), b.comes("carol", p, nil)
	bob.logIn("bob", "builder")
	bob.join("stalls")
	carol.carries(token("carol"), "stalls")
	carol.finds("#send:enabled")
	bob.say("/status at the door")
	for _, look := range looks {
		a := b.comes("alice", p, map[string]any{
			"colorScheme": look.scheme, "locale": "en-GB",
			"viewport": map[string]int{"width": look.width, "height": look.height},
		})
		a.looksGood()
		a.logIn("alice", "wonderland")
		a.finds("#room:focus")
		a.looksGood()
		a.join("foyer")
		if look.width < 500 {
			a.click("#menu")
			a.looksGood()
		}
		a.join("stalls")
		a.sees("#log", "alice has joined the chat")
		a.converse(bob, carol)
		if look.name != "" {
			a.picture("chat-" + look.name)
		}
		a.say("/msg nobody Are you seated, and is there room for one more who is late?")
		a.lost("Are you seated", "Nobody is not in this room.")
		a.do(a.name, "evaluate", nil, `divide("gap", "New since you left")`)
		a.looksGood()
		if look.width < 500 {
			a.click("#menu")
			a.looksGood()
		}
		a.click(`#members button:has-text("bob")`)
		a.fill("#text", "Is the lady in the second row")
		a.looksGood()
		a.do(a.name, "evaluate", nil, `link.socket.onclose({code: 1006, reason: ""})`)
		a.looksGood()
		b.do(a.name, "leave", nil)
		bob.sees("#log", "alice has left the chat")
		bob.do("bob", "evaluate", nil, `$("log").replaceChildren()`)
	}
}

// converse has three people say something of every kind.
func (p person) converse(bob, carol person) {
	p.t.Helper()
	say := func(who person, text, seen string) {
		p.t.Helper()
		who.say(text)
		p.sees("#log", seen)
	}
	say(p, "Good evening. Are we all seated?", "seated?")
	say(bob, "Nearly. I have kept you two in the front row.", "front row")
	say(bob, "The doors close in five minutes.", "five minutes")
	say(carol, "Third row is fine for me, the view is better there, and I do like to see who comes in late. Would anybody like a programme?", "programme?")
	say(carol, "/msg alice Save me the seat next to yours?", "next to yours")
	say(p, "/msg carol Done. It has your name on it.", "your name")
	say(bob, "/status by the curtain", "by the curtain")
	say(bob, "Ladies and gentlemen, <b>please</b> switch off your bots.", "your bots")
}

// looksGood checks how the page is at the moment.
func (p person) looksGood() {
	p.t.Helper()
	var out []string
	p.do(p.name, "sticksOut", &out)
	if len(out) > 0 {
		p.t.Errorf("%q stick out", out)
	}
	var least struct {
		Ratio float64
		Where string
	}
	p.do(p.name, "contrast", &least, "h1, h2, p, label, button, input, .name, .text, .aside, .fate, time, kbd, .seat, #here, dt, dd, th, td, figcaption, .plot span, .axis span")
	if least.Ratio < 4.5 { // WCAG 2.2 §1.4.3
		p.t.Errorf("contrast %.2f of %s, want 4.5", least.Ratio, least.Where)
	}
}

// picture writes what the page looks like, if pictures are wanted.
func (p person) picture(name string) {
	p.t.Helper()
	if *screenshots == "" {
		return
	}
	path, err := filepath.Abs(filepath.Join(*screenshots, name+".png"))
	if err != nil {
		p.t.Fatal(err)
	}
	p.do(p.name, "screenshot", nil, map[string]any{"path": path, "animations": "disabled", "caret": "hide"})
}
