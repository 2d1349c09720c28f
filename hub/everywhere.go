//go:build linux

package hub

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/server"
)

const (
	// letterTime is how long a hub waits for receipts of a letter.
	letterTime = 5 * time.Second

	// maxLetters is how many letters may wait for receipts, and maxLetterBytes what these may take.
	maxLetters     = 4096
	maxLetterBytes = 8 << 20

	// maxWriters is of how many hubs the last letter is known.
	maxWriters = 1024
)

var errLetter = fmt.Errorf("hub: a direct message to other hubs has %d bytes at most, in all dialects", maxLetter)

// letters are those that a hub has written and got. Hub.mu guards all but sending.
type letters struct {
	sending sync.Mutex // held while a letter leaves, so that they do so in the order of their ids; before Hub.mu

	life, last uint64              // of this hub
	open       map[uint64]*awaited // by id
	bytes      int                 // of these
	read       map[uint64]uint64   // by the life of their writer, the id of the last

	over      []func() // calls of done
	isCalling bool     // there is a goroutine for these, one at most
}

// awaited is a letter whose receipts have not all come, or a message that had to go nowhere.
type awaited struct {
	done   func(n int, err error)
	n      int
	isAway bool
	err    error // the first
	doubt  error // of nodes where the user need not be

	bytes         int
	sure, perhaps []string // nodes that have not answered: see gossip.Topic.Holders
	timer         *time.Timer
}

// DirectEverywhere is DirectFunc for all connections that the user has in the topic, in a cluster
// those at other hubs as well: each has the message once, and what one goroutine sends in the order
// in which it does. encode is asked for every dialect if other hubs are. They find the user by
// the very name, which [Topic.User] knows.
//
// done, unless it is nil, is called once: n is how many connections have the message for certain, at
// all hubs, and 0 without an error means that the user is nowhere in the topic. Other errors than
// Direct's are ErrSilent where a node has not answered at which the user is, or may be, until it was
// gone or 5 s were over, and ErrDegraded where it cannot be reached: there the user may not have it.
// done is called before DirectEverywhere returns if nobody else had to be asked, else by a goroutine
// of the hub's, one call after the other: it must not block for long.
func (t *Topic) DirectEverywhere(user string, op frame.Opcode, encode Encoder, done func(n int, err error)) {
	n, err := t.DirectFunc(user, op, encode)
	a := &awaited{done: done, n: n, isAway: err == ErrAway}
	if !a.isAway {
		a.err = err
	}
	if t.hub.Broker == nil || !t.write(user, op, encode, a) {
		a.tell()
	}
}

// write sends a letter to all hubs where the user may be. It is false if there are none, or if it
// cannot leave.
func (t *Topic) write(user string, op frame.Opcode, encode Encoder, a *awaited) bool {
	h, key := t.hub, t.hub.key(user)
	h.mu.Lock()
	c := h.cluster
	if t.far != nil {
		a.sure, a.perhaps = t.far.Holders(user, key)
	}
	h.mu.Unlock()
	if len(a.sure)+len(a.perhaps) == 0 {
		return false
	}
	m := Message{encode: encode}.encoded(len(t.voices))
	b := appendLetter(nil, &letter{
		letterKey: letterKey{life: c.letters.life}, from: c.link.Node().Name, topic: t.name, user: user,
		op: op, asks: a.done != nil, data: m.Data,
	})
	if a.bytes = len(b); a.bytes > maxLetter {
		a.fail(errLetter)
		return false
	}
	c.letters.sending.Lock()
	defer c.letters.sending.Unlock()
	to := slices.Concat(a.sure, a.perhaps)
	id, ok := c.await(a)
	if !ok {
		a.fail(server.ErrBacklog)
		return false
	}
	numbered(b, id)
	for _, node := range to {
		if err := c.link.TellNode(node, b); err != nil {
			c.settle(id, receipt{node: node}, err)
		}
	}
	return true
}

