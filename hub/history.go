//go:build linux

package hub

import (
	"cmp"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/server"
)

const (
	// defaultHistoryBytes is what all histories of a hub take together.
	defaultHistoryBytes = 32 << 20

	// maxTopicHistory is what one topic keeps, in all dialects: a quarter of the
	// backlog that a server has for a connection, so that who joins can take it.
	maxTopicHistory = 256 << 10

	// keptCost is charged for every message besides its bytes.
	keptCost = 64
)

// kept is a message as it was heard, by dialect.
type kept struct {
	op   frame.Opcode
	data [][]byte
}

func (k kept) size() (n int) {
	for _, b := range k.data {
		n += len(b)
	}
	return n + keptCost
}

// history is the last messages of a topic. It is guarded by the topic's order.
type history struct {
	past  []kept // oldest first
	bytes int
}

// keep adds a message, and drops the oldest while there are more of them than a
// topic may keep, or they are larger, or those of all topics together are. What is
// too large by itself is not kept.
func (h *history) keep(k kept, hub *Hub) {
	size := k.size()
	if size > maxTopicHistory {
		return
	}
	for len(h.past) >= hub.History || h.bytes+size > maxTopicHistory {
		h.drop(hub)
	}
	for !hub.reserve(size) {
		if len(h.past) == 0 {
			return // others have it all
		}
		h.drop(hub)
	}
	h.past = append(h.past, k)
	h.bytes += size
}

// drop forgets the oldest.
func (h *history) drop(hub *Hub) {
	size := h.past[0].size()
	h.past[0] = kept{}
	h.past = h.past[1:]
	h.bytes -= size
	hub.historyBytes.Add(-int64(size))
}

// end forgets all.
func (h *history) end(hub *Hub) {
	hub.historyBytes.Add(-int64(h.bytes))
	*h = history{}
}

// in returns the messages in a dialect, without those that a hook refused there.
func (h *history) in(dialect int32) []server.Message {
	all := make([]server.Message, 0, len(h.past))
	for _, k := range h.past {
		if b := k.data[dialect]; b != nil {
			all = append(all, server.Message{Opcode: k.op, Data: b})
		}
	}
	return all
}

// reserve takes so many bytes for a history, if they may be had.
func (h *Hub) reserve(n int) bool {
	if h.historyBytes.Add(int64(n)) <= int64(cmp.Or(h.HistoryBytes, defaultHistoryBytes)) {
		return true
	}
	h.historyBytes.Add(-int64(n))
	return false
}
