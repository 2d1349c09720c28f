//go:build linux

package server

import (
	"net/netip"
	"time"

	"github.com/usher-ws/usher/frame"
)

// ext is what only some connections need, most of them for a moment. It belongs
// to the loop, is found through slot.ext, and is dropped when all of it is zero.
type ext struct {
	// Input that straddles reads.
	head    []byte         // the request head gathered so far
	partial *frame.Partial // half a frame or message, or a held tail
	since   uint32         // the tick in which the incomplete message began, +1
	paused  uint32         // the tick in which its clock was stopped, +1; 0 while it runs

	// Output the peer has not taken.
	outbox  []byte
	sent    int    // bytes of outbox already taken
	stalled uint32 // the tick in which the peer last took something

	// What the workers of an Offload have of it.
	line *line

	// The limiter.
	strikes int    // how often it was over a limit, if that is counted
	struck  uint32 // the tick in which it first was

	// The rest.
	resume  time.Duration // when a delay ends
	drained int           // bytes discarded while lingering
	asked   *asked        // the authorizer's question
	data    any           // the user's
	addr    netip.Addr    // by which limits per address count it, if there are any
	proto   string        // the negotiated subprotocol
	groups  []uint32      // its groups, when there are several
}

func (x *ext) isZero() bool {
	return x.head == nil && x.partial == nil && x.since == 0 && x.outbox == nil && x.sent == 0 &&
		x.stalled == 0 && x.resume == 0 && x.drained == 0 && x.asked == nil && x.data == nil &&
		x.strikes == 0 && x.struck == 0 && x.addr == netip.Addr{} && x.proto == "" && x.groups == nil && x.line == nil
}

// unsent returns the bytes that wait for the peer.
func (x *ext) unsent() []byte { return x.outbox[x.sent:] }

// size is the pooled memory x holds.
func (x *ext) size() int {
	n := cap(x.head) + cap(x.outbox) + x.partial.Size()
	if x.line != nil {
		n += x.line.bytes
	}
	return n
}

// exts are the extensions of one loop; index 0 is none.
type exts struct {
	all  []*ext
	free []uint32
}

var noExt ext // read only: the answer for a connection without one

// get returns the extension of s, never nil, to be read.
func (t *exts) get(s *slot) *ext {
	if s.ext == 0 {
		return &noExt
	}
	return t.all[s.ext]
}

// need returns the extension of s, to be written.
func (t *exts) need(s *slot) *ext {
	if s.ext != 0 {
		return t.all[s.ext]
	}
	if n := len(t.free); n > 0 {
		s.ext = t.free[n-1]
		t.free = t.free[:n-1]
		return t.all[s.ext]
	}
	if len(t.all) == 0 {
		t.all = append(t.all, &noExt)
	}
	s.ext = uint32(len(t.all))
	x := new(ext)
	t.all = append(t.all, x)
	return x
}

// trim drops the extension of s if nothing is in it.
func (t *exts) trim(s *slot) {
	if s.ext != 0 && t.all[s.ext].isZero() {
		t.free = append(t.free, s.ext)
		s.ext = 0
	}
}
