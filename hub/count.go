//go:build linux

package hub

// Count returns how many users and connections a topic has, those that LeaveGrace keeps among
// the users. It takes the hub's lock for a moment.
func (h *Hub) Count(topic string) (users, conns int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if t := h.topics[topic]; t != nil {
		return t.users.Len(), t.conns.Len()
	}
	return 0, 0
}
