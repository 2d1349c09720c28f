//go:build linux

package stream

// Pass is Write for what another stream has said. The stream goes on being read from while
// bytes wait: its peer need not take what others say in order to be heard, and where both
// sides of a relay would wait to be taken first, neither would ever be. It is for the owner to
// Hold the other stream as long as bytes wait here, until Resume. If the peer has reset the
// connection that is found out by reading, as it may have said something before.
func (s S[T, X]) Pass(b []byte) {
	if st := s.slot.state; st == Flowing || st == Held {
		s.loop.pass(s.i, s.slot, b)
	}
}

// pass is S.Pass.
func (l *Loop[T, X]) pass(i uint32, s *slot[T], b []byte) {
	gen := s.gen.Load() & genBits
	l.passing = true
	l.transmit(i, s, b, nil)
	l.passing = false
	if s.gen.Load()&genBits != gen || s.ext == 0 {
		return
	}
	if x := l.exts.get(s.ext); x.outbox.waiting > 0 && !x.passes {
		x.passes = true
		l.settle(i, s)
	}
}

// isReadOn reports whether a stream goes on being read from while bytes wait, and when sending
// has failed.
func (l *Loop[T, X]) isReadOn(x *ext[X]) bool { return x.passes || l.engine.cfg.ReadAlways }
