//go:build linux

package main_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Places on the page, what is in view there, and what the page says about itself.

// pastes puts a text into an input by way of the clipboard.
func (p person) pastes(selector, text string) {
	p.t.Helper()
	p.do(p.name, "evaluate", nil, "navigator.clipboard.writeText("+string(mustJSON(text))+")")
	p.do(p.name, "focus", nil, selector)
	p.keys("Control+v")
}

// TestPageBack: each room, private chat and opened panel is a step that Back undoes.
func TestPageBack(t *testing.T) {
	t.Parallel()
	p := serve(t)
	b := newBrowser(t)
	bob := b.comes("bob", p, nil)
	bob.carries(token("bob"), "tea")
	bob.finds("#send:enabled")
	alice := b.comes("alice", p, map[string]any{"viewport": map[string]int{"width": 390, "height": 844}})
	back := func() { t.Helper(); alice.do("alice", "goBack", nil) }
	alice.logIn("alice", "wonderland")
	alice.join("tea")
	alice.click("#menu")
	alice.finds("#people")
	back() // closes the panel
	alice.misses("#people")
	alice.sees("#title", "tea")
	alice.click("#menu")
	alice.click("#menu") // its button does the same
	alice.misses("#people")
	alice.until("!history.state.open")
	alice.click("#menu")
	alice.click(`#members button:has-text("bob")`)
	alice.sees("#to", "Privately to bob")
	alice.click("#menu")
	alice.join("garden")
	back() // to bob, and not to the panel
	alice.sees("#title", "tea")
	alice.sees("#to", "Privately to bob")
	alice.finds("#to")
	alice.misses("#people")
	alice.finds("#send:enabled")
	alice.say("psst")
	bob.sees("#log .private", "alice to bob (private): psst")
	back()
	alice.misses("#to")
	alice.sees("#title", "tea")
	alice.do("alice", "goForward", nil)
	alice.finds("#to")
	alice.do("alice", "goForward", nil)
	alice.sees("#title", "garden")
	alice.do("alice", "evaluate", nil, `location.hash = "#attic"`) // as if typed
	alice.sees("#title", "attic")
	alice.finds("#send:enabled")
	back()
	alice.sees("#title", "garden")

	alice.click("#menu")
	alice.click("#logout")
	back() // is not a way in
	alice.finds("#login")
}

// TestPageUnderAPath: a proxy may put the page anywhere.
func TestPageUnderAPath(t *testing.T) {
	t.Parallel()
	p := serve(t, "--rooms", "tea")
	b := newBrowser(t)
	for name, page := range map[string]string{
		"below":   under(t, p, "/chat", "") + "/?lang=en",
		"deeper":  under(t, p, "/apps/chat", "") + "/#tea",
		"slashed": under(t, p, "/chat", ""), // without the slash at its end
	} {
		alice := b.opens(name, page, nil)
		alice.logIn("alice", "wonderland")
		if name == "deeper" {
			alice.finds("#send:enabled")
		} else {
			alice.fill("#room", "attic")
			alice.click("#join")
			alice.sees("#status", "Not let in to attic: There is no room of this name.") // the probe's answer
			alice.join("tea")
		}
		alice.say("from " + name)
		alice.finds(`#log .said:not(.unsent):has-text("from ` + name + `")`)
		alice.until(fmt.Sprintf("location.href.split('#')[0] === %q", strings.Split(page, "#")[0]))
		alice.do(name, "reload", nil)
		alice.finds("#send:enabled")
	}
}

// TestPageLogInElsewhere: where nobody can log in with a password, the page says so and
// takes a token.
func TestPageLogInElsewhere(t *testing.T) {
	t.Parallel()
	p := serve(t)
	b := newBrowser(t)
	carol := b.opens("carol", under(t, p, "", "/token"), nil)
	carol.logIn("carol", "secret")
	carol.sees("#status", "this server knows no passwords")
	carol.finds("#token:focus")
	carol.finds("#elsewhere")
	carol.misses("#username")
	carol.fill("#token", token("carol"))
	carol.click("#login")
	carol.join("tea")
}

