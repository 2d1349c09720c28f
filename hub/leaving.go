//go:build linux

package hub

import "time"

// keep lets a user without members stay for LeaveGrace. It is called under mu. Users go in
// the order in which they left, so one timer does for all.
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

// expire lets the users go whose time is over, and comes back for the others.
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

// first returns the user that goes next, and when. If there is none, keep has to start the
// timer again.
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
	var a announcement
	over, count := false, 0
	t.begin(func() bool {
		over, count = t.hub.isOver(u)
		return !over || count == 0 || t.isReadyToGo(&a, u.name, count)
	}, func() { t.makeAnnouncement(&a) })
	defer t.end()
	if over {
		t.hub.letGo(u)
		t.gone(&a, u.name, count)
	}
}

// isOver reports whether the time of a user is over, and how many others there are. It is
// called under the topic's order.
func (h *Hub) isOver(u *user) (over bool, others int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return u.waiting != nil && time.Until(u.until) <= 0, len(u.topic.users) - 1
}

// letGo ends what keep began, and the user. It is called under the topic's order.
func (h *Hub) letGo(u *user) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stay(u)
	h.forget(u)
}
