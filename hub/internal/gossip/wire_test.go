package gossip

import (
	"strings"
	"testing"
	"time"
)

// fuzzed returns a node with a topic in which it knows of another.
func fuzzed(t *testing.T) *home {
	w := newWorld(t, 1, 2, 50, 1<<20)
	a, b := w.nodes[0], w.nodes[1]
	a.came("lobby", "alice")
	b.came("lobby", "bob")
	b.came("lobby", "alice")
	w.pass(2 * Beat)
	return a
}

// FuzzParse: whatever comes over the wire, a node's tables stay right and bounded.
func FuzzParse(f *testing.F) {
	from := Node{"n1", 2}
	v := View{Self: from}
	topic := &Topic{name: "lobby", version: 100, told: 1 << 40, joined: 3, left: 1, pending: []edit{{editCame, user{name: "carol"}}, {editWent, user{name: "bob"}}, {editStatus, user{name: "alice", status: "busy"}}}}
	topic.version = topic.told + 2
	f.Add(v.tell(topic))
	share := appendShare(appendHead(nil, kindShares, from), told{topic: "lobby", version: 1 << 41, joined: 2})
	share = appendNumbers(share, 2)
	for _, text := range []string{"carol", "", "dora", "away"} {
		share = appendText(share, text)
	}
	f.Add(share)
	f.Add(appendShare(share, told{topic: "lobby", version: 1 << 42, joined: 1 << 47, isCounted: true}))
	v.nodes = []*node{{Node: Node{"n0", 1}}}
	v.round = []*Topic{topic}
	topic.waiting = v.nodes
	f.Add(v.beat())
	f.Add(v.Goodbye())
	f.Fuzz(func(t *testing.T, b []byte) {
		a := fuzzed(t)
		m, err := Parse(b)
		if err != nil {
			return
		}
		m.SetKeys(strings.ToLower)
		if gone, ok := a.Part(&m); ok {
			a.end(gone)
		}
		if a.Heard(&m, a.w.now) {
			for part := range m.Parts() {
				a.apply(a.Hear(&m, part))
			}
		}
		a.check()
		for _, answer, ok := a.Next(); ok; _, answer, ok = a.Next() {
			if _, err := Parse(answer); err != nil {
				t.Errorf("we say what is malformed: %x", answer)
			}
		}
		a.w.pass(lifetime + 2*time.Second)
		a.check()
	})
}

// TestParse: what is cut short or of another version is refused.
func TestParse(t *testing.T) {
	a := fuzzed(t)
	a.Came(a.rooms["lobby"].t, "carol", "carol")
	_, b, ok := a.Next()
	if !ok {
		t.Fatal("there is nothing to tell")
	}
	for n := range b {
		if _, err := Parse(b[:n]); err == nil {
			t.Errorf("of %d bytes %d: got no error: %x", len(b), n, b[:n])
		}
	}
	if _, err := Parse(b); err != nil {
		t.Errorf("got %v: %x", err, b)
	}
	b[0]++
	if _, err := Parse(b); err == nil {
		t.Error("another version: got no error")
	}
}
