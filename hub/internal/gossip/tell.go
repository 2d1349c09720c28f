package gossip

import (
	"slices"
	"time"
)

const (
	// maxShare is what a share with names may take in a message; a longer one is counted.
	maxShare = 256 << 10

	// maxAnswer is how long a message with shares is before the next begins, and maxBeat one
	// with questions: of about a thousand topics.
	maxAnswer = 64 << 10
	maxBeat   = 32 << 10

	// tooLong is for how many beats names that were longer are not tried again.
	tooLong = 30

	// forgetting is for how many beats a share that is empty is remembered, for what
	// was overtaken.
	forgetting = 5

	// maxParted is of how many nodes that have said goodbye it is known that what still comes of
	// them is old.
	maxParted = 64
)

// tasks are what is to be told.
type tasks struct {
	isBeatDue bool
	ended     []ending
	dirty     []*Topic
	late      []*Topic // with the next beat
	fresh     []string // topics to ask everybody for
	due       []*node  // with asks or answers
}

// ending is a share that is over.
type ending struct {
	topic   string
	version uint64
}

// To says which nodes a message is for: one by its name, all that use a topic, or, with
// neither, all.
type To struct{ Node, Topic string }

// Gone is a node that is gone, in the topics where it had users.
type Gone struct {
	node   *node
	Topics []*Topic
}

// Node returns the node's name.
func (g Gone) Node() string { return g.node.Name }

// Had reports whether the node was known to have a user in one of the topics, as long as Leave was
// not called for that.
func (g Gone) Had(t *Topic, name, key string) bool {
	s := t.shareOf(g.node)
	if s == nil {
		return false
	}
	_, had := s.find(user{name: name, key: key})
	return had
}

// Tick is to be called once a Beat while topics are in use. It returns the nodes that have been
// silent for too long: Leave says what that means for their topics.
func (v *View) Tick(now time.Duration) (gone []Gone) {
	v.beats++
	if pause := now - v.beaten; v.beaten != 0 && pause > 2*Beat {
		for _, n := range v.nodes { // we were stopped: what others have said meanwhile waits to be heard
			n.heard += pause - Beat
		}
	}
	v.beaten, v.isBeatDue = now, true
	for _, t := range v.late {
		if t.isLate = false; !t.ended && t.isCounted {
			t.isWhole = true
			v.mark(t)
		}
	}
	v.late = nil
	v.nodes = slices.DeleteFunc(v.nodes, func(n *node) bool {
		n.isGone = now-n.heard > lifetime
		if n.isGone {
			gone = append(gone, v.end(n))
		}
		return n.isGone
	})
	return gone
}

// end finds the topics of a node that is gone.
func (v *View) end(n *node) (g Gone) {
	g.node = n
	for _, t := range v.round {
		if i := slices.Index(t.waiting, n); i >= 0 {
			t.waiting = slices.Delete(t.waiting, i, i+1)
		}
		if t.shareOf(n) != nil {
			g.Topics = append(g.Topics, t)
		}
	}
	return g
}

// Leave returns what changes in a topic as a node is gone.
func (v *View) Leave(g Gone, t *Topic) []Change {
	s := t.shareOf(g.node)
	if s == nil {
		return nil
	}
	return append(allWent(t, s, s.users), Change{kind: removal, topic: t, share: s, left: s.counted()})
}

// mark notes that our share is to be told: by names at once, by number with the next beat.
func (v *View) mark(t *Topic) {
	switch {
	case t.isCounted && !t.isWhole:
		if !t.isLate {
			t.isLate = true
			v.late = append(v.late, t)
		}
	case !t.isDirty:
		t.isDirty = true
		v.dirty = append(v.dirty, t)
	}
}

func (v *View) tellEnd(t *Topic) {
	v.clock++
	if len(v.ended) < maxQueued {
		v.ended = append(v.ended, ending{t.name, v.clock})
	}
}

