//go:build linux

package nats

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/usher-ws/usher/hub"
)

func TestHeard(t *testing.T) {
	type step struct {
		epoch, began, seq uint64
		mark              bool
		missing           uint64
		isNew             bool
	}
	for name, steps := range map[string][]step{
		"the first is where it begins": {{1, 1, 5, false, 0, true}, {1, 1, 6, false, 0, true}},
		"a mark may be the first":      {{1, 1, 5, true, 0, false}, {1, 1, 7, false, 1, true}},
		"a mark of none":               {{1, 1, 0, true, 0, false}, {1, 1, 1, false, 0, true}},
		"twice":                        {{1, 1, 5, false, 0, true}, {1, 1, 5, false, 0, false}, {1, 1, 4, false, 0, false}},
		"a gap":                        {{1, 1, 1, false, 0, true}, {1, 1, 4, false, 2, true}, {1, 1, 3, false, 0, false}},
		"a gap at the end":             {{1, 1, 1, false, 0, true}, {1, 1, 4, true, 3, false}, {1, 1, 4, true, 0, false}, {1, 1, 5, false, 0, true}},
		"another count":                {{1, 1, 3, false, 0, true}, {1, 100, 100, false, 0, true}, {1, 200, 202, false, 2, true}},
		"another life":                 {{1, 1, 90, false, 0, true}, {2, 1, 1, false, 0, true}, {3, 5, 7, false, 2, true}, {4, 9, 9, true, 1, false}},
		"an earlier life":              {{2, 1, 5, false, 0, true}, {1, 1, 1, false, 0, true}, {2, 1, 6, false, 0, true}},
	} {
		var h heard
		for i, s := range steps {
			missing, isNew := h.take(hub.Node{Epoch: s.epoch}, s.began, s.seq, s.mark)
			if missing != s.missing || isNew != s.isNew {
				t.Errorf("%s, step %d: got %d missing, new %t; want %d, %t", name, i+1, missing, isNew, s.missing, s.isNew)
			}
		}
	}
}

// TestHeardAtRandom: of what an outbox numbers, in some topic beside others, whatever is lost
// is missing and nothing else, also when counts are forgotten.
func TestHeardAtRandom(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 0))
		var o outbox
		o.begin(hub.Node{Name: "north", Epoch: 7})
		var h heard
		var sent, delivered, missing uint64
		carry := func(lossy bool) {
			for _, op := range o.take() {
				m, err := parseMessage(op.data)
				if err != nil {
					t.Fatalf("% x: %v", op.data, err)
				}
				if !strings.HasSuffix(op.publish, ".lobby") || lossy && r.IntN(3) == 0 {
					continue
				}
				more, isNew := h.take(m.From, m.began, m.Seq, m.mark)
				missing += more
				if isNew {
					delivered++
				}
			}
		}
		o.tell(hub.Node{}, "lobby") // as for a room that has just been subscribed to
		carry(false)
		for range 300 {
			switch topic := []string{"lobby", "cellar"}[r.IntN(2)]; r.IntN(10) {
			case 0:
				o.tick()
			case 1:
				carry(true)
				o.tellAll()
				o.tick()
				carry(false)
				for range r.IntN(2) * forget * 2 {
					o.tick()
				}
			default:
				m := message{Message: hub.Message{From: o.node, Data: [][]byte{nil}}, began: 1}
				if _, err := o.publish(subjectRoom, topic, appendMessage(nil, &m), nil); err != nil {
					t.Fatal(err)
				}
				if topic == "lobby" {
					sent++
				}
			}
		}
		carry(true)
		o.tellAll()
		o.tick()
		carry(false)
		if delivered+missing != sent {
			t.Fatalf("seed %d: got %d delivered and %d missing, want the %d that were sent", seed, delivered, missing, sent)
		}
	}
}