// fail notes an error, unless there was one.
func (a *awaited) fail(err error) {
	if a.err == nil {
		a.err = err
	}
}

// tell calls done.
func (a *awaited) tell() {
	switch {
	case a.done == nil:
	case a.n > 0 || a.err != nil:
		a.done(a.n, a.err)
	case a.doubt != nil:
		a.done(0, a.doubt)
	case a.isAway:
		a.done(0, ErrAway)
	default:
		a.done(0, nil)
	}
}

// await returns the id of a letter that is about to leave, and has its receipts awaited if it asks
// for them; unless too many are.
func (c *cluster) await(a *awaited) (id uint64, ok bool) {
	l := &c.letters
	c.hub.mu.Lock()
	defer c.hub.mu.Unlock()
	defer c.hub.weigh(nil)
	if a.done != nil && (len(l.open) >= maxLetters || l.bytes+a.bytes > maxLetterBytes) {
		return 0, false
	}
	l.last++
	if id = l.last; a.done == nil {
		return id, true
	}
	if l.open == nil {
		l.open = make(map[uint64]*awaited)
	}
	l.open[id] = a
	l.bytes += a.bytes
	a.timer = time.AfterFunc(letterTime, func() { c.giveUp(id) })
	return id, true
}

// settle takes a receipt, or an error instead of one.
func (c *cluster) settle(id uint64, r receipt, err error) {
	c.hub.mu.Lock()
	defer c.hub.mu.Unlock()
	if a := c.letters.open[id]; a != nil {
		a.settle(r, err)
		c.endIfSettled(id, a)
	}
}

func (a *awaited) settle(r receipt, err error) {
	is := func(node string) bool { return node == r.node }
	isSure := slices.ContainsFunc(a.sure, is)
	if !isSure && !slices.ContainsFunc(a.perhaps, is) {
		return // it has answered
	}
	a.sure, a.perhaps = slices.DeleteFunc(a.sure, is), slices.DeleteFunc(a.perhaps, is)
	a.n += r.n
	a.isAway = a.isAway || r.away
	switch {
	case r.busy:
		a.fail(server.ErrBacklog)
	case err != nil && isSure:
		a.fail(err)
	case err != nil:
		a.doubt = err
	}
}

// endIfSettled has done called when nobody is waited for. It is called under mu.
func (c *cluster) endIfSettled(id uint64, a *awaited) {
	if len(a.sure)+len(a.perhaps) > 0 {
		return
	}
	l := &c.letters
	a.timer.Stop()
	if delete(l.open, id); len(l.open) == 0 {
		l.open = nil // the map would keep its memory
	}
	l.bytes -= a.bytes
	c.hub.weigh(nil)
	l.over = append(l.over, a.tell)
	if !l.isCalling {
		l.isCalling = true
		go c.callDone()
	}
}

// giveUp ends the waiting for a letter.
func (c *cluster) giveUp(id uint64) {
	c.hub.mu.Lock()
	defer c.hub.mu.Unlock()
	if a := c.letters.open[id]; a != nil {
		for _, node := range slices.Concat(a.sure, a.perhaps) {
			a.settle(receipt{node: node}, ErrSilent)
		}
		c.endIfSettled(id, a)
	}
}

// lose ends the waiting for a node that is gone. It is called under mu.
func (c *cluster) lose(node string) {
	for id, a := range c.letters.open {
		a.settle(receipt{node: node}, ErrSilent)
		c.endIfSettled(id, a)
	}
}

// callDone calls what is over, in that order.
func (c *cluster) callDone() {
	over := false
	defer func() {
		if !over { // what was called has ended this goroutine
			go c.callDone()
		}
	}()
	for {
		c.hub.mu.Lock()
		l := &c.letters
		if len(l.over) == 0 {
			l.over, l.isCalling, over = nil, false, true
			c.hub.mu.Unlock()
			return
		}
		call := l.over[0]
		l.over[0], l.over = nil, l.over[1:]
		c.hub.mu.Unlock()
		call()
	}
}
