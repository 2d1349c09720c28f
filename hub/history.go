//go:build linux

package hub

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/server"
)

const (
	// defaultHistoryBytes is what all histories of a hub take together.
	defaultHistoryBytes = 32 << 20

	// maxTopicHistory is what one topic keeps, in all dialects: a quarter of the
	// backlog that a server has for a connection, so that a member that joins can take it.
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

// size is what a message takes. An encoding that later has yet to make is charged as
// much as the largest that there is.
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
	count int64  // of all messages that were ever in past
	bytes int    // of past and told
	told  []told // by dialect; nil when past has changed
}

// told is what a member that joins hears of the past, encoded once for all of them.
type told struct {
	messages []*frame.Prepared // nil: not made yet, or not to be kept
	size     int
}

// keep adds a message, and drops the oldest ones while they are too many or too large for a
// topic, or those of all topics together are too large. A message that is too large by itself
// is not kept.
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
	h.count++
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

// retelling is the past as Replay and encoders make it for one member, without a lock.
type retelling struct {
	past  []kept // what is to be made; nil: nothing yet
	count int64  // history.count then
	made  []*frame.Prepared
	size  int
	done  bool
}

// make makes what tell has asked for.
func (r *retelling) make(dialect int32, hub *Hub) {
	if r.past != nil && !r.done {
		r.made, r.size = encode(r.past, dialect, hub)
		r.done = true
	}
}

// tell returns what a member that joins hears of the past in a dialect, if it is ready; else r
// has to be made first. It is kept for the next member, unless that would make all histories
// take more than half of what they may: messages come first. What was recorded while it was
// made follows; the member's dialect was heard by then, so nobody need be asked for that.
func (h *history) tell(dialect int32, hub *Hub, r *retelling) (messages []*frame.Prepared, ready bool) {
	switch {
	case len(h.past) == 0:
		return nil, true
	case h.told != nil && h.told[dialect].messages != nil:
		return h.told[dialect].messages, true
	case !r.done:
		r.past, r.count = slices.Clone(h.past), h.count
		return nil, false
	case h.count == r.count:
		if hub.reserve(r.size, 2) {
			if h.told == nil {
				h.told = make([]told, max(1, hub.Dialects))
			}
			h.told[dialect] = told{r.made, r.size}
			h.bytes += r.size
		}
		return r.made, true
	}
	later := h.past
	if n := h.count - r.count; n <= int64(len(h.past)) {
		messages, later = slices.Clone(r.made), h.past[int64(len(h.past))-n:]
	} // or all that there is now came later
	for _, k := range later {
		if b := k.data[dialect]; b != nil {
			messages = append(messages, frame.Prepare(k.op, b))
		}
	}
	return messages, true
}

// encode makes the past in a dialect, without what a hook refused there. size is what it
// may take, as each message can be there compressed, too.
func encode(past []kept, dialect int32, hub *Hub) (made []*frame.Prepared, size int) {
	all := make([]server.Message, 0, len(past))
	for _, k := range past {
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

// reserve takes bytes for a history, if the nth part of what all histories may take has room
// for them.
func (h *Hub) reserve(bytes, nth int) bool {
	if h.historyBytes.Add(int64(bytes)) <= int64(cmp.Or(h.HistoryBytes, defaultHistoryBytes)/nth) {
		return true
	}
	h.historyBytes.Add(-int64(bytes))
	return false
}

// replays counts the histories that each user hears.
type replays struct {
	once sync.Once
	of   limiter.Keyed[string]
}

// mayHear charges a user for a history, and reports whether the user may hear it.
func (h *Hub) mayHear(user string) bool {
	r := &h.replays
	r.begin(h)
	return r.of.AllowN(user, time.Since(began), 1)
}

func (r *replays) begin(h *Hub) { r.once.Do(func() { r.of.Rate = h.ReplayRate }) }

// began is the origin of the time that replays are counted in.
var began = time.Now()
