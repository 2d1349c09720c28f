package events

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestInOrder: events of many goroutines, which the backend refuses now and then, arrive once
// and in the order of each, many in a request.
func TestInOrder(t *testing.T) {
	t.Parallel()
	const conns, each = 100, 50
	var requests atomic.Int64
	b := newBackend(t, func(w http.ResponseWriter, _ *http.Request, _ request) {
		if requests.Add(1)%5 == 2 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	s := b.open(Config{})
	var all sync.WaitGroup
	for c := range conns {
		all.Go(func() {
			for n := range each {
				s.Add(numbered(fmt.Sprint(c), n))
			}
		})
	}
	all.Wait()
	closeSoon(t, s)
	got, events := b.all()
	next := make(map[string]int)
	for _, e := range events {
		if e.User != fmt.Sprint(next[e.Connection]) {
			t.Fatalf("connection %s: got %s, want %d", e.Connection, e.User, next[e.Connection])
		}
		next[e.Connection]++
	}
	if len(events) != conns*each {
		t.Errorf("got %d events, want %d", len(events), conns*each)
	}
	if len(got) > conns*each/20 {
		t.Errorf("got %d requests for %d events", len(got), conns*each)
	}
	if st := s.Stats(); st.Sent != conns*each || st.Dropped != 0 || st.Queued != 0 || st.Bytes != 0 || st.Age != 0 || st.Delivered+st.Failed != int64(len(got)) {
		t.Errorf("got %+v after %d requests", st, len(got))
	}
}

// TestTriedAgain: whatever a backend answers but 2xx and 410, the same request comes again, signed
// anew, and nothing overtakes it.
func TestTriedAgain(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(w http.ResponseWriter){
		"500": func(w http.ResponseWriter) { w.WriteHeader(500) },
		"408": func(w http.ResponseWriter) { w.WriteHeader(408) },
		"401": func(w http.ResponseWriter) { w.WriteHeader(401) },
		"redirect": func(w http.ResponseWriter) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(307)
		},
		"reset":   func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
		"garbage": func(w http.ResponseWriter) { hijack(w, "no HTTP\r\n\r\n") },
		"a long answer": func(w http.ResponseWriter) {
			w.WriteHeader(502)
			_, _ = io.WriteString(w, strings.Repeat("x", 1<<20))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var failed atomic.Int64
			var first atomic.Pointer[request]
			b := newBackend(t, func(w http.ResponseWriter, r *http.Request, got request) {
				if r.URL.Path != "/" {
					t.Errorf("got a request for %s", r.URL.Path)
				}
				if failed.Add(1) <= 2 {
					first.CompareAndSwap(nil, &got)
					fail(w)
				}
			})
			s := b.open(Config{})
			s.Add(numbered("a", 0))
			b.await("it is taken", func(_ []request, events []told) bool { return len(events) == 1 })
			s.Add(numbered("a", 1))
			requests, events := b.await("both are", func(_ []request, events []told) bool { return len(events) == 2 })
			if got, _ := users(events); !slices.Equal(got, numbers(0, 2)) {
				t.Errorf("got %q", got)
			}
			last := requests[len(requests)-1]
			taken := requests[len(requests)-2]
			if taken.id != first.Load().id || taken.body != first.Load().body || last.id == taken.id {
				t.Errorf("got %+v and %+v after %+v", taken, last, first.Load())
			}
			closeSoon(t, s)
			if st := s.Stats(); st.Failed != 2 {
				t.Errorf("got %+v", st)
			}
		})
	}
}

// hijack writes raw bytes and closes the connection.
func hijack(w http.ResponseWriter, text string) {
	conn, _, err := http.NewResponseController(w.(*statusWriter).ResponseWriter).Hijack()
	if err != nil {
		panic(err)
	}
	_, _ = io.WriteString(conn, text)
	conn.Close()
}

// TestRetryAfter: a backend is asked again when it wants to be, and not before.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "soon": 0, "-1": 0, "0": 0, "7": 7 * time.Second, "1.5": 0,
		"Sat, 28 Nov 2026 12:01:00 GMT": time.Minute, "Sat, 28 Nov 2026 11:00:00 GMT": 0,
		"999999999": maxRetryAfter, "99999999999999999999": 0,
		"Sat, 28 Nov 2037 12:01:00 GMT": maxRetryAfter,
	} {
		if got := retryAfter(value, now); got != want {
			t.Errorf("%q: got %v, want %v", value, got, want)
		}
	}
	var asked []time.Time // by one request after the other
	b := newBackend(t, func(w http.ResponseWriter, _ *http.Request, _ request) {
		if asked = append(asked, time.Now()); len(asked) == 1 {
			w.Header().Set("Retry-After", "2")
			w.WriteHeader(http.StatusTooManyRequests)
		}
	})
	s := b.open(Config{})
	s.Add(numbered("a", 0))
	b.await("it is taken", func(_ []request, events []told) bool { return len(events) == 1 })
	closeSoon(t, s)
	if between := asked[1].Sub(asked[0]); between < 2*time.Second {
		t.Errorf("asked again after %v", between)
	}
}

