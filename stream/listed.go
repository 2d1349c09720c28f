//go:build linux

package stream

import "net/netip"

// This file is what a loop has listed in the engine's sources, and which of that it was asked
// to evict.

// Claim says that the stream has shown what it wants and is no newcomer any more. It reports
// whether there is a place for it among MaxConns: also one that came beyond may have one now,
// a free one or that of a newcomer that is still silent. isAdmitted says that Config.Admit
// let it in when it came; otherwise Admit was not asked, or has refused it.
func (s S[T, X]) Claim() (isPlaced, isAdmitted bool) {
	l := s.loop
	k, ok := l.members[s.i]
	if !ok {
		return s.slot.flags&reserved == 0, false
	}
	delete(l.members, s.i)
	m, isPlaced := l.engine.sources.claim(k, &l.engine.account, l.engine.mostConns())
	s.slot.mark(isPlaced)
	return isPlaced, m.opinion == admitted
}

// mark notes what the sources knew of a newcomer.
func (s *slot[T]) mark(isPlaced bool) {
	if s.flags &^= excess | reserved; !isPlaced {
		s.flags |= excess | reserved
	}
}

// unlist strikes a stream out of the sources.
func (l *Loop[T, X]) unlist(i uint32, s *slot[T]) {
	k, ok := l.members[i]
	if !ok {
		return
	}
	delete(l.members, i)
	if m := l.engine.sources.remove(k); s.state != Lingering {
		s.mark(m.standing == placed)
	}
}

// enlist lists a stream that lingers, and returns where it comes from.
func (l *Loop[T, X]) enlist(i uint32, s *slot[T]) (from netip.Addr) {
	from = l.engine.cfg.Source(l.remoteAddr(i, s).Addr())
	l.members[i] = l.engine.sources.add(from, member{
		tok: token(i, s.gen.Load()), loop: int32(l.id), standing: parting,
	})
	return from
}

// ask has the loop evict a stream soon. Any goroutine may.
func (l *Loop[T, X]) ask(tok uint64) {
	b := &l.inbox
	b.mu.Lock()
	b.leaving = append(b.leaving, tok)
	b.mu.Unlock()
	l.Wake()
}

// asked is the next stream that the loop was asked to evict.
func (b *inbox) asked() (tok uint64, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := len(b.leaving)
	if n == 0 {
		return 0, false
	}
	tok, b.leaving = b.leaving[n-1], b.leaving[:n-1]
	return tok, true
}

func (l *Loop[T, X]) isLeaving(i uint32) bool {
	k, ok := l.members[i]
	return ok && l.engine.sources.isLeaving(k)
}
