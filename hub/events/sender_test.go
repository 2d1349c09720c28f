package events

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
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

// BenchmarkAdd is what an event costs the goroutine that it happens on, while a backend takes
// them, and several such goroutines at once.
func BenchmarkAdd(b *testing.B) {
	web := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	defer web.Close()
	s := open(b, web.URL, Config{MaxBytes: 1 << 30})
	e := Event{Type: Disconnected, Connection: "9c1e5b70a2d4f318-0-1-1", User: "alice", Room: "lobby", Route: "/ws/{room}", Path: "/ws/lobby", Code: 1001, Reason: "draining"}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			s.Add(e)
		}
	})
	b.StopTimer()
	_ = closeNow(s)
}
