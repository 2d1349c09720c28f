//go:build linux

package stream

import (
	"net/netip"
	"sync"
)

// standing is what a stream that can be made to give up its place has of it.
type standing uint8

const (
	placed  standing = iota // a newcomer with a place among MaxConns
	surplus                 // a newcomer within the reserve, to be told that there is no place
	parting                 // it lingers within the reserve
	numStandings
	leaving // it was asked to make room: in no list any more
)

// opinion is what Config.Admit has said of a newcomer.
type opinion uint8

const (
	unasked opinion = iota
	admitted
	over
)

// sources are where the newcomers of all loops, and those that linger, come from: whoever
// has most of what there is too little of makes room first, and others need not. What is in
// it grows with the sockets there are. Any goroutine may use it.
type sources struct {
	mu      sync.Mutex
	by      map[netip.Addr]*source
	members []member // index 0 is none
	free    []uint32
	spare   []*source
	seq     uint64
	most    [numStandings]ranking
	total   [numStandings]int
}

// source is an address with its streams of each standing, the oldest first.
type source struct {
	addr  netip.Addr
	refs  int
	lists [numStandings]list
}

type list struct {
	n           int
	first, last uint32
	since       uint64 // the first one's seq
	at          int    // in its ranking
}

// member is a stream of a source.
type member struct {
	source     *source
	tok        uint64 // 0 until its loop has adopted it
	seq        uint64
	prev, next uint32
	loop       int32
	standing   standing
	opinion    opinion
	passedOver bool // it was spared once: it still took what it was told
}

// share is how many of the reserve a source has.
func (s *source) share() int { return s.lists[surplus].n + s.lists[parting].n }

func (t *sources) init() {
	t.by, t.members = make(map[netip.Addr]*source), make([]member, 1)
	for k := range t.most {
		t.most[k].of = standing(k)
	}
}

// add lists a stream, and returns the number of its member. tok is 0 if its loop has yet to
// adopt it.
func (t *sources) add(from netip.Addr, m member) uint32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	m.source = t.find(from)
	m.source.refs++
	var k uint32
	if n := len(t.free); n > 0 {
		k, t.free = t.free[n-1], t.free[:n-1]
		t.members[k] = m
	} else {
		k, t.members = uint32(len(t.members)), append(t.members, m)
	}
	t.link(k, m.standing)
	return k
}

// find returns the source at an address, a new one if there is none.
func (t *sources) find(at netip.Addr) *source {
	s := t.by[at]
	if s != nil {
		return s
	}
	if n := len(t.spare); n > 0 {
		s, t.spare = t.spare[n-1], t.spare[:n-1]
	} else {
		s = new(source)
	}
	s.addr = at
	t.by[at] = s
	return s
}

// adopted notes the token of member k, and reports whether it was asked to make room
// meanwhile.
func (t *sources) adopted(k uint32, tok uint64) (isLeaving bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.members[k].tok = tok
	return t.members[k].standing == leaving
}

// isLeaving reports whether member k was asked to make room.
func (t *sources) isLeaving(k uint32) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.members[k].standing == leaving
}

// move lists newcomer k as one of another source. It returns how many others of that have a
// place and have yet to claim it, and whether k has one.
func (t *sources) move(k uint32, to netip.Addr) (others int, isPlaced bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := &t.members[k]
	if before, is := m.source, m.standing; before.addr != to {
		if is != leaving {
			t.unlink(k)
		}
		m.source = t.find(to)
		m.source.refs++
		if is != leaving {
			t.link(k, is)
		}
		t.release(before)
	}
	isPlaced = m.standing == placed
	return m.source.lists[placed].n - 1, isPlaced
}

// rule notes what Config.Admit has said of newcomer k, and reports whether it has a place: one
// that was refused gives it up.
func (t *sources) rule(k uint32, isAdmitted bool, a *account) (isPlaced bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := &t.members[k]
	if m.opinion = over; isAdmitted {
		m.opinion = admitted
	} else if m.standing == placed {
		t.unlink(k)
		t.link(k, surplus)
		a.live.Add(-1)
		a.reserved.Add(1)
	}
	return m.standing == placed
}

