package events

import (
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

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
