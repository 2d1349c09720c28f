//go:build linux

package hub

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/usher-ws/usher/hub/internal/gossip"
)

// calmNotes waits until nothing is to be decided or passed on.
func calmNotes(homes []*house) {
	for _, home := range homes {
		await(home.t, "all notes are made", func() bool {
			home.mu.Lock()
			defer home.mu.Unlock()
			c := home.cluster
			return c == nil || len(c.notes.held)+len(c.notes.passes)+len(c.inbox) == 0 && !c.isTelling && !c.isAsking && !c.isHearing
		})
	}
}

// TestNoteOncePerUser: whichever hubs a user comes to and goes from, one after the other, one hub of
// the cluster notes that the user came, and one that the user went: also where a topic has just come
// into use, and where hubs tell no names.
func TestNoteOncePerUser(t *testing.T) {
	for seed := range uint64(6) {
		var n noted
		var e ether
		homes := e.cluster(t, []string{"north", "south", "west"}, func() *Hub {
			return &Hub{Note: n.note, Key: strings.ToLower, GatherAbove: int(seed % 2)}
		})
		random := rand.New(rand.NewPCG(seed, 22))
		var at [3]map[string]*Member
		var ears [3]map[string]client
		for i := range at {
			at[i], ears[i] = make(map[string]*Member), make(map[string]client)
		}
		here := make(map[string]int)
		var want []string
		for range 60 {
			i, user := random.IntN(3), fmt.Sprint("User", random.IntN(3))
			home := homes[i]
			if m := at[i][user]; m != nil {
				m.Leave()
				delete(at[i], user)
				if here[user]--; here[user] == 0 {
					want = append(want, "-"+user+"@lobby")
				}
			} else {
				ear, ok := ears[i][user]
				if !ok {
					ear = home.dial()
					ears[i][user] = ear
				}
				at[i][user] = home.bring(ear, "lobby", user)
				if here[user]++; here[user] == 1 {
					want = append(want, "+"+user+"@lobby")
				}
			}
			calmNotes(homes)
		}
		if err := n.is(want...); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for i := range at {
			for _, m := range at[i] {
				m.Leave()
				calmNotes(homes)
			}
			homes[i].mu.Lock()
			if c := homes[i].cluster; c != nil && c.notes.guests != 0 {
				t.Errorf("%d guests are left", c.notes.guests)
			}
			homes[i].mu.Unlock()
		}
	}
}

// TestNoteAtOnce: of users who come to several hubs and go from them in the same moment no note is
// missing, at worst two hubs make it.
func TestNoteAtOnce(t *testing.T) {
	const rounds = 100
	var n noted
	var e ether
	homes := e.cluster(t, []string{"north", "south", "west"}, func() *Hub { return &Hub{Note: n.note} })
	var all sync.WaitGroup
	for _, home := range homes {
		for _, user := range []string{"alice", "bob"} {
			c := home.dial()
			all.Go(func() {
				for range rounds {
					home.bring(c, "lobby", user).Leave()
				}
			})
		}
	}
	all.Wait()
	calmNotes(homes)
	calmNotes(homes) // what was passed on meanwhile
	count := make(map[string]int)
	for _, text := range n.all {
		count[text]++
	}
	for _, user := range []string{"alice@lobby", "bob@lobby"} {
		came, went := count["+"+user], count["-"+user]
		if came == 0 || went == 0 || came > 3*rounds || went > came {
			t.Errorf("%s: %d came, %d went", user, came, went)
		}
		t.Logf("%s: %d came, %d went, of %d", user, came, went, 3*rounds)
	}
}

// TestNoteOfTheGone: a user whom the hub had noted that is gone is noted as gone by one that has the
// user as well.
func TestNoteOfTheGone(t *testing.T) {
	t.Parallel()
	var n noted
	var e ether
	homes := e.cluster(t, []string{"north", "south"}, func() *Hub { return &Hub{Note: n.note} })
	homes[0].join("lobby", "alice")
	calmNotes(homes[:1])
	alice, _ := homes[1].join("lobby", "alice")
	calmNotes(homes)
	if err := n.is("+alice@lobby"); err != nil {
		t.Fatal(err)
	}
	e.part("north", true)
	await(t, "north is gone", func() bool { return !homes[1].isAt("lobby", "alice") })
	alice.Leave()
	if err := n.is("+alice@lobby", "-alice@lobby"); err != nil {
		t.Error(err)
	}
}

// TestNoteAtTheEnd: a hub that is closed owes nothing behind that.
func TestNoteAtTheEnd(t *testing.T) {
	var n noted
	var e ether
	homes := e.cluster(t, []string{"north", "south"}, func() *Hub { return &Hub{Note: n.note, LeaveGrace: time.Hour} })
	alice, _ := homes[0].join("lobby", "alice")
	bob, _ := homes[0].join("lobby", "bob")
	calmNotes(homes[:1])
	too, _ := homes[1].join("lobby", "alice")
	calmNotes(homes)
	alice.Leave()
	bob.Leave()
	homes[0].Close()
	if err := n.is("+alice@lobby", "+bob@lobby", "-bob@lobby"); err != nil {
		t.Error(err)
	}
	too.Leave()
	homes[1].Close()
	if err := n.is("+alice@lobby", "+bob@lobby", "-bob@lobby", "-alice@lobby"); err != nil {
		t.Error(err)
	}
}

// FuzzNotes: whatever other hubs say, a hub goes on.
func FuzzNotes(f *testing.F) {
	example := appendPass(nil, &pass{topic: "lobby", user: "Bob", key: "bob"})
	f.Add(example)
	f.Add(example[:len(example)-1])
	f.Add([]byte{})
	f.Add(appendText(appendText(nil, "lobby"), "Bob"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, ok := parsePass(b); ok && p.hops < maxHops {
			again, ok := parsePass(appendPass(nil, &p))
			if again.hops--; !ok || again != p {
				t.Errorf("%x is read as %+v, and that as %+v", b, p, again)
			}
		}
		var n noted
		h := &Hub{Note: n.note}
		c := &cluster{hub: h, link: post{ether: new(ether), name: "north"}}
		c.notes.nodes = etherNodes{c.link.(post), notesPurpose}
		c.view = gossip.View{Self: gossip.Node{Name: "north", Epoch: 1}, Local: (*locals)(h)}
		h.cluster = c
		if is := c.hearPass(bytes.Clone(b)); is != (len(b) > 0 && b[0] == passNote) || len(n.all) > 1 {
			t.Errorf("%x was taken: %v, and %q noted", b, is, n.all)
		}
		answer := c.answerHolds(b)
		if slices.ContainsFunc(answer[min(len(answer), len("north")+1):], func(is byte) bool { return is > guest }) {
			t.Errorf("%x is answered with %x", b, answer)
		}
		c.isNoted([][]byte{b}, 0)
	})
}
