//go:build linux

package server

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/netip"
	"time"

	"github.com/usher-ws/usher/stream"
	"github.com/usher-ws/usher/upgrade"
	"golang.org/x/sys/unix"
)

// Caller asks other servers about one request of a Relay. Its methods are called on the loop of
// the request, one at a time, and must not block.
type Caller interface {
	// Next says whom to ask, or that the request waits. cause is nil at first, and when ready was
	// called (see Await); it is context.DeadlineExceeded when a wait is over; and else it says why
	// the Call of before has not connected: an errno, io.EOF, what crypto/tls said, ErrShed of
	// package stream, or context.DeadlineExceeded. Nothing was said to that server. The error
	// refuses the request.
	Next(cause error) (Call, error)

	// Await follows a Next whose Call waits. ready, which any goroutine may call once, ends the
	// wait.
	Await(ready func())

	// Answer reads what has been answered so far, all of b, which ended there if eof, and
	// appends what the client gets for it to dst. forgetful says that messages may be left out,
	// as the route drops what is over its limits: then compressed ones of the client's must not
	// refer to those before them. A zero Answer asks for more; an error refuses the request. b
	// may be changed, and is valid until Answer returns. For a Call without a Request b is
	// empty: it has connected.
	Answer(dst []byte, forgetful bool, b []byte, eof bool) (Answer, error)

	// Lost returns the refusal of a request that was said to a server and is not answered: the
	// cause is as Next's.
	Lost(cause error) error

	// Done is called once, after all others: the request was answered, or its client has gone.
	Done()
}

// Call is a request to another server, or a wait for one.
type Call struct {
	Unix     string         // the path of a unix socket; or else
	To       netip.AddrPort // an address
	TLS      *tls.Config    // nil: in the clear; not for Unix
	Request  []byte         // a whole head; nothing if it is enough to connect
	Connect  time.Duration  // for the connection, its TLS included; 0: Timeout
	Timeout  time.Duration  // for all until the answer has come
	Upstream uint32         // the Caller's own number for the server: see Relay.Ended

	// Wait, unless it is 0, has the request wait: nobody is asked. Its place and its memory
	// count meanwhile.
	Wait time.Duration
}

// Answer is the answer to a Call, as the client gets it.
type Answer struct {
	Status   int    // 101: frames follow
	Response []byte // whole; of a probe that may come in the server has its own
	Size     int    // how many bytes were the answer
	Deflate  bool   // messages may come compressed
	Takeover bool   // and the client's may refer to those before them
}

// dialled is what is kept of a Call until it is answered.
type dialled struct {
	request []byte
	isSaid  bool
	due     uint32 // of all of it
}

// questionCost is about what a question takes beside the bytes of its request.
const questionCost = 2 << 10

// dial asks a route's Relay about a request that everything else has let in. Nobody waits for
// the answer: it is a question like an authorizer's, whose answer comes as input of another
// connection of the loop. A probe is told what its Caller says, with response if that is yes.
func (d *door) dial(s link, place uint32, q quota, r *upgrade.Request, response, early []byte) {
	lr := d.places.At(place).route
	a := &question{request: r.Clone(), place: place, quota: q, policy: d.policy, cancel: func() {}}
	if a.request.IsProbe() {
		a.response = append([]byte(nil), response...)
	}
	if len(early) > 0 {
		a.early = d.Buffers.Append(nil, early)
	}
	a.charged = questionCost + sizeOf(a.request)
	d.Buffers.Charge(a.charged)
	s.NeedExtra().question = a
	d.dropHead(s)
	s.Data().facts.become(asked)
	if len(a.early) >= earlyLimit {
		s.Hold(byQuestion)
	}
	d.enter(lr)
	err := errExited // unless it returns
	defer func() {
		if err != nil {
			d.turnAway(s, err)
			return
		}
		d.callNext(s, nil)
	}()
	err = d.try(func() error {
		if a.caller = lr.Relay.Ask(a.request); a.caller == nil {
			return errNoCaller
		}
		return nil
	})
}

// sizeOf is about how many bytes the lines of a request have.
func sizeOf(r *upgrade.Request) int {
	n := len(r.RawPath()) + len(r.RawQuery())
	for name, value := range r.Fields() {
		n += len(name) + len(value)
	}
	return n
}

var errNoCaller = errors.New("server: Relay.Ask has returned nil")

