//go:build linux

package server

import (
	"net"
	"sync"
	"sync/atomic"

	"github.com/usher-ws/usher/frame"
)

// mailbox is the one way into a loop that is safe for any goroutine. What others want done
// is queued here as values, in one lane, and the loop is woken once for many. What each of
// them may have here at once is in credit.go, and the order in which the loop does it in
// work.go.
//
// What the callbacks of an event send to their own connection does not come here,
// see reply.
type mailbox struct {
	loop *loop // whose generations any goroutine may read

	queued atomic.Bool // something was asked for that is not done; written under mu

	mu    sync.Mutex
	lane  lane
	late  shares  // of what was taken and not done at once
	taken int     // bytes of what was taken and the loop has not come to
	held  []party // that are not read from until they have less here
	limit int     // bytes that all may have here, see room
	dead  bool    // the loop has ended

	spare lane // the loop's: what it emptied last
}

// send queues b as a frame for c.
func (m *mailbox) send(c Conn, op frame.Opcode, b []byte) error {
	if w := c.window(); w != 0 {
		// Compressing takes microseconds: not under the lock.
		buf := deflateBufs.Get().(*[]byte)
		*buf = frame.AppendDeflated((*buf)[:0], op, b, w)
		err := m.sendFrame(entrySend, c, *buf)
		if cap(*buf) <= keepDirect {
			deflateBufs.Put(buf)
		}
		return err
	}
	e := entry{kind: entrySend, by: m.loop.caller(), tok: c.token()}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.accepts(c, &e, len(b)+frameHeader); err != nil {
		return err
	}
	at := m.lane.grow(len(b) + frameHeader)
	m.lane.data = frame.AppendFrame(m.lane.data, op, b)
	e.framed = m.lane.data[at:len(m.lane.data):len(m.lane.data)]
	m.push(e, len(b))
	return nil
}

// frameHeader is the longest header of a frame that a server sends.
const frameHeader = 10

// deflateBufs lends the memory in which messages are compressed.
var deflateBufs = sync.Pool{New: func() any { return new([]byte) }}

// pong queues the answer to a ping of c.
func (m *mailbox) pong(c Conn, payload []byte) error {
	var buf [frameHeader + 125]byte // RFC 6455 §5.5
	return m.sendFrame(entryPong, c, frame.AppendFrame(buf[:0], frame.OpPong, payload))
}

// sendFrame queues b, a whole frame, for c.
func (m *mailbox) sendFrame(kind entryKind, c Conn, b []byte) error {
	e := entry{kind: kind, by: m.loop.caller(), tok: c.token()}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.accepts(c, &e, len(b)); err != nil {
		return err
	}
	e.framed = m.lane.keep(b)
	m.push(e, len(b))
	return nil
}

// sendPrepared queues p for c. Many in a row that are for several connections share its
// bytes, which are charged once.
func (m *mailbox) sendPrepared(c Conn, p *frame.Prepared) error {
	e := entry{kind: entryPrepared, by: m.loop.caller(), tok: c.token(), prepared: p}
	n := len(p.Deflated(c.window()))
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.lane.last == p {
		n = 0
	}
	if err := m.accepts(c, &e, n); err != nil {
		return err
	}
	m.push(e, n)
	m.lane.last = p
	return nil
}

// accepts says whether e for c, with n bytes, may be queued. What a connection's own
// callback says to it has been found room for elsewhere, see reply.
func (m *mailbox) accepts(c Conn, e *entry, n int) error {
	if m.dead || m.loop.Generation(c.slot) != c.gen {
		return net.ErrClosed
	}
	if e.by == m.partyOf(e.tok) && e.kind != entryRun {
		return nil
	}
	return m.room(e, n)
}

// push queues e and charges n bytes for it, besides entryCost.
func (m *mailbox) push(e entry, n int) {
	e.charged = n + entryCost
	m.charge(&e)
	m.lane.entries = append(m.lane.entries, e)
	if len(m.lane.entries) == 1 {
		m.queued.Store(true)
	}
	m.loop.Wake()
}

// close queues the one close of c.
func (m *mailbox) close(c Conn, code frame.StatusCode, reason string) error {
	return m.closeWith(c, &CloseError{Code: code, Reason: reason}, nil)
}

// closeWith queues the end of c for e, with a close frame that says something else
// than e does unless that is nil.
func (m *mailbox) closeWith(c Conn, e *CloseError, framed []byte) error {
	by := m.loop.caller()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead || !m.loop.Mark(c.slot, c.gen, closeAsked) {
		return net.ErrClosed
	}
	if framed != nil {
		framed = m.lane.keep(framed)
	}
	m.push(entry{kind: entryClose, by: by, tok: c.token(), framed: framed, err: e}, len(framed))
	return nil
}

// tell queues what has no bytes and is not refused: what an authorizer said, that a job is
// over, that a connection is relieved.
func (m *mailbox) tell(kind entryKind, tok uint64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.dead {
		m.push(entry{kind: kind, tok: tok, err: err}, 0)
	}
}

// verdict queues what an authorizer said; there is one for each connection that is asked
// about.
func (m *mailbox) verdict(tok uint64, err error) { m.tell(entryVerdict, tok, err) }

// jobDone says that a job of a connection is over.
func (m *mailbox) jobDone(tok uint64) { m.tell(entryJobDone, tok, nil) }

// member queues a join or leave.
func (m *mailbox) member(kind entryKind, c Conn, g *Group) error {
	by := m.loop.caller()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead || m.loop.Generation(c.slot) != c.gen {
		return net.ErrClosed // it has left all its groups, or will by itself
	}
	m.push(entry{kind: kind, by: by, tok: c.token(), conn: c, group: g}, 0)
	return nil
}

// run queues a call on c's loop.
func (m *mailbox) run(c Conn, f func(Conn)) error {
	e := entry{kind: entryRun, by: m.loop.caller(), tok: c.token(), run: f}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.accepts(c, &e, 0); err != nil {
		return err
	}
	m.push(e, 0)
	return nil
}

// disband queues the end of g's members for e.
func (m *mailbox) disband(g *Group, err *CloseError) error {
	by := m.loop.caller()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		return net.ErrClosed
	}
	m.push(entry{kind: entryDisband, by: by, group: g, err: err}, 0)
	return nil
}

func (m *mailbox) publish(g *Group, p *frame.Prepared) error {
	e, n := entry{kind: entryPublish, by: m.loop.caller(), group: g, prepared: p}, len(p.Bytes())
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		return net.ErrClosed
	}
	if err := m.room(&e, n); err != nil {
		return err
	}
	m.push(e, n)
	return nil
}

// keepDirect is the largest buffer kept between events.
const keepDirect = 512 << 10

// take returns what is queued, and makes room. It is valid until recycle. Only the
// loop calls take and recycle.
func (m *mailbox) take() lane {
	m.mu.Lock()
	defer m.mu.Unlock()
	taken := m.lane
	m.lane, m.spare = m.spare, lane{}
	return taken
}

// recycle keeps the memory of what was taken, unless it grew large.
func (m *mailbox) recycle(l lane) {
	clear(l.entries)
	if cap(l.data) > keepDirect || cap(l.entries) > keepDirect/entryCost {
		return
	}
	l.shares.empty()
	m.spare = lane{entries: l.entries[:0], data: l.data[:0], shares: l.shares}
}

// kill refuses all that comes from now on, and returns what the loop will not do.
func (m *mailbox) kill() (undone []entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	undone = m.lane.entries
	m.dead, m.lane = true, lane{}
	return undone
}
