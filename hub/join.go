//go:build linux

package hub

// join makes m a member. It is not joined and there is no error if the topic was
// forgotten.
func (t *Topic) join(m *Member, name, key string) (joined bool, err error) {
	t.order.Lock()
	defer t.order.Unlock()
	added, came, count, err := t.hub.add(t, m, name, key)
	if err != nil {
		t.settle()
	}
	if !added {
		return false, err
	}
	if err := t.admit(m); err != nil {
		// Who had not come need not go; who was on the way out still is.
		if _, went, _, count := t.hub.remove(m, !came); went && !came {
			t.gone(name, count)
		}
		t.settle()
		return false, err
	}
	if t.hub.Moved == nil {
		return true, nil
	}
	move := Move{User: name, Joined: 1, Count: count}
	if !came || t.gather(move) {
		move.To = m
	}
	t.hub.Moved(t, move)
	return true, nil
}

// admit lets m hear the topic, what was said before first. It is called under order,
// as are all below.
func (t *Topic) admit(m *Member) (err error) {
	if t.hub.Broker != nil && t.cancel == nil {
		if t.cancel, err = t.hub.Broker.Subscribe(t.name, t.deliver); err != nil {
			return err
		}
	}
	for _, p := range t.history.tell(m.dialect, t.hub) {
		if err := m.conn.SendPrepared(p); err != nil {
			return err
		}
	}
	v := &t.voices[m.dialect]
	v.members.Add(1) // first, so that nobody who hears the group goes uncounted
	if err := v.group.Join(m.conn); err != nil {
		v.members.Add(-1)
		return err
	}
	return nil
}

// leave is Member.Leave.
func (t *Topic) leave(m *Member) (others bool) {
	t.order.Lock()
	defer t.order.Unlock()
	left, went, others, count := t.hub.remove(m, true)
	if left {
		v := &t.voices[m.dialect]
		_ = v.group.Leave(m.conn) // fails only if it has ended, and left by that
		v.members.Add(-1)
	}
	if went {
		t.gone(m.User(), count)
		t.settle()
	}
	return others
}

// settle gives back what a topic has that was forgotten.
func (t *Topic) settle() {
	if !t.forgotten.Load() {
		return
	}
	t.history.end(t.hub)
	if t.cancel != nil {
		t.cancel()
		t.cancel = nil
	}
}
