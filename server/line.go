//go:build linux

package server

import (
	"net/netip"
	"sync"
	"sync/atomic"
)

// line is the jobs of one connection, in their order. It exists as long as there
// are any, and keeps the connection's slot.
type line struct {
	conn Conn
	pool *pool

	// What a worker may ask about the connection, since it must not look at the slot.
	identity atomic.Pointer[lateIdentity]
	route    *loopRoute
	values   []string
	proto    string
	peer     netip.AddrPort

	// Guarded by pool.mu.
	jobs   []job // not begun
	over   []result
	taken  bool // it is in the pool's queue, or a worker has it
	ended  bool // no more of its jobs are to begin
	pinned bool // the socket is closed: only the loop closed the connection
	next   *line

	// The loop's.
	open  int         // jobs that the loop has not heard the end of
	bytes int         // of their data, as buffers count them
	then  func(link)  // how the connection ends when there are none
	told  *CloseError // what then tells Close, if that is known and was first
}

// lines finds the lines of a loop's connections by their token. Any goroutine may look
// one up.
type lines struct {
	n  atomic.Int32 // so that servers without Offload pay nothing
	mu sync.RWMutex
	of map[uint64]*line
}

func (t *lines) get(tok uint64) *line {
	if t.n.Load() == 0 {
		return nil
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.of[tok]
}

func (t *lines) put(tok uint64, q *line) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of == nil {
		t.of = make(map[uint64]*line)
	}
	t.of[tok] = q
	t.n.Add(1)
}

func (t *lines) drop(tok uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.of, tok)
	t.n.Add(-1)
}
