//go:build linux

package hub

import "time"

// keep lets a user who has no member left stay for LeaveGrace. It is called under
// mu. Who is the first to leave is the first to go, so one timer does for all.
func (h *Hub) keep(u *user) {
	u.until = time.Now().Add(h.LeaveGrace)
	u.waiting = h.leaving.PushBack(u)
	if !h.expiring {
		h.expiring = true
		time.AfterFunc(h.LeaveGrace, h.expire)
	}
}

// stay ends what keep began. It is called under mu.
func (h *Hub) stay(u *user) {
	if u.waiting != nil {
		h.leaving.Remove(u.waiting)
		u.waiting = nil
	}
}

// expire lets those go whose time is over, and comes back for the others.
func (h *Hub) expire() {
	for {
		u, wait := h.first()
		switch {
		case u == nil:
			return
		case wait > 0:
			time.AfterFunc(wait, h.expire)
			return
		}
		u.topic.expire(u)
	}
}

// first returns who goes next, and when. If that is nobody, keep has to see to it
// that expire is called again.
func (h *Hub) first() (*user, time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.leaving.Front()
	if e == nil {
		h.expiring = false
		return nil, 0
	}
	u := e.Value.(*user)
	return u, time.Until(u.until)
}

// expire takes a user out whose time is over, unless they have come back.
func (t *Topic) expire(u *user) {
	t.order.Lock()
	defer t.order.Unlock()
	t.hub.mu.Lock()
	over := u.waiting != nil && time.Until(u.until) <= 0
	if over {
		t.hub.stay(u)
		t.hub.forget(u)
	}
	count := len(t.users)
	t.hub.mu.Unlock()
	if over {
		t.gone(u.name, count)
		t.settle()
	}
}
