//go:build linux

package stream

import "net/netip"

// This file is about streams that make room for others.

// evictionsPerTurn is how many streams a loop evicts before the others have their turn.
const evictionsPerTurn = 64

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
		isOnItsWay := m.tok == 0 // and its loop looks when it adopts it, also if it is this one
		if here && int(m.loop) == l.id && !isOnItsWay {
			l.evict(m.tok)
			continue
		}
		if e.owed.Add(1); !isOnItsWay {
			e.loops[m.loop].ask(m.tok)
		}
	}
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
	l.poll.Again() // for the rest, behind the others
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
			l.readOnce(i, s) // what came in time is read first
		}
		if i, s := l.slab.find(tok); s != nil && s.state < Finishing && l.isLeaving(i) {
			l.engine.turnedAway.Add(1)
			l.release(i, s, ErrEvicted)
		}
	}
	l.at = before
}
