//go:build linux

package hub

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/usher-ws/usher/server"
)

// What the tables take counts in the server's Buffered, to the byte, and goes with the members.
func TestTablesCount(t *testing.T) {
	h := &Hub{Key: strings.ToLower, LeaveGrace: 50 * time.Millisecond}
	home := serve(t, h)
	var s *server.Server
	agree := func(what string) (held int) {
		t.Helper()
		taken := func() int {
			h.mu.Lock()
			defer h.mu.Unlock()
			return h.size()
		}
		size := taken()
		for held = s.Stats().Buffered; taken() != size; held = s.Stats().Buffered { // a grace was over meanwhile
			size = taken()
		}
		if held != size {
			t.Errorf("%s: the tables take %d bytes, and %d are held", what, size, held)
		}
		return held
	}
	one, c := home.join("lobby", "Alice")
	s = c.Server()
	first := agree("one member")
	if first < 100 {
		t.Errorf("one member takes %d bytes", first)
	}
	one.SetStatus(strings.Repeat("s", 1000))
	if n := agree("with a status"); n < first+1000 {
		t.Errorf("%d bytes are held with a status of 1,000", n)
	}
	members := []*Member{one}
	for k := range 20 {
		m, _ := home.join(fmt.Sprint("room ", k%5), fmt.Sprint("user ", k%7))
		members = append(members, m, home.bring(c, fmt.Sprint("room of alice's ", k), "Alice"))
	}
	agree("forty members")
	for _, m := range members[:20] {
		m.Leave()
	}
	back, _ := home.join("room 0", "user 0")
	agree("half of them away, and one of them back")
	back.Leave()
	for _, m := range members[20:] {
		m.Leave()
	}
	c.ws.Close()
	for s.Stats().Buffered != 0 { // the grace goes by
		time.Sleep(time.Millisecond)
	}
}

// A hub of two servers is counted by one of them at a time.
func TestTablesCountOnce(t *testing.T) {
	h := new(Hub)
	here, there := serve(t, h), serve(t, h)
	a, inA := here.join("a", "alice")
	b, inB := there.join("b", "bob")
	for _, step := range []func(){func() {}, func() { a.SetStatus("busy") }, func() { a.Leave() }, func() { b.Leave() }} {
		step()
		h.mu.Lock()
		size := h.size()
		h.mu.Unlock()
		if got := inA.Server().Stats().Buffered + inB.Server().Stats().Buffered; got != size {
			t.Errorf("both hold %d bytes, want %d", got, size)
		}
	}
}

// A user that comes and goes within LeaveGrace leaves one trace, however often.
func TestComingAndGoingIsBounded(t *testing.T) {
	h := &Hub{LeaveGrace: time.Hour}
	home := serve(t, h)
	c := home.dial()
	home.join("lobby", "somebody else")
	for range 5000 {
		home.bring(c, "lobby", "alice").Leave()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if n, m := cap(h.leaving), len(h.away); n > 64 || m != 1 || h.seats.Len() != 2 || h.seats.names.Len() != 2 {
		t.Errorf("room for %d that leave, %d away, %d seats and %d names; want little, 1, 2 and 2", n, m, h.seats.Len(), h.seats.names.Len())
	}
}
