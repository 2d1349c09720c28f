package gossip

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// stir lets users come and go while links fail and nodes die.
func (w *world) stir(rounds, topics, users int) {
	for range rounds {
		h := w.nodes[w.rand.IntN(len(w.nodes))]
		topic, user := fmt.Sprint("t", w.rand.IntN(topics)), fmt.Sprint("u", w.rand.IntN(users))
		switch k := w.rand.IntN(100); {
		case k < 45:
			h.came(topic, user)
		case k < 80:
			h.went(topic, user)
		case k < 85:
			h.status(topic, user, fmt.Sprint("s", k))
		case k < 88: // changes nodes
			if h.Has(topic, user, "") {
				w.nodes[w.rand.IntN(len(w.nodes))].came(topic, user)
				h.went(topic, user)
			}
		case k < 90:
			w.cut = make(map[[2]string]bool)
		case k < 92: // one way only, or both
			a, b := w.nodes[w.rand.IntN(len(w.nodes))].Self.Name, w.nodes[w.rand.IntN(len(w.nodes))].Self.Name
			w.cut[[2]string{a, b}] = true
			w.cut[[2]string{b, a}] = k == 91
		case k < 93:
			i := w.rand.IntN(len(w.nodes))
			w.note("%s dies", w.nodes[i].Self.Name)
			w.nodes[i] = w.newHome(w.nodes[i].Self.Name)
		case k < 94:
			w.pass(10 * Beat)
		}
		w.pass(time.Duration(w.rand.Int64N(int64(300 * time.Millisecond))))
	}
}

// TestViewsAtRandom: whatever the links do, afterwards all nodes know what is, by names and by
// numbers; members are told of every user that comes or goes once, in turns; nothing grows over
// its bound.
func TestViewsAtRandom(t *testing.T) {
	seeds := 80
	if testing.Short() {
		seeds = 15
	}
	for _, kind := range []struct {
		name               string
		maxNames, maxBytes int
		isStrict           bool
	}{
		{"names", 1000, 1 << 20, true},
		{"counts", 6, 1 << 20, false},
		{"little room", 1000, 2500, false},
	} {
		t.Run(kind.name, func(t *testing.T) {
			for seed := range uint64(seeds) {
				w := newWorld(t, seed, 3+int(seed%3), kind.maxNames, kind.maxBytes)
				w.isStrict = kind.isStrict
				w.delay, w.loss = 400*time.Millisecond, float64(seed%4)*0.1
				for range 3 {
					w.stir(60, 3, 12)
					w.loss = float64(seed%4) * 0.1
				}
				w.calm()
				w.wantTruth()
				if t.Failed() {
					for _, line := range w.log[max(0, len(w.log)-60):] {
						t.Log(line)
					}
					t.Fatalf("seed %d", seed)
				}
			}
		})
	}
}

// quiet returns nodes with links that lose nothing.
func quiet(t *testing.T, nodes int) *world {
	w := newWorld(t, 1, nodes, 1000, 16<<20)
	w.isStrict = true
	return w
}

// heard returns what members of a topic were told since the last time.
func (w *world) heard(h *home, topic string) (all []string) {
	prefix := fmt.Sprintf("%s: in %s: ", h.Self.Name, topic)
	for _, line := range w.log {
		var at string
		fmt.Sscan(line, &at)
		if line = line[len(at)+1:]; len(line) > len(prefix) && line[:len(prefix)] == prefix {
			all = append(all, line[len(prefix):])
		}
	}
	w.log = nil
	return all
}

func (w *world) wantHeard(h *home, topic string, want ...Effect) {
	w.t.Helper()
	var all []string
	for _, e := range want {
		all = append(all, fmt.Sprintf("%+v", e))
	}
	if got := w.heard(h, topic); !slices.Equal(got, all) {
		w.t.Errorf("%s hears in %s: got %v, want %v", h.Self.Name, topic, got, all)
	}
}

func in(user string) Effect  { return Effect{User: user, Joined: 1} }
func out(user string) Effect { return Effect{User: user, Left: 1} }

// TestOncePerUser: a user that is at two nodes comes once and goes once, and changes nodes unseen.
func TestOncePerUser(t *testing.T) {
	w := quiet(t, 3)
	a, b, c := w.nodes[0], w.nodes[1], w.nodes[2]
	for _, h := range w.nodes {
		h.came("lobby", "host")
	}
	w.pass(4 * Beat)
	w.log = nil
	for _, step := range []struct {
		do   func()
		want []Effect
	}{
		{func() { a.came("lobby", "alice") }, []Effect{in("alice")}},
		{func() { b.came("lobby", "alice") }, nil},
		{func() { a.went("lobby", "alice") }, nil},
		{func() { b.went("lobby", "alice") }, []Effect{out("alice")}},
	} {
		step.do()
		w.pass(Beat)
		log := w.log
		for _, h := range w.nodes {
			w.log = log
			w.wantHeard(h, "lobby", step.want...)
		}
	}
	if got := c.rooms["lobby"].t.Others(); got != 0 {
		t.Errorf("others: got %d, want none", got)
	}
}

