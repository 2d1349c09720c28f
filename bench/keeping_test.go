//go:build linux

package bench

import (
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/usher-ws/usher/frame"
	"golang.org/x/sys/unix"
)

// serverArg makes the test program a server that keeps memory: what is measured
// has to be another process.
const serverArg = "be-a-server"

const (
	keepEach     = 2 << 20  // "each": for every connection, as long as it lasts
	keepBesieged = 64 << 20 // "besieged": from the first attacker on
)

// serveKeeping is the whole life of such a server.
func serveKeeping(what, address string) error {
	f := new(fake)
	switch what {
	case "each":
		f.message = func(c *fakeConn, n int, op frame.Opcode, data []byte) {
			if n == 0 {
				keep(keepEach)
			}
			c.send(op, data)
		}
	case "besieged":
		f.attacked = sync.OnceFunc(func() { keep(keepBesieged) })
	}
	if _, err := f.listen(address); err != nil {
		return err
	}
	select {}
}

// keep takes memory for good: every page is touched, and the collector does not
// know it.
func keep(n int) {
	if _, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_POPULATE); err != nil {
		panic(err)
	}
}

// keeping returns the Common of a run against such a server.
func keeping(t *testing.T, what string, conns int) Common {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	return Common{
		URL: "ws://127.0.0.1:" + strconv.Itoa(port) + "/", Spawn: "/proc/self/exe " + serverArg + " " + what + " {addr}",
		Conns: conns, Duration: 200 * time.Millisecond, Warmup: -1, Timeout: patience,
	}
}

// TestIdleMemory: what a server keeps for each connection is what is reported, and
// not what it needs anyway.
func TestIdleMemory(t *testing.T) {
	r, err := Idle{Common: keeping(t, "each", 40), Steps: 2, Hold: time.Millisecond}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"rss_per_connection", "anon_per_connection", "pss_per_connection"} {
		// A goroutine and its buffers come on top, twice as large under the race detector.
		if got := r.Figure(key).Value; got < 0.9*keepEach || got > 1.25*keepEach {
			t.Errorf("%s: got %s, want %s", key, size(got), size(keepEach))
		}
	}
	if got := r.Figure("fds").Value; !r.OK || got < 40 {
		t.Errorf("%g open files: got %s", got, r.Text())
	}
}

// TestSiegeMemory: what a server grows by during an attack is what is reported. On a
// busy machine it may not have grown yet when a short attack is over.
func TestSiegeMemory(t *testing.T) {
	for _, name := range attackNames() {
		n := Neighbours{Common: keeping(t, "besieged", 3), Rate: 100}
		r, grown := growth(t, name, n)
		for ; grown < 0.9*keepBesieged && n.Duration < time.Minute; r, grown = growth(t, name, n) {
			n.Duration *= 4
		}
		if grown < 0.9*keepBesieged || grown > 1.5*keepBesieged {
			t.Errorf("%s: grew by %s, want %s", name, size(grown), size(keepBesieged))
		}
		peace := r.Figure("peace_server_rss").Value
		if got := r.Figure(name + "_server_rss_after").Value; got-peace < 0.9*keepBesieged {
			t.Errorf("%s: got %s after it, %s in peace, want %s more", name, size(got), size(peace), size(keepBesieged))
		}
		if !r.OK {
			t.Errorf("got %s", r.Text())
		}
	}
}

// growth runs an attack, and returns by how much the server had grown during it.
func growth(t *testing.T, name string, n Neighbours) (r *Report, grown float64) {
	t.Helper()
	r, err := runAssault(t, name, n)
	if err != nil {
		t.Fatal(err)
	}
	return r, r.Figure(name+"_server_rss").Value - r.Figure("peace_server_rss").Value
}
