//go:build linux

package server

import (
	"net"
	"sync"
	"sync/atomic"

	"github.com/usher-ws/usher/frame"
)

// mailbox is the one way into a loop that is safe for any goroutine. What others want done
// is queued here as values, in one lane so that the order of one caller's requests
// is kept, and the loop is woken once for many.
//
// What the callbacks of an event send to their own connection does not come here,
// see reply.
type mailbox struct {
	loop *loop // whose generations any goroutine may read

	queued atomic.Bool // the lane is not empty; written under mu

	mu    sync.Mutex
	lane  lane
	limit int  // bytes a lane may hold, beyond one message
	dead  bool // the loop has ended

	spare lane // the loop's: what it emptied last
}

// lane is a queue of entries and the bytes they refer to.
type lane struct {
	entries []entry
	data    []byte
	charged int // what counts against mailbox.limit
}

// entryCost is charged for every entry besides its bytes, so that empty messages
// are bounded too.
const entryCost = 64

// entry is one request to the loop.
type entry struct {
	kind     entryKind
	tok      uint64
	conn     Conn            // of entryJoin
	from, to int             // the frame of an entrySend or entryPong, or of an entryClose if it has one, in lane.data
	prepared *frame.Prepared // of entryPrepared and entryPublish
	group    *Group
	err      error      // of entryVerdict; the *CloseError of an entryClose or entryDisband
	run      func(Conn) // of entryRun
}

type entryKind uint8

const (
	entrySend entryKind = iota
	entryPrepared
	entryPong // an entrySend that is no message
	entryClose
	entryVerdict
	entryJoin
	entryLeave
	entryPublish
	entryJobDone
	entryRun
	entryDisband // a group's members are closed
)

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
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.accepts(c, len(b)+frameHeader); err != nil {
		return err
	}
	from := len(m.lane.data)
	m.lane.data = frame.AppendFrame(m.lane.data, op, b)
	m.push(entry{kind: entrySend, tok: c.token(), from: from, to: len(m.lane.data)}, len(b))
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
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.accepts(c, len(b)); err != nil {
		return err
	}
	from := len(m.lane.data)
	m.lane.data = append(m.lane.data, b...)
	m.push(entry{kind: kind, tok: c.token(), from: from, to: len(m.lane.data)}, len(b))
	return nil
}

func (m *mailbox) sendPrepared(c Conn, p *frame.Prepared) error {
	b := p.Deflated(c.window())
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.accepts(c, len(b)); err != nil {
		return err
	}
	m.push(entry{kind: entryPrepared, tok: c.token(), prepared: p}, len(b))
	return nil
}

// accepts says whether n bytes for c may be queued.
func (m *mailbox) accepts(c Conn, n int) error {
	if m.dead || m.loop.Generation(c.slot) != c.gen {
		return net.ErrClosed
	}
	return m.space(n)
}

// space says whether the lane takes n bytes more. An empty lane takes anything.
func (m *mailbox) space(n int) error {
	if m.lane.charged > 0 && m.lane.charged+n+entryCost > m.limit {
		return ErrBacklog
	}
	return nil
}

func (m *mailbox) push(e entry, bytes int) {
	m.lane.entries = append(m.lane.entries, e)
	m.lane.charged += bytes + entryCost
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
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead || !m.loop.Mark(c.slot, c.gen, closeAsked) {
		return net.ErrClosed
	}
	from := len(m.lane.data)
	m.lane.data = append(m.lane.data, framed...)
	m.push(entry{kind: entryClose, tok: c.token(), from: from, to: len(m.lane.data), err: e}, len(framed))
	return nil
}

// verdict queues what an authorizer said; there is one for each connection that is asked
// about.
func (m *mailbox) verdict(tok uint64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.dead {
		m.push(entry{kind: entryVerdict, tok: tok, err: err}, 0)
	}
}

// jobDone says that a job of a connection is over.
func (m *mailbox) jobDone(tok uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.dead {
		m.push(entry{kind: entryJobDone, tok: tok}, 0)
	}
}

// member queues a join or leave.
func (m *mailbox) member(kind entryKind, c Conn, g *Group) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead || m.loop.Generation(c.slot) != c.gen {
		return net.ErrClosed // it has left all its groups, or will by itself
	}
	m.push(entry{kind: kind, tok: c.token(), conn: c, group: g}, 0)
	return nil
}

// run queues a call on c's loop.
func (m *mailbox) run(c Conn, f func(Conn)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.accepts(c, 0); err != nil {
		return err
	}
	m.push(entry{kind: entryRun, tok: c.token(), run: f}, 0)
	return nil
}

// disband queues the end of g's members for e.
func (m *mailbox) disband(g *Group, e *CloseError) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		return net.ErrClosed
	}
	m.push(entry{kind: entryDisband, group: g, err: e}, 0)
	return nil
}

func (m *mailbox) publish(g *Group, p *frame.Prepared) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		return net.ErrClosed
	}
	if err := m.space(len(p.Bytes())); err != nil {
		return err
	}
	m.push(entry{kind: entryPublish, group: g, prepared: p}, len(p.Bytes()))
	return nil
}

// keepDirect is the largest buffer kept between events.
const keepDirect = 512 << 10

// take returns what is queued, and makes room. It is valid until recycle. Only the
// loop calls take and recycle.
func (m *mailbox) take() lane {
	m.mu.Lock()
	taken := m.lane
	m.lane, m.spare = m.spare, lane{}
	m.queued.Store(false)
	m.mu.Unlock()
	return taken
}

// recycle keeps the memory of what was taken, unless it grew large.
func (m *mailbox) recycle(l lane) {
	clear(l.entries)
	if cap(l.data) > keepDirect || cap(l.entries) > keepDirect/entryCost {
		return
	}
	m.spare = lane{entries: l.entries[:0], data: l.data[:0]}
}

// kill refuses all that comes from now on, and returns what the loop will not do.
func (m *mailbox) kill() (undone []entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	undone = m.lane.entries
	m.dead, m.lane = true, lane{}
	return undone
}