// TestFirstOfANode: those who were there before do not come when a topic's first member does.
func TestFirstOfANode(t *testing.T) {
	w := quiet(t, 2)
	a, b := w.nodes[0], w.nodes[1]
	a.came("lobby", "alice")
	a.came("lobby", "bob")
	a.status("lobby", "bob", "busy")
	w.pass(3 * Beat)
	b.came("lobby", "carol")
	w.pass(Beat / 4)
	w.wantHeard(b, "lobby", in("carol"))
	if got := b.rooms["lobby"].t.Others(); got != 2 {
		t.Errorf("others: got %d, want alice and bob", got)
	}
	a.went("lobby", "alice")
	w.pass(Beat / 4)
	w.wantHeard(b, "lobby", out("alice"))
	for name, status := range b.rooms["lobby"].t.Users(&b.View) {
		if name != "bob" || status != "busy" {
			t.Errorf("got %s, %q; want bob, who is busy", name, status)
		}
	}
	w.wantTruth()
}

// TestDeadNode: the users of a node that is killed leave within five seconds, but for those who
// are elsewhere by then; a new run of it is another node.
func TestDeadNode(t *testing.T) {
	w := quiet(t, 3)
	a, b := w.nodes[0], w.nodes[1]
	a.came("lobby", "host")
	b.came("lobby", "alice")
	b.came("lobby", "bob")
	b.came("lobby", "carol")
	w.pass(3 * Beat)
	w.log = nil
	dead := b.Self
	b = w.newHome("n1")
	w.nodes[1] = b
	w.pass(Beat)
	b.came("lobby", "alice")        // at the same node
	w.nodes[2].came("lobby", "bob") // at another
	w.pass(2 * time.Second)
	w.wantHeard(a, "lobby")
	w.pass(2 * time.Second)
	w.wantHeard(a, "lobby", out("carol"))
	if a.find(dead) != nil {
		t.Errorf("%v is known after its end", dead)
	}
	w.wantTruth()
}

// TestGoodbye: users of a node that says so leave at once, and what was said before and comes late
// does not bring them back.
func TestGoodbye(t *testing.T) {
	for seed := range uint64(20) {
		w := newWorld(t, seed, 3, 50, 1<<20)
		w.isStrict, w.delay = true, 300*time.Millisecond
		for i, h := range w.nodes {
			h.came("lobby", fmt.Sprint("host", i))
			h.came("lobby", "alice")
		}
		w.calm()
		w.nodes[2].came("lobby", "late") // is on the way with the goodbye, and may be overtaken by it
		w.nodes[2].flush()
		w.goodbye(2)
		w.pass(2 * w.delay) // and no beat of silence
		w.wantTruth()
		if len(w.nodes[0].nodes) != 1 {
			t.Errorf("n0 knows %d others, want 1", len(w.nodes[0].nodes))
		}
		again := w.newHome("n2") // another run of it
		w.nodes = append(w.nodes, again)
		again.came("lobby", "host2")
		w.calm()
		w.wantTruth()
	}
}

// TestSplit: each half sees the other leave, and come back, but for users that it has itself.
func TestSplit(t *testing.T) {
	w := quiet(t, 2)
	a, b := w.nodes[0], w.nodes[1]
	a.came("lobby", "alice")
	b.came("lobby", "bob")
	a.came("lobby", "carol")
	b.came("lobby", "carol")
	w.pass(3 * Beat)
	w.log = nil
	w.cut = map[[2]string]bool{{"n0", "n1"}: true, {"n1", "n0"}: true}
	w.pass(6 * Beat)
	b.came("lobby", "dora")
	log := w.log
	w.wantHeard(a, "lobby", out("bob"))
	w.log = log
	w.wantHeard(b, "lobby", out("alice"), in("dora"))
	w.cut = nil
	w.pass(3 * Beat)
	log = w.log
	w.wantHeard(a, "lobby", in("bob"), in("dora"))
	w.log = log
	w.wantHeard(b, "lobby", in("alice"))
	w.wantTruth()
}

