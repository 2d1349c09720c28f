package gossip

import (
	"encoding/binary"
	"errors"
)

// A message is
//
//	version (1), kind, name and epoch of the sender, and by kind
//	edits:     topic, version before, version, joined, left, number of edits, for each: kind, name, status
//	shares:    for each: topic, version, joined, left, 1 if counted, 1 if it answers a question to all;
//	           unless it is counted: number of users, for each: name, status
//	questions: number of nodes, for each: name, epoch; for each topic: topic, 1 if all are to answer,
//	           number of shares that are known, for each: number of the node, version
//	goodbye:   nothing more
//
// Numbers are uvarints, and texts have their length in front. Shares and topics go on to the end.
const wireVersion = 1

type messageKind byte

const (
	kindEdits messageKind = iota + 1
	kindShares
	kindQuestions
	kindGoodbye
)

// Node is one run of a node.
type Node struct {
	Name  string
	Epoch uint64 // no two runs of a name have the same
}

// Message is what a node told, parsed. It keeps nothing of the bytes that it came in.
type Message struct {
	From      Node
	kind      messageKind
	edits     edits
	shares    []told
	questions []question
}

// edits lead from one version of a share to another.
type edits struct {
	topic         string
	before, after uint64
	joined, left  uint64
	list          []edit
}

// edit is a user that came to a share or went, or has another status.
type edit struct {
	kind editKind
	user user
}

type editKind byte

const (
	editCame editKind = iota + 1
	editWent
	editStatus
)

type user struct{ name, status, key string }

// told is a share as its node tells it.
type told struct {
	topic        string
	version      uint64
	joined, left uint64
	isCounted    bool
	isFirst      bool   // it answers a question to all: these users were there before
	users        []user // none if it is counted
}

// question says which shares of a topic a node knows, in which versions. 0 is none: the node in
// question answers, whether it has users there or not.
type question struct {
	topic string
	toAll bool // all nodes answer, known or not
	known []known
}

type known struct {
	node    Node
	version uint64
}

var errMalformed = errors.New("gossip: the message is malformed")

// Parse returns what a message says.
func Parse(b []byte) (m Message, err error) {
	r := reader{rest: b}
	version := r.byte()
	m.kind = messageKind(r.byte())
	m.From = Node{r.text(), r.number()}
	switch m.kind {
	case kindEdits:
		m.edits = r.edits()
	case kindShares:
		for len(r.rest) > 0 {
			m.shares = append(m.shares, r.share())
		}
	case kindQuestions:
		nodes := make([]Node, 0, r.count(2))
		for range cap(nodes) {
			nodes = append(nodes, Node{r.text(), r.number()})
		}
		for len(r.rest) > 0 {
			m.questions = append(m.questions, r.question(nodes))
		}
	case kindGoodbye:
	default:
		r.bad = true
	}
	if r.bad || version != wireVersion || len(r.rest) > 0 {
		return Message{}, errMalformed
	}
	return m, nil
}

// SetKeys notes what the names in m are compared by. It must be called before m is heard, unless
// that is the names themselves.
func (m *Message) SetKeys(key func(name string) string) {
	for i := range m.edits.list {
		u := &m.edits.list[i].user
		u.key = key(u.name)
	}
	for _, s := range m.shares {
		for i := range s.users {
			s.users[i].key = key(s.users[i].name)
		}
	}
}

// reader takes a message apart. Once something is bad it returns zeros, and nothing rests.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) fail() { r.rest, r.bad = nil, true }

func (r *reader) byte() byte {
	if len(r.rest) == 0 {
		r.fail()
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *reader) number() uint64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

// count returns how many things follow that take size bytes at least.
func (r *reader) count(size int) int {
	n := r.number()
	if n > uint64(len(r.rest)/size) {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *reader) text() string {
	n := r.count(1)
	s := string(r.rest[:n])
	r.rest = r.rest[n:]
	return s
}

func (r *reader) user() user {
	name := r.text()
	return user{name: name, status: r.text(), key: name}
}

func (r *reader) edits() (e edits) {
	e = edits{topic: r.text(), before: r.number(), after: r.number(), joined: r.number(), left: r.number()}
	n := r.count(3)
	e.list = make([]edit, n)
	for i := range e.list {
		e.list[i] = edit{editKind(r.byte()), r.user()}
		if k := e.list[i].kind; k < editCame || k > editStatus {
			r.fail()
		}
	}
	if e.after <= e.before || !isCount(e.joined, e.left) {
		r.fail()
	}
	return e
}

// isCount reports whether so many users can have come and gone.
func isCount(joined, left uint64) bool { return left <= joined && joined < 1<<48 }

func (r *reader) share() (s told) {
	s = told{topic: r.text(), version: r.number(), joined: r.number(), left: r.number()}
	s.isCounted, s.isFirst = r.byte() == 1, r.byte() == 1
	if !isCount(s.joined, s.left) {
		r.fail()
	}
	if s.isCounted {
		return s
	}
	s.users = make([]user, r.count(2))
	for i := range s.users {
		s.users[i] = r.user()
	}
	return s
}

func (r *reader) question(nodes []Node) (q question) {
	q = question{topic: r.text(), toAll: r.byte() == 1}
	q.known = make([]known, 0, r.count(2))
	for range cap(q.known) {
		node, version := r.number(), r.number()
		if node >= uint64(len(nodes)) {
			r.fail()
			return question{}
		}
		q.known = append(q.known, known{nodes[node], version})
	}
	return q
}

// appendHead starts a message.
func appendHead(dst []byte, kind messageKind, from Node) []byte {
	dst = append(dst, wireVersion, byte(kind))
	return appendNode(dst, from)
}

func appendNode(dst []byte, n Node) []byte {
	return binary.AppendUvarint(appendText(dst, n.Name), n.Epoch)
}

func appendText[T string | []byte](dst []byte, s T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func appendNumbers(dst []byte, all ...uint64) []byte {
	for _, n := range all {
		dst = binary.AppendUvarint(dst, n)
	}
	return dst
}

func appendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, 1)
	}
	return append(dst, 0)
}
