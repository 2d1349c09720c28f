//go:build linux

package hub

import (
	"encoding/binary"

	"github.com/usher-ws/usher/frame"
)

// This file is how a direct message crosses from one hub to another, if their Broker is a Carrier. A
// letter is
//
//	0        1        2        3        11       19
//	+--------+--------+--------+--------+--------+----------------+---------------+---------------+---------------------+------------------------+
//	|letter D| opcode | asks   | life   | id     | length, sender | length, topic | length, user  | number of encodings | length + 1, bytes, or 0|
//	+--------+--------+--------+--------+--------+----------------+---------------+---------------+---------------------+------------------------+
//
// and a receipt, which is what the other hub says of a letter that asks for one,
//
//	0        1        2        10       18
//	+--------+--------+--------+--------+-------------------------+--------------+
//	|letter A| flags  | life   | id     | number of connections   | length, node |
//	+--------+--------+--------+--------+-------------------------+--------------+
//
// The life is a number of the hub that has written the letter, drawn when it was connected, and ids
// are that hub's, each larger than the one before. Lengths and numbers are varints, all else is big endian.
const (
	letterNote  = 'D'
	receiptNote = 'A'

	letterHead  = 19
	receiptHead = 18
	letterIDAt  = 11

	// maxLetter is how long a letter may be: Link takes no more.
	maxLetter = 300 << 10

	receiptAway = 1 << 0 // the user is kept by LeaveGrace
	receiptBusy = 1 << 1 // not all connections have taken it
	receiptAll  = receiptAway | receiptBusy
)

// letterKey names a letter.
type letterKey struct{ life, id uint64 }

// letter is a message to a user at another hub.
type letter struct {
	letterKey
	from        string // the node of the sender
	topic, user string
	op          frame.Opcode
	asks        bool     // for a receipt
	data        [][]byte // by dialect, as in Message
}

// receipt says what has become of a letter.
type receipt struct {
	letterKey
	node string // that says so
	n    int    // connections that it was sent to
	away bool
	busy bool
}

func appendLetter(b []byte, l *letter) []byte {
	b = append(b, letterNote, byte(l.op), 0)
	if l.asks {
		b[len(b)-1] = 1
	}
	b = binary.BigEndian.AppendUint64(b, l.life)
	b = binary.BigEndian.AppendUint64(b, l.id)
	for _, text := range [...]string{l.from, l.topic, l.user} {
		b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
	}
	return appendEncodings(b, l.data)
}

// numbered writes the id into a letter that was appended to nothing: it is known only when the
// letter leaves.
func numbered(b []byte, id uint64) { binary.BigEndian.PutUint64(b[letterIDAt:], id) }

// parseLetter returns the letter that b is, with data in slices of b.
func parseLetter(b []byte) (l letter, ok bool) {
	if len(b) < letterHead || b[0] != letterNote || b[2] > 1 {
		return l, false
	}
	l.op, l.asks = frame.Opcode(b[1]), b[2] == 1
	l.life, l.id = binary.BigEndian.Uint64(b[3:]), binary.BigEndian.Uint64(b[letterIDAt:])
	b = b[letterHead:]
	for _, to := range [...]*string{&l.from, &l.topic, &l.user} {
		var text []byte
		if text, b, ok = cutText(b, 0); !ok {
			return l, false
		}
		*to = string(text)
	}
	l.data, b, ok = cutEncodings(b)
	isMessage := l.op == frame.OpText || l.op == frame.OpBinary
	return l, ok && isMessage && l.from != "" && len(l.data) > 0 && len(b) == 0
}

func appendReceipt(b []byte, r *receipt) []byte {
	var flags byte
	if r.away {
		flags |= receiptAway
	}
	if r.busy {
		flags |= receiptBusy
	}
	b = append(b, receiptNote, flags)
	b = binary.BigEndian.AppendUint64(b, r.life)
	b = binary.BigEndian.AppendUint64(b, r.id)
	b = binary.AppendUvarint(b, uint64(r.n))
	return append(binary.AppendUvarint(b, uint64(len(r.node))), r.node...)
}

// parseReceipt returns the receipt that b is.
func parseReceipt(b []byte) (r receipt, ok bool) {
	if len(b) < receiptHead || b[0] != receiptNote || b[1]&^receiptAll != 0 {
		return r, false
	}
	r.away, r.busy = b[1]&receiptAway != 0, b[1]&receiptBusy != 0
	r.life, r.id = binary.BigEndian.Uint64(b[2:]), binary.BigEndian.Uint64(b[10:])
	n, size := binary.Uvarint(b[receiptHead:])
	if size <= 0 || n > 1<<30 {
		return r, false
	}
	node, b, ok := cutText(b[receiptHead+size:], 0)
	r.n, r.node = int(n), string(node)
	return r, ok && len(b) == 0
}
