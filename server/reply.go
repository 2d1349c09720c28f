//go:build linux

package server

import "github.com/usher-ws/usher/frame"

// reply is what the callbacks of an event say to the event's own connection. It
// leaves in one send when the event is done. All of it is the loop's: who is on the
// loop's goroutine needs no lock. Everybody else goes through the mailbox.
type reply struct {
	tok  uint64 // the connection whose event is handled; 0 for none
	b    []byte // whole frames
	said int64  // how many messages are in b
	room int    // the most b may hold, beyond one message
	full int64  // how many messages found no room
}

// begin says that an event of a connection is being handled; first is what leaves
// before anything said meanwhile.
func (r *reply) begin(tok uint64, first []byte, room int) {
	r.tok, r.room, r.full, r.said = tok, room, 0, 0
	r.b = append(r.b[:0], first...)
}

// end returns what was said since begin. It is valid until the next begin.
func (r *reply) end() []byte {
	out := r.b
	r.tok = 0
	if cap(out) > keepDirect {
		r.b = nil
	}
	return out
}

// admits says whether a message of n bytes may be said, and counts it.
func (r *reply) admits(n int) bool {
	if len(r.b) > 0 && len(r.b)+n > r.room {
		r.full++
		return false
	}
	r.said++
	return true
}

// replies reports whether the caller is a callback of the event of c that is being
// handled, and nothing waits in the mailbox that what it says could overtake.
func (l *loop) replies(c Conn) bool {
	return l.self != 0 && self() == l.self && l.reply.tok == c.token() && !l.mail.queued.Load()
}

// say is a callback's Send.
func (r *reply) say(c Conn, op frame.Opcode, b []byte) error {
	if !r.admits(len(b) + frameHeader) {
		return ErrBacklog
	}
	if c.gen&deflates != 0 {
		r.b = frame.AppendDeflated(r.b, op, b)
		return nil
	}
	r.b = frame.AppendFrame(r.b, op, b)
	return nil
}

// sayPrepared is a callback's SendPrepared.
func (r *reply) sayPrepared(c Conn, p *frame.Prepared) error {
	b := encoding(p, c.gen&deflates != 0)
	if !r.admits(len(b)) {
		return ErrBacklog
	}
	r.b = append(r.b, b...)
	return nil
}
