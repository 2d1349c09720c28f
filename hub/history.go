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
	op    frame.Opcode
	data  [][]byte // nil where nobody heard it
	later Encoder  // for those; nil if there are none
}

// size is what a message takes. What later makes it of is charged as much as the
// largest that there is.
func (k kept) size() (n int) {
	most := 0
	for _, b := range k.data {
		n += len(b)
		most = max(most, len(b))
	}
	if k.later != nil {
		n += most
	}
	return n + keptCost
}

// in returns the message in a dialect, nil if a hook refused it there.
func (k kept) in(dialect int32) []byte {
	if b := k.data[dialect]; b != nil || k.later == nil {
		return b
	}
	return k.later(int(dialect))
}

// history is the last messages of a topic. It is guarded by the topic's order.
type history struct {
	past  []kept // oldest first
	bytes int    // of past and told
	told  []told // by dialect; nil when past has changed
}

// told is what a member that joins hears of the past, encoded once for all of them.
type told struct {
	messages []*frame.Prepared // nil: not made yet, or not to be kept
	size     int
}

// keep adds a message, and drops the oldest while there are more of them than a
// topic may keep, or they are larger, or those of all topics together are. What is
// too large by itself is not kept.
func (h *history) keep(k kept, hub *Hub) {
	size := k.size()
	if size > maxTopicHistory {
		return
	}
	h.forget(hub)
	for len(h.past) >= hub.History || h.bytes+size > maxTopicHistory {
		h.drop(hub)
	}
	for !hub.reserve(size, 1) {
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

// forget drops what was made for members that join.
func (h *history) forget(hub *Hub) {
	for _, t := range h.told {
		h.bytes -= t.size
		hub.historyBytes.Add(-int64(t.size))
	}
	h.told = nil
}

// tell returns what a member that joins hears of the past in a dialect. It is kept for the
// next one, unless that would make all histories take more than half of what they may:
// messages come first.
func (h *history) tell(dialect int32, hub *Hub) []*frame.Prepared {
	if len(h.past) == 0 {
		return nil
	}
	if h.told == nil {
		h.told = make([]told, max(1, hub.Dialects))
	}
	t := &h.told[dialect]
	if t.messages != nil {
		return t.messages
	}
	made, size := h.encode(dialect, hub)
	if hub.reserve(size, 2) {
		*t = told{made, size}
		h.bytes += size
	}
	return made
}

// encode makes the past in a dialect, without what a hook refused there. size is what it
// may take, as each message can be there compressed, too.
func (h *history) encode(dialect int32, hub *Hub) (made []*frame.Prepared, size int) {
	all := make([]server.Message, 0, len(h.past))
	for _, k := range h.past {
		if b := k.in(dialect); b != nil {
			all = append(all, server.Message{Opcode: k.op, Data: b})
		}
	}
	if hub.Replay != nil && len(all) > 0 {
		all = hub.Replay(int(dialect), all)
	}
	made = make([]*frame.Prepared, 0, len(all))
	for _, m := range all {
		p := frame.Prepare(m.Opcode, m.Data)
		made, size = append(made, p), size+2*len(p.Bytes())+keptCost
	}
	return made, size
}

// reserve takes so many bytes for a history, if they may be had of the nth part of what
// there is for all.
func (h *Hub) reserve(bytes, nth int) bool {
	if h.historyBytes.Add(int64(bytes)) <= int64(cmp.Or(h.HistoryBytes, defaultHistoryBytes)/nth) {
		return true
	}
	h.historyBytes.Add(-int64(bytes))
	return false
}
