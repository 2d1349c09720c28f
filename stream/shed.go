//go:build linux

package stream

// relieve makes victims if more is lent than may be. It is called whenever more was, but for a
// stream whose callback is running: that is looked at when the callback returns.
func (l *Loop[T, X]) relieve() {
	if l.Buffers.isOver() && l.current == 0 && !l.relieved {
		l.shed()
	}
}

// shed ends streams that hold most of the loop's memory until it is within its budget again.
// Each is asked once in a pass: it may not give up.
func (l *Loop[T, X]) shed() {
	l.relieved = true
	at := l.at
	for l.Buffers.isOver() {
		k := l.exts.largest()
		if k == 0 {
			l.at = at
			return // until the next pass
		}
		l.exts.unrank(k)
		l.exts.get(k).place.asked = true
		i := l.exts.get(k).slot
		l.at = i
		switch s := l.slab.at(i); s.state {
		case Free:
		case Securing, Finishing, Lingering:
			l.engine.shed.Add(1)
			l.release(i, s, ErrShed)
		default:
			l.handler.Victim(l.of(i, s))
		}
	}
	l.at = at
	l.relieved = false
}