// newcomers is how many streams from an address have a place and have yet to claim it.
func (t *sources) newcomers(from netip.Addr) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.by[from]; s != nil {
		return s.lists[placed].n
	}
	return 0
}

// remove strikes out member k, and returns what it was.
func (t *sources) remove(k uint32) member {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.strike(k)
}

// pass spares member k, which was asked to make room, unless it was spared before: it is the
// last of its source's again.
func (t *sources) pass(k uint32) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.members[k].passedOver {
		return false
	}
	t.members[k].passedOver = true
	t.link(k, parting)
	return true
}

// claim strikes out newcomer k, and returns what it was and whether it has a place among
// MaxConns, one that it was given or another's. One that has shown what it wants goes before
// those that have not: of its own address if Admit found that this has too many, else of the
// one that has most of them. The other has the place in the reserve then, and the counts
// stay.
func (t *sources) claim(k uint32, a *account, most int) (m member, isPlaced bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	own := t.members[k].source
	own.refs++ // it stays until we are done
	defer t.release(own)
	m = t.strike(k)
	loser := &own.lists[placed]
	switch {
	case m.standing == placed:
		return m, true
	case m.opinion == over && loser.n > 0:
	case a.seat(most):
		a.reserved.Add(-1)
		return m, true
	case len(t.most[placed].all) > 0:
		loser = &t.most[placed].all[0].lists[placed]
	default:
		return m, false
	}
	last := loser.first
	t.unlink(last)
	t.link(last, surplus)
	return m, true
}

// pick asks the stream to make room in the reserve whose turn it is, for one from an
// address: a silent one of the address that has most of them; but if none has two, from
// whichever there are more of: the silent, or those that linger. None makes room for one
// whose address has more of the reserve than its own.
func (t *sources) pick(from netip.Addr) (m member, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	silent, lingering := t.most[surplus].first(), t.most[parting].first()
	victim, of := silent, surplus
	if silent == nil || silent.lists[surplus].n < 2 && t.total[parting] > t.total[surplus] {
		victim, of = lingering, parting
	}
	if victim == nil {
		return member{}, false
	}
	if own := t.by[from]; own != nil && own.share() > victim.share() {
		if victim, of = own, surplus; own.lists[surplus].n == 0 {
			of = parting
		}
	}
	k := victim.lists[of].first
	t.unlink(k)
	m = t.members[k]
	t.members[k].standing = leaving
	return m, true
}

// hasMost reports whether no address has more silent newcomers in the reserve, and this one
// has several.
func (t *sources) hasMost(from netip.Addr) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.most[surplus].first()
	return s != nil && s.addr == from && s.lists[surplus].n > 1
}

// strike takes member k out of everything.
func (t *sources) strike(k uint32) member {
	if t.members[k].standing != leaving {
		t.unlink(k)
	}
	m := t.members[k]
	t.members[k] = member{}
	t.free = append(t.free, k)
	t.release(m.source)
	return m
}

func (t *sources) release(s *source) {
	if s.refs--; s.refs == 0 {
		delete(t.by, s.addr)
		*s = source{}
		t.spare = append(t.spare, s)
	}
}

// link makes member k the last of its source's of a standing.
func (t *sources) link(k uint32, of standing) {
	m := &t.members[k]
	l := &m.source.lists[of]
	t.seq++
	m.standing, m.seq = of, t.seq
	m.prev, m.next = l.last, 0
	if l.last != 0 {
		t.members[l.last].next = k
	} else {
		l.first, l.since = k, m.seq
	}
	l.last = k
	l.n++
	t.total[of]++
	t.most[of].fix(m.source)
}

// unlink takes member k out of its list.
func (t *sources) unlink(k uint32) {
	m := &t.members[k]
	l := &m.source.lists[m.standing]
	if m.next != 0 {
		t.members[m.next].prev = m.prev
	} else {
		l.last = m.prev
	}
	if m.prev != 0 {
		t.members[m.prev].next = m.next
	} else if l.first = m.next; l.first != 0 {
		l.since = t.members[l.first].seq
	}
	l.n--
	t.total[m.standing]--
	t.most[m.standing].fix(m.source)
}
