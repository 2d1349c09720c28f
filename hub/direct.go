//go:build linux

package hub

import (
	"errors"
	"net"
	"sync"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/server"
)

// Direct sends b as one message to all connections that the user has in the topic, and to
// nobody else; users at other hubs are for [Topic.DirectEverywhere]. n is how many there are: 0 means that the user is not here or, with ErrAway,
// is only kept by Hub.LeaveGrace. Any other error is the last that [server.Conn.Send] answered
// for one of the connections; the others have the message. A connection that is just ending
// is no error.
func (t *Topic) Direct(user string, op frame.Opcode, b []byte) (n int, err error) {
	return t.DirectFunc(user, op, func(int) []byte { return b })
}

// DirectFunc is Direct for a message that differs by dialect: encode makes each.
func (t *Topic) DirectFunc(user string, op frame.Opcode, encode Encoder) (n int, err error) {
	encode = given(encode)
	all := scratch.Get().(*hearers)
	defer all.done()
	if here := t.hearersOf(user, all); here && len(*all) == 0 {
		return 0, ErrAway
	}
	return all.send(op, encode)
}

// hearer is a connection and the dialect that it hears.
type hearer struct {
	conn    server.Conn
	dialect uint16
}

// hearers is memory for those of one user, taken from scratch until done.
type hearers []hearer

var scratch = sync.Pool{New: func() any { return new(hearers) }}

func (l *hearers) done() {
	clear(*l)
	*l = (*l)[:0]
	scratch.Put(l)
}

// send sends a message to all, in their dialects. The error is the last of theirs.
func (l *hearers) send(op frame.Opcode, encode Encoder) (n int, err error) {
	var few [4]*frame.Prepared
	made := few[:] // once for each dialect, however many connections it is for
	for _, m := range *l {
		for int(m.dialect) >= len(made) {
			made = append(made, nil)
		}
		if made[m.dialect] == nil {
			made[m.dialect] = frame.Prepare(op, encode(int(m.dialect)))
		}
		if sent := m.conn.SendPrepared(made[m.dialect]); sent != nil && !errors.Is(sent, net.ErrClosed) {
			err = sent
		}
	}
	return len(*l), err
}

// hearersOf appends the connections of a user to dst, and says whether the user is here.
func (t *Topic) hearersOf(name string, dst *hearers) (here bool) {
	key := t.hub.key(name)
	t.hub.mu.Lock()
	defer t.hub.mu.Unlock()
	s := &t.hub.seats
	first := s.ofUser(t, key)
	if first != 0 {
		t.addHearers(first, dst)
	}
	return first != 0
}

// addHearers appends the connections of the user of a seat to dst. It is called under hub.mu.
func (t *Topic) addHearers(seat uint32, dst *hearers) {
	s := &t.hub.seats
	if !s.isTaken(seat) {
		return
	}
	for i := range s.beside(seat) {
		e := s.At(i)
		*dst = append(*dst, hearer{e.conn.Conn(t.server), e.dialect})
	}
}
