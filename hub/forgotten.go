//go:build linux

package hub

import (
	"cmp"
	"time"
)

// forgottenFor is how long a hub knows that a value was forgotten: one that was silent meanwhile, and
// comes back with the value, hears of it.
const forgottenFor = time.Hour

// maxForgotten is what topics whose value was forgotten take at most. They may be as many as values.
const maxForgotten = 1 << 20

// forgotten are the topics whose value was forgotten lately. Hub.mu guards it.
type forgotten struct {
	at    map[string]int64 // Message.Retained of the last word about them
	order []forgetting     // the oldest first; of a topic that has a value again it says nothing any more
	bytes int
}

// forgetting is that a value was forgotten, and when.
type forgetting struct {
	topic string
	at    int64
}

func (f forgetting) size() int { return len(f.topic) + keptCost }

// add notes that the value of a topic is forgotten. There are most of them in the end, at most.
func (f *forgotten) add(topic string, at, now int64, most int) {
	if now-at >= int64(forgottenFor) {
		return
	}
	if f.at == nil {
		f.at = make(map[string]int64)
	}
	one := forgetting{topic, at}
	f.at[topic] = at
	f.order = append(f.order, one)
	f.bytes += one.size()
	f.tidy(now, most)
}

// drop says that a topic has a value again.
func (f *forgotten) drop(topic string) { delete(f.at, topic) }

// tidy drops what is too old, and what is too much.
func (f *forgotten) tidy(now int64, most int) {
	for len(f.order) > 0 {
		first := f.order[0]
		if now-first.at < int64(forgottenFor) && len(f.order) <= most && f.bytes <= maxForgotten {
			return
		}
		f.bytes -= first.size()
		if f.order = f.order[1:]; f.at[first.topic] == first.at {
			delete(f.at, first.topic)
		}
	}
	*f = forgotten{}
}

// lastWord returns when the last word came about what a topic retains: a value, or that it is
// forgotten; 0 if none is known. It is called under mu.
func (h *Hub) lastWord(topic string) int64 {
	if v := h.retained[topic]; v != nil {
		return v.at
	}
	return h.forgotten.at[topic]
}

// stampGrain is to what a hub rounds the time that it gives a value.
const stampGrain = time.Minute

// stamp returns a time for a value that has none: hubs that have heard the same of the topic and
// hear the value at about the same time give it the same one, so that none tells another of it
// again. They do not where a minute ends in between, and then again from the end of the next.
func (h *Hub) stamp(topic string) int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return max(h.lastWord(topic)+1, time.Now().Truncate(stampGrain).UnixNano())
}

// maxRetained is how many values there may be, and how many topics whose value was forgotten.
func (h *Hub) maxRetained() int { return cmp.Or(h.MaxRetained, defaultRetained) }
