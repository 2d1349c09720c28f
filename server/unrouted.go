//go:build linux

package server

import (
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/usher-ws/usher/stream"
	"github.com/usher-ws/usher/upgrade"
)

// This file is what a loop does about requests that no route matches and Server.Answer does
// not answer (fixed.go), and about those that a Relay has a Handler for: they wait for their
// turn with net/http, see exchange.

// bodyLimit is the largest body that a loop reads before net/http has anything to do with the
// request: a form, say.
const bodyLimit = 16 << 10

// requestCost is what a request costs while it is with net/http, beside what was read of it
// and what it waits to send: two goroutines with their stacks, a bufio.Reader and two
// bufio.Writers of 4 and 2 KiB, the Request with its header and the Response's.
const requestCost = 32 << 10

var (
	errNoBody = upgrade.Reject(http.StatusRequestTimeout, upgrade.CodeTimeout, "the body did not end in time")
	errNoTurn = upgrade.Reject(http.StatusServiceUnavailable, upgrade.CodeUnavailable, "too many requests wait for an answer")
)

// pass has r wait for its turn with net/http, and for the rest of its body if that is small. lr
// is nil unless its Relay has the Handler.
func (d *door) pass(s link, lr *loopRoute, q quota, r *upgrade.Request, head, early []byte) {
	if lr == nil && d.srv.Handler == nil {
		q.release(d.srv)
		d.refuse(s, nil, r, errNotFound)
		return
	}
	x := d.wait(s, q, r, head, early)
	x.route = lr
	x.lines = d.srv.http.lines[1:]
	switch n := r.BodyLength(); {
	case n < 0, n > bodyLimit, n > int64(len(early)) && len(r.Header("Expect")) > 0:
		x.lines = d.srv.http.lines[:]
	default:
		x.whole += int(n)
	}
	d.lineUp(s, x)
}

// wait has r wait, with all that was read of it and behind it.
func (d *door) wait(s link, q quota, r *upgrade.Request, head, early []byte) *exchange {
	b := s.Extra().head // all that was read, if it is not the loop's own buffer
	if b == nil {
		b = d.Buffers.Append(d.Buffers.Append(nil, head), early)
	}
	x := newExchange(d.loop, s, q, r.Forwarded(), b)
	x.tls = r.TLS
	x.whole = len(head)
	e := s.NeedExtra()
	e.head, e.exchange = nil, x
	s.Data().facts.become(queued)
	return x
}

// lineUp has a request wait for its next turn, if all is there that is awaited of its body,
// and serves it when it has had all of them.
func (d *door) lineUp(s link, x *exchange) {
	if (len(x.in) >= x.whole || x.end != nil) && !x.isPutOff {
		for x.leave == nil && x.turns < len(x.lines) {
			if line := x.lines[x.turns]; line.TryAcquire() {
				x.turns++
			} else {
				x.leave = line.Queue(x.addr, x.turnCame)
			}
		}
		if x.turns == len(x.lines) {
			d.serve(s, x)
			return
		}
	}
	if len(x.in) >= x.whole+inWindow {
		s.Hold(byHandler)
	}
}

// serve gives a request to net/http.
func (d *door) serve(s link, x *exchange) {
	s.Data().facts.become(served)
	s.SetDue(0) // what is left to wait for is net/http's to bound, and the stream's
	x.charged = requestCost
	d.Buffers.Charge(x.charged)
	d.tallyOf(x.route).Passed++
	x.mu.Lock()
	x.held = s.Why()&byHandler != 0
	x.mu.Unlock()
	d.srv.http.serve(x)
}

// gather keeps what comes before a request's turn.
func (d *door) gather(s link, b []byte) {
	x := s.Extra().exchange
	x.in = d.Buffers.Append(x.in, b)
	d.lineUp(s, x)
}

// takeTurn says that a request's turn has come.
func (d *door) takeTurn(s link) {
	x := s.Extra().exchange
	if x.isPutOff {
		d.answerPutOff(s, x)
		return
	}
	x.leave = nil
	x.turns++
	d.lineUp(s, x)
}

// expireQueued ends the waiting for a body, with 408, or for a turn, with 503. What has come
// is read before that, and what held up the loop is not the client's.
func (d *door) expireQueued(s link) {
	if x := s.Extra().exchange; len(x.in) < x.whole {
		tok := s.Token()
		s.Read()
		if _, ok := d.Find(tok); !ok || s.Data().facts.state() != queued {
			return
		}
	}
	limit := stream.Ticks(d.srv.handshakeTimeout())
	if limit == 0 || s.Data().last.Elapsed(d.Ran()) < limit {
		s.SetDue(stream.Behind(d.Tick(), s.Data().last.Left(d.Ran(), limit)))
		return
	}
	x := d.takeExchange(s, os.ErrDeadlineExceeded)
	defer d.dropInput(x)
	r, err := &d.req, errNoBody
	if len(x.in) >= x.whole {
		err = errNoTurn.WithRetryAfter(jitter(5 * time.Second))
	}
	d.reread(x.in, x, r)
	d.refuse(s, nil, r, err)
}

