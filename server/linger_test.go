//go:build linux

package server

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/usher-ws/usher/upgrade"
)

// lingerTime is for how long a connection lingers.
const lingerTime = 2 * time.Second

// TestEvictedAreCounted: a flood of the refused who do not go lingers within the
// reserve; of those beyond it the oldest are cut short, and counted.
func TestEvictedAreCounted(t *testing.T) {
	const flood = 100
	s := &Server{Loops: 1}
	no := upgrade.Guard{OnRequest: func(*upgrade.Request) error { return upgrade.Reject(http.StatusForbidden, "no", "No.") }}
	s.Route("/no", Route{Guards: []upgrade.Guard{no}})
	s.Route("/echo", Route{Message: echo})
	addr := startWithFew(t, s, 512) // the smallest reserve, 16
	if s.reserve != 16 {
		t.Fatalf("a reserve of %d, want 16", s.reserve)
	}

	begin := time.Now()
	sent := fmt.Sprintf(upgradeHead, "/no") + strings.Repeat("x", 60<<10)
	for range flood {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(time.Hour))
		if _, err := c.Write([]byte(sent)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all are refused", func() bool { // the last is counted a moment before it lingers
		st := s.Stats()
		return st.Refused == flood && (int(st.Evicted)+int(st.Lingering) >= flood || time.Since(begin) >= lingerTime)
	})
	if st := s.Stats(); time.Since(begin) < lingerTime && (st.Lingering > 16 || st.Evicted < flood-16) || st.Evicted > flood || st.TurnedAway != 0 {
		t.Errorf("got %+v, want 16 lingering and %d evicted", st, flood-16)
	}
	c := dial(t, addr, "/echo") // there is room for a welcome client
	say(t, c, "hi")
	if got := read(t, c); got != "hi" {
		t.Errorf("got %q", got)
	}
	eventually(t, "the reserve is free again", func() bool { return s.Stats().Lingering == 0 })
	if st := s.Stats(); time.Since(begin) < lingerTime {
		t.Errorf("it took %v, and lingering takes %v: %+v", time.Since(begin), lingerTime, st)
	}
}
