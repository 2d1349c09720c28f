//go:build linux

package hub

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/server"
)

// delivered is what DirectEverywhere has told.
type delivered struct {
	n   int
	err error
}

// everywhere sends b to a user, and waits for what becomes of it.
func everywhere(t *Topic, user, b string) delivered {
	told := make(chan delivered, 1)
	t.DirectEverywhere(user, frame.OpText, func(int) []byte { return []byte(b) }, func(n int, err error) { told <- delivered{n, err} })
	return <-told
}

func (d delivered) want(t *testing.T, n int, err error) {
	t.Helper()
	if d.n != n || !errors.Is(d.err, err) {
		t.Errorf("got %d, %v; want %d, %v", d.n, d.err, n, err)
	}
}

// TestDirectEverywhere: a user hears it at all connections, at whichever hub, each in its dialect and
// once, also if notes between hubs come twice; nobody else does.
func TestDirectEverywhere(t *testing.T) {
	e := ether{isTwice: true}
	homes := e.cluster(t, []string{"north", "south", "west"}, func() *Hub {
		return &Hub{Key: strings.ToLower, Dialects: 2, LeaveGrace: time.Hour}
	})
	north, south, west := homes[0], homes[1], homes[2]
	alice, inNorth := north.join("lobby", "alice")
	_, one := south.join("lobby", "Bob")
	two := south.dial()
	if _, err := south.JoinAs("lobby", "Bob", 1, two.Conn); err != nil {
		t.Fatal(err)
	}
	_, three := west.join("lobby", "Bob")
	_, other := west.join("lobby", "carol")
	lobby := alice.Topic()
	for _, home := range homes {
		home.awaitUsers("lobby", users("Bob", "alice", "carol")...)
	}
	await(t, "north knows Bob at both", func() bool {
		north.mu.Lock()
		defer north.mu.Unlock()
		sure, perhaps := lobby.far.Holders("Bob", "bob")
		return len(sure) == 2 && len(perhaps) == 0
	})
	if name, here := lobby.User("BOB"); name != "Bob" || !here {
		t.Errorf("User: got %q, %v, want Bob", name, here)
	}
	encode := func(dialect int) []byte { return fmt.Append(nil, "psst ", dialect) }
	told := make(chan delivered, 1)
	lobby.DirectEverywhere("Bob", frame.OpText, encode, func(n int, err error) { told <- delivered{n, err} })
	(<-told).want(t, 3, nil)
	lobby.DirectEverywhere("Bob", frame.OpText, encode, nil)
	everywhere(lobby, "alice", "here").want(t, 1, nil)
	everywhere(lobby, "dora", "nowhere").want(t, 0, nil)
	one.wantHeard("psst 0", "psst 0")
	two.wantHeard("psst 1", "psst 1")
	three.wantHeard("psst 0", "psst 0")
	inNorth.wantHeard("here")
	other.wantHeard()

	south.vanish(one, "lobby")
	south.vanish(two, "lobby")
	everywhere(lobby, "Bob", "still").want(t, 1, nil)
	west.vanish(three, "lobby")
	everywhere(lobby, "Bob", "away").want(t, 0, ErrAway)
	wantNoLetters(t, north)
}

// wantNoLetters checks that nothing is left of those that were written.
func wantNoLetters(t *testing.T, home *house) {
	t.Helper()
	home.mu.Lock()
	defer home.mu.Unlock()
	if l := &home.cluster.letters; l.open != nil || l.bytes != 0 {
		t.Errorf("%d letters are awaited, of %d bytes", len(l.open), l.bytes)
	}
}

// TestDirectInACrowd: of a topic so large that hubs tell each other no names, those who may have the
// user are asked.
func TestDirectInACrowd(t *testing.T) {
	var e ether
	homes := e.cluster(t, []string{"north", "south"}, func() *Hub { return &Hub{Key: strings.ToLower, GatherAbove: 1} })
	alice, _ := homes[0].join("lobby", "alice")
	_, bob := homes[1].join("lobby", "Bob")
	homes[1].join("lobby", "carol")
	await(t, "all are counted", func() bool {
		some, total := alice.Topic().Presence(10)
		return len(some) == 1 && total == 3
	})
	if name, here := alice.Topic().User("Bob"); here {
		t.Errorf("User: got %q, whom nobody has told", name)
	}
	everywhere(alice.Topic(), "Bob", "psst").want(t, 1, nil)
	everywhere(alice.Topic(), "bob", "of whom?").want(t, 0, nil)
	everywhere(alice.Topic(), "dora", "nobody").want(t, 0, nil)
	bob.wantHeard("psst")
}

// TestDirectInOrder: of many that send to one user, at hubs near and far, each is heard in order, and
// each hears of its own in order.
func TestDirectInOrder(t *testing.T) {
	const senders, each = 4, 50
	var e ether
	homes := e.cluster(t, []string{"north", "south"}, func() *Hub { return new(Hub) })
	topic := homes[0].join0("lobby")
	_, near := homes[0].join("lobby", "bob")
	_, far := homes[1].join("lobby", "bob")
	homes[0].awaitUsers("lobby", users("bob", "someone")...)
	await(t, "bob is known at both", func() bool { return homes[0].isAt("lobby", "bob") })
	var all, over sync.WaitGroup
	for p := range senders {
		next := 0
		all.Go(func() {
			for n := range each {
				over.Add(1)
				topic.DirectEverywhere("bob", frame.OpText, func(int) []byte { return fmt.Append(nil, p, " ", n) }, func(got int, err error) {
					defer over.Done()
					if got != 2 || err != nil || n != next {
						t.Errorf("%d of %d, when %d was next: got %d, %v", n, p, next, got, err)
					}
					if next++; n == each/2 {
						runtime.Goexit() // what done does is its own affair
					}
				})
			}
		})
	}
	all.Wait()
	over.Wait()
	near.hearInOrder(senders, each)
	far.hearInOrder(senders, each)
	wantNoLetters(t, homes[0])
}

