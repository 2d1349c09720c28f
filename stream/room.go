//go:build linux

package stream

import (
	"net/netip"

	"github.com/usher-ws/usher/poller"
)

// This file is about streams that make room for others: what a loop has listed in the
// engine's sources, and those that it is asked to evict.

// evictionsPerTurn is how many streams a loop evicts before the others have their turn.
const evictionsPerTurn = 64

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
	m, isPlaced := l.engine.sources.claim(k, &l.engine.account, l.engine.cfg.MaxConns)
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
	from = l.engine.cfg.Source(poller.Peer(int(s.fd)).Addr())
	l.members[i] = l.engine.sources.add(from, member{
		tok: token(i, s.gen.Load()), loop: int32(l.id), standing: parting,
	})
	return from
}

// makeRoom asks as many streams as are too many in the reserve to go, for one from an
// address. Those of this loop go at once if here says that it is in no callback.
func (l *Loop[T, X]) makeRoom(from netip.Addr, here bool) {
	if l.making {
		return // it goes on until there is room
	}
	l.making = here
	defer func() { l.making = false }() // also if a callback does not return
	e := l.engine
	for e.reserved.Load()-e.owed.Load() > int64(e.calm) {
		m, ok := e.sources.pick(from)
		if !ok {
			return
		}
		if here && int(m.loop) == l.id {
			l.evict(m.tok)
			continue
		}
		e.owed.Add(1)
		if m.tok != 0 { // else its loop looks when it adopts it
			e.loops[m.loop].ask(m.tok)
		}
	}
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

// evictAsked evicts the streams that the loop was asked to. Those that had something to say
// may have stayed: then others go.
func (l events[T, X]) evictAsked() {
	for range evictionsPerTurn {
		tok, ok := l.inbox.asked()
		if !ok {
			return
		}
		l.engine.owed.Add(-1)
		l.evict(tok)
		l.makeRoom(netip.Addr{}, true)
	}
	l.Wake()
}

// evict ends a stream that was asked to make room, if it still is to: a newcomer that has
// said nothing, or not all of what it wants; and one that lingers, unless it still takes what
// it was told: then another goes before it, once.
func (l *Loop[T, X]) evict(tok uint64) {
	i, s := l.slab.find(tok)
	if s == nil || !l.isLeaving(i) {
		return
	}
	before := l.at
	l.at = i // and stays it if a callback does not return
	switch s.state {
	case Lingering:
		l.lingering.evict(i, s)
	case Finishing: // what it is told is on its way
	default:
		if s.state == Flowing {
			l.of(i, s).Read() // what came in time is read first
		}
		if i, s := l.slab.find(tok); s != nil && s.state < Finishing && l.isLeaving(i) {
			l.engine.turnedAway.Add(1)
			l.release(i, s, ErrEvicted)
		}
	}
	l.at = before
}

func (l *Loop[T, X]) isLeaving(i uint32) bool {
	k, ok := l.members[i]
	return ok && l.engine.sources.isLeaving(k)
}