func (v *View) askAll(t *Topic) {
	if len(v.fresh) < maxQueued {
		v.fresh = append(v.fresh, t.name)
	}
}

// ask queues a question to a node.
func (v *View) ask(n *node, topic string) {
	if len(n.asks) < maxQueued {
		n.asks = append(n.asks, topic)
		v.queue(n)
	}
}

func (v *View) queue(n *node) {
	if !n.isDue {
		n.isDue = true
		v.due = append(v.due, n)
	}
}

// Goodbye returns the message, for all, that this node has nobody any more and says nothing more.
// Next has nothing from then on.
func (v *View) Goodbye() []byte {
	v.isOver = true
	return appendHead(nil, kindGoodbye, v.Self)
}

// IsOver reports whether Goodbye was called. What others tell is of no use then.
func (v *View) IsOver() bool { return v.isOver }

// HasNext reports whether Next may have something.
func (v *View) HasNext() bool {
	return !v.isOver && (v.isBeatDue || len(v.ended)+len(v.dirty)+len(v.fresh)+len(v.due) > 0)
}

// Next returns the next message that is to be sent, and to which nodes.
func (v *View) Next() (to To, b []byte, ok bool) {
	switch {
	case v.isOver:
		return To{}, nil, false
	case v.isBeatDue:
		v.isBeatDue = false
		return To{}, v.beat(), true
	case len(v.ended) > 0:
		e := v.ended[0]
		v.ended = rest(v.ended)
		b = appendHead(nil, kindShares, v.Self)
		return To{Topic: e.topic}, appendNumbers(appendShare(b, told{topic: e.topic, version: e.version}), 0), true
	}
	for len(v.dirty) > 0 {
		t := v.dirty[0]
		v.dirty = rest(v.dirty)
		if t.isDirty = false; !t.ended {
			return To{Topic: t.name}, v.tell(t), true
		}
	}
	if len(v.fresh) > 0 {
		return To{}, v.askFresh(), true
	}
	for len(v.due) > 0 {
		n := v.due[0]
		switch {
		case len(n.asks) > 0:
			return To{Node: n.Name}, v.askOne(n), true
		case len(n.answers) > 0:
			return To{Node: n.Name}, v.answer(n), true
		}
		n.isDue, n.asks, n.answers = false, nil, nil
		v.due = rest(v.due)
	}
	return To{}, nil, false
}

// rest returns l without its first; the memory of one that is empty is given back.
func rest[T any](l []T) []T {
	var none T
	if l[0] = none; len(l) == 1 {
		return nil
	}
	return l[1:]
}

// tell returns the message about our share.
func (v *View) tell(t *Topic) []byte {
	before := t.told
	t.told = t.version
	if t.isWhole {
		return v.tellWhole(t)
	}
	b := appendText(appendHead(nil, kindEdits, v.Self), t.name)
	b = appendNumbers(b, before, t.version, t.joined, t.left, uint64(len(t.pending)))
	for _, e := range t.pending {
		b = append(b, byte(e.kind))
		b = appendText(appendText(b, e.user.name), e.user.status)
	}
	if len(b) > maxShare {
		return v.tellWhole(t)
	}
	t.pending = nil
	return b
}

func (v *View) tellWhole(t *Topic) []byte {
	t.isWhole, t.pending = false, nil
	return v.appendOwn(appendHead(nil, kindShares, v.Self), t, false)
}

// appendOwn appends our share.
func (v *View) appendOwn(dst []byte, t *Topic, isFirst bool) []byte {
	own := told{topic: t.name, version: t.version, joined: t.joined, left: t.left, isCounted: t.isCounted, isFirst: isFirst}
	b := appendShare(dst, own)
	if t.isCounted {
		return b
	}
	b = appendNumbers(b, t.joined-t.left)
	for name, status := range v.Local.Users(t.name) {
		if b = appendText(appendText(b, name), status); len(b)-len(dst) > maxShare {
			t.countedUntil = v.beats + tooLong
			v.turn(t, true)
			own.isCounted = true
			return appendShare(dst, own)
		}
	}
	return b
}

