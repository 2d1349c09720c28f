//go:build linux

package stream

import "unsafe"

// outbox is what a peer has yet to take: pieces in order, which are the stream's own bytes
// or bytes that are kept once for all streams of the loop that wait to send them.
type outbox struct {
	pieces  []*piece // those before first have left
	first   int
	sent    int // bytes of the first piece already taken
	waiting int // bytes that wait
	held    int // bytes of memory that would be free if nobody else waited for the same
}

// piece is bytes that wait.
type piece struct {
	b    []byte
	refs int32 // how often it is in an outbox; 0 for a stream's own bytes, which Buffers has lent
}

// A Part says that bytes of what is written stay as they are for as long as anybody waits
// to send them, so that they need not be copied. Streams that are written the same part,
// which begins at the same address, keep it together.
type Part struct {
	From int    // where it begins in what is written
	B    []byte // the same bytes again, for good
}

const (
	// A part of fewer bytes is copied: a reference would take no less.
	minPart = 64

	// pieceCost is what a shared piece takes beside its bytes.
	pieceCost = int(unsafe.Sizeof(piece{})) + 2*int(unsafe.Sizeof(uintptr(0)))

	refCost = int(unsafe.Sizeof((*piece)(nil)))

	// rowSize is how many pieces an outbox has room for at first, and spareMost how many rows
	// and pieces a loop keeps for reuse.
	rowSize, spareMost = 4, 256

	// gatherMin is from how many bytes on a piece is sent by itself, rather than copied
	// to leave together with those behind it.
	gatherMin = 16 << 10
)

// pieces are those that streams of a loop share, by where their bytes are.
type pieces struct {
	shared map[*byte]*piece
	last   *piece // the one that was asked for last: a fan-out asks again and again
	spare  []*piece
	rows   [][]*piece
}

// take returns the piece of b, to be in one more outbox.
func (t *pieces) take(b []byte, buffers *Buffers) *piece {
	p := t.last
	if p == nil || p.refs == 0 || &p.b[0] != &b[0] || len(p.b) != len(b) {
		if p = t.shared[&b[0]]; p == nil || len(p.b) != len(b) {
			p = &piece{b: b}
			buffers.Charge(len(b) + pieceCost)
			if t.shared == nil {
				t.shared = make(map[*byte]*piece)
			}
			t.shared[&b[0]] = p
		}
		t.last = p
	}
	p.refs++
	return p
}

// own returns a piece for bytes of a stream's own.
func (t *pieces) own() *piece {
	n := len(t.spare)
	if n == 0 {
		return new(piece)
	}
	p := t.spare[n-1]
	t.spare = t.spare[:n-1]
	return p
}

// row returns an empty row of pieces.
func (t *pieces) row() []*piece {
	n := len(t.rows)
	if n == 0 {
		return make([]*piece, 0, rowSize)
	}
	r := t.rows[n-1]
	t.rows = t.rows[:n-1]
	return r
}

// putRow takes a row back.
func (t *pieces) putRow(r []*piece) {
	if cap(r) == rowSize && len(t.rows) < spareMost {
		clear(r)
		t.rows = append(t.rows, r[:0])
	}
}

// put takes a piece out of an outbox.
func (t *pieces) put(p *piece, buffers *Buffers) {
	if p.refs == 0 {
		buffers.Put(p.b)
		if p.b = nil; len(t.spare) < spareMost {
			t.spare = append(t.spare, p)
		}
		return
	}
	if p.refs--; p.refs > 0 {
		return
	}
	buffers.Forget(len(p.b) + pieceCost)
	if t.shared[&p.b[0]] == p {
		delete(t.shared, &p.b[0])
	}
	if t.last == p {
		t.last = nil
	}
}

// append adds bytes of the stream's own.
func (l *Loop[T, X]) append(x *outbox, b []byte) {
	if len(b) == 0 {
		return
	}
	x.waiting += len(b)
	if k := len(x.pieces) - 1; k >= x.first && x.pieces[k].refs == 0 {
		p := x.pieces[k]
		x.held -= cap(p.b)
		if k == x.first && x.sent > 0 && len(p.b)+len(b) > cap(p.b) {
			p.b = p.b[:copy(p.b, p.b[x.sent:])]
			x.sent = 0
		}
		p.b = l.Buffers.Append(p.b, b)
		x.held += cap(p.b)
		return
	}
	p := l.pieces.own()
	p.b = l.Buffers.Append(nil, b)
	x.held += cap(p.b)
	l.add(x, p)
}

// refer adds b[from:], of which b stays as it is.
func (l *Loop[T, X]) refer(x *outbox, b []byte, from int) {
	if len(b)-from < minPart || from > 0 && x.waiting > 0 {
		l.append(x, b[from:])
		return
	}
	l.add(x, l.pieces.take(b, &l.Buffers))
	x.waiting += len(b) - from
	x.held += len(b)
	if from > 0 {
		x.sent = from
	}
}

// add puts p at the end.
func (l *Loop[T, X]) add(x *outbox, p *piece) {
	if x.first > 0 && len(x.pieces) == cap(x.pieces) {
		n := copy(x.pieces, x.pieces[x.first:])
		clear(x.pieces[n:])
		x.pieces, x.first = x.pieces[:n], 0
	}
	before := cap(x.pieces)
	if x.pieces == nil {
		x.pieces = l.pieces.row()
	}
	x.pieces = append(x.pieces, p)
	l.Buffers.Charge((cap(x.pieces) - before) * refCost)
	x.held += (cap(x.pieces) - before) * refCost
}

// addParts adds b[from:], with the parts of b that need not be copied.
func (l *Loop[T, X]) addParts(x *outbox, b []byte, from int, parts []Part) {
	for _, p := range parts {
		if end := p.From + len(p.B); end > from {
			l.append(x, b[min(from, p.From):p.From])
			l.refer(x, p.B, max(from-p.From, 0))
			from = end
		}
	}
	l.append(x, b[from:])
}

// next returns bytes that wait and are to leave first, in buf if they are of several
// pieces. x is not empty.
func (x *outbox) next(buf []byte) []byte {
	b := x.pieces[x.first].b[x.sent:]
	if len(x.pieces) == x.first+1 || len(b) >= gatherMin {
		return b
	}
	n := copy(buf, b)
	for _, p := range x.pieces[x.first+1:] {
		if n == len(buf) {
			break
		}
		n += copy(buf[n:], p.b)
	}
	return buf[:n]
}

// took says that n bytes have left.
func (l *Loop[T, X]) took(x *outbox, n int) {
	x.waiting -= n
	x.sent += n
	for x.first < len(x.pieces) && x.sent >= len(x.pieces[x.first].b) {
		p := x.pieces[x.first]
		x.sent -= len(p.b)
		x.held -= l.weighPiece(p)
		l.pieces.put(p, &l.Buffers)
		x.pieces[x.first] = nil
		x.first++
	}
}

// weighPiece is what a piece adds to outbox.held.
func (l *Loop[T, X]) weighPiece(p *piece) int {
	if p.refs == 0 {
		return cap(p.b)
	}
	return len(p.b)
}

// drop gives back all that waits.
func (l *Loop[T, X]) drop(x *outbox) {
	for _, p := range x.pieces[x.first:] {
		l.pieces.put(p, &l.Buffers)
	}
	l.Buffers.Forget(cap(x.pieces) * refCost)
	l.pieces.putRow(x.pieces)
	*x = outbox{}
}