// TestHangs: a backend that does not answer is given up on, and asked again.
func TestHangs(t *testing.T) {
	t.Parallel()
	var hung atomic.Bool
	b := newBackend(t, func(_ http.ResponseWriter, r *http.Request, _ request) {
		if !hung.Swap(true) {
			<-r.Context().Done()
			panic(http.ErrAbortHandler)
		}
	})
	s := b.open(Config{Timeout: 50 * time.Millisecond})
	s.Add(numbered("a", 0))
	b.await("it is taken", func(_ []request, events []told) bool { return len(events) == 1 })
	if st := s.Stats(); st.Failed == 0 {
		t.Errorf("got %+v", st)
	}
}

// TestRestarts: a backend that is down, and comes back, gets everything.
func TestRestarts(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	b := newBackend(t, nil)
	first := &http.Server{Handler: b}
	go func() { _ = first.Serve(ln) }()
	s := open(t, "http://"+addr, Config{})
	s.Add(numbered("a", 0))
	b.await("the first is taken", func(_ []request, events []told) bool { return len(events) == 1 })
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	for n := range 10 {
		s.Add(numbered("a", n+1))
	}
	failsAgain(t, s, 0)
	if ln, err = net.Listen("tcp", addr); err != nil {
		t.Fatal(err)
	}
	second := &http.Server{Handler: b}
	go func() { _ = second.Serve(ln) }()
	defer second.Close()
	b.await("all are taken", func(_ []request, events []told) bool { return len(events) == 11 })
	_, events := b.all()
	if got, dropped := users(events); !slices.Equal(got, numbers(0, 11)) || dropped != 0 {
		t.Errorf("got %q, %d dropped", got, dropped)
	}
}

// failsAgain waits for more than n failures.
func failsAgain(t *testing.T, s *Sender, n int64) {
	t.Helper()
	for end := time.Now().Add(patience); s.Stats().Failed <= n; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no attempt has failed: %+v", s.Stats())
		}
	}
}

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

// TestTooOld: what a backend does not take for MaxAge is lost, which it is told.
func TestTooOld(t *testing.T) {
	t.Parallel()
	b := newBackend(t, func(w http.ResponseWriter, _ *http.Request, got request) {
		if names, _ := users(got.events); slices.Contains(names, "0") {
			w.WriteHeader(http.StatusBadRequest)
		}
	})
	s := b.open(Config{MaxAge: time.Millisecond})
	s.Add(numbered("a", 0))
	failsAgain(t, s, 0)
	s.Add(numbered("a", 1))
	_, events := b.await("the next is taken", func(_ []request, events []told) bool { return len(events) == 2 })
	if events[0].Type != "dropped" || events[0].Count != 1 || events[1].User != "1" {
		t.Errorf("got %+v", events)
	}
	closeSoon(t, s)
	if st := s.Stats(); st.Dropped != 1 || st.Sent != 1 {
		t.Errorf("got %+v", st)
	}
}

// TestGone: a backend that answers 410 is left alone until somebody has looked at the keys, and
// is told then what it missed.
func TestGone(t *testing.T) {
	t.Parallel()
	var gone, asked atomic.Bool
	gone.Store(true)
	b := newBackend(t, func(w http.ResponseWriter, _ *http.Request, _ request) {
		if asked.Store(true); gone.Load() {
			w.WriteHeader(http.StatusGone)
		}
	})
	s := b.open(Config{})
	s.Add(numbered("a", 0))
	b.await("it is gone", func(requests []request, _ []told) bool { return len(requests) == 1 })
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if s.Add(numbered("a", 1)); s.Stats().Queued == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("events are still taken")
		}
	}
	dropped := s.Stats().Dropped
	gone.Store(false)
	if err := s.SetKeys(parsed(t, testKey)); err != nil {
		t.Fatal(err)
	}
	b.await("the gap is told", func(_ []request, events []told) bool { _, n := users(events); return n == int(dropped) })
	s.Add(numbered("a", 2))
	_, events := b.await("the next is taken", func(_ []request, events []told) bool { names, _ := users(events); return len(names) > 0 })
	if got, n := users(events); !slices.Equal(got, numbers(2, 3)) || n != int(dropped) {
		t.Errorf("got %q and %d, want %d", got, n, dropped)
	}
}

