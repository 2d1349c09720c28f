package events

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/usher-ws/usher/internal/leak"
)

// raceEnabled: the race detector is in the build.
var raceEnabled bool

func TestMain(m *testing.M) { leak.VerifyTestMain(m) }

// patience is for what must happen on a machine that may be busy.
const patience = time.Hour // the limit is the test binary's own

// testKey is one key of tests, as a file has it.
var testKey = keyPrefix + base64.StdEncoding.EncodeToString([]byte("a secret of 32 bytes for testing"))

func parsed(t testing.TB, text string) []Key {
	t.Helper()
	keys, err := ParseKeys([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// told is an event as a backend reads it.
type told struct {
	Type       string
	At         int64
	Connection string
	User       string
	Text       *string
	Count      int
	Since      int64
}

// request is one that a backend got.
type request struct {
	id     string
	body   string
	events []told
	answer int
}

// backend verifies and keeps what it gets. Its answers are answer's; nil takes everything.
type backend struct {
	t      testing.TB
	web    *httptest.Server
	answer func(w http.ResponseWriter, r *http.Request, got request)

	mu       sync.Mutex
	requests []request
	keys     []string // any of them is good
	changed  chan struct{}
}

func newBackend(t testing.TB, answer func(w http.ResponseWriter, r *http.Request, got request)) *backend {
	b := &backend{t: t, answer: answer, keys: []string{testKey}, changed: make(chan struct{}, 1)}
	b.web = httptest.NewServer(b)
	t.Cleanup(b.web.Close)
	return b
}

// ServeHTTP implements http.Handler.
func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // it was given up
	}
	got := request{id: r.Header.Get("Webhook-Id"), body: string(body)}
	b.verify(r, got)
	var all struct{ Events []told }
	if err := json.Unmarshal(body, &all); err != nil {
		b.t.Errorf("%q: %v", body, err)
	}
	got.events = all.Events
	status := &statusWriter{ResponseWriter: w, status: http.StatusOK}
	if b.answer != nil {
		b.answer(status, r, got)
	}
	got.answer = status.status
	b.mu.Lock()
	b.requests = append(b.requests, got)
	b.mu.Unlock()
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

// verify does what Standard Webhooks asks of a receiver.
func (b *backend) verify(r *http.Request, got request) {
	stamp := r.Header.Get("Webhook-Timestamp")
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if off := time.Since(time.Unix(seconds, 0)); err != nil || off.Abs() > 5*time.Minute {
		b.t.Errorf("webhook-timestamp: got %q, %v", stamp, err)
	}
	if got.id == "" || strings.Contains(got.id, ".") {
		b.t.Errorf("webhook-id: got %q", got.id)
	}
	if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" {
		b.t.Errorf("got %s of %q", r.Method, r.Header.Get("Content-Type"))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, key := range b.keys {
		secret, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(key, "whsec_"))
		mac := hmac.New(sha256.New, secret)
		io.WriteString(mac, got.id+"."+stamp+"."+got.body)
		want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
		if !slices.Contains(strings.Split(r.Header.Get("Webhook-Signature"), " "), want) {
			b.t.Errorf("webhook-signature: got %q, want %q in it", r.Header.Get("Webhook-Signature"), want)
		}
	}
}

type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// all returns the requests, and the events of those that were taken, each request once.
func (b *backend) all() (requests []request, events []told) {
	b.mu.Lock()
	defer b.mu.Unlock()
	seen := make(map[string]bool)
	for _, r := range b.requests {
		if r.answer/100 == 2 && !seen[r.id] {
			seen[r.id] = true
			events = append(events, r.events...)
		}
	}
	return slices.Clone(b.requests), events
}

// await waits until ok, which is asked after each request.
func (b *backend) await(what string, ok func(requests []request, events []told) bool) (requests []request, events []told) {
	b.t.Helper()
	for end := time.After(patience); ; {
		requests, events = b.all()
		if ok(requests, events) {
			return requests, events
		}
		select {
		case <-b.changed:
		case <-end:
			b.t.Fatalf("%s: still not so, after %d requests and %d events", what, len(requests), len(events))
		}
	}
}

// open returns a Sender for the backend.
func (b *backend) open(config Config) *Sender {
	b.t.Helper()
	return open(b.t, b.web.URL, config)
}

func open(t testing.TB, url string, config Config) *Sender {
	t.Helper()
	config.URL = url
	if config.Keys == nil {
		config.Keys = parsed(t, testKey)
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	s, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = closeNow(s) })
	return s
}

// closeNow closes s without sending what is left.
func closeNow(s *Sender) error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return s.Close(ctx)
}

// closeSoon closes s and fails unless all is delivered.
func closeSoon(t testing.TB, s *Sender) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Error(err)
	}
}

// numbered is an event of a connection with a number in its User.
func numbered(conn string, n int) Event {
	return Event{Type: Connected, Connection: conn, User: strconv.Itoa(n)}
}

// users are the Users of events that are not of type dropped, and count is what those tell of.
func users(events []told) (all []string, count int) {
	for _, e := range events {
		if e.Type == "dropped" {
			count += e.Count
			continue
		}
		all = append(all, e.User)
	}
	return all, count
}

func numbers(from, to int) (all []string) {
	for n := from; n < to; n++ {
		all = append(all, fmt.Sprint(n))
	}
	return all
}
