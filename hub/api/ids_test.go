//go:build linux

package api

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// TestIDs: an id is remembered for its time, and by whom it was said to; what was not said is
// forgotten at once; and there is a bound.
func TestIDs(t *testing.T) {
	var r recent
	now := time.Now()
	s, isMine, err := r.begin(idOf("op", "to", "id"), now)
	if !isMine || err != nil || s.isOver() {
		t.Fatalf("the first: %v, %v", isMine, err)
	}
	if again, isMine, _ := r.begin(s.key, now); isMine || again != s {
		t.Error("the second is not told of the first")
	}
	for _, other := range []digest{idOf("op", "to", "id2"), idOf("op", "toid", ""), idOf("opt", "o", "id"), idOf("op", "", "toid")} {
		if r.look(other, now) != nil {
			t.Error("another message has the same key")
		}
	}
	r.end(s, 3, true)
	if got := r.look(s.key, now.Add(remembered)); got == nil || !got.isOver() || !got.ok || got.conns != 3 {
		t.Errorf("after two minutes: %+v", got)
	}
	if r.grown() != idCost || r.grown() != 0 {
		t.Error("it is not charged once")
	}
	if r.look(s.key, now.Add(remembered+1)) != nil || r.grown() != -idCost {
		t.Error("it is remembered for longer")
	}
	s, _, _ = r.begin(s.key, now)
	r.end(s, 0, false)
	if _, isMine, _ := r.begin(s.key, now); !isMine {
		t.Error("what was not said cannot be said again")
	}
	for k := range maxIDs - 1 {
		s, isMine, err := r.begin(idOf("op", "to", fmt.Sprint(k)), now.Add(time.Duration(k)))
		if !isMine || err != nil {
			t.Fatal(k, isMine, err)
		}
		r.end(s, 1, true)
	}
	if _, _, err := r.begin(idOf("op", "to", "more"), now.Add(time.Minute)); !errors.Is(err, errIDsFull) {
		t.Errorf("one more than there is room for: %v", err)
	}
	if _, isMine, err := r.begin(idOf("op", "to", "more"), now.Add(remembered+time.Duration(2))); !isMine || err != nil {
		t.Errorf("once some are old: %v, %v", isMine, err)
	}
	if len(r.of) != r.order.Len() {
		t.Errorf("there are %d, and %d in their order", len(r.of), r.order.Len())
	}
}
