//go:build linux

package nats

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// wire carries connections to another address until it is cut.
type wire struct {
	net.Listener
	to string

	mu    sync.Mutex
	isCut bool
	ends  map[net.Conn]bool
}

// lay returns a wire to an address, until the test ends.
func lay(t *testing.T, to string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{Listener: l, to: to, ends: make(map[net.Conn]bool)}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { w.carry(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		w.set(true)
		running.Wait()
	})
	return w
}

// set cuts the wire, or mends it.
func (w *wire) set(cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.isCut = cut
	for c := range w.ends {
		if cut {
			c.Close()
		}
	}
}

// hold notes an end, which is closed at once if the wire is cut.
func (w *wire) hold(c net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ends[c] = true
	if w.isCut {
		c.Close()
	}
}

func (w *wire) carry(c net.Conn) {
	defer c.Close()
	w.hold(c)
	up, err := net.Dial("tcp", w.to)
	if err != nil {
		return
	}
	defer up.Close()
	w.hold(up)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(up, c)
		up.Close()
	}()
	_, _ = io.Copy(c, up)
	c.Close()
	<-done
}

// TestSplit: the parts of a cluster that is split go on for themselves, and are one again when
// it has healed, with all that was missed counted.
func TestSplit(t *testing.T) {
	const cluster = "cluster { name: usher, listen: 127.0.0.1:-1, pool_size: -1%s }\n"
	north := serveNATS(t, "-c", write(t, fmt.Sprintf(cluster, "")))
	w := lay(t, strings.TrimPrefix(north.cluster, "nats://"))
	south := serveNATS(t, "-c", write(t, fmt.Sprintf(cluster, ", routes: [nats://"+w.Addr().String()+"]")))
	all, hush := village(t, north, north, south)
	w.set(true)
	await(t, "the parts are alone", func() bool {
		return len(all[0].broker.State().Nodes) == 1 && len(all[1].broker.State().Nodes) == 1 && len(all[2].broker.State().Nodes) == 0
	})
	for _, h := range all {
		if h.broker.Degraded() {
			t.Errorf("node %d: got degraded, want a part that goes on", h.number)
		}
	}
	hear(t, all[:2], "the north hears itself", 0, 1)
	w.set(false)
	hear(t, all, "all hear all again")
	hush()
	judge(t, all)
	if all[2].lost[0].Load() == 0 {
		t.Error("nothing was lost")
	}
}