// TestPageEndInView: the end of the log stays in view whatever covers the page, and one's
// own message is followed.
func TestPageEndInView(t *testing.T) {
	t.Parallel()
	p := serve(t)
	b := newBrowser(t)
	bob := b.comes("bob", p, nil)
	bob.carries(token("bob"), "tea")
	bob.finds("#send:enabled")
	alice := b.comes("alice", p, map[string]any{"viewport": map[string]int{"width": 390, "height": 844}})
	alice.carries(token("alice"), "tea")
	alice.finds("#send:enabled")
	bob.do("bob", "evaluate", nil, `for (let i = 0; i < 60; i++) { $("text").value = "line " + i; say(new Event("submit")); }`)
	alice.sees("#log", "line 59")
	inView := func(last string) {
		t.Helper()
		alice.until(fmt.Sprintf(`(() => {
			const line = [...document.querySelectorAll("#log .said")].at(-1), form = $("say-form").getBoundingClientRect();
			return line.textContent.includes(%q) && line.getBoundingClientRect().bottom <= form.top + 1 && form.bottom <= visualViewport.height + 1;
		})()`, last))
	}
	inView("line 59")
	alice.do("alice", "setViewportSize", nil, map[string]int{"width": 390, "height": 400}) // a keyboard that makes the page smaller
	inView("line 59")
	alice.do("alice", "setViewportSize", nil, map[string]int{"width": 390, "height": 844})
	inView("line 59")
	// A keyboard that covers the page. What the browser does to the page then is left out.
	alice.do("alice", "evaluate", nil, `Object.defineProperty(visualViewport, "height", {configurable: true, value: 400});
		visualViewport.dispatchEvent(new Event("resize"))`)
	inView("line 59")
	bob.say("while the keyboard is there")
	inView("while the keyboard is there")
	alice.do("alice", "evaluate", nil, `Object.defineProperty(visualViewport, "scale", {configurable: true, value: 2}); // pinched instead
		visualViewport.dispatchEvent(new Event("resize"))`)
	alice.until(`$("app").style.height === ""`)
	alice.do("alice", "evaluate", nil, `delete visualViewport.height; delete visualViewport.scale; visualViewport.dispatchEvent(new Event("resize"))`)
	alice.until("visualViewport.height === 844")

	alice.do("alice", "evaluate", nil, `$("log").scrollTop = 0`)
	alice.until("!atEnd")
	bob.say("is not followed")
	alice.sees("#log", "is not followed")
	alice.finds("#latest")
	alice.until(`$("log").scrollTop < 10`)
	alice.say("is followed")
	inView("is followed")
	alice.misses("#latest")

	var small []string
	alice.do("alice", "evaluate", &small, `[...document.querySelectorAll("input")].filter(e => parseFloat(getComputedStyle(e).fontSize) < 16).map(e => e.id)`)
	if len(small) > 0 {
		t.Errorf("%q have letters under 16 px: an iPhone would zoom", small)
	}
}

// TestPageDaysAndGaps: the log says on which day something was said, what is new since
// somebody looked, and where something may be missing.
func TestPageDaysAndGaps(t *testing.T) {
	t.Parallel()
	p := serve(t, "--history", "3")
	b := newBrowser(t)
	k := newLink(t, p)
	bob := b.comes("bob", p, nil)
	bob.carries(token("bob"), "tea")
	bob.finds("#send:enabled")
	alice := b.opens("alice", "http://"+k.addr+"/", map[string]any{"locale": "en-GB", "timezoneId": "UTC"})
	alice.carries(token("alice"), "tea")
	alice.finds("#send:enabled")
	lines := func(want ...string) {
		t.Helper()
		alice.sees("#log", want[len(want)-1])
		if got := alice.texts("#log :is(h2, .text)"); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		alice.do("alice", "evaluate", nil, `$("log").replaceChildren()`)
	}
	alice.do("alice", "evaluate", nil, `for (const [text, at] of [["a", "2024-02-28T23:59:59Z"], ["b", "2024-02-29T00:00:01Z"], ["c", "2024-02-29T00:00:02Z"]])
		show({from: "bob", text, at: Date.parse(at)})`)
	lines("Wednesday, 28 February 2024", "a", "Thursday, 29 February 2024", "b", "c")

	hide := func(yes bool) {
		alice.do("alice", "evaluate", nil, fmt.Sprintf(`Object.defineProperty(document, "hidden", {configurable: true, value: %t});
			document.dispatchEvent(new Event("visibilitychange"))`, yes))
	}
	bob.say("d")
	alice.sees("#log", "d")
	hide(true)
	bob.say("e")
	bob.say("f")
	alice.until(`document.title === "(2) tea"`)
	hide(false)
	bob.say("g")
	alice.do("alice", "evaluate", nil, `$("log").querySelector(".day").remove()`) // is today
	lines("d", "New since you left", "e", "f", "g")
	hide(true)
	bob.say("h")
	alice.sees("#log", "h")
	hide(false)
	lines("New since you left", "h")

	missed := func(texts ...string) {
		t.Helper()
		k.deafen(true, true)
		k.cut()
		alice.finds("[data-offline]")
		for _, text := range texts {
			bob.say(text)
			bob.finds(`#log .said:not(.unsent):has-text("` + text + `")`)
		}
		k.deafen(false, false)
		alice.finds("#send:enabled")
	}
	missed("i", "j")
	lines("New since the connection was lost", "i", "j")
	missed("k", "l", "m", "n")
	lines("Messages may be missing here", "l", "m", "n")
}