// TestLost: what was lost is noticed with the next change, or the next beats.
func TestLost(t *testing.T) {
	w := quiet(t, 2)
	a, b := w.nodes[0], w.nodes[1]
	a.came("lobby", "alice")
	b.came("lobby", "bob")
	w.pass(3 * Beat)
	for _, again := range []func(){
		func() { a.came("lobby", "dora"); w.pass(Beat / 4) },
		func() { w.pass(3 * Beat) },
	} {
		w.loss = 1
		a.came("lobby", "carol")
		a.went("lobby", "dora")
		w.pass(Beat / 4)
		w.loss = 0
		again()
		w.wantTruth()
		a.went("lobby", "carol")
	}
	w.loss = 1
	a.went("lobby", "alice") // the last: nothing tells of that but what is asked
	w.pass(Beat / 4)
	w.loss = 0
	w.pass(3 * Beat)
	w.wantTruth()
}

// TestSilentNodes: a node that does not answer is named, until it is gone.
func TestSilentNodes(t *testing.T) {
	w := quiet(t, 3)
	for _, h := range w.nodes {
		h.came("lobby", "host")
	}
	w.pass(3 * Beat)
	w.cut = map[[2]string]bool{{"n1", "n0"}: true}
	a := w.nodes[0]
	a.came("cellar", "alice")
	w.pass(Beat / 4)
	if got := a.Silent(a.rooms["cellar"].t, w.now); !slices.Equal(got, []string{"n1"}) {
		t.Errorf("of a new topic: got %q, want n1", got)
	}
	if got := a.Silent(a.rooms["lobby"].t, w.now); len(got) > 0 {
		t.Errorf("of an old one: got %q, want none yet", got)
	}
	w.pass(overdue + Beat/4)
	if got := a.Silent(a.rooms["lobby"].t, w.now); !slices.Equal(got, []string{"n1"}) {
		t.Errorf("later: got %q, want n1", got)
	}
	w.pass(2 * Beat)
	if got := a.Silent(a.rooms["lobby"].t, w.now); len(got) > 0 {
		t.Errorf("when it is gone: got %q, want none", got)
	}
}

// TestStopped: a node that was stopped does not take the others for gone.
func TestStopped(t *testing.T) {
	w := quiet(t, 2)
	a, b := w.nodes[0], w.nodes[1]
	a.came("lobby", "alice")
	b.came("lobby", "bob")
	w.pass(3 * Beat)
	w.log = nil
	w.nodes = w.nodes[1:]
	w.pass(8 * Beat)
	w.nodes = []*home{a, b}
	w.pass(3 * Beat)
	log := w.log
	w.wantHeard(a, "lobby")
	w.log = log
	w.wantHeard(b, "lobby", out("alice"), in("alice"))
	w.wantTruth()
}

// TestCrowdIsCounted: of a large topic numbers are told, once a second, and names again when it
// is small.
func TestCrowdIsCounted(t *testing.T) {
	w := newWorld(t, 1, 2, 20, 1<<20)
	a, b := w.nodes[0], w.nodes[1]
	b.came("lobby", "host")
	w.pass(3 * Beat)
	w.sent = 0
	for i := range 500 {
		a.came("lobby", fmt.Sprint("u", i))
	}
	if w.sent > 60 {
		t.Errorf("500 that came were told in %d messages, want about 20", w.sent)
	}
	w.pass(2 * Beat)
	w.wantTruth()
	r := b.rooms["lobby"]
	if r.t.names != 0 || r.t.Others() != 500 {
		t.Errorf("got %d names and %d users, want 500 without names", r.t.names, r.t.Others())
	}
	for i := range 495 {
		a.went("lobby", fmt.Sprint("u", i))
	}
	w.pass(2 * Beat)
	w.wantTruth()
	if r.t.names != 5 || r.t.Others() != 5 {
		t.Errorf("got %d names and %d users, want 5 of each", r.t.names, r.t.Others())
	}
}

// TestCrowdElsewhere: a topic is as large as it is everywhere.
func TestCrowdElsewhere(t *testing.T) {
	w := newWorld(t, 1, 2, 20, 1<<20)
	a, b := w.nodes[0], w.nodes[1]
	b.came("lobby", "host")
	w.pass(3 * Beat)
	for i := range 100 {
		a.came("lobby", fmt.Sprint("u", i))
	}
	w.pass(2 * Beat)
	w.wantTruth()
	if !b.rooms["lobby"].t.isCounted || a.rooms["lobby"].t.Others() != 1 {
		t.Errorf("the host is told by name")
	}
}

