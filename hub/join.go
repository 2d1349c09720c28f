//go:build linux

package hub

import "github.com/usher-ws/usher/server"

// join makes m a member. It is not joined and there is no error if the topic was
// forgotten.
func (t *Topic) join(m *Member, name string) (joined bool, err error) {
	t.order.Lock()
	defer t.order.Unlock()
	added, came, count := t.hub.add(t, m, name)
	if !added {
		return false, nil
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
	if past := t.history.in(m.dialect); len(past) > 0 {
		if err := t.replay(m, past); err != nil {
			return err
		}
	}
	return m.group().Join(m.conn)
}

// replay sends what was said before, up to what the connection does not take.
func (t *Topic) replay(m *Member, past []server.Message) error {
	if t.hub.Replay != nil {
		t.hub.Replay(m, past)
		return nil
	}
	for _, p := range past {
		if err := m.conn.Send(p.Opcode, p.Data); err != nil {
			return err
		}
	}
	return nil
}

// leave is Member.Leave.
func (t *Topic) leave(m *Member) (others bool) {
	t.order.Lock()
	defer t.order.Unlock()
	left, went, others, count := t.hub.remove(m, true)
	if left {
		_ = m.group().Leave(m.conn) // fails only if it has ended, and left by that
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
