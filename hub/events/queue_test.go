package events

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestBounded: what has no room while the backend is down is counted, and the backend is told at
// the place of the gap. What is there takes no more than MaxBytes.
func TestBounded(t *testing.T) {
	t.Parallel()
	const limit, all = 20_000, 1000
	var up atomic.Bool
	b := newBackend(t, func(w http.ResponseWriter, _ *http.Request, _ request) {
		if !up.Load() {
			w.WriteHeader(http.StatusBadGateway)
		}
	})
	s := b.open(Config{MaxBytes: limit})
	begin := time.Now().Add(-time.Millisecond)
	for n := range all {
		s.Add(numbered("a", n))
		if st := s.Stats(); st.Bytes > limit {
			t.Fatalf("got %+v", st)
		}
	}
	st := s.Stats()
	if st.Queued+int(st.Dropped) != all || st.Dropped == 0 || st.Queued < limit/100 {
		t.Errorf("got %+v", st)
	}
	up.Store(true)
	kept := st.Queued
	b.await("the gap is told", func(_ []request, events []told) bool { _, dropped := users(events); return dropped > 0 })
	failsOrEmpties(t, s)
	s.Add(numbered("a", all))
	_, events := b.await("the one behind it is taken", func(_ []request, events []told) bool {
		got, _ := users(events)
		return len(got) == kept+1
	})
	got, dropped := users(events)
	if want := append(numbers(0, kept), fmt.Sprint(all)); !slices.Equal(got, want) || dropped != all-kept {
		t.Errorf("got %q and %d dropped, want %q and %d", got, dropped, want, all-kept)
	}
	gap := events[kept]
	if gap.Type != "dropped" || gap.Since < begin.UnixMilli() || gap.Since > gap.At || gap.At > time.Now().UnixMilli() {
		t.Errorf("got %+v, in its place", gap)
	}
	closeSoon(t, s)
	if st := s.Stats(); st.Sent != int64(kept)+1 || st.Dropped != int64(dropped) || st.Queued != 0 || st.Bytes != 0 {
		t.Errorf("got %+v", st)
	}
}

// TestTooLarge: an event that has no room even in an empty queue is told as lost.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	b := newBackend(t, nil)
	s := b.open(Config{MaxBytes: 1000, Types: []Type{Message}})
	s.Add(Event{Type: Message, IsText: true, Data: make([]byte, 1000)})
	b.await("it is told", func(_ []request, events []told) bool { _, dropped := users(events); return dropped == 1 })
}

// TestLargeMessages: they are requests of their own, in their place.
func TestLargeMessages(t *testing.T) {
	t.Parallel()
	b := newBackend(t, nil)
	s := b.open(Config{Types: []Type{Message}})
	var want []string
	for n := range 12 {
		text := strings.Repeat(string(rune('a'+n)), []int{10, batchBytes, 3 * batchBytes, 60_000}[n%4])
		want = append(want, text)
		s.Add(Event{Type: Message, IsText: true, Data: []byte(text)})
	}
	closeSoon(t, s)
	requests, events := b.all()
	var got []string
	for _, e := range events {
		got = append(got, *e.Text)
	}
	if !slices.Equal(got, want) {
		t.Error("what came is not what was said")
	}
	for _, r := range requests {
		if len(r.body) > batchBytes+1000 && len(r.events) > 1 {
			t.Errorf("got %d events in %d bytes", len(r.events), len(r.body))
		}
	}
	if st := s.Stats(); st.Bytes != 0 || st.Queued != 0 {
		t.Errorf("got %+v", st)
	}
}

// TestAtRandom: whatever a backend does, each event is taken once, in its place, or counted by an
// event where it would have been.
func TestAtRandom(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 22))
			b := newBackend(t, func(w http.ResponseWriter, req *http.Request, _ request) { // one at a time
				switch r.IntN(6) {
				case 0:
					w.WriteHeader(500)
				case 1:
					panic(http.ErrAbortHandler)
				case 2:
					w.Header().Set("Retry-After", "0")
					w.WriteHeader(429)
				}
			})
			s := b.open(Config{MaxBytes: 4000, MaxAge: time.Second})
			const all = 3000
			for n := range all {
				s.Add(numbered("a", n))
				if n%500 == 0 {
					failsOrEmpties(t, s)
				}
			}
			closeSoon(t, s)
			_, events := b.all()
			next := 0
			for _, e := range events {
				if e.Type == "dropped" {
					next += e.Count
					continue
				}
				if e.User != fmt.Sprint(next) {
					t.Fatalf("got %s, want %d", e.User, next)
				}
				next++
			}
			if st := s.Stats(); next != all || st.Sent+st.Dropped != all {
				t.Errorf("%d are accounted for, of %d: %+v", next, all, st)
			}
		})
	}
}

// failsOrEmpties waits until something has happened.
func failsOrEmpties(t *testing.T, s *Sender) {
	t.Helper()
	before := s.Stats()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if now := s.Stats(); now.Failed+now.Delivered > before.Failed+before.Delivered || now.Queued == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatal("nothing happens")
		}
	}
}
