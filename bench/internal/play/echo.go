//go:build linux

package play

import (
	"time"

	"github.com/usher-ws/usher/bench/internal/load"
	"github.com/usher-ws/usher/client"
	"github.com/usher-ws/usher/frame"
)

// EchoConfig says what an Echo sends.
type EchoConfig struct {
	Size     int           // of a message, in bytes
	Text     bool          // else binary
	InFlight int           // messages of one connection that may be unanswered; 0: 1
	Rate     float64       // messages a second of all connections; 0: as the answers come
	Timeout  time.Duration // until an unanswered message is given up; 0: 5 s
	Touch    bool          // a connection that opens echoes once
	Active   int           // only the first so many connections send; 0: all, negative: none
	Unasked  bool          // what comes to a connection that does not send is counted as Other, not as wrong
}

// Echo sends messages and expects each of them back, whole, unchanged and in
// order.
//
// Without a rate it is a closed loop: every connection has InFlight messages under
// way, and sends the next when one comes back. With a rate it is an open loop: a
// [load.Pacer] says when each message is due, and its latency counts from then,
// also when InFlight unanswered ones before it held it back.
//
// What comes back wrong counts as an answer, so that the exchange goes on; what
// does not come back in time ends its connection.
type Echo struct {
	client  *load.Client
	cfg     EchoConfig
	opcode  frame.Opcode
	payload *load.Payload

	conns   []echoConn
	sent    []time.Duration // InFlight times for each connection, by number
	pacer   *load.Pacer     // nil: closed loop
	running bool
	pending int // messages due and not answered
	checked time.Duration
}

// echoConn is what an Echo knows of a connection.
type echoConn struct {
	next  uint32 // the number of the next message
	want  uint32 // the number of the next echo
	owed  uint32 // messages that are due and wait for InFlight
	first uint32 // the first message of the open loop
}

const (
	defaultTimeout = 5 * time.Second
	checkEvery     = 100 * time.Millisecond
	// maxTurn bounds what one turn sends before answers are read again.
	maxTurn = 256
)

// NewEcho returns the player of a client.
func NewEcho(client *load.Client, cfg EchoConfig) *Echo {
	cfg.InFlight = max(cfg.InFlight, 1)
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.Active == 0 {
		cfg.Active = client.Conns()
	}
	cfg.Active = max(cfg.Active, 0)
	return &Echo{
		client:  client,
		cfg:     cfg,
		opcode:  opcode(cfg.Text),
		payload: load.NewPayload(cfg.Size),
		conns:   make([]echoConn, cfg.Active),
		sent:    make([]time.Duration, cfg.Active*cfg.InFlight),
	}
}

func opcode(text bool) frame.Opcode {
	if text {
		return frame.OpText
	}
	return frame.OpBinary
}

// Start begins the exchange on the connections that are open, or goes on with it.
func (e *Echo) Start() {
	now := e.client.Now()
	e.running = true
	if e.cfg.Rate > 0 {
		e.pacer = load.NewPacer(now, e.cfg.Rate, len(e.conns))
		for i := range e.conns {
			c := &e.conns[i]
			e.pending -= int(c.owed) // of the plan before
			c.first, c.owed = c.next, 0
		}
		return
	}
	for i := range e.conns {
		if e.client.IsOpen(i) {
			e.fill(i, now)
		}
	}
}

// Stop ends the exchange: nothing new becomes due. What is under way is still awaited.
func (e *Echo) Stop() { e.running = false }

// Pending returns how many messages are due and not answered.
func (e *Echo) Pending() int { return e.pending }

// Opened is the [load.Player]'s.
func (e *Echo) Opened(i int) {
	if i >= len(e.conns) {
		return
	}
	c := &e.conns[i]
	*c = echoConn{first: c.first - c.next} // its place in the plan stays
	now := e.client.Now()
	switch {
	case e.running && e.pacer == nil:
		e.fill(i, now)
	case e.cfg.Touch:
		e.send(i, now)
	}
}

// fill sends what may be under way in a closed loop.
func (e *Echo) fill(i int, now time.Duration) {
	for c := &e.conns[i]; c.next-c.want < uint32(e.cfg.InFlight); {
		e.send(i, now)
	}
}

// send sends the next message of connection i, as due at the given time.
func (e *Echo) send(i int, due time.Duration) {
	c := &e.conns[i]
	e.sent[i*e.cfg.InFlight+int(c.next)%e.cfg.InFlight] = due
	var s load.Stamp
	stamp := e.payload.Stamp(&s, i, c.next)
	c.next++
	e.pending++
	e.client.Send(i, e.opcode, stamp, e.payload.Pattern())
}