// TestCloseWhenGone: there is nothing to wait for.
func TestCloseWhenGone(t *testing.T) {
	t.Parallel()
	b := newBackend(t, func(w http.ResponseWriter, _ *http.Request, _ request) { w.WriteHeader(http.StatusGone) })
	s := b.open(Config{})
	s.Add(numbered("a", 0))
	b.await("it is gone", func(requests []request, _ []told) bool { return len(requests) == 1 })
	_ = s.Close(context.Background())
}

// TestClose: what is queued is sent at once, and when time is over the rest is counted,
// whatever the backend does.
func TestClose(t *testing.T) {
	t.Parallel()
	b := newBackend(t, nil)
	s := b.open(Config{})
	for n := range 2000 {
		s.Add(numbered("a", n))
	}
	closeSoon(t, s)
	closeSoon(t, s) // again
	_, events := b.all()
	if got, _ := users(events); !slices.Equal(got, numbers(0, 2000)) {
		t.Errorf("got %d events", len(got))
	}
	s.Add(numbered("a", 0))
	if st := s.Stats(); st.Dropped != 1 || st.Queued != 0 {
		t.Errorf("after Close: got %+v", st)
	}
	for name, answer := range map[string]func(w http.ResponseWriter, r *http.Request, got request){
		"fails": func(w http.ResponseWriter, _ *http.Request, _ request) { w.WriteHeader(500) },
		"hangs": func(_ http.ResponseWriter, r *http.Request, _ request) { <-r.Context().Done() },
		"wants to be asked later": func(w http.ResponseWriter, _ *http.Request, _ request) {
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(503)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newBackend(t, answer).open(Config{})
			for n := range 2000 {
				s.Add(numbered("a", n))
			}
			ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
			defer cancel()
			err := s.Close(ctx)
			if err == nil || !strings.Contains(err.Error(), "2000 events") {
				t.Errorf("got %v", err)
			}
			if st := s.Stats(); st.Dropped != 2000 || st.Queued != 0 || st.Bytes != 0 {
				t.Errorf("got %+v", st)
			}
		})
	}
}

// TestKeys: several keys sign each request, and others can take their place.
func TestKeys(t *testing.T) {
	t.Parallel()
	other := keyPrefix + "b3RoZXIgc2VjcmV0LCBvZiBsZW5ndGggMjQ="
	b := newBackend(t, nil)
	b.keys = []string{testKey, other}
	s := b.open(Config{Keys: parsed(t, testKey+"\n"+other+"\n")})
	s.Add(numbered("a", 0))
	b.await("both have signed", func(_ []request, events []told) bool { return len(events) == 1 })
	b.mu.Lock()
	b.keys = []string{other}
	b.mu.Unlock()
	if err := s.SetKeys(parsed(t, other)); err != nil {
		t.Fatal(err)
	}
	s.Add(numbered("a", 1))
	b.await("the other has", func(_ []request, events []told) bool { return len(events) == 2 })
	if err := s.SetKeys(nil); !errors.Is(err, errNoKeys) {
		t.Errorf("no keys: got %v", err)
	}
}

// TestLog: an outage is two lines, however long, and no line has the query of the URL.
func TestLog(t *testing.T) {
	t.Parallel()
	var log lines
	var down atomic.Bool
	down.Store(true)
	b := newBackend(t, func(http.ResponseWriter, *http.Request, request) {
		if down.Load() {
			panic(http.ErrAbortHandler)
		}
	})
	s := open(t, b.web.URL+"/?token=secret", Config{MaxBytes: 500, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for n := range 20 {
		s.Add(numbered("a", n))
	}
	failsAgain(t, s, 2)
	down.Store(false)
	b.await("all is told", func(_ []request, events []told) bool { got, n := users(events); return len(got)+n == 20 })
	closeSoon(t, s)
	text := log.String()
	for _, want := range []string{"does not take events", "takes events again", "were dropped"} {
		if strings.Count(text, want) != 1 {
			t.Errorf("got %q, want %q once", text, want)
		}
	}
	if strings.Contains(text, "secret") {
		t.Errorf("got %q", text)
	}
}

// lines is a log.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestAddAllocates: nothing but the event's own bytes, and it waits for no backend.
func TestAddAllocates(t *testing.T) {
	if raceEnabled {
		t.Skip("a sync.Pool forgets at random then")
	}
	b := newBackend(t, func(_ http.ResponseWriter, r *http.Request, _ request) { <-r.Context().Done() })
	s := b.open(Config{})
	e := Event{Type: Disconnected, Connection: "1f-0-2-3", User: "alice", Room: "lobby", Route: "/ws/{room}", Path: "/ws/lobby", Code: 1000, Reason: "bye"}
	s.Add(e)
	if n := testing.AllocsPerRun(2000, func() { s.Add(e) }); n > 0.5 { // a batch is copied once when it is full
		t.Errorf("got %v allocations", n)
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
