//go:build linux

package hub

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/usher-ws/usher/frame"
)

// tell has a hub hear all that another one retains, or has forgotten, in some order.
func tell(t *testing.T, rng *rand.Rand, to, from *Hub) {
	t.Helper()
	all := from.AllRetained()
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, m := range all {
		if err := to.Keep(m); err != nil {
			t.Error(err)
		}
	}
}

// TestForgottenWhileSilent: a value that was forgotten while a hub was silent does not come back with
// it, whoever is told first; one that was retained since does not go.
func TestForgottenWhileSilent(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, first := range []string{"the silent one is told first", "the others are told first"} {
		var broker Local
		here, there, silent := serve(t, &Hub{Broker: &broker}), serve(t, &Hub{Broker: &broker}), serve(t, new(Hub))
		if err := there.Listen(); err != nil { // nobody is there
			t.Fatal(err)
		}
		for _, topic := range []string{"attic", "cellar", "hall"} {
			retain(t, here.Hub, topic, "old")
		}
		tell(t, rng, silent.Hub, here.Hub)
		_, ear := silent.join("attic", "alice")
		ear.wantHeard("old")
		if !here.Forget("attic") || !there.Forget("cellar") {
			t.Error("it is not there to be forgotten")
		}
		retain(t, here.Hub, "cellar", "new")
		all := []*Hub{silent.Hub, here.Hub, there.Hub}
		if first == "the silent one is told first" {
			tell(t, rng, silent.Hub, there.Hub)
		}
		tell(t, rng, here.Hub, silent.Hub)
		tell(t, rng, there.Hub, silent.Hub)
		tell(t, rng, silent.Hub, here.Hub)
		for k, h := range all {
			if a, c, in := retained(h, "attic", 0), retained(h, "cellar", 0), retained(h, "hall", 0); a != "" || c != "text new" || in != "text old" {
				t.Errorf("%s: hub %d has %q, %q and %q", first, k, a, c, in)
			}
		}
		retain(t, here.Hub, "attic", "once more")
		tell(t, rng, silent.Hub, here.Hub)
		if got := retained(silent.Hub, "attic", 0); got != "text once more" {
			t.Errorf("%s: got %q", first, got)
		}
	}
}

// TestRetainedAtRandom: whatever hubs retain and forget, and whoever tells whom of it, in the end
// each has the last word of each topic.
func TestRetainedAtRandom(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 7))
		hubs := []*Hub{new(Hub), new(Hub), new(Hub), new(Hub)}
		said := make(map[string]map[string]int64) // by topic, words and their times
		for step := range 200 {
			h, topic := hubs[rng.IntN(len(hubs))], fmt.Sprint("topic ", rng.IntN(5))
			switch rng.IntN(4) {
			case 0:
				tell(t, rng, h, hubs[rng.IntN(len(hubs))])
				continue
			case 1:
				if !h.Forget(topic) {
					continue
				}
			default:
				retain(t, h, topic, fmt.Sprint(step))
			}
			if said[topic] == nil {
				said[topic] = make(map[string]int64)
			}
			said[topic][retained(h, topic, 0)] = max(said[topic][retained(h, topic, 0)], h.lastWord(topic))
		}
		for range hubs { // in a ring, as often as there are
			for k := range hubs {
				tell(t, rng, hubs[(k+1)%len(hubs)], hubs[k])
			}
		}
		for topic, words := range said {
			last := ""
			for word, at := range words {
				if at > words[last] {
					last = word
				}
			}
			for k, h := range hubs {
				if got := retained(h, topic, 0); got != last {
					t.Fatalf("seed %d: hub %d has %q in %s, want %q", seed, k, got, topic, last)
				}
			}
		}
	}
}

// What was forgotten is bounded, in number, bytes and time; the oldest goes first.
func TestForgottenIsBounded(t *testing.T) {
	var f forgotten
	now := time.Now().UnixNano()
	is := func(want ...string) {
		t.Helper()
		var got []string
		for topic := range f.at {
			got = append(got, topic)
		}
		slices.Sort(got)
		bytes := 0
		for _, one := range f.order {
			bytes += one.size()
		}
		if !slices.Equal(got, want) || f.bytes != bytes {
			t.Fatalf("got %.20q with %d bytes, want %.20q with %d", got, f.bytes, want, bytes)
		}
	}
	for k, topic := range []string{"a", "b", "c", "a"} {
		f.add(topic, now+int64(k), now, 3)
	}
	is("a", "b", "c") // a for the second time
	f.drop("b")
	f.add("d", now+4, now, 3)
	is("a", "c", "d")
	f.add("late", now-int64(forgottenFor), now, 3)
	is("a", "c", "d")
	f.tidy(now+3+int64(forgottenFor), 3)
	is("d")
	large := strings.Repeat("x", maxForgotten/2)
	f.add(large, now+5, now, 3)
	is("d", large)
	f.add("y"+large, now+6, now, 3)
	is("y" + large)
	f.tidy(now+6+int64(forgottenFor), 3)
	is()
	if f.order != nil || f.at != nil {
		t.Error("it keeps memory")
	}
}

// TestUnstamped: hubs give what has no time the same one, later than all that they know, so that none
// tells another of it again.
func TestUnstamped(t *testing.T) {
	for {
		minute := time.Now().Truncate(stampGrain)
		one, two := serve(t, new(Hub)), serve(t, new(Hub))
		_, ear := one.join("lobby", "alice")
		both := func(text string) {
			for _, h := range []*Hub{one.Hub, two.Hub} {
				m := Encoded("lobby", frame.OpText, spoken(text))
				m.Retained = Unstamped
				if err := h.Keep(m); err != nil {
					t.Error(err)
				}
			}
		}
		both("a")
		both("a")
		retain(t, one.Hub, "lobby", "b")
		tell(t, rand.New(rand.NewPCG(1, 1)), two.Hub, one.Hub)
		both("c")
		one.Forget("lobby")
		tell(t, rand.New(rand.NewPCG(1, 1)), two.Hub, one.Hub)
		both("d")
		at := one.lastWord("lobby")
		isSame := at == two.lastWord("lobby")
		tell(t, rand.New(rand.NewPCG(1, 1)), one.Hub, two.Hub)
		retain(t, two.Hub, "lobby", "e")
		tell(t, rand.New(rand.NewPCG(1, 1)), one.Hub, two.Hub)
		if time.Now().Truncate(stampGrain) != minute {
			continue // it may have ended between two hubs
		}
		if !isSame || retained(one.Hub, "lobby", 0) != "text e" {
			t.Errorf("the times are the same: %v; %q is retained", isSame, retained(one.Hub, "lobby", 0))
		}
		ear.wantHeard("a", "a", "b", "c", "d", "e")
		return
	}
}