// Message is the [load.Player]'s.
func (e *Echo) Message(i int, op frame.Opcode, data []byte) {
	switch {
	case i < len(e.conns):
	case e.cfg.Unasked:
		e.client.Tally().Other++
		return
	default:
		e.client.Count(load.Fault{Kind: load.WrongContent}, 1) // nothing was asked for
		return
	}
	c := &e.conns[i]
	verdict, seq := e.payload.Check(data, i, c.want)
	if verdict == load.Right && op == e.opcode && c.want != c.next {
		e.received(i)
	} else {
		e.wrong(i, verdict, seq)
	}
	e.goOn(i)
}

// received counts the right answer to message want.
func (e *Echo) received(i int) {
	c, t := &e.conns[i], e.client.Tally()
	t.Received++
	t.Latency.Record(e.client.At() - e.sent[i*e.cfg.InFlight+int(c.want)%e.cfg.InFlight])
	c.want++
	e.pending--
}

// wrong counts what is wrong with an echo, and takes it for the answer that it
// probably is.
func (e *Echo) wrong(i int, verdict load.Verdict, seq uint32) {
	c := &e.conns[i]
	switch {
	case verdict == load.Ahead && seq-c.want < c.next-c.want:
		e.client.Count(load.Fault{Kind: load.Missing}, int(seq-c.want))
		e.skip(i, seq-c.want)
		e.received(i)
	case verdict == load.Behind:
		e.client.Count(load.Fault{Kind: load.WrongOrder}, 1)
	case verdict == load.BadLength:
		e.client.Count(load.Fault{Kind: load.WrongLength}, 1)
		e.skip(i, 1)
	default: // also the number of a message that was never sent
		e.client.Count(load.Fault{Kind: load.WrongContent}, 1)
		e.skip(i, 1)
	}
}

// skip expects n echoes less.
func (e *Echo) skip(i int, n uint32) {
	c := &e.conns[i]
	n = min(n, c.next-c.want)
	c.want += n
	e.pending -= int(n)
}

// goOn sends what the last answer made room for.
func (e *Echo) goOn(i int) {
	c := &e.conns[i]
	if e.pacer == nil {
		if e.running {
			e.fill(i, e.client.At())
		}
		return
	}
	for c.owed > 0 && c.next-c.want < uint32(e.cfg.InFlight) {
		c.owed--
		e.pending-- // send counts it again
		e.send(i, e.pacer.Due(i, c.next-c.first))
	}
}

// Answered is the [load.Player]'s: the fault is counted by the client.
func (e *Echo) Answered(int, *client.Response) {}

// Closed is the [load.Player]'s: what was under way will not be answered.
func (e *Echo) Closed(i int, _ load.Fault) {
	if i >= len(e.conns) {
		return
	}
	c := &e.conns[i]
	lost := int(c.next - c.want + c.owed)
	e.client.Count(load.Fault{Kind: load.Unanswered}, lost)
	e.pending -= lost
	c.first -= c.owed // what is not sent has had its place in the plan
	c.want, c.owed = c.next, 0
}

// Turn is the [load.Player]'s.
func (e *Echo) Turn(now time.Duration) (next time.Duration) {
	if now-e.checked >= checkEvery {
		e.checked = now
		e.giveUp(now)
	}
	if e.pacer == nil || !e.running {
		return 0
	}
	for range maxTurn {
		i, ok := e.pacer.Take(now)
		if !ok {
			return e.pacer.Next()
		}
		e.due(i)
	}
	return now // there is more to send, but answers first
}

// due sends what is due on connection i, or puts it on the account.
func (e *Echo) due(i int) {
	c := &e.conns[i]
	switch {
	case !e.client.IsOpen(i):
		c.first-- // keeps the plan of a connection that was dialed again
	case c.owed > 0 || c.next-c.want >= uint32(e.cfg.InFlight):
		c.owed++
		e.pending++
	default:
		due := e.pacer.Due(i, c.next-c.first)
		e.client.Tally().Late.Record(e.client.Now() - due) // those before it took their time
		e.send(i, due)
	}
}

// giveUp closes connections whose oldest message has waited for too long.
func (e *Echo) giveUp(now time.Duration) {
	if e.pending == 0 {
		return
	}
	for i := range e.conns {
		c := &e.conns[i]
		if c.next != c.want && now-e.sent[i*e.cfg.InFlight+int(c.want)%e.cfg.InFlight] > e.cfg.Timeout {
			e.client.Hang(i)
		}
	}
}