// TestDirectToTheSilent: a sender to a user at a node that does not answer is told so, and no later
// than the node is gone.
func TestDirectToTheSilent(t *testing.T) {
	t.Parallel()
	var e ether
	homes := e.cluster(t, []string{"north", "south", "west"}, func() *Hub { return new(Hub) })
	topic := homes[0].join0("lobby")
	homes[1].join("lobby", "bob")
	homes[1].join("lobby", "carol")
	_, carol := homes[2].join("lobby", "carol")
	homes[0].awaitUsers("lobby", users("bob", "carol", "someone")...)
	await(t, "west has told", func() bool { return len(topic.Silent()) == 0 })
	e.part("south", true)
	everywhere(topic, "bob", "psst").want(t, 0, ErrSilent)
	homes[0].awaitUsers("lobby", users("carol", "someone")...)
	everywhere(topic, "bob", "psst").want(t, 0, nil)
	everywhere(topic, "carol", "psst").want(t, 1, nil)
	carol.wantHeard("psst")
	wantNoLetters(t, homes[0])
}

// TestDirectFails: what cannot leave is told at once, and what waits is bounded.
func TestDirectFails(t *testing.T) {
	var e ether
	homes := e.cluster(t, []string{"north", "south"}, func() *Hub { return new(Hub) })
	topic := homes[0].join0("lobby")
	_, near := homes[0].join("lobby", "bob")
	_, far := homes[1].join("lobby", "bob")
	await(t, "bob is known at both", func() bool { return homes[0].isAt("lobby", "bob") })
	everywhere(topic, "bob", strings.Repeat("x", maxLetter)).want(t, 1, errLetter)
	e.mu.Lock()
	e.fault = ErrDegraded
	e.mu.Unlock()
	everywhere(topic, "bob", "psst").want(t, 1, ErrDegraded)
	e.mu.Lock()
	e.fault = nil
	e.mu.Unlock()
	letters := &homes[0].cluster.letters
	homes[0].mu.Lock()
	letters.bytes += maxLetterBytes
	homes[0].mu.Unlock()
	everywhere(topic, "bob", "psst").want(t, 1, server.ErrBacklog)
	homes[0].mu.Lock()
	letters.bytes -= maxLetterBytes
	homes[0].mu.Unlock()
	everywhere(topic, "bob", "psst").want(t, 2, nil)
	wantNoLetters(t, homes[0])
	if heard := near.heard(); len(heard) != 4 {
		t.Errorf("near: got %d messages, want all 4", len(heard))
	}
	far.wantHeard("psst")
}

// letterExamples are letters and receipts.
func letterExamples() (all [][]byte) {
	for _, l := range []letter{
		{letterKey{1, 2}, "north", "lobby", "bob", frame.OpText, true, [][]byte{[]byte("psst"), nil}},
		{letterKey{1 << 63, 1<<64 - 1}, "n", "", "", frame.OpBinary, false, [][]byte{{}}},
	} {
		all = append(all, appendLetter(nil, &l))
	}
	for _, r := range []receipt{{letterKey{1, 2}, "south", 3, false, true}, {letterKey{1 << 63, 7}, "", 0, true, false}} {
		all = append(all, appendReceipt(nil, &r))
	}
	return all
}

// TestLetters: they are read as they were written, and no part of them is.
func TestLetters(t *testing.T) {
	for k, b := range letterExamples() {
		if !reReads(b) {
			t.Errorf("example %d is not read as what it is: %x", k, b)
		}
		for n := range b {
			if reReads(b[:n]) {
				t.Errorf("example %d: %d bytes of it are read: %x", k, n, b[:n])
			}
		}
		if reReads(append(bytes.Clone(b), 0)) {
			t.Errorf("example %d: it is read with a byte behind it", k)
		}
	}
}

// reReads reports whether b is a letter or a receipt, which is the same if it is written again.
func reReads(b []byte) bool {
	if l, ok := parseLetter(b); ok {
		again, ok := parseLetter(appendLetter(nil, &l))
		return ok && reflect.DeepEqual(again, l)
	}
	r, ok := parseReceipt(b)
	if !ok {
		return false
	}
	again, ok := parseReceipt(appendReceipt(nil, &r))
	return ok && again == r
}

// FuzzLetter: whatever comes over the wire, a hub goes on, and what it reads is what it would write.
func FuzzLetter(f *testing.F) {
	for _, b := range letterExamples() {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		_, isLetter := parseLetter(b)
		_, isReceipt := parseReceipt(b)
		if (isLetter || isReceipt) && !reReads(b) {
			t.Errorf("%x is not read as what it is", b)
		}
		h := new(Hub)
		c := &cluster{hub: h, link: post{ether: new(ether), name: "north"}}
		c.letters.life = 1
		a := &awaited{sure: []string{"south"}, timer: time.NewTimer(time.Hour)}
		h.cluster, c.letters.open = c, map[uint64]*awaited{2: a}
		if is := c.hearLetter(b); is != (len(b) > 0 && (b[0] == letterNote || b[0] == receiptNote)) {
			t.Errorf("%x was taken: %v", b, is)
		}
		if len(c.letters.read) > 1 {
			t.Errorf("one letter is of %d writers", len(c.letters.read))
		}
	})
}