// appendShare appends a share without its users.
func appendShare(dst []byte, s told) []byte {
	dst = appendNumbers(appendText(dst, s.topic), s.version, s.joined, s.left)
	return appendBool(appendBool(dst, s.isCounted), s.isFirst)
}

// answer returns the message with what a node has asked for.
func (v *View) answer(n *node) []byte {
	b := appendHead(nil, kindShares, v.Self)
	for len(n.answers) > 0 && len(b) < maxAnswer {
		a := n.answers[0]
		n.answers = rest(n.answers)
		if t := v.topics[a.topic]; t != nil {
			b = v.appendOwn(b, t, a.isFirst)
			continue
		}
		b = appendNumbers(appendShare(b, told{topic: a.topic, version: v.clock, isFirst: a.isFirst}), 0)
	}
	return b
}

// askFresh returns the question to everybody about topics that have come into use.
func (v *View) askFresh() []byte {
	b := appendNumbers(appendHead(nil, kindQuestions, v.Self), 0)
	for len(v.fresh) > 0 && len(b) < maxBeat {
		b = appendNumbers(appendBool(appendText(b, v.fresh[0]), true), 0)
		v.fresh = rest(v.fresh)
	}
	return b
}

// askOne returns the question to a node that knows better.
func (v *View) askOne(n *node) []byte {
	b := appendNode(appendNumbers(appendHead(nil, kindQuestions, v.Self), 1), n.Node)
	for len(n.asks) > 0 && len(b) < maxBeat {
		b = appendNumbers(appendBool(appendText(b, n.asks[0]), false), 1, 0, 0)
		n.asks = rest(n.asks)
	}
	return b
}

// beat returns what this node knows, of as many topics as fit.
func (v *View) beat() []byte {
	b := appendNumbers(appendHead(nil, kindQuestions, v.Self), uint64(len(v.nodes)))
	numbers := make(map[*node]uint64, len(v.nodes))
	for i, n := range v.nodes {
		numbers[n] = uint64(i)
		b = appendNode(b, n.Node)
	}
	if len(v.nodes) == 0 {
		return b // there is nobody to ask
	}
	var all []uint64
	for k := 0; k < len(v.round) && len(b) < maxBeat; k++ {
		if v.next >= len(v.round) {
			v.next = 0
		}
		t := v.round[v.next]
		v.next++
		v.tidy(t)
		all = v.known(all[:0], t, numbers)
		b = appendNumbers(appendBool(appendText(b, t.name), false), all...)
	}
	return b
}

// known appends how many shares of a topic are known, and for each the number of its node and the
// version.
func (v *View) known(dst []uint64, t *Topic, numbers map[*node]uint64) []uint64 {
	dst = append(dst, 0)
	for _, s := range t.shares {
		i, isKnown := numbers[s.node]
		if !isKnown || s.isEmpty() {
			continue
		}
		version := s.version
		if s.isPoor && v.bytes < v.MaxBytes/2 && v.isRoomFor(t, s.counted(), 0, nil) {
			version = 0 // there is room for its names now
		}
		dst = append(dst, i, version)
		dst[0]++
	}
	for _, n := range t.waiting {
		if s := t.shareOf(n); s == nil || s.isEmpty() {
			dst = append(dst, numbers[n], 0)
			dst[0]++
		}
	}
	return dst
}

// tidy drops the shares that have been empty for a while.
func (v *View) tidy(t *Topic) {
	t.shares = slices.DeleteFunc(t.shares, func(s *share) bool {
		s.isDropped = s.isEmpty() && v.beats-s.emptied > forgetting
		if s.isDropped {
			v.bytes -= s.bytes
		}
		return s.isDropped
	})
}
