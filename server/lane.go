//go:build linux

package server

import "github.com/usher-ws/usher/frame"

// lane is a queue of entries.
type lane struct {
	entries []entry
	data    []byte // where their frames are; what it grew out of is the entries' alone
	shares
	last *frame.Prepared // whose bytes have been charged
}

// entryCost is charged for every entry besides its bytes, so that empty messages
// are bounded too: it is what an entry takes.
const entryCost = 128

// entry is one request to the loop.
type entry struct {
	kind     entryKind
	by       party // the connection whose callback asks; zero for other goroutines
	tok      uint64
	conn     Conn            // of entryJoin
	framed   []byte          // of an entrySend or entryPong, or of an entryClose if it has one
	prepared *frame.Prepared // of entryPrepared and entryPublish
	group    *Group
	err      error      // of entryVerdict; the *CloseError of an entryClose or entryDisband
	run      func(Conn) // of entryRun
	charged  int
}

type entryKind uint8

const (
	entrySend entryKind = iota
	entryPrepared
	entryPong // an entrySend that is no message
	entryClose
	entryVerdict
	entryJoin
	entryLeave
	entryPublish
	entryJobDone
	entryRun
	entryDisband  // a group's members are closed
	entryRelieved // a connection has less in another loop's mailbox
)

// grow makes room for n bytes in data without moving those that entries have, and returns
// where they begin.
func (l *lane) grow(n int) (at int) {
	if cap(l.data)-len(l.data) < n {
		l.data = make([]byte, 0, max(n, 2*cap(l.data), minData))
	}
	return len(l.data)
}

// minData is the least memory for the frames of a lane.
const minData = 4 << 10

// keep copies a frame.
func (l *lane) keep(b []byte) []byte {
	at := l.grow(len(b))
	l.data = append(l.data, b...)
	return l.data[at:len(l.data):len(l.data)]
}