// TestPageDotsTellTheTruth: the page shows who is here only while it has a connection.
func TestPageDotsTellTheTruth(t *testing.T) {
	t.Parallel()
	p := serve(t)
	b := newBrowser(t)
	k := newLink(t, p)
	bob := b.comes("bob", p, nil)
	bob.carries(token("bob"), "tea")
	bob.finds("#send:enabled")
	alice := b.opens("alice", "http://"+k.addr+"/", nil)
	dots := func() (colours []string) {
		t.Helper()
		alice.do("alice", "evaluate", &colours, `[[$("dot")], ...[...document.querySelectorAll("#members .seat")].map(e => [e, "::after"])]
			.map(of => getComputedStyle(...of).backgroundColor)`)
		return colours
	}
	alice.carries(token("alice"), "tea")
	alice.finds("#members li:nth-child(2)") // the count alone may be that of an announcement
	here := dots()
	if len(here) != 3 || len(slices.Compact(slices.Clone(here))) != 1 {
		t.Fatalf("got %q, want three alike", here)
	}
	k.deafen(true, true)
	k.cut()
	alice.sees("#here", "not connected")
	alice.sees("#people-title", "People who were here")
	gone := dots()
	if len(gone) != 3 || len(slices.Compact(slices.Clone(gone))) != 1 || gone[0] == here[0] {
		t.Errorf("got %q, want three alike, and not %q", gone, here[0])
	}
	k.deafen(false, false)
	alice.sees("#here", "2 here")
	alice.sees("#people-title", "People here")
	alice.finds("#members li:nth-child(2)")
	if got := dots(); !slices.Equal(got, here) {
		t.Errorf("got %q, want %q again", got, here)
	}
}

// TestPagePaste: the page says what it changed in a pasted text, or that it cannot be sent,
// and cuts nothing off.
func TestPagePaste(t *testing.T) {
	t.Parallel()
	p := serve(t)
	b := newBrowser(t)
	alice := b.comes("alice", p, map[string]any{"permissions": []string{"clipboard-read", "clipboard-write"}})
	alice.logIn("alice", "wonderland")
	alice.join("tea")
	long := strings.Repeat("é", 5000)
	for _, c := range []struct{ given, held, said string }{
		{"plain é 🎭\ttext", "plain é 🎭\ttext", ""},
		{"one\r\ntwo\nthree\u2028four\n", "one two three four", "Line breaks became spaces: 3."},
		{"bell\a and \x1b[1mbold", "bell and [1mbold", "Characters that cannot be sent were left out: 2."},
		{"a\n\x7fb", "a b", "Line breaks became spaces: 1. Characters that cannot be sent were left out: 1."},
		{long, long, "Too long by 904: at most 4,096 characters can be sent."},
		{strings.Repeat("🎭", 4096), strings.Repeat("🎭", 4096), ""},
	} {
		alice.fill("#text", "")
		alice.pastes("#text", c.given)
		alice.holds(c.held)
		if got := alice.texts("#say-form .remark"); !slices.Equal(got, []string{c.said}) {
			t.Errorf("%.20q: the page says %q, want %q", c.given, got, c.said)
		}
	}
	alice.keys("Control+z") // a paste can be undone
	alice.holds("")
	alice.pastes("#my-status", "out\nto lunch")
	alice.sees("#status-form .remark", "Line breaks became spaces: 1.")
	alice.pastes("#my-status", strings.Repeat("x", 100))
	alice.sees("#status-form .remark", "at most 64 characters can be sent.")
}
