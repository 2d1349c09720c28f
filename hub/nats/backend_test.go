//go:build linux

package nats

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/usher-ws/usher/hub"
)

// users notes what is for users.
type users struct {
	mu  sync.Mutex
	all []string
}

func (u *users) hear(user string, encode hub.Encoder) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.all = append(u.all, fmt.Sprintf("%s: %s", user, encode(0)))
}

func (u *users) texts() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.all)
}

// said is what tests encode.
func encodeSaid(from, text string, json []byte) (hub.Encoder, error) {
	if text == "bad" {
		return nil, errors.New("bad")
	}
	return func(int) []byte { return []byte(from + "/" + text + "/" + string(json)) }, nil
}

// heardEncoded listens to a topic for what a hub would make of it.
func heardEncoded(t *testing.T, b *Broker, topic string) *users {
	u := new(users)
	h := &hub.Hub{Broker: b}
	newHouseFor(t, h).join(topic, u.note)
	return u
}

func (u *users) note(text string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.all = append(u.all, text)
}

// TestBackend: what other clients publish to rooms and users is heard once at each node, and
// what is no message is counted.
func TestBackend(t *testing.T) {
	s := serveNATS(t, "-c", write(t, "max_control_line: 64KB\n"))
	var people users
	north := s.connect(Config{Node: "north", Encode: encodeSaid, User: people.hear})
	south := s.connect(Config{Node: "south", Encode: encodeSaid})
	inNorth, inSouth := heardEncoded(t, north, "lobby"), heardEncoded(t, south, "lobby")
	settle(t, north, south)
	nc := s.client()
	for _, m := range []string{
		`{"text":"hi"}`,
		`{"text":"once","id":"1","from":"billing"}`,
		`{"text":"once","id":"1","from":"billing"}`,
		` {"json":{"a":[1, 2]},"retain":true}`,
		`{"text":""}`,
		// These are none.
		``, `{`, `[]`, `"hi"`, `{}`, `{"text":"both","json":1}`, `{"text":1}`, `{"text":"bad"}`, `{"text":"hi"} x`,
		"\x02 of a later version", "\x01\x00\x01", // not a backend's
		`{"text":"end"}`,
	} {
		if err := nc.Publish("usher.room.lobby", []byte(m)); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"/hi/", "billing/once/", `//{"a":[1, 2]}`, "//", "/end/"}
	for _, u := range []*users{inNorth, inSouth} {
		await(t, "the last is heard", func() bool { return slices.Contains(u.texts(), "/end/") })
		if got := u.texts(); !slices.Equal(got, want) {
			t.Errorf("heard: got %q, want %q", got, want)
		}
	}
	names := []string{"alice", ">", "*", "a.b", "with a space", strings.Repeat("long", 10<<10/4)}
	want = nil
	for _, name := range names {
		if err := nc.Publish("usher.user."+Token(name), []byte(`{"text":"psst","id":"1"}`)); err != nil {
			t.Fatal(err)
		}
		want = append(want, name+": /psst/")
	}
	for _, token := range []string{"~YWxpY2U", "~", "a.b"} { // no spelling of alice; "" is a name; two tokens are nobody
		_ = nc.Publish("usher.user."+token, []byte(`{"text":"psst"}`))
	}
	want = append(want, ": /psst/")
	await(t, "users are told", func() bool { return len(people.texts()) >= len(want) })
	got := people.texts()
	slices.Sort(got) // those of several users may come in any order
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("for users: got %.80q, want %.80q", got, want)
	}
	await(t, "all is counted", func() bool { return north.Stats().Refused == 10 })
	if s := north.Stats(); s.Repeated != 1 || s.Unknown != 1 || s.Malformed != 1 {
		t.Errorf("got %+v, want one of each", s)
	}
	if n := north.nc.NumSubscriptions() - south.nc.NumSubscriptions(); n != 0 {
		t.Errorf("got %d subscriptions more for users, want none", n)
	}
}

// TestBackendInPython: it takes nothing but a socket.
func TestBackendInPython(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("there is no python3")
	}
	s := serveNATS(t)
	var people users
	b := s.connect(Config{Node: "north", Encode: encodeSaid, User: people.hear})
	room := heardEncoded(t, b, "lobby")
	settle(t, b)
	addr := strings.TrimPrefix(s.url, "nats://")
	out, err := exec.Command("python3", filepath.Join("testdata", "publish.py"), addr,
		"usher.room.lobby", `{"text":"größer","from":"Python"}`, "usher.user."+Token("a.b"), `{"json":[1]}`).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	await(t, "both are heard", func() bool { return len(room.texts()) > 0 && len(people.texts()) > 0 })
	if got := append(room.texts(), people.texts()...); !slices.Equal(got, []string{"Python/größer/", "a.b: //[1]"}) {
		t.Errorf("got %q", got)
	}
}

// TestRecent: an id is known for two minutes, and so many are.
func TestRecent(t *testing.T) {
	var r recent
	now := time.Unix(0, 0)
	add := func(id string, want bool) {
		t.Helper()
		if got := r.add("usher.room.lobby", id, now); got != want {
			t.Errorf("%s at %v: got new %t, want %t", id, now.Unix(), got, want)
		}
	}
	add("a", true)
	add("a", false)
	now = now.Add(recentFor - 1)
	add("a", false)
	if !r.add("usher.room.cellar", "a", now) {
		t.Error("the id of another room: got old, want new")
	}
	now = now.Add(1)
	add("a", true)
	for i := range maxRecent - 1 {
		add(fmt.Sprint(i), true)
	}
	add("0", false)
	if len(r.known) != maxRecent || len(r.line) != maxRecent {
		t.Errorf("got %d and %d known, want %d", len(r.known), len(r.line), maxRecent)
	}
	add("one more", true)
	add("a", true)
}
