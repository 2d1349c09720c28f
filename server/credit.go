//go:build linux

package server

// This file is how much of a mailbox each of those that use it may have.

// party is what an entry is charged to: the connection whose callback has asked for it, or
// else, as goroutines come and go, the connection or the group that it is for.
type party struct {
	loop  *loop // of the connection
	tok   uint64
	group *Group
}

// creditBytes is how much a connection may have in a mailbox and still be read from; it is
// read from again when it has half of that. It is as much as is read in one go.
const creditBytes = 64 << 10

// shares are what the parties have in a mailbox.
type shares struct {
	of      map[party]share
	charged int // bytes of all entries, each once
}

// share is what one party has.
type share struct {
	entries, bytes int
	isHeld         bool // it is in mailbox.held
}

// maxShares is for about how many parties the memory is kept.
const maxShares = 1024

// add gives a party so many entries and bytes more, and returns what it has then.
func (s *shares) add(p party, entries, bytes int) share {
	h := s.of[p]
	h.entries += entries
	h.bytes += bytes
	s.set(p, h)
	return h
}

func (s *shares) set(p party, h share) {
	switch {
	case h.entries == 0:
		delete(s.of, p)
		return
	case s.of == nil:
		s.of = make(map[party]share)
	}
	s.of[p] = h
}

// empty takes all from everybody.
func (s *shares) empty() {
	if len(s.of) > maxShares {
		s.of = nil
	}
	clear(s.of)
	s.charged = 0
}

// caller returns the connection whose callback the caller is, if it is one of a connection
// of this server, and that is known; else zero.
func (l *loop) caller() party {
	if here := l.srv.loopHere(l); here != nil {
		if tok := here.speaking(); tok != 0 {
			return party{loop: here, tok: tok}
		}
	}
	return party{}
}

// loopHere returns the loop on whose goroutine the caller runs, which is first most likely;
// nil if it is none, or that cannot be told.
func (s *Server) loopHere(first *loop) *loop {
	if first.IsHere() {
		return first
	}
	for _, l := range s.loops {
		if l.IsHere() {
			return l
		}
	}
	return nil
}

// speaking is the connection whose callback is called, 0 for none.
func (l *loop) speaking() uint64 {
	if l.departing != 0 {
		return l.departing
	}
	return l.reply.tok
}

func (m *mailbox) partyOf(tok uint64) party { return party{loop: m.loop, tok: tok} }

// payer is the party that e is charged to.
func (m *mailbox) payer(e *entry) party {
	switch {
	case e.by != party{}:
		return e.by
	case e.tok != 0:
		return m.partyOf(e.tok)
	}
	return party{group: e.group}
}

// has is how many bytes a party has here.
func (m *mailbox) has(p party) int { return m.lane.of[p].bytes + m.late.of[p].bytes }

// room says whether n bytes more for e fit. What is published has to fit into the share of
// its group as well, so that no crowd in one group takes all.
func (m *mailbox) room(e *entry, n int) error {
	n += entryCost
	payer := m.payer(e)
	if !m.fits(payer, n) {
		return ErrBacklog
	}
	if group := (party{group: e.group}); e.kind == entryPublish && payer != group && !m.fits(group, n) {
		return ErrBacklog
	}
	return nil
}

// fits reports whether a party may have n bytes more. A mailbox in which nothing is takes
// anything. Else a party may have as much as all together leave free of the limit: so
// whatever the others take, there is some for the next. A party that has nothing finds as
// much room again for its first message, of which it may take half: this room is used up by
// many small ones, and not by few large ones.
func (m *mailbox) fits(p party, n int) bool {
	total := m.lane.charged + m.late.charged + m.taken
	if total == 0 {
		return true
	}
	if has := m.has(p); has > 0 {
		return has+n <= m.limit-total
	}
	return n <= (2*m.limit-total)/2
}

// charge charges e, which is about to be in the lane. A connection whose callback has asked
// for too much is held back: it has to wait for what it wants from others, rather than they
// for it.
func (m *mailbox) charge(e *entry) {
	payer := m.payer(e)
	h := m.lane.add(payer, 1, e.charged)
	m.lane.charged += e.charged
	if e.by.loop != nil && !h.isHeld && h.bytes+m.late.of[payer].bytes > creditBytes {
		h.isHeld = true
		m.lane.set(payer, h)
		m.held = append(m.held, payer)
		payer.loop.owes++
	}
	if e.kind == entryPublish && payer.group == nil {
		m.lane.add(party{group: e.group}, 1, e.charged)
	}
}

// putOff charges entries that were taken and are not done at once.
func (m *mailbox) putOff(entries []entry) { m.chargeLate(entries, 1) }

// done takes entries off the account that were put off.
func (m *mailbox) done(entries []entry) { m.chargeLate(entries, -1) }

func (m *mailbox) chargeLate(entries []entry, sign int) {
	if len(entries) == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for k := 0; k < len(entries); {
		payer, n, bytes := m.payer(&entries[k]), 0, 0
		for ; k < len(entries) && m.payer(&entries[k]) == payer; k++ { // most often there are many
			e := &entries[k]
			n++
			bytes += e.charged
			if e.kind == entryPublish && payer.group == nil {
				m.late.add(party{group: e.group}, sign, sign*e.charged)
			}
		}
		m.late.add(payer, sign*n, sign*bytes)
		m.late.charged += sign * bytes
	}
}

// settle is called when the loop has done what it could in its turn, and has not yet come to
// so many bytes of what it took. It reports whether there is more, and appends those to
// relieved that have little enough by now to be read from again.
func (m *mailbox) settle(relieved []party, taken int) (all []party, more bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.taken = taken
	held := m.held[:0]
	for _, p := range m.held {
		if m.has(p) > creditBytes/2 {
			held = append(held, p)
			continue
		}
		relieved = append(relieved, p)
	}
	clear(m.held[len(held):])
	m.held = held
	if len(m.late.of) == 0 {
		m.late.of = nil // it may have been large
	}
	more = len(m.lane.entries)+len(m.late.of)+taken > 0
	m.queued.Store(more)
	return relieved, more
}

// concerns reports whether something that a connection's callbacks have asked for, or that
// other goroutines want of it, is not done: what it says now must not overtake that.
func (l *loop) concerns(tok uint64) bool {
	m := &l.mail
	if !m.queued.Load() {
		return false
	}
	p := m.partyOf(tok)
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lane.of[p].entries+m.late.of[p].entries+l.work.taken.of[p].entries > 0
}

// holdBack stops reading from a connection whose callback has asked for too much.
func (l *loop) holdBack(s link) {
	s.NeedExtra().owed += l.owes
	l.owes = 0
	s.Hold(byMail)
}

// relieve lets a connection go on that a mailbox has held back, unless there are others.
func (l *loop) relieve(tok uint64) {
	s, ok := l.Find(tok)
	if !ok || s.Extra().owed == 0 {
		return
	}
	x := s.NeedExtra()
	if x.owed--; x.owed > 0 {
		return
	}
	if s.TrimExtra(); s.Why()&byMail != 0 {
		s.Yield()
		s.Go(byMail)
	}
}
