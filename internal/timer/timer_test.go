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
