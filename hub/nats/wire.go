//go:build linux

package nats

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/hub"
)

// What nodes say to each other begins with a version: a byte that no JSON begins with, so
// that messages of other clients can come on the same subject.
//
// A message of a room, of version 1, numbers in big endian:
//
//	 0        1        2        3        4            12           20           28           36
//	+--------+--------+--------+--------+------------+------------+------------+------------+
//	|version | flags  | opcode | length | epoch      | began      | seq        | retained   |
//	+--------+--------+--------+--------+------------+------------+------------+------------+
//	| name of the node, of that length | number of encodings | length + 1, bytes | …         |
//	+----------------------------------+---------------------+-------------------+----------+
//
// The numbers in the last line are varints, and an encoding that is nil has a 0 there. A mark has
// no encodings: it only tells seq.
//
// A note, which is about nodes:
//
//	 0        1        2                10               18       19
//	+--------+--------+----------------+----------------+--------+------+--------+---------+------+
//	|version | flags  | epoch          | id             | length | name | length | purpose | body |
//	+--------+--------+----------------+----------------+--------+------+--------+---------+------+
const (
	version = 1

	messageHead = 36
	seqAt       = 20 // in a message
	noteHead    = 18

	maxName = math.MaxUint8
)

// The flags of messages and of notes.
const (
	flagKept = 1 << 0 // a message: hub.Message.Kept
	flagMark = 1 << 1 // a message: there is none, this is the number of the last one
	flagTold = 1 << 2 // a message: for hubs, not for members, and without a number
	flagsAll = flagKept | flagMark | flagTold

	flagBye   = 1 << 0 // a beat: the last one
	flagMore  = 1 << 1 // an answer: more of it follows
	flagFault = 1 << 2 // an answer: there is none
	notesAll  = flagBye | flagMore | flagFault
)

var (
	errVersion   = errors.New("nats: a version that this node does not speak")
	errMalformed = errors.New("nats: malformed")
)

// isOurs reports whether b was written by a node, perhaps one of another version.
func isOurs(b []byte) bool {
	return len(b) > 0 && b[0] < ' ' && b[0] != '\t' && b[0] != '\n' && b[0] != '\r'
}

// message is what a node says in a room.
type message struct {
	hub.Message        // without the topic
	began       uint64 // Seq of the first message of this count
	mark        bool
	told        bool
}

// sizeOf returns how long m is on the wire.
func sizeOf(m *message) int {
	n := messageHead + len(m.From.Name) + binary.MaxVarintLen64
	for _, b := range m.Data {
		n += binary.MaxVarintLen64 + len(b)
	}
	return n
}

// appendMessage appends m, whose name has maxName bytes at most.
func appendMessage(dst []byte, m *message) []byte {
	var flags byte
	if m.Kept {
		flags |= flagKept
	}
	if m.mark {
		flags |= flagMark
	}
	if m.told {
		flags |= flagTold
	}
	dst = append(dst, version, flags, byte(m.Opcode), byte(len(m.From.Name)))
	dst = binary.BigEndian.AppendUint64(dst, m.From.Epoch)
	dst = binary.BigEndian.AppendUint64(dst, m.began)
	dst = binary.BigEndian.AppendUint64(dst, m.Seq)
	dst = binary.BigEndian.AppendUint64(dst, uint64(m.Retained))
	dst = append(dst, m.From.Name...)
	dst = binary.AppendUvarint(dst, uint64(len(m.Data)))
	for _, b := range m.Data {
		if b == nil {
			dst = append(dst, 0)
			continue
		}
		dst = binary.AppendUvarint(dst, uint64(len(b))+1)
		dst = append(dst, b...)
	}
	return dst
}

// setCount sets what is known only when an appended message takes its place among others.
func setCount(b []byte, began, seq uint64) {
	binary.BigEndian.PutUint64(b[seqAt-8:], began)
	binary.BigEndian.PutUint64(b[seqAt:], seq)
}

// parseMessage returns the message that b is, in slices of b.
func parseMessage(b []byte) (m message, err error) {
	switch {
	case len(b) < 2:
		return m, errMalformed
	case b[0] != version || b[1]&^flagsAll != 0:
		return m, errVersion
	case len(b) < messageHead || len(b) < messageHead+int(b[3]):
		return m, errMalformed
	}
	m.Kept, m.mark, m.told = b[1]&flagKept != 0, b[1]&flagMark != 0, b[1]&flagTold != 0
	m.Opcode = frame.Opcode(b[2])
	m.From.Epoch = binary.BigEndian.Uint64(b[4:])
	m.began = binary.BigEndian.Uint64(b[12:])
	m.Seq = binary.BigEndian.Uint64(b[20:])
	m.Retained = int64(binary.BigEndian.Uint64(b[28:]))
	name := messageHead + int(b[3])
	m.From.Name, b = string(b[messageHead:name]), b[name:]
	count, b, ok := uvarint(b)
	if !ok || count > uint64(len(b)) || m.From.Name == "" || m.began == 0 || m.Seq+1 < m.began {
		return m, errMalformed
	}
	m.Data = make([][]byte, count)
	for i := range m.Data {
		var size uint64
		if size, b, ok = uvarint(b); !ok || size > uint64(len(b))+1 {
			return m, errMalformed
		}
		if size > 0 {
			m.Data[i], b = b[:size-1:size-1], b[size-1:]
		}
	}
	if len(b) > 0 {
		return m, errMalformed
	}
	return m, nil
}

func uvarint(b []byte) (n uint64, rest []byte, ok bool) {
	n, size := binary.Uvarint(b)
	if size <= 0 {
		return 0, nil, false
	}
	return n, b[size:], true
}

// note is what nodes say about themselves, ask and answer.
type note struct {
	flags   byte
	from    hub.Node
	id      uint64 // of a beat: its number; of a question and its answer: the same
	purpose string
	body    []byte
}

// appendNote appends n, whose name and purpose have maxName bytes at most.
func appendNote(dst []byte, n *note) []byte {
	dst = append(dst, version, n.flags)
	dst = binary.BigEndian.AppendUint64(dst, n.from.Epoch)
	dst = binary.BigEndian.AppendUint64(dst, n.id)
	dst = append(append(dst, byte(len(n.from.Name))), n.from.Name...)
	dst = append(append(dst, byte(len(n.purpose))), n.purpose...)
	return append(dst, n.body...)
}

// parseNote returns the note that b is; its body is a slice of b.
func parseNote(b []byte) (n note, err error) {
	switch {
	case len(b) < 2:
		return n, errMalformed
	case b[0] != version || b[1]&^notesAll != 0:
		return n, errVersion
	case len(b) < noteHead:
		return n, errMalformed
	}
	n.flags = b[1]
	n.from.Epoch = binary.BigEndian.Uint64(b[2:])
	n.id = binary.BigEndian.Uint64(b[10:])
	var okName, okPurpose bool
	n.from.Name, b, okName = short(b[noteHead:])
	n.purpose, b, okPurpose = short(b)
	if !okName || !okPurpose || n.from.Name == "" {
		return n, errMalformed
	}
	n.body = b
	return n, nil
}

// short reads a string behind the byte that is its length.
func short(b []byte) (s string, rest []byte, ok bool) {
	if len(b) == 0 || len(b) < 1+int(b[0]) {
		return "", nil, false
	}
	end := 1 + int(b[0])
	return string(b[1:end]), b[end:], true
}
