//go:build linux

package nats

import (
	"cmp"
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"github.com/usher-ws/usher/hub"
)

const (
	// beatInterval is how often a node tells the others that it is there. ttl is how long
	// they believe it: those that die are gone for everybody within 5 s, and a processor
	// may be late by three beats.
	beatInterval = time.Second
	ttl          = 4 * time.Second
)

// members are the other nodes.
type members struct {
	changes queue[change]

	beat uint64 // the number of our last one: Broker.beat's

	mu       sync.Mutex
	known    map[string]*member // by name
	watchers []func(hub.Node, bool)
	twin     string // where another process of our name is
	twinAge  int    // ticks since it was heard
}

// member is a node that is known.
type member struct {
	hub.Node
	beat uint64 // the number of its last one
	age  int    // ticks of ours since then: no clock of anybody else's, and none that a stopped process could misread
	ttl  int    // ticks that it lives without one
}

// change is something to tell a watcher.
type change struct {
	to   func(hub.Node, bool)
	node hub.Node
	here bool
}

func (l *members) begin() {
	l.changes = newQueue[change](0)
	l.known = make(map[string]*member)
}

// all returns those that are known, by name.
func (l *members) all() (nodes []hub.Node) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.known {
		nodes = append(nodes, m.Node)
	}
	slices.SortFunc(nodes, func(a, b hub.Node) int { return cmp.Compare(a.Name, b.Name) })
	return nodes
}

// find returns the node of that name, if it is known.
func (l *members) find(name string) (hub.Node, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.known[name]
	if m == nil {
		return hub.Node{}, false
	}
	return m.Node, true
}

func (l *members) whereTwin() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.twin
}

// tell tells the watchers. It is called with mu held.
func (l *members) tell(n hub.Node, here bool) {
	for _, to := range l.watchers {
		l.changes.must(change{to, n, here}, 0)
	}
}

// tick ages all by one beat of ours, and returns those that are gone by it.
func (l *members) tick() (gone []hub.Node) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, m := range l.known {
		if m.age++; m.age >= m.ttl {
			delete(l.known, name)
			l.tell(m.Node, false)
			gone = append(gone, m.Node)
		}
	}
	if l.twinAge++; l.twinAge >= int(ttl/beatInterval) {
		l.twin = ""
	}
	return gone
}

// hear takes a beat. It reports whether it is the first of its node, and whether others were
// missed before it. Of a name the later life counts.
func (l *members) hear(n *note) (came, missed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.known[n.from.Name]
	switch {
	case m != nil && m.Epoch > n.from.Epoch:
		return false, false
	case m != nil && m.Epoch < n.from.Epoch:
		l.tell(m.Node, false)
		m = nil
	}
	life, _ := binary.Uvarint(n.body)
	if m == nil {
		m = &member{Node: n.from, beat: n.id}
		l.known[n.from.Name] = m
		l.tell(n.from, true)
		came = true
	}
	missed = n.id > m.beat+1
	m.beat, m.age = max(m.beat, n.id), 0
	m.ttl = int(min(max(life, 1), 60))
	return came, missed
}

// bye takes the last beat of a node, and reports whether it was known.
func (l *members) bye(n hub.Node) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.known[n.Name]
	if m == nil || m.Node != n {
		return false
	}
	delete(l.known, n.Name)
	l.tell(n, false)
	return true
}

// meet takes a beat of another process that has our name, and reports whether it is news.
func (l *members) meet(where string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	isNews := l.twin != where
	l.twin, l.twinAge = where, 0
	return isNews
}

// Watch calls changed for each other node that is known, and from then on for each that comes
// or goes: one call after the other, on a goroutine that all watchers share. A node that was
// gone may come back in the same life. It is watched until Close.
func (b *Broker) Watch(changed func(n hub.Node, here bool)) {
	l := &b.members
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watchers = append(l.watchers, changed)
	for _, m := range l.known {
		l.changes.must(change{changed, m.Node, true}, 0)
	}
}

// beat tells the others that this node is there, and does what has its time, until Close: then it
// says goodbye.
func (b *Broker) beat() {
	defer close(b.left)
	t := time.NewTicker(beatInterval)
	defer t.Stop()
	for {
		select {
		case <-b.leaving:
			b.sayBeat(flagBye)
			return
		case <-b.beatNow:
		case <-t.C:
			for _, n := range b.members.tick() {
				b.isGone(n, "nothing was heard of it")
			}
			b.out.tick()
		}
		if !b.connected.Load() {
			continue
		}
		b.sayBeat(0)
		if b.resync.Swap(false) {
			b.out.tellAll()
			b.say(subjectSync, &note{})
		}
	}
}

// sayBeat says the next beat: for how many of them the others may miss this node, and where it is.
func (b *Broker) sayBeat(flags byte) {
	b.members.beat++
	life := binary.AppendUvarint(nil, uint64(ttl/beatInterval))
	b.say(subjectBeat, &note{flags: flags, id: b.members.beat, body: append(life, b.host...)})
}

// beatSoon has a beat sent at once.
func (b *Broker) beatSoon() {
	select {
	case b.beatNow <- struct{}{}:
	default: // it will be
	}
}

// hearBeat takes a beat of another process.
func (b *Broker) hearBeat(n *note) {
	switch {
	case n.from.Name == b.node.Name && n.flags&flagBye != 0:
		b.members.meet("")
	case n.from.Name == b.node.Name:
		_, size := binary.Uvarint(n.body)
		if where := string(n.body[max(size, 0):]); b.members.meet(where) {
			b.log.Error("another process has the name of this node: give each its own", "where", where)
			b.beatSoon() // so that it hears of us
		}
	case n.flags&flagBye != 0:
		if b.members.bye(n.from) {
			b.isGone(n.from, "it has said goodbye")
		}
	default:
		came, missed := b.members.hear(n)
		if came {
			b.log.Info("another node has come", "other", n.from.Name)
			b.asks.gone(hub.Node{Name: n.from.Name, Epoch: n.from.Epoch - 1}) // what it was before
			b.beatSoon()
		}
		if came || missed { // what it said meanwhile may be missing, and what we said there
			b.resync.Store(true)
		}
	}
}

// isGone ends what waits for a node.
func (b *Broker) isGone(n hub.Node, why string) {
	b.log.Info("another node is gone", "other", n.Name, "why", why)
	b.asks.gone(n)
}