// callNext asks a question's Caller whom to ask now.
func (d *door) callNext(s link, cause error) {
	if d.srv.life.isDraining() {
		d.refuseWaiting(s)
		return
	}
	a := s.Extra().question
	lr := d.places.At(a.place).route
	d.enter(lr)
	var c Call
	err := errExited // unless it returns
	defer func() {
		switch {
		case err != nil:
			d.turnAway(s, err)
		case c.Wait > 0:
			d.waitForCaller(s, a, c.Wait)
		default:
			d.callUp(s, lr, &c)
		}
	}()
	err = d.try(func() (err error) { c, err = a.caller.Next(cause); return sane(err) })
}

// waitForCaller has a request wait until its Caller is ready.
func (d *door) waitForCaller(s link, a *question, within time.Duration) {
	a.isWaiting = true
	s.SetDue(d.Deadline(within))
	tok, l := s.Token(), d.loop
	_ = d.try(func() error { a.caller.Await(func() { l.mail.verdict(tok, nil) }); return nil })
}

// goOnCalling ends the waiting of a request.
func (d *door) goOnCalling(s link, cause error) {
	if a := s.Extra().question; a.isWaiting {
		a.isWaiting = false
		d.callNext(s, cause)
	}
}

// refuseWaiting is a drain's end of a wait.
func (d *door) refuseWaiting(s link) {
	d.turnAway(s, errDraining.WithRetryAfter(jitter(5*time.Second)))
}

// callUp dials.
func (d *door) callUp(s link, lr *loopRoute, c *Call) {
	var up link
	var err error
	of := session{facts: facts(called), ident: c.Upstream}
	switch {
	case c.Unix != "":
		up, err = d.DialUnix(c.Unix, of)
	case c.TLS != nil:
		up, err = d.DialTLS(c.To, netip.Addr{}, of, c.TLS)
	default:
		up, err = d.Dial(c.To, netip.Addr{}, of)
	}
	if err != nil {
		d.tellEnded(lr, c.Upstream)
		d.callNext(s, err)
		return
	}
	up.Data().place = d.places.find(lr, nil, "")
	x := &dialled{request: c.Request, due: d.Deadline(c.Timeout)}
	up.NeedExtra().call = x
	up.SetDue(x.due)
	if c.Connect > 0 {
		up.DueBy(d.Deadline(c.Connect))
	}
	d.pairs.join(s, up)
	s.Extra().question.cancel = func() { up.Cut(context.Canceled) }
	s.SetDue(0) // the call's timeout is the other's
}

// tellEnded says that a connection is no more that was dialled.
func (l *loop) tellEnded(lr *loopRoute, upstream uint32) {
	if f := lr.Relay.Ended; f != nil {
		_ = l.try(func() error { f(upstream); return nil })
	}
}

// request says what was to be said to a server that is connected.
func (o owner) request(up link) {
	if up.State() == stream.Securing {
		return // Secured follows
	}
	x := up.Extra().call
	b := x.request
	x.request, x.isSaid = nil, true
	if up.SetDue(x.due); len(b) == 0 {
		o.door.readAnswer(up, nil, false)
		return
	}
	up.Write(b)
}

// callAnother has the next server asked, since nothing was said to this one.
func (d *door) callAnother(s, up link, cause error) {
	s.Extra().question.cancel = func() {}
	d.pairs.part(up)
	d.dropUpstream(up)
	d.callNext(s, cause)
}

// endOfAnswer reads an answer that the end of the connection has made whole, or else refuses
// the client.
func (o owner) endOfAnswer(s, up link, cause error) {
	head := up.Extra().head
	isEnd := errors.Is(cause, io.EOF) || head == nil && errors.Is(cause, unix.ECONNRESET) // which has cut nothing short
	if !isEnd || !o.door.readAnswer(up, head, true) {
		o.door.unanswered(s, cause)
	}
}

// unanswered refuses a client whose Call got no answer.
func (d *door) unanswered(s link, cause error) {
	a := s.Extra().question
	d.enter(d.places.At(a.place).route)
	err := errExited // unless it returns
	defer func() { d.turnAway(s, err) }()
	err = d.lost(a, cause)
}

// lost asks the Caller what a cause means.
func (d *door) lost(a *question, cause error) (refusal error) {
	if err := d.try(func() error { refusal = sane(a.caller.Lost(cause)); return nil }); err != nil {
		return err
	}
	if refusal == nil {
		return cause
	}
	return refusal
}

// turnAway refuses a request about which a Caller was asked.
func (d *door) turnAway(s link, err error) {
	a := d.takeAnswered(s)
	lr := d.places.At(a.place).route
	d.abandon(a)
	d.refuse(s, lr, a.request, err)
}

// takeAnswered ends the waiting for an answer that has come.
func (d *door) takeAnswered(s link) *question {
	s.Extra().question.cancel = func() {}
	s.Go(byQuestion)
	return d.takeQuestion(s)
}
