package timer

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestHeap(t *testing.T) {
	var h Heap
	var want []time.Duration
	r := rand.New(rand.NewPCG(1, 2))
	for k := range 1000 {
		at := time.Duration(r.IntN(300))
		want = append(want, at)
		h.Push(Timer{at, uint64(k)})
	}
	slices.Sort(want)
	for k, at := range want {
		if first, ok := h.First(); !ok || first != at {
			t.Fatalf("the %d-th: got %v, %v, want %v", k, first, ok, at)
		}
		if _, ok := h.PopDue(at - 1); ok {
			t.Fatalf("the %d-th came before its time", k)
		}
		if token, ok := h.PopDue(at); !ok || token >= 1000 {
			t.Fatalf("the %d-th: got %d, %v", k, token, ok)
		}
	}
	if _, ok := h.First(); ok {
		t.Error("something is left")
	}
}

// TestTidy: of timers that come and lose their meaning long before their time, as many are kept
// as still have one, give or take; those come in their order.
func TestTidy(t *testing.T) {
	var h Heap
	r := rand.New(rand.NewPCG(3, 4))
	awaited := map[uint64]time.Duration{}
	isAwaited := func(token uint64) bool { _, ok := awaited[token]; return ok }
	for k := range uint64(100_000) {
		at := time.Duration(r.IntN(1e9))
		awaited[k] = at
		h.Push(Timer{at, k})
		h.Tidy(isAwaited)
		if k >= 200 {
			delete(awaited, k-200)
		}
		if h.Len() > 500 || cap(h.q) > 2000 {
			t.Fatalf("%d timers of %d that have a meaning, room for %d", h.Len(), len(awaited), cap(h.q))
		}
	}
	found, last := 0, time.Duration(0)
	for {
		at, ok := h.First()
		if !ok {
			break
		}
		token, _ := h.PopDue(at)
		if at < last {
			t.Fatalf("%v behind %v", at, last)
		}
		if last = at; isAwaited(token) {
			found++
			if at != awaited[token] {
				t.Errorf("timer %d: got %v, want %v", token, at, awaited[token])
			}
		}
	}
	if found != len(awaited) {
		t.Errorf("%d timers came, want %d", found, len(awaited))
	}
}

func TestQueue(t *testing.T) {
	var q Queue
	pushed, popped := uint64(0), uint64(0)
	for round := range 50 {
		for range 10 * (round%7 + 1) {
			q.Push(Timer{time.Duration(pushed), pushed})
			pushed++
		}
		for range 9 * (round%7 + 1) {
			if _, ok := q.PopDue(time.Duration(popped) - 1); ok {
				t.Fatalf("%d came before its time", popped)
			}
			if token, ok := q.PopDue(time.Duration(popped)); !ok || token != popped {
				t.Fatalf("got %d, %v, want %d", token, ok, popped)
			}
			popped++
		}
	}
	for ; popped < pushed; popped++ {
		if token, ok := q.Pop(); !ok || token != popped {
			t.Fatalf("got %d, %v, want %d", token, ok, popped)
		}
	}
	if _, ok := q.Pop(); ok {
		t.Error("something is left")
	}
	if _, ok := q.First(); ok {
		t.Error("something is left to come")
	}
}
