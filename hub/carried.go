//go:build linux

package hub

import (
	"context"
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"github.com/usher-ws/usher/frame"
)

// This file is how hubs have what others retain, if their Broker is a Carrier: each value is told
// when it is retained, and a hub that comes asks for all that there are. A value told, and an
// answer is values one behind the other, is
//
//	0        1                9        10
//	+--------+----------------+--------+---------------+---------------------+------------------------+
//	|letter R| Retained       | opcode | length, topic | number of encodings | length + 1, bytes, or 0|
//	+--------+----------------+--------+---------------+---------------------+------------------------+
//
// with varints for all but Retained, which is big endian. No other note of hubs begins with an R. A
// question is the topic behind which the answer begins: values come in the order of their topics.
const (
	retainedNote = 'R'
	retainedHead = 10

	// retainedPurpose is what hubs ask each other for.
	retainedPurpose = "retained"

	// answerBytes is how large an answer is about. A value may be a little more.
	answerBytes = 256 << 10

	// answerTime is how long a hub waits for answers.
	answerTime = 10 * time.Second
)

// tellRetained tells the other hubs of a value: those with members in the order of what is
// published there, and then all.
func tellRetained(l Link, m Message) error {
	b := appendRetained(nil, m)
	return both(l.Tell(m.Topic, b), l.TellAll(b))
}

// hearRetained keeps what another hub has told, if it is a value, and reports whether it is.
func (h *Hub) hearRetained(b []byte) bool {
	if len(b) == 0 || b[0] != retainedNote {
		return false
	}
	if m, _, ok := parseRetained(b); ok {
		_ = h.Keep(m) // there is nobody to be told
	}
	return true
}

// catchUp answers the other hubs, and asks them for what they retain.
func (h *Hub) catchUp(nodes Nodes) {
	nodes.Serve(func(question []byte) []byte { return h.answerRetained(string(question)) })
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), answerTime)
		defer cancel()
		for after, more := "", true; more; {
			answers, _, _ := nodes.Ask(ctx, []byte(after))
			after, more = h.keepAnswers(answers)
		}
	}()
}

// answerRetained returns values of topics behind one.
func (h *Hub) answerRetained(after string) (b []byte) {
	all := h.AllRetained()
	slices.SortFunc(all, func(a, b Message) int { return strings.Compare(a.Topic, b.Topic) })
	for _, m := range all {
		if m.Topic <= after {
			continue
		}
		if b = appendRetained(b, m); len(b) >= answerBytes {
			break
		}
	}
	return b
}

// keepAnswers keeps what other hubs have answered, and returns behind which topic to go on: the
// first at which an answer has ended.
func (h *Hub) keepAnswers(answers [][]byte) (after string, more bool) {
	for _, b := range answers {
		last := ""
		for {
			m, rest, ok := parseRetained(b)
			if !ok {
				break
			}
			_ = h.Keep(m) // what there is no room for is left out
			last, b = m.Topic, rest
		}
		if last != "" && (!more || last < after) {
			after, more = last, true
		}
	}
	return after, more
}

func appendRetained(b []byte, m Message) []byte {
	b = append(b, retainedNote)
	b = binary.BigEndian.AppendUint64(b, uint64(m.Retained))
	b = append(b, byte(m.Opcode))
	b = append(binary.AppendUvarint(b, uint64(len(m.Topic))), m.Topic...)
	return appendEncodings(b, m.Data)
}

// appendEncodings appends what a message is in each dialect: how many there are, and then each behind
// its length + 1, or a 0 where it is nil.
func appendEncodings(b []byte, data [][]byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(data)))
	for _, d := range data {
		if d == nil {
			b = append(b, 0)
			continue
		}
		b = append(binary.AppendUvarint(b, uint64(len(d))+1), d...)
	}
	return b
}

// parseRetained returns the value that b begins with, in slices of b, and what is behind it.
func parseRetained(b []byte) (m Message, rest []byte, ok bool) {
	if len(b) < retainedHead || b[0] != retainedNote {
		return m, nil, false
	}
	m.Retained, m.Opcode = int64(binary.BigEndian.Uint64(b[1:])), frame.Opcode(b[9])
	topic, b, ok := cutText(b[retainedHead:], 0)
	if !ok || m.Retained <= 0 {
		return m, nil, false
	}
	m.Topic = string(topic)
	m.Data, rest, ok = cutEncodings(b)
	return m, rest, ok
}

// cutEncodings reads what appendEncodings has appended, in slices of b.
func cutEncodings(b []byte) (data [][]byte, rest []byte, ok bool) {
	count, n := binary.Uvarint(b)
	if n <= 0 || count > uint64(len(b)) {
		return nil, nil, false
	}
	b, data = b[n:], make([][]byte, count)
	for d := range data {
		if data[d], b, ok = cutText(b, 1); !ok {
			return nil, nil, false
		}
	}
	return data, b, true
}

// cutText reads bytes behind their length, to which more was added: less than that is nil.
func cutText(b []byte, more uint64) (text, rest []byte, ok bool) {
	size, n := binary.Uvarint(b)
	switch {
	case n <= 0:
		return nil, nil, false
	case size < more:
		return nil, b[n:], true
	}
	if size -= more; size > uint64(len(b)-n) {
		return nil, nil, false
	}
	end := n + int(size)
	return b[n:end:end], b[end:], true
}
