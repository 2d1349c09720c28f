//go:build linux

package server

import (
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/usher-ws/usher/frame"
)

// TestNoLockOnTheMessagePath: with two loops, and clients at both that never pause,
// nobody ever waited for a lock of ours.
func TestNoLockOnTheMessagePath(t *testing.T) {
	const clients, rounds, inFlight = 8, 2000, 8
	s := &Server{Loops: 2}
	s.Route("/echo", Route{Message: echo})
	addr := start(t, s)
	message := []byte(strings.Repeat(string(masked(frame.OpText, []byte("hello"))), inFlight))
	defer runtime.SetMutexProfileFraction(runtime.SetMutexProfileFraction(1))
	var conns []io.ReadWriter
	for range clients {
		conns = append(conns, rawDial(t, addr, "/echo"))
	}
	s.Stats() // the loops are done with the handshakes
	before := waits()
	var all sync.WaitGroup
	for _, c := range conns {
		all.Go(func() {
			buf := make([]byte, 7*inFlight)
			for range rounds {
				if _, err := c.Write(message); err != nil {
					t.Error(err)
					return
				}
				if _, err := io.ReadFull(c, buf); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	for _, l := range s.Stats().Loops {
		if l.Conns != clients/2 {
			t.Errorf("a loop has %d connections, want %d", l.Conns, clients/2)
		}
	}
	for where, n := range waits() {
		if n -= before[where]; n > 0 {
			t.Errorf("%d waits for a lock:\n%s", n, where)
		}
	}
}

// waits counts, by their stacks, the waits so far for locks that a loop had while it
// handled what was ready.
func waits() map[string]int64 {
	records := make([]runtime.BlockProfileRecord, 1000)
	n, ok := runtime.MutexProfile(records)
	for ; !ok; n, ok = runtime.MutexProfile(records) {
		records = make([]runtime.BlockProfileRecord, 2*n)
	}
	found := make(map[string]int64)
	for _, r := range records[:n] {
		var stack strings.Builder
		ours := false
		for frames := runtime.CallersFrames(r.Stack()); ; {
			f, more := frames.Next()
			stack.WriteString(f.Function + "\n")
			ours = ours || strings.HasSuffix(f.Function, "poller.(*Loop).onReady")
			if !more {
				break
			}
		}
		if ours {
			found[stack.String()] += r.Count
		}
	}
	return found
}
