//go:build linux

package stream

import (
	"context"
	"net"

	"github.com/usher-ws/usher/record/handshake"
)

// This file is what a client says before its handshake begins: a hello, in so many pieces as it
// likes, or something that is none.

// maxHello is how long a ClientHello may be, several times what the longest take.
const maxHello = 32 << 10

// hearHello gathers what a client says first, and begins the handshake when that is whole.
func (l *Loop[T, X]) hearHello(i uint32, s *slot[T], b []byte) {
	if x := l.exts.get(s.ext); len(x.sealed.in) > 0 {
		x.sealed.in = l.Buffers.Append(x.sealed.in, b)
		b = x.sealed.in
	}
	cfg := &l.engine.cfg
	switch size, err := handshake.HelloSize(b); {
	case err != nil && 'A' <= b[0] && b[0] <= 'Z': // as a method of HTTP
		l.endWith(i, s, err)
		l.finish(i, s, cfg.NotTLS)
	case err != nil:
		l.release(i, s, err)
	case size > maxHello || size == 0 && len(b) > maxHello:
		l.release(i, s, ErrLongHello)
	case size == 0 || size > len(b):
		if x := l.need(i, s); x.sealed.in == nil {
			x.sealed.in = l.Buffers.Append(nil, b)
		}
		l.exts.rank(s.ext)
		l.relieve()
	case s.flags&hungUp != 0: // nobody takes an answer
		l.release(i, s, ErrHangup)
	default:
		l.newHandshake(i, s, func(c net.Conn) (*handshake.Result, error) {
			return cfg.TLS.Handshake(context.Background(), c, nil)
		})
		h := l.exts.get(s.ext).sealed.shake
		h.hear(b)
		l.dropBeginning(&l.need(i, s).sealed)
		l.beginInOrder(i, s, h)
		l.relieve()
	}
}

// dropBeginning gives back what was gathered.
func (l *Loop[T, X]) dropBeginning(x *sealed) {
	l.Buffers.Put(x.in)
	x.in, x.isEarly = nil, false
}

// endWith notes what a stream ends for. It has not become secure, and says its last now.
func (l *Loop[T, X]) endWith(i uint32, s *slot[T], why error) {
	x := l.need(i, s)
	l.dropBeginning(&x.sealed)
	x.sealed.end, x.sealed.told = why, true
	s.state = Flowing
}
