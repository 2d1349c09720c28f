//go:build linux

package nats

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/usher-ws/usher/hub"
)

const (
	// maxAnswer is how large an answer may be: it comes in parts of max_payload.
	maxAnswer = 16 << 20

	// maxServing is how many questions of others are answered at a time; with more there
	// the others wait for nothing.
	maxServing = 64
)

// asks are the questions that wait for answers.
type asks struct {
	mu   sync.Mutex
	last uint64
	open map[uint64]*ask
}

type ask struct {
	waiting map[hub.Node][]byte // for their answers, of which so much has come
	silent  []string
	answers [][]byte
	done    chan struct{} // closed when nobody is waited for
}

// settle ends the waiting for a node. It is called with asks.mu held.
func (a *ask) settle(n hub.Node, answer []byte, isAnswered bool) {
	delete(a.waiting, n)
	if isAnswered {
		a.answers = append(a.answers, answer)
	} else {
		a.silent = append(a.silent, n.Name)
	}
	if len(a.waiting) == 0 {
		close(a.done)
	}
}

// begin returns a question to nodes, which are at least one.
func (l *asks) begin(nodes []hub.Node) (id uint64, a *ask) {
	a = &ask{waiting: make(map[hub.Node][]byte), done: make(chan struct{})}
	for _, n := range nodes {
		a.waiting[n] = nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open == nil {
		l.open = make(map[uint64]*ask)
	}
	l.last++
	l.open[l.last] = a
	return l.last, a
}

// end returns what has come of a question.
func (l *asks) end(id uint64) (answers [][]byte, silent []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.open[id]
	delete(l.open, id)
	for n := range a.waiting {
		a.silent = append(a.silent, n.Name)
	}
	slices.Sort(a.silent)
	return a.answers, a.silent
}

// hear takes a part of an answer.
func (l *asks) hear(n *note) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.open[n.id]
	if a == nil {
		return
	}
	so, isWaited := a.waiting[n.from]
	switch {
	case !isWaited:
	case n.flags&flagFault != 0 || len(so)+len(n.body) > maxAnswer:
		a.settle(n.from, nil, false)
	case n.flags&flagMore != 0:
		a.waiting[n.from] = append(so, n.body...)
	default:
		a.settle(n.from, append(so, n.body...), true)
	}
}

// gone ends all waiting for a node, in this life and those before.
func (l *asks) gone(n hub.Node) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.open {
		for other := range a.waiting {
			if other.Name == n.Name && other.Epoch <= n.Epoch {
				a.settle(other, nil, false)
			}
		}
	}
}

// servers are what answers questions, by purpose.
type servers struct {
	mu      sync.Mutex
	by      map[string]func([]byte) []byte
	serving int
}

// begin returns what answers a purpose, unless too many questions are being answered.
func (l *servers) begin(purpose string) (answer func([]byte) []byte, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.serving == maxServing {
		return nil, false
	}
	l.serving++
	return l.by[purpose], true
}

func (l *servers) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.serving--
}

// nodes are the nodes for one purpose.
type nodes struct {
	*Broker
	purpose string
}

// Nodes is hub.Broker's. A purpose has 255 bytes at most.
func (b *Broker) Nodes(purpose string) hub.Nodes {
	if len(purpose) > maxName {
		panic("nats: a purpose has 255 bytes at most")
	}
	return nodes{b, purpose}
}

// Serve sets what answers.
func (n nodes) Serve(answer func(question []byte) []byte) {
	l := &n.servers
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.by == nil {
		l.by = make(map[string]func([]byte) []byte)
	}
	l.by = maps.Clone(l.by)
	l.by[n.purpose] = answer
}

// Ask asks.
func (n nodes) Ask(ctx context.Context, question []byte) (answers [][]byte, silent []string, err error) {
	return n.ask(ctx, n.members.all(), subjectAsk, question)
}

// AskNode asks one.
func (n nodes) AskNode(ctx context.Context, name string, question []byte) (answer []byte, err error) {
	to, ok := n.members.find(name)
	if !ok {
		return nil, hub.ErrSilent
	}
	answers, _, err := n.ask(ctx, []hub.Node{to}, asksTo(to), question)
	switch {
	case err != nil:
		return nil, err
	case len(answers) == 0:
		return nil, hub.ErrSilent
	}
	return answers[0], nil
}

// ask puts a question to nodes, which hear it on the subject.
func (n nodes) ask(ctx context.Context, to []hub.Node, subject string, question []byte) (answers [][]byte, silent []string, err error) {
	q := note{purpose: n.purpose, body: question}
	size := int64(noteHead + 2 + 2*maxName + len(question))
	switch {
	case n.Degraded():
		err = hub.ErrDegraded
	case size > n.maxPayload.Load():
		err = errSize
	}
	if err != nil {
		for _, other := range to {
			silent = append(silent, other.Name)
		}
		return nil, silent, err
	}
	if len(to) == 0 {
		return nil, nil, nil
	}
	id, a := n.asks.begin(to)
	q.id = id
	n.say(subject, &q)
	select {
	case <-a.done:
	case <-ctx.Done():
	case <-n.done:
	}
	answers, silent = n.asks.end(id)
	return answers, silent, nil
}

// hearNote takes what nodes say about themselves.
func (b *Broker) hearNote(msg *nats.Msg) {
	n, err := parseNote(msg.Data)
	if err != nil {
		b.counters.malformed(err)
		return
	}
	if n.from == b.node {
		return
	}
	switch msg.Subject {
	case subjectBeat:
		b.hearBeat(&n)
	case subjectSync:
		b.hearSync(&n)
	case subjectAsk, asksTo(b.node):
		b.hearQuestion(&n)
	case subjectTell, b.tellings():
		b.hubs.hear([][]byte{n.body})
	default:
		b.asks.hear(&n)
	}
}

// hearSync takes the wish to know how far this node is, in a room or in all of them.
func (b *Broker) hearSync(n *note) {
	if len(n.body) == 0 {
		b.out.tellAll()
		return
	}
	token, _ := strings.CutPrefix(string(n.body), subjectRoom)
	if topic, ok := nameOf(token); ok {
		b.out.tell(n.from, topic)
	}
}

// hearQuestion answers a question, on a goroutine of its own.
func (b *Broker) hearQuestion(q *note) {
	answer, ok := b.servers.begin(q.purpose)
	if !ok {
		b.say(answersTo(q.from), &note{flags: flagFault, id: q.id})
		return
	}
	b.running.Go(func() {
		defer b.servers.end()
		var body []byte
		if answer != nil {
			body = answer(q.body)
		}
		b.answer(q, body)
	})
}

// answer sends an answer in parts.
func (b *Broker) answer(q *note, body []byte) {
	to := answersTo(q.from)
	if len(body) > maxAnswer {
		b.putWaiting(to, &note{from: b.node, id: q.id, flags: flagFault})
		return
	}
	most := int(b.maxPayload.Load()) - noteHead - 2 - maxName
	for more := true; more; {
		n := min(len(body), most)
		part := note{from: b.node, id: q.id, body: body[:n]}
		body = body[n:]
		if more = len(body) > 0; more {
			part.flags = flagMore
		}
		b.putWaiting(to, &part)
	}
}

// putWaiting publishes a note of this node when there is room for it, or the node ends.
func (b *Broker) putWaiting(subject string, n *note) {
	data := appendNote(nil, n)
	for !b.out.put(op{publish: subject, data: data}, len(data)) {
		select {
		case <-b.done:
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}