// TestRoomAgain: names that there was no room for are asked for again.
func TestRoomAgain(t *testing.T) {
	w := newWorld(t, 1, 2, 1000, 3000)
	a, b := w.nodes[0], w.nodes[1]
	for _, topic := range []string{"lobby", "nook"} {
		b.came(topic, "host")
	}
	w.pass(3 * Beat)
	for i := range 30 {
		a.came("lobby", fmt.Sprint("u", i))
	}
	a.came("nook", "alice")
	w.pass(3 * Beat)
	w.wantTruth()
	if r := b.rooms["lobby"]; r.t.names > 0 || r.t.Others() != 30 {
		t.Errorf("got %d names and %d users, want 30 without names", r.t.names, r.t.Others())
	}
	for i := range 25 {
		a.went("lobby", fmt.Sprint("u", i))
	}
	w.pass(3 * Beat)
	w.wantTruth()
	if r := b.rooms["lobby"]; r.t.names != 5 {
		t.Errorf("got %d names, want 5", r.t.names)
	}
}

// TestLateChanges: what changes is applied, though it took so long that the share was forgotten
// meanwhile.
func TestLateChanges(t *testing.T) {
	w := quiet(t, 2)
	a, b := w.nodes[0], w.nodes[1]
	a.came("lobby", "alice")
	b.came("lobby", "bob")
	w.pass(3 * Beat)
	r := b.rooms["lobby"]
	s := r.t.shares[0]
	b.apply([]Change{{kind: went, topic: r.t, share: s, user: user{name: "alice", key: "alice"}}})
	late := []Change{{kind: came, topic: r.t, share: s, user: user{name: "alice", key: "alice"}}}
	w.cut = map[[2]string]bool{{"n0", "n1"}: true}
	for range forgetting + 2 {
		b.Tick(b.beaten)
		b.flush()
	}
	if len(r.t.shares) != 0 {
		t.Fatalf("got %d shares, want none", len(r.t.shares))
	}
	b.apply(late)
	b.check()
	if r.t.Others() != 1 {
		t.Errorf("got %d others, want alice", r.t.Others())
	}
}

// TestLongNames: names that do not fit into a message are counted.
func TestLongNames(t *testing.T) {
	w := quiet(t, 2)
	a, b := w.nodes[0], w.nodes[1]
	b.came("lobby", "host")
	for i := range 40 {
		a.came("lobby", fmt.Sprintf("%10000d", i))
	}
	w.pass(2 * Beat)
	b.came("nook", "host")
	a.came("nook", "alice")
	w.pass(3 * Beat)
	if got := b.rooms["lobby"].t.Others(); got != 40 || !a.rooms["lobby"].t.isCounted {
		t.Errorf("got %d users, by names: %v; want 40 that are counted", got, !a.rooms["lobby"].t.isCounted)
	}
	for i := range 39 {
		a.went("lobby", fmt.Sprintf("%10000d", i))
	}
	w.pass(tooLong * Beat)
	a.came("lobby", "alice")
	w.pass(2 * Beat)
	if r := b.rooms["lobby"]; r.t.names != 2 {
		t.Errorf("got %d names, want 2", r.t.names)
	}
}

// TestManyTopics: beats come round to all of them.
func TestManyTopics(t *testing.T) {
	const topics = 5000
	w := quiet(t, 2)
	a, b := w.nodes[0], w.nodes[1]
	for i := range topics {
		a.came(fmt.Sprint("t", i), "alice")
	}
	for i := range topics {
		b.came(fmt.Sprint("t", i), "bob")
	}
	w.pass(2 * Beat)
	w.loss = 1
	for i := range topics {
		if i%3 == 0 {
			a.went(fmt.Sprint("t", i), "alice")
		}
	}
	w.pass(Beat / 2)
	w.loss, w.log = 0, nil
	w.pass(12 * Beat)
	w.wantTruth()
}

// TestKeys: a name that passes for one at another node is taken.
func TestKeys(t *testing.T) {
	w := quiet(t, 2)
	a, b := w.nodes[0], w.nodes[1]
	a.came("lobby", "host")
	b.came("lobby", "host")
	w.pass(3 * Beat)
	m := Message{From: a.Self, kind: kindEdits}
	r := b.rooms["lobby"]
	v := r.t.shares[0].version
	m.edits = edits{topic: "lobby", before: v, after: v + 1, joined: 2, list: []edit{{editCame, user{name: "Alice"}}}}
	m.SetKeys(func(string) string { return "alice" })
	if !b.Heard(&m, w.now) {
		t.Fatal("it is not heard")
	}
	b.apply(b.Hear(&m, 0))
	for name, want := range map[string]bool{"Alice": false, "alice": true, "bob": false} {
		key := "alice"
		if name == "bob" {
			key = "bob"
		}
		if got := r.t.IsTaken(name, key); got != want {
			t.Errorf("IsTaken(%q): got %v, want %v", name, got, want)
		}
	}
}
