//go:build linux

package main_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// eventsKey is what tests sign events with.
var eventsKey = "whsec_" + base64.StdEncoding.EncodeToString([]byte("a secret of tests of 32 bytes ok"))

// eventsKeyFile writes keys into a file.
func eventsKeyFile(t *testing.T, keys ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "events.key")
	if err := os.WriteFile(path, []byte(strings.Join(keys, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// happened is an event as a backend reads it.
type happened struct {
	Type, Connection, User, Room, Route, Path, Remote, Subprotocol string
	Text, Data                                                     *string
	Code                                                           int
	Reason                                                         string
	Count                                                          int
}

// said is what there is to compare in most tests.
func (e happened) said() string {
	switch e.Type {
	case "disconnected":
		return fmt.Sprint(e.Type, " ", e.User, " ", e.Path, " ", e.Code)
	case "message":
		if e.Text != nil {
			return e.Type + " " + e.User + " " + *e.Text
		}
		return e.Type + " " + e.User + " " + *e.Data
	case "joined", "left":
		return e.Type + " " + e.User + " " + e.Room
	}
	return e.Type + " " + e.User + " " + e.Path
}

// eventsBackend keeps the events that it is told, signed by key, once each, and holds them to
// docs/events.schema.json.
type eventsBackend struct {
	t      *testing.T
	url    string
	schema *jsonschema.Schema

	mu     sync.Mutex
	key    string
	ids    map[string]bool
	events []happened
	bad    int // requests without a good signature, which are answered with 401
}

func newEventsBackend(t *testing.T) *eventsBackend {
	t.Helper()
	schema, err := jsonschema.NewCompiler().Compile("../../docs/events.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	b := &eventsBackend{t: t, schema: schema, key: eventsKey, ids: make(map[string]bool)}
	web := httptest.NewServer(b)
	t.Cleanup(web.Close)
	b.url = web.URL + "/usher?token=hidden"
	return b
}

// ServeHTTP implements http.Handler.
func (b *eventsBackend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	id := r.Header.Get("webhook-id")
	secret, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(b.key, "whsec_"))
	mac := hmac.New(sha256.New, secret)
	fmt.Fprintf(mac, "%s.%s.%s", id, r.Header.Get("webhook-timestamp"), body)
	good := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	if !slices.Contains(strings.Fields(r.Header.Get("webhook-signature")), good) {
		b.bad++
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(string(body)))
	if err == nil {
		err = b.schema.Validate(v)
	}
	if err != nil {
		b.t.Errorf("%s: %v", body, err)
	}
	var all struct{ Events []happened }
	_ = json.Unmarshal(body, &all)
	if !b.ids[id] {
		b.events = append(b.events, all.Events...)
	}
	b.ids[id] = true
}

// told returns the events so far.
func (b *eventsBackend) told() []happened {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.events)
}

// await returns the events when there are n.
func (b *eventsBackend) await(n int) []happened {
	b.t.Helper()
	becomes(b.t, "events", n, func(testing.TB) int { return len(b.told()) })
	return b.told()
}

// want compares all events so far.
func (b *eventsBackend) want(lines ...string) []happened {
	b.t.Helper()
	if !patiently(func() bool { return len(b.told()) >= len(lines) }) {
		b.t.Errorf("got %d events, want %d", len(b.told()), len(lines))
	}
	events := b.told()
	var got []string
	for _, e := range events {
		got = append(got, e.said())
	}
	if !slices.Equal(got, lines) {
		b.t.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(lines, "\n"))
	}
	return events
}

// flags are what a program needs to tell b.
func (b *eventsBackend) flags(types string) []string {
	return []string{"--events", b.url, "--events-key-file", eventsKeyFile(b.t, b.key), "--events-types", types}
}