// reread reads the request of x out of b, where it was read before.
func (d *door) reread(b []byte, x *exchange, r *upgrade.Request) {
	_, _ = d.gate.Read(b, 0, r)
	d.gate.SetForwarded(r, x.forwarded)
	if x.tls != nil {
		d.gate.SetTLS(r, x.tls)
	}
}

// feed gives net/http what was read.
func (d *door) feed(s link, b []byte) {
	x := s.Extra().exchange
	x.mu.Lock()
	x.in = x.in[:copy(x.in, x.in[x.read:])]
	x.read = 0
	x.in = d.Buffers.Append(x.in, b)
	x.held = len(x.in) >= inWindow
	x.changed.Broadcast()
	x.mu.Unlock()
	if x.held {
		s.Hold(byHandler)
	}
}

// noteEnd says that the peer will say no more. It may still wait for its answer, unless both
// directions have ended.
func (d *door) noteEnd(s link) {
	if s.HungUp() {
		s.Cut(stream.ErrHangup)
		return
	}
	x := s.Extra().exchange
	x.mu.Lock()
	if x.end = s.Fault(); x.end == nil { // else it may have been cut short
		x.end = io.EOF
	}
	x.changed.Broadcast()
	x.mu.Unlock()
	if s.Data().facts.state() == queued {
		d.lineUp(s, x)
	}
}

// utter sends what net/http has to say, a part of it in one turn; reads on, if what was read
// has been taken; and finishes when all was said. It returns how many bytes it has sent.
func (d *door) utter(s link) int {
	x := s.Extra().exchange
	x.mu.Lock()
	x.full = s.Waiting() > 0
	readsOn := x.held && len(x.in)-x.read < inWindow
	x.held = x.held && !readsOn
	said, b := x.said, []byte(nil)
	if !said && !x.full {
		b = x.out[:min(len(x.out), outWindow)]
		x.sending = len(b) > 0
	}
	x.mu.Unlock()
	if readsOn {
		s.Go(byHandler)
	}
	switch {
	case said:
		d.dropInput(d.takeExchange(s, net.ErrClosed))
		s.Data().facts.become(over)
		s.Finish(nil)
	case len(b) > 0:
		s.Write(b)
		d.uttered(x, len(b))
	}
	return len(b)
}

// uttered says that the loop has taken n bytes of what net/http has to say, and comes back for
// more when others have had their turn.
func (d *door) uttered(x *exchange, n int) {
	s, isAlive := d.Find(x.tok)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.sending = false
	x.out = x.out[n:]
	x.full = isAlive && s.Waiting() > 0
	if len(x.out) > 0 && !x.full {
		x.tell()
	}
	x.changed.Broadcast()
}

// part ends the exchange of a stream that has ended.
func (d *door) part(s link, cause error) {
	x := d.takeExchange(s, cause)
	s.Data().facts.become(over)
	d.dropInput(x)
}

// takeExchange takes a connection's exchange from it, whose socket is net/http's no more: what
// net/http still does is told cause. dropInput is to follow.
func (d *door) takeExchange(s link, cause error) *exchange {
	e := s.Extra()
	x := e.exchange
	e.exchange = nil
	s.TrimExtra()
	if s.Data().facts.state() == queued {
		if x.leave != nil && !x.leave() {
			x.turns++ // it came meanwhile
		}
		x.leaveTurns()
	}
	x.quota.release(d.srv)
	d.Buffers.Forget(x.charged)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.gone, x.sending = cause, false
	x.changed.Broadcast()
	return x
}

// dropInput gives back what was read of the peer.
func (d *door) dropInput(x *exchange) {
	x.mu.Lock()
	defer x.mu.Unlock()
	d.Buffers.Put(x.in)
	x.in, x.read = nil, 0
}

// attendAll looks at the exchanges that have something for the loop. What there is no time for
// in a turn waits for the next.
func (d *door) attendAll() {
	n := d.exchanges.len()
	for bytes := 0; n > 0 && bytes < mailBytesPerTurn; n-- {
		bytes += d.attend(d.exchanges.take())
	}
	if n > 0 {
		d.Again() // behind the others
	}
}

// attend does what an exchange has told of, its turn or what net/http has done, and returns
// how many bytes it had to send.
func (d *door) attend(x *exchange) int {
	x.mu.Lock()
	x.told = false
	x.mu.Unlock()
	s, ok := d.Find(x.tok)
	if !ok {
		return 0
	}
	d.DealWith(s)
	st, ev := s.Data().facts.state(), post
	if st == queued {
		ev = verdict
	}
	switch table[st][ev].do {
	case takeTurn:
		before := d.answered
		d.takeTurn(s)
		return d.answered - before
	case utter:
		return d.utter(s)
	}
	return 0
}
