//go:build linux

package main_test

import (
	"fmt"
	"slices"
	"testing"
)

// How the page shows names: their direction, those that look alike, and those that are
// listed and away.

// TestPageNamesTurnNothing: a name or a status that is written from right to left turns
// nothing around it, wherever it stands.
func TestPageNamesTurnNothing(t *testing.T) {
	t.Parallel()
	p := serve(t)
	b := newBrowser(t)
	alice, sara := b.comes("alice", p, nil), b.comes("sara", p, nil)
	alice.carries(token("alice"), "tea")
	alice.finds("#send:enabled")
	sara.carries(token("שרה"), "tea")
	sara.finds("#send:enabled")
	sara.fill("#my-status", "עסוקה")
	sara.click("#set-status")
	alice.sees("#log", "שרה is עסוקה")
	sara.say("/msg alice שלום")
	alice.sees("#log .private", "שרה to alice (private): שלום")
	alice.say("/who")
	alice.sees("#log", "2 here: alice, שרה (עסוקה)")
	alice.finds(`#log .said.private`)
	sara.click("#logout")
	alice.sees("#log", "שרה has left the chat")
	var bare []string // names and statuses in the log that are part of what is around them
	alice.do("alice", "evaluate", &bare, `(() => {
		const found = [], walk = document.createTreeWalker($("log"), NodeFilter.SHOW_TEXT);
		while (walk.nextNode()) {
			const text = walk.currentNode;
			if (/שרה|עסוקה/.test(text.data) && !text.parentElement.matches("bdi")) found.push(text.data);
		}
		return found;
	})()`)
	if len(bare) > 0 {
		t.Errorf("not in <bdi>: %q", bare)
	}
	if got, want := alice.texts("#log .note:last-of-type bdi"), []string{"שרה"}; !slices.Equal(got, want) {
		t.Errorf("the last note: got %q, want %q in <bdi>", got, want)
	}
}

// TestPageNamesAlike: a user whose name looks like another's is told so, at the door and
// behind it. So is one in too many rooms, and one that writes to a user who is away.
func TestPageNamesAlike(t *testing.T) {
	t.Parallel()
	p := serve(t, "--leave-grace", "1m", "--max-rooms-per-user", "1")
	b := newBrowser(t)
	alice := b.comes("alice", p, nil)
	alice.carries(token("alice"), "tea")
	alice.finds("#send:enabled")

	mallory := b.comes("mallory", p, nil)
	mallory.carries(token("Аlice"), "tea") // the first letter is Cyrillic
	mallory.sees("#status", "Not let in to tea: ")
	mallory.finds("#room:focus")
	mallory.join("garden")
	mallory.do("mallory", "evaluate", nil, `link.socket.onclose({code: 1008, reason: "name_forbidden"})`)
	mallory.sees("#status", "Somebody in the room has a name that looks like yours.")
	mallory.finds("#room:focus")

	second := b.comes("second", p, nil)
	second.carries(token("alice"), "attic")
	second.told("Not let in for now: ")
	second.finds("#retry")
	second.do("second", "evaluate", nil, `link.close(); changed({state: "waiting", reason: "ended", code: 1013, word: "rooms_per_user", at: Date.now()})`)
	second.sees("#status", "You are in too many rooms at once. Trying again in")

	alice.say("/msg Аlice hello") // to alice herself
	alice.sees("#log .private", "alice to alice (private): hello")
	bob := b.comes("bob", p, nil)
	bob.carries(token("bob"), "tea")
	alice.sees("#here", "2 here")
	b.do("bob", "leave", nil) // which is noticed a moment later
	for k := 0; len(alice.texts("#log .lost")) == 0; k++ {
		alice.say(fmt.Sprintf("/msg bob psst %d", k))
		alice.until(fmt.Sprintf(`[...$("log").querySelectorAll(".private")].some(e => e.textContent.endsWith("psst %d") || e.matches(".lost"))`, k))
	}
	alice.finds(`#log .lost:has-text("Not delivered: Bob is reconnecting or just leaving")`)
}
