//go:build linux

package nats

import "github.com/usher-ws/usher/hub"

// heard is how far a room has heard a node. The zero value has not heard it yet.
type heard struct {
	epoch uint64
	last  uint64 // hub.Message.Seq
}

// take takes the number of a message or mark, and returns how many messages are missing
// before it, and whether it is new. A mark is never new: the message that it tells of came
// before it, or is missing.
//
// began and seq grow over the life of a node, also when it begins to count anew: a count that
// began behind last is another one, of which all up to seq is missing that was not heard.
// Nothing is known to be missing before the first number of a node.
func (h *heard) take(from hub.Node, began, seq uint64, mark bool) (missing uint64, isNew bool) {
	switch {
	case from.Epoch < h.epoch: // an earlier life, or another process of this name: it is not counted
		return 0, !mark
	case from.Epoch > h.epoch && h.epoch == 0: // the first that is heard
		*h = heard{from.Epoch, seq}
		return 0, !mark
	case from.Epoch > h.epoch: // another life; we have listened since before it
		*h = heard{from.Epoch, began - 1}
	}
	if seq <= h.last {
		return 0, false
	}
	missing = seq - max(h.last, began-1)
	if isNew = !mark; isNew {
		missing--
	}
	h.last = seq
	return missing, isNew
}
