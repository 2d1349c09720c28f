//go:build linux

package hub

import (
	"slices"
	"time"
)

// leaver is a user without connections that stays for LeaveGrace.
type leaver struct {
	topic *Topic
	seat  uint32
	join  uint32        // seat.join while that is so
	until time.Duration // since began
}

// keep lets a user without connections stay for LeaveGrace. It is called under mu. Users go in
// the order in which they left, so one timer does for all.
func (h *Hub) keep(t *Topic, seat uint32) {
	e := h.seats.At(seat)
	if h.away == nil {
		h.away = make(map[uint32]int32)
	}
	h.away[e.name]++
	h.leaving = append(h.leaving, leaver{t, seat, e.join, time.Since(began) + h.LeaveGrace})
	if !h.expiring {
		h.expiring = true
		time.AfterFunc(h.LeaveGrace, h.expire)
	}
}

// stay ends what keep began. It is called under mu.
func (h *Hub) stay(seat uint32) {
	e := h.seats.At(seat)
	e.join = 0
	if h.away[e.name]--; h.away[e.name] == 0 {
		if delete(h.away, e.name); len(h.away) == 0 {
			h.away = nil // the map would keep its memory
		}
	}
	if h.stayed++; h.stayed > len(h.leaving)/2 {
		h.leaving = slices.DeleteFunc(h.leaving, func(l leaver) bool { return !h.isLeaving(l) })
		h.stayed = 0
	}
}

// isLeaving reports whether keep has kept a user, and nothing has ended that.
func (h *Hub) isLeaving(l leaver) bool { return h.seats.At(l.seat).join == l.join }

// expire lets the users go whose time is over, and comes back for the others.
func (h *Hub) expire() {
	for {
		l, name, found := h.first()
		wait := l.until - time.Since(began)
		switch {
		case !found:
			return
		case wait > 0:
			time.AfterFunc(wait, h.expire)
			return
		}
		l.topic.expire(l, name)
	}
}

// Close is for the end of a program whose server has been shut down. Users that only LeaveGrace
// keeps go at once: Moved and Note are told of all that leave. And the hubs of other nodes are told
// that nobody is here any more, also of those that a callback which hangs has kept from leaving: the
// users of a hub that is not closed are gone there only when its node has been silent for some
// seconds. A hub that is to go on in another process, in the name of the same node, is not to be
// closed. Close does not wait for a network; the Broker should be closed behind it.
func (h *Hub) Close() {
	for l, name, found := h.first(); found; l, name, found = h.first() {
		l.topic.expire(l, name)
	}
	h.mu.Lock()
	c := h.cluster
	if c != nil {
		c.settleAll()
	}
	h.mu.Unlock()
	if c != nil {
		c.leave()
	}
}

// first returns the user that goes next. If there is none, keep has to start the timer again.
func (h *Hub) first() (l leaver, name string, found bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.weigh(nil)
	for ; len(h.leaving) > 0; h.leaving = h.leaving[1:] {
		if l = h.leaving[0]; h.isLeaving(l) {
			return l, string(h.seats.nameOf(l.seat)), true
		}
		h.stayed--
	}
	h.leaving, h.expiring = nil, false
	return leaver{}, "", false
}

// expire takes a user out whose time is over, unless they have come back.
func (t *Topic) expire(l leaver, name string) {
	var a announcement
	over, count := false, 0
	t.begin(func() bool {
		over, count = t.hub.isOver(l)
		return !over || count == 0 || t.isReadyToGo(&a, name, count)
	}, func() { t.makeAnnouncement(&a) })
	defer t.end()
	if over {
		t.hub.letGo(l)
		t.gone(&a, name, count)
	}
}

// isOver reports whether a user whose time is over still has no connections, and how many
// others there are: 0 if there is nothing to tell, as there are none here, or the user is at
// another hub. It is called under the topic's order. The seats of a topic that was forgotten may
// be no more.
func (h *Hub) isOver(l leaver) (over bool, others int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := l.topic
	over = !t.forgotten.Load() && h.isLeaving(l)
	if over && t.users.Len() > 1 && !t.isSeatElsewhere(l.seat) {
		others = t.count() - 1
	}
	return over, others
}

// letGo ends what keep began, and the user. It is called under the topic's order.
func (h *Hub) letGo(l leaver) {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.weigh(nil)
	h.stay(l.seat)
	h.forget(l.topic, l.seat)
}
