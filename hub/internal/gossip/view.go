package gossip

import (
	"iter"
	"slices"
	"time"
)

const (
	// Beat is how often a node tells that it is there, and what it knows.
	Beat = time.Second

	// lifetime is how long a node may be silent: three beats may be lost or late.
	lifetime = 3500 * time.Millisecond

	// overdue is when a node that is silent is said to be so.
	overdue = 2500 * time.Millisecond

	// MaxNodes is how many other nodes a node takes note of.
	MaxNodes = 1024

	// newBeats is for how many beats a topic is new: answers to the question of who is there may be
	// lost, and asked for again.
	newBeats = 3

	// maxPending is how many changes of a share are told one by one; of more at once, all of
	// the share is told.
	maxPending = 256
)

// Local tells of the users here.
type Local interface {
	// Users yields the users that are in a topic here, and their statuses, with bytes that
	// are valid until the next.
	Users(topic string) iter.Seq2[[]byte, []byte]

	// Has reports whether a user is in a topic here.
	Has(topic, name, key string) bool
}

// View is what a node knows of the users at others. It belongs to the holder of a lock.
type View struct {
	Self     Node
	Local    Local
	MaxNames int // users of a topic above which only their number is told
	MaxBytes int // what all names of others may take; shares that do not fit are counted

	topics map[string]*Topic
	round  []*Topic // all of topics, in the order of beats
	next   int      // of round
	nodes  []*node
	parted []Node // those that have said goodbye, the last of them
	isOver bool   // this node has
	clock  uint64 // the last version of any share of this node
	beats  uint64 // how many there were
	beaten time.Duration
	bytes  int // of shares

	tasks
}

// node is another node, until it is gone.
type node struct {
	Node
	heard   time.Duration
	isGone  bool
	asks    []string // topics to ask it for
	answers []answer // topics that it has asked for
	isDue   bool     // it is among the tasks
}

// answer is what a node is to be told of.
type answer struct {
	topic   string
	isFirst bool // it has just come to use the topic
}

// Topic is a topic in use here.
type Topic struct {
	name  string
	index int    // in round
	since uint64 // the beat at which it came into use
	ended bool

	// The share of this node.
	version, told uint64 // now, and as the others have been told
	joined, left  uint64
	changed       uint64 // the beat of the last change
	isCounted     bool
	countedUntil  uint64 // the beat before which its names are not tried again: they were too long
	isWhole       bool   // all of it is to be told, rather than pending
	pending       []edit
	isDirty       bool // it is among the tasks, at once
	isLate        bool // it is among the tasks, at the next beat

	// What the others have.
	shares  []*share
	names   int     // how many users are in shares
	overlap int     // how many of them are here too
	waiting []*node // nodes that have not said what they have
}

// Use makes the topic known, with its first user here.
func (v *View) Use(topic string) *Topic {
	if v.topics == nil {
		v.topics = make(map[string]*Topic)
	}
	v.clock++
	t := &Topic{name: topic, index: len(v.round), since: v.beats, version: v.clock, isWhole: true}
	t.waiting = slices.Clone(v.nodes)
	v.topics[topic] = t
	v.round = append(v.round, t)
	v.askAll(t)
	return t
}

// Drop forgets a topic that has no users here any more.
func (v *View) Drop(t *Topic) {
	last := len(v.round) - 1
	v.round[t.index] = v.round[last]
	v.round[t.index].index = t.index
	v.round[last] = nil
	v.round = v.round[:last]
	delete(v.topics, t.name)
	for _, s := range t.shares {
		v.bytes -= s.bytes
	}
	v.tellEnd(t)
	t.ended = true
	t.shares, t.waiting, t.pending = nil, nil, nil
	if last == 0 { // others are known by what they say while there are topics
		v.topics, v.round, v.nodes, v.beaten = nil, nil, nil, 0
	}
}

// Name returns the topic's name.
func (t *Topic) Name() string { return t.name }

// InUse returns how many topics are in use. While there are any, Tick is to be called once a Beat.
func (v *View) InUse() int { return len(v.round) }

// Came notes a user that is in the topic here now.
func (v *View) Came(t *Topic, name, key string) {
	t.joined++
	if t.Has(name, key) {
		t.overlap++
	}
	v.edit(t, edit{editCame, user{name: name}})
}

// Went notes a user that is no longer here.
func (v *View) Went(t *Topic, name, key string) {
	t.left++
	if t.Has(name, key) {
		t.overlap--
	}
	v.edit(t, edit{editWent, user{name: name}})
}

// SetStatus notes the status of a user here.
func (v *View) SetStatus(t *Topic, name, status string) {
	if !t.isCounted {
		v.edit(t, edit{editStatus, user{name: name, status: status}})
	}
}

