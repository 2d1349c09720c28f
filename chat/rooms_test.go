//go:build linux

package chat

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/server"
)

// ear is a peer, and a crowd, that keeps what it is sent.
type ear struct {
	mu    sync.Mutex
	heard []string
	err   error // what Send answers
}

func (e *ear) Send(op frame.Opcode, b []byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if op != frame.OpText {
		return fmt.Errorf("opcode %v", op)
	}
	if e.err == nil {
		e.heard = append(e.heard, string(b))
	}
	return e.err
}

func (*ear) Join(server.Conn) error { return nil }

// take returns what was heard since the last time.
func (e *ear) take() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	heard := e.heard
	e.heard = nil
	return heard
}

func newEar() crowd { return new(ear) }

func mustJoin(t *testing.T, rs *rooms, room, name string) (*member, *ear) {
	t.Helper()
	e := new(ear)
	m, err := rs.join(e, room, name)
	if err != nil {
		t.Fatalf("join(%q, %q): %v", room, name, err)
	}
	return m, e
}

func TestRoomLivesWhileSomebodyIsIn(t *testing.T) {
	rs := newRooms(nil, newEar)
	alice, _ := mustJoin(t, rs, "lobby", "alice")
	bob, _ := mustJoin(t, rs, "lobby", "bob")
	if alice.room != bob.room {
		t.Fatal("alice and bob are in two rooms of one name")
	}
	if !rs.leave(alice) {
		t.Error("leave(alice) with bob there: got false, want true")
	}
	if rs.leave(alice) {
		t.Error("leave(alice) again: got true, want false")
	}
	if rs.leave(bob) {
		t.Error("leave(bob), the last: got true, want false")
	}
	if len(rs.live) != 0 {
		t.Errorf("rooms in use: got %d, want 0", len(rs.live))
	}
	carol, _ := mustJoin(t, rs, "lobby", "carol")
	if carol.room == bob.room {
		t.Error("carol is in the room that was forgotten")
	}
}

func TestUserHasManyConnections(t *testing.T) {
	rs := newRooms(nil, newEar)
	var tabs []*member
	for range 4 {
		m, _ := mustJoin(t, rs, "lobby", "alice")
		tabs = append(tabs, m)
	}
	bob, _ := mustJoin(t, rs, "lobby", "bob")
	for left, i := range []int{1, 3, 0, 2} { // the middle, the last, the first
		if got, want := len(rs.find(bob, "alice")), 4-left; got != want {
			t.Errorf("alice's connections: got %d, want %d", got, want)
		}
		rs.leave(tabs[i])
	}
	if got := rs.find(bob, "alice"); got != nil {
		t.Errorf("alice's connections when all have left: got %v, want none", got)
	}
	if some, total := rs.who(bob, 10); total != 1 || len(some) != 1 || some[0].name != "bob" {
		t.Errorf("who: got %v of %d, want bob alone", some, total)
	}
}

func TestRoomsThatCannotBe(t *testing.T) {
	listed := newRooms([]string{"lobby"}, newEar)
	for _, tt := range []struct {
		rooms *rooms
		name  string
	}{{listed, "attic"}, {listed, ""}, {newRooms(nil, newEar), "a b"}} {
		if m, err := tt.rooms.join(new(ear), tt.name, "alice"); !errors.Is(err, errRoomUnknown) {
			t.Errorf("join(%q): got %v, %v, want %v", tt.name, m, err, errRoomUnknown)
		}
	}
}

func TestMaxRooms(t *testing.T) {
	rs := newRooms(nil, newEar)
	var last *member
	for i := range MaxRooms {
		last, _ = mustJoin(t, rs, fmt.Sprintf("r%d", i), "alice")
	}
	if _, err := rs.join(new(ear), "onemore", "alice"); !errors.Is(err, errRoomsFull) {
		t.Errorf("room %d: got %v, want %v", MaxRooms+1, err, errRoomsFull)
	}
	if rs.open("onemore") || !rs.open("r0") {
		t.Errorf("open: got %v for a new room and %v for one in use, want false and true", rs.open("onemore"), rs.open("r0"))
	}
	mustJoin(t, rs, "r0", "bob")
	rs.leave(last)
	mustJoin(t, rs, "onemore", "alice")
}

func TestWhoIsBoundedAndSorted(t *testing.T) {
	rs := newRooms(nil, newEar)
	var m *member
	for i := range 150 {
		m, _ = mustJoin(t, rs, "lobby", fmt.Sprintf("u%03d", i))
	}
	some, total := rs.who(m, 100)
	if len(some) != 100 || total != 150 {
		t.Errorf("got %d of %d, want 100 of 150", len(some), total)
	}
	if !slices.IsSortedFunc(some, func(a, b presence) int { return map[bool]int{true: -1, false: 1}[a.name < b.name] }) {
		t.Errorf("not sorted: %v", some)
	}
}

// TestJoinsAndLeavesRace has many come to and go from few rooms, so that rooms are
// made and forgotten all the time: nobody may be in a room that is not in the
// table, and nothing may stay.
func TestJoinsAndLeavesRace(t *testing.T) {
	rs := newRooms(nil, newEar)
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			name := fmt.Sprintf("u%d", g%4) // some users twice
			for i := range 500 {
				room := fmt.Sprintf("r%d", i%2)
				m, err := rs.join(new(ear), room, name)
				if err != nil {
					t.Error(err)
					return
				}
				rs.hear(m, []byte("hi"))
				rs.hear(m, []byte("/status here"))
				rs.mu.Lock()
				known := rs.live[room] == m.room
				rs.mu.Unlock()
				if !known || len(rs.find(m, name)) == 0 {
					t.Errorf("%s is in a %s that is forgotten", name, room)
				}
				rs.leave(m)
			}
		})
	}
	all.Wait()
	if len(rs.live) != 0 {
		t.Errorf("rooms in use: got %d, want 0", len(rs.live))
	}
}
