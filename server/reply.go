//go:build linux

package server

import (
	"slices"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/stream"
)

// reply is what the callbacks of an event say to the event's own connection. It
// leaves in one send when the event is done. All of it is the loop's, so a caller on the
// loop's goroutine needs no lock. All others go through the mailbox.
type reply struct {
	tok    uint64        // the connection whose event is handled; 0 for none
	b      []byte        // whole frames
	parts  []stream.Part // those of them that will not change
	said   int64         // how many messages are in b
	behind int           // bytes that went to the mailbox, behind what waits there
	room   int           // the most there may be of both, beyond one message
	full   int64         // how many messages found no room

	pongs    int // how many pings were answered
	from, to int // where the last of pongsPerTurn pongs is in b
}

// pongsPerTurn bounds what the pings in one event can make us say.
const pongsPerTurn = 16

// begin says that an event of a connection is being handled; first is what leaves
// before anything said meanwhile.
func (r *reply) begin(tok uint64, first []byte, room int) {
	r.tok, r.room, r.full, r.said, r.behind, r.pongs = tok, room, 0, 0, 0, 0
	clear(r.parts)
	r.b, r.parts = append(r.b[:0], first...), r.parts[:0]
}

// isEmpty reports whether nothing was said since begin, and nothing refused.
func (r *reply) isEmpty() bool { return len(r.b) == 0 && r.full == 0 }

// end returns what was said since begin, and what of it will not change. It is valid until
// the next begin.
func (r *reply) end() (out []byte, parts []stream.Part) {
	out, parts = r.b, r.parts
	r.tok = 0
	if cap(out) > keepDirect {
		r.b = nil
	}
	if cap(parts) > framesPerTurn {
		r.parts = nil
	}
	return out, parts
}

// replies reports whether the caller is a callback of the event of c that is being
// handled.
func (l *loop) replies(c Conn) bool {
	return l.IsHere() && l.reply.tok == c.token()
}

// say is a callback's Send.
func (l *loop) say(c Conn, op frame.Opcode, b []byte) error {
	r, n := &l.reply, len(b)+frameHeader
	if !r.hasRoom(n) {
		return ErrBacklog
	}
	switch {
	case l.concerns(r.tok):
		return r.passOn(n, l.mail.send(c, op, b))
	case c.window() != 0:
		r.b = frame.AppendDeflated(r.b, op, b, c.window())
	default:
		r.b = frame.AppendFrame(r.b, op, b)
	}
	r.said++
	return nil
}

// sayPrepared is a callback's SendPrepared.
func (l *loop) sayPrepared(c Conn, p *frame.Prepared) error {
	r, b := &l.reply, p.Deflated(c.window())
	if !r.hasRoom(len(b)) {
		return ErrBacklog
	}
	if l.concerns(r.tok) {
		return r.passOn(len(b), l.mail.sendPrepared(c, p))
	}
	r.parts = append(r.parts, stream.Part{From: len(r.b), B: b})
	r.b = append(r.b, b...)
	r.said++
	return nil
}

// hasRoom reports whether a message of n bytes may be said. One may, however large.
func (r *reply) hasRoom(n int) bool {
	if (r.said > 0 || r.behind > 0) && len(r.b)+r.behind+n > r.room {
		r.full++
		return false
	}
	return true
}

// passOn notes what became of a message of n bytes in the mailbox. It went there because
// something waits that it must not overtake; it takes of the same room all the same.
func (r *reply) passOn(n int, err error) error {
	if err == nil {
		r.behind += n
	}
	return err
}

// answerPing answers a ping, in its place among what else is said. Of more pings than
// pongsPerTurn the latest is answered instead of the one before it, RFC 6455 §5.5.3.
func (l *loop) answerPing(c Conn, payload []byte) {
	r := &l.reply
	if r.pongs == pongsPerTurn {
		r.b = slices.Delete(r.b, r.from, r.to)
		for k := range r.parts {
			if p := &r.parts[k]; p.From >= r.to {
				p.From -= r.to - r.from
			}
		}
	} else if r.pongs++; r.pongs < pongsPerTurn && l.concerns(r.tok) {
		// Something waits that it must not overtake. The last one may: once it is in the
		// mailbox it cannot be taken back.
		if l.mail.pong(c, payload) == nil {
			return
		}
	}
	r.from = len(r.b)
	r.b = frame.AppendFrame(r.b, frame.OpPong, payload)
	r.to = len(r.b)
}
