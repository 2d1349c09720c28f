//go:build linux

package hub

import (
	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/server"
)

// join makes m a member. It is not joined and there is no error if the topic was
// forgotten.
func (t *Topic) join(m *Member, key string) (joined bool, err error) {
	v := &t.voices[m.dialect]
	v.members.Add(1) // from now on what is recorded is made in this dialect
	defer func() {
		if !joined { // perhaps as a callback has panicked
			v.members.Add(-1)
			t.order.Lock()
			t.hub.vacateIfEmpty(t)
			t.end()
		}
	}()
	f, err := t.subscribe()
	if err != nil {
		return false, err
	}
	defer func() {
		if f != nil {
			f.cancel()
		}
	}()
	a := t.beginJoin(m, key)
	defer t.end()
	if added, err := t.hub.add(m, key); !added {
		return false, err
	}
	if f != nil && t.feed.CompareAndSwap(nil, f) {
		f = nil
	}
	if err := t.admit(m, &a); err != nil {
		t.hub.remove(m, !a.isNew) // a user that was on the way out still is
		return false, err
	}
	if a.came && a.to != nil {
		t.gather(a.move)
	}
	t.announce(&a.announcement)
	return true, nil
}

// arrival is what has to be made before a member can join.
type arrival struct {
	announcement
	past  []*frame.Prepared
	kept  *frame.Prepared // the retained value, nil if there is none to hear
	isNew bool            // the user was not here before
	came  bool            // nor elsewhere
}

// beginJoin takes order when the arrival of m is ready.
func (t *Topic) beginJoin(m *Member, key string) (a arrival) {
	var r retelling
	asked, heard := false, false // it is charged once, before anything is made
	t.begin(func() (ready bool) {
		var move Move
		var to *Member
		if move, a.isNew, a.came = t.coming(m.user, key); !a.came || t.gathers(move.Count) {
			to = m
		}
		a.kept = t.hub.retainedFor(t.name, int(m.dialect))
		if !asked && (len(t.history.past) > 0 || a.kept != nil) {
			asked, heard = true, t.hub.mayHear(m.user)
		}
		if ready = true; heard {
			a.past, ready = t.history.tell(m.dialect, t.hub, &r)
		} else {
			a.kept = nil
		}
		return t.isAnnounced(&a.announcement, move, to) && ready
	}, func() {
		r.make(m.dialect, t.hub)
		t.makeAnnouncement(&a.announcement)
	})
	return a
}

// admit lets m hear the topic, the past first, and what is retained. It is called under order.
func (t *Topic) admit(m *Member, a *arrival) error {
	for _, p := range a.past {
		if err := m.conn.SendPrepared(p); err != nil {
			return err
		}
	}
	if a.kept != nil {
		if err := m.conn.SendPrepared(a.kept); err != nil {
			return err
		}
	}
	return t.voices[m.dialect].group.Join(m.conn)
}

// coming returns the move that is the joining of a user, whether the user is new here, and whether
// they come with it or were there before, at any hub. It is called under order.
func (t *Topic) coming(name, key string) (m Move, isNew, came bool) {
	t.hub.mu.Lock()
	defer t.hub.mu.Unlock()
	m = Move{User: name, Joined: 1, Count: t.count()}
	isNew = t.hub.seats.ofUser(t, key) == 0
	if came = isNew && !t.isElsewhere(name, key); came {
		m.Count++
	}
	return m, isNew, came
}

// leave is Member.Leave; without grace the user goes at once with the last member.
func (t *Topic) leave(m *Member, grace bool) (left, others bool) {
	var a announcement
	t.begin(func() bool {
		count, last := t.hub.leavingLast(m, grace)
		return !last || t.isReadyToGo(&a, m.User(), count)
	}, func() { t.makeAnnouncement(&a) })
	defer t.end()
	left, went, others, count := t.hub.remove(m, grace)
	if left {
		v := &t.voices[m.dialect]
		_ = v.group.Leave(m.conn) // fails only if it has ended, and left by that
		v.members.Add(-1)
	}
	if went {
		t.gone(&a, m.User(), count)
	}
	return left, others
}

// ended is called when a connection has ended that had not left.
func (t *Topic) ended(c server.Conn) {
	m := Member{conn: c}
	t.hub.mu.Lock()
	name := t.look(&m)
	t.hub.mu.Unlock()
	if m.user = string(name); m.topic != nil {
		t.leave(&m, true)
	}
}

// feed is a topic's subscription to the broker.
type feed struct{ cancel func() }

// subscribe makes the topic hear the Broker, before its first member joins. Several may do so
// at once; only the one that becomes the topic's feed is listened to.
func (t *Topic) subscribe() (*feed, error) {
	if t.hub.Broker == nil || t.feed.Load() != nil {
		return nil, nil
	}
	if err := t.hub.listen(); err != nil {
		return nil, err
	}
	f := new(feed)
	cancel, err := t.hub.Broker.Subscribe(t.name, func(m Message) error {
		if t.feed.Load() != f {
			return nil
		}
		return t.deliver(m)
	})
	if err != nil {
		return nil, err
	}
	f.cancel = cancel
	return f, nil
}