// edit makes a new version of our share.
func (v *View) edit(t *Topic, e edit) {
	v.clock++
	t.version, t.changed = v.clock, v.beats
	switch {
	case t.isCounted || t.isWhole:
	case len(t.pending) < maxPending:
		t.pending = append(t.pending, e)
	default:
		t.pending, t.isWhole = nil, true
	}
	v.judge(t)
	v.mark(t)
}

// judge decides whether our share is told by names. Between the two there is room, so that
// users who come and go do not cause all of it to be told again and again.
func (v *View) judge(t *Topic) {
	all := int(t.joined-t.left) + t.Others()
	isCounted := t.isCounted
	switch {
	case all > v.MaxNames:
		isCounted = true
	case all <= v.MaxNames/2 && v.beats >= t.countedUntil:
		isCounted = false
	}
	if isCounted != t.isCounted {
		v.turn(t, isCounted)
	}
}

// turn begins to tell our share in another way.
func (v *View) turn(t *Topic, isCounted bool) {
	v.clock++
	t.version, t.changed = v.clock, v.beats
	t.isCounted, t.isWhole, t.pending = isCounted, true, nil
	v.mark(t)
}

// Others returns how many users the topic has that are not here, as far as is known. One that is
// at two nodes counts once, unless shares are counted.
func (t *Topic) Others() int {
	n := t.names - t.overlap
	for _, s := range t.shares {
		n += s.counted()
	}
	return n
}

// Has reports whether the user is known to be at another node.
func (t *Topic) Has(name, key string) bool { return t.nodesOf(user{name: name, key: key}) > 0 }

// IsTaken reports whether a user at another node has another name with the same key.
func (t *Topic) IsTaken(name, key string) bool {
	for _, s := range t.shares {
		i, _ := s.find(user{key: key})
		for ; i < len(s.users) && s.users[i].key == key; i++ {
			if s.users[i].name != name {
				return true
			}
		}
	}
	return false
}

// Users yields the users that are known by name and not here, with their statuses, in any order.
func (t *Topic) Users(v *View) iter.Seq2[string, string] {
	return func(yield func(name, status string) bool) {
		for n, s := range t.shares {
			for _, u := range s.users {
				switch {
				case slices.ContainsFunc(t.shares[:n], func(before *share) bool { _, has := before.find(u); return has }):
				case t.overlap > 0 && v.Local.Has(t.name, u.name, u.key):
				case !yield(u.name, t.status(u)):
					return
				}
			}
		}
	}
}

// status returns that of a user at other nodes: of one of them, if any has one.
func (t *Topic) status(u user) string {
	for _, s := range t.shares {
		if i, has := s.find(u); has && s.users[i].status != "" {
			return s.users[i].status
		}
	}
	return ""
}

// Silent returns the names of the nodes whose users in the topic are not known, or were not
// confirmed lately.
func (v *View) Silent(t *Topic, now time.Duration) (names []string) {
	for _, n := range v.nodes {
		if now-n.heard > overdue || slices.Contains(t.waiting, n) {
			names = append(names, n.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Size returns how many bytes all of this takes.
func (v *View) Size() int {
	const topicSize, nodeSize = 350, 200
	return v.bytes + len(v.round)*topicSize + len(v.nodes)*nodeSize
}

// NameOf returns the name with a key that a user at another node has.
func (t *Topic) NameOf(key string) (name string, isKnown bool) {
	for _, s := range t.shares {
		if i, _ := s.find(user{key: key}); i < len(s.users) && s.users[i].key == key {
			return s.users[i].name, true
		}
	}
	return "", false
}

// IsNew reports whether the topic has come into use so lately that others may not have said yet who
// is there.
func (v *View) IsNew(t *Topic) bool { return v.beats-t.since < newBeats }

// Holders returns the names of the other nodes that are known to have the user, and of those of
// which it is not known who is there: they have told no names, or nothing yet.
func (t *Topic) Holders(name, key string) (sure, perhaps []string) {
	for _, s := range t.shares {
		if _, has := s.find(user{name: name, key: key}); has {
			sure = append(sure, s.node.Name)
		} else if s.counted() > 0 {
			perhaps = append(perhaps, s.node.Name)
		}
	}
	for _, n := range t.waiting {
		perhaps = append(perhaps, n.Name)
	}
	slices.Sort(sure) // a name may have two lives here for a while
	sure = slices.Compact(sure)
	slices.Sort(perhaps)
	perhaps = slices.DeleteFunc(slices.Compact(perhaps), func(n string) bool { _, is := slices.BinarySearch(sure, n); return is })
	return sure, perhaps
}
