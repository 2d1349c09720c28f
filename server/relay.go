//go:build linux

package server

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/stream"
	"github.com/usher-ws/usher/upgrade"
)

// Relay has a route's connections passed on: each is paired with one that is dialled, on the
// same loop, when everything else has let it in. The functions are called on the loop and must
// not block.
type Relay struct {
	// Call says where a request leads that may come in, and what to say there. Its error
	// refuses the request like a guard's.
	Call func(r *upgrade.Request) (Call, error)

	// Answer reads what has been answered so far, all of b, which ended there if eof, and
	// appends what the client gets for it to dst. A zero Answer asks for more; an error
	// refuses the request. b may be changed, and is valid until Answer returns.
	Answer func(dst []byte, r *upgrade.Request, b []byte, eof bool) (Answer, error)

	// Failed returns the refusal for a request that got no answer: cause is an errno, io.EOF,
	// ErrShed of package stream, or context.DeadlineExceeded after the Call's timeout.
	Failed func(r *upgrade.Request, cause error) error

	// Handler gets the requests to the route's path that are no upgrades, and no probes alone
	// (upgrade.Request.IsOnlyProbe), whatever their method: nothing but the limits per address
	// is asked. It is called as Server.Handler is, and the request has the path values. nil has
	// them judged as upgrades, which refuses them.
	Handler http.Handler

	// CheckText refuses text of clients that is not UTF-8, unless it is compressed.
	CheckText bool
}

// Call is a request to another server.
type Call struct {
	Unix    string         // the path of a unix socket; or else
	To      netip.AddrPort // an address
	TLS     *tls.Config    // nil: in the clear; not for Unix
	Request []byte         // a whole head
	Timeout time.Duration  // for all until the answer has come
}

// Answer is the answer to a Call, as the client gets it.
type Answer struct {
	Status   int    // 101: frames follow
	Response []byte // whole
	Size     int    // how many bytes were the answer
	Deflate  bool   // messages may come compressed
}

// dialled is what is kept of a Call until it is answered.
type dialled struct{ request []byte }

// dial asks a route's Relay about a request that everything else has let in. Nobody waits for
// the answer: it is a question like an authorizer's, whose answer comes as input of another
// connection of the loop.
func (d *door) dial(s link, place uint32, q quota, r *upgrade.Request, early []byte) {
	lr := d.places.At(place).route
	a := &question{request: r.Clone(), place: place, quota: q, policy: d.policy}
	d.enter(lr)
	var c Call
	err := errExited // unless it returns
	defer func() {
		var up link
		if err == nil {
			if up, err = d.callUp(&c); err != nil {
				err = d.failed(lr, a.request, err)
			}
		}
		if err != nil {
			d.abandon(a)
			d.refuse(s, lr, a.request, err)
			return
		}
		a.cancel = func() { up.Cut(context.Canceled) }
		if len(early) > 0 {
			a.early = d.Buffers.Append(nil, early)
		}
		d.pairs.join(s, up)
		s.NeedExtra().question = a
		d.dropHead(s)
		s.Data().facts.become(asked)
		s.SetDue(0) // the call's timeout is the other's
		if len(a.early) >= earlyLimit {
			s.Hold(byQuestion)
		}
	}()
	err = d.try(func() (err error) { c, err = lr.Relay.Call(a.request); return sane(err) })
}

// callUp dials.
func (d *door) callUp(c *Call) (up link, err error) {
	of := session{facts: facts(called)}
	switch {
	case c.Unix != "":
		up, err = d.DialUnix(c.Unix, of)
	case c.TLS != nil:
		up, err = d.DialTLS(c.To, netip.Addr{}, of, c.TLS)
	default:
		up, err = d.Dial(c.To, netip.Addr{}, of)
	}
	if err == nil {
		up.NeedExtra().call = &dialled{c.Request}
		up.SetDue(d.Deadline(c.Timeout))
	}
	return up, err
}

// failed asks the relay what a cause means.
func (d *door) failed(lr *loopRoute, r *upgrade.Request, cause error) (refusal error) {
	d.enter(lr)
	if err := d.try(func() error { refusal = sane(lr.Relay.Failed(r, cause)); return nil }); err != nil {
		return err
	}
	if refusal == nil {
		return cause
	}
	return refusal
}

// request says what was to be said to a server that is connected.
func (o owner) request(up link) {
	if up.State() == stream.Securing {
		return // Secured follows
	}
	b := up.Extra().call.request
	up.Extra().call.request = nil
	up.Write(b)
}

// hearUpstream reads what a server says that was dialled: its answer, then frames.
func (o owner) hearUpstream(up link, b []byte) {
	if up.Extra().call == nil {
		o.passDown(up, b)
		return
	}
	if head := up.Extra().head; head != nil {
		b = o.Buffers.Append(head, b)
		up.NeedExtra().head = b
	}
	if !o.door.readAnswer(up, b, false) && up.Extra().head == nil {
		up.NeedExtra().head = o.Buffers.Append(nil, b)
	}
}

// readAnswer carries out what a server has answered, and reports whether it has.
func (d *door) readAnswer(up link, b []byte, eof bool) bool {
	s, _ := d.pairs.of(d.loop, up)
	a := s.Extra().question
	lr := d.places.At(a.place).route
	d.enter(lr)
	var got Answer
	err := d.try(func() (err error) { got, err = lr.Relay.Answer(d.resp[:0], a.request, b, eof); return sane(err) })
	switch {
	case err == nil && got.Status == 0 && !eof:
		return false
	case err == nil && got.Status == 0:
		err = d.failed(lr, a.request, io.EOF)
	case err == nil && d.srv.life.isDraining():
		err = errDraining.WithRetryAfter(jitter(5 * time.Second))
	case err == nil && got.Status == http.StatusSwitchingProtocols:
		d.connect(s, up, &got, b[got.Size:])
		return true
	}
	a = d.takeAnswered(s)
	if d.hangUpOn(up); err == nil {
		d.resp = got.Response
		d.answer(s, lr, a.request, got.Response, &upgrade.Rejection{Status: got.Status, Code: "upstream"})
		d.abandon(a)
		return true
	}
	d.abandon(a)
	d.refuse(s, lr, a.request, err)
	return true
}

// takeAnswered ends the waiting for an answer that has come.
func (d *door) takeAnswered(s link) *question {
	s.Extra().question.cancel = func() {}
	s.Go(byQuestion)
	return d.takeQuestion(s)
}

// hangUpOn ends a connection that was dialled, which nobody is paired with any more.
func (l *loop) hangUpOn(up link) {
	l.pairs.part(up)
	l.dropUpstream(up)
	up.Cut(nil)
}

// dropUpstream gives back what a connection that was dialled had, which is nobody's from now
// on.
func (l *loop) dropUpstream(up link) {
	up.Data().facts.become(over)
	if up.HasExtra() {
		x := up.Extra()
		l.Buffers.Put(x.head)
		x.head, x.call = nil, nil
		l.dropInput(up)
	}
}

// connect begins to relay: the client hears that it is let in, and both what the other has said
// since.
func (d *door) connect(s, up link, got *Answer, rest []byte) {
	a := d.takeAnswered(s)
	var w frame.Window
	if got.Deflate {
		w = frame.MaxWindow
	}
	s.Data().frame, up.Data().frame = frame.NewState(w), frame.NewState(w)
	x := up.Extra()
	head := x.head // rest may be in it
	x.head, x.call = nil, nil
	up.TrimExtra()
	up.SetDue(0)
	d.resp = got.Response
	defer d.Buffers.Put(head)
	defer d.Buffers.Put(a.early)
	d.letIn(s, a.place, a.quota, a.request, got.Response, a.early)
	switch _, ok := d.pairs.of(d.loop, up); {
	case !ok: // it was let in, and has ended
	case !s.Data().facts.isUsers(): // it was refused after all
		d.pairs.part(up)
		d.leaveUpstream(up, false)
	case len(rest) > 0:
		owner{d.loop}.passDown(up, rest)
	}
}

// goOnUp lets the client be heard again, since all that it has said has left.
func (o owner) goOnUp(up link) {
	s, ok := o.pairs.of(o.loop, up)
	if !ok || s.Why()&byPeer == 0 {
		return
	}
	if s.Go(byPeer); s.Why() == 0 {
		o.proceed(s)
	}
}

// loseUpstream is the end of a connection that was dialled. Its client is told.
func (o owner) loseUpstream(up link, cause error) (keep bool) {
	s, ok := o.pairs.of(o.loop, up)
	if ok && up.Extra().call != nil {
		if s.Extra().question != nil { // else it is the client that has gone
			o.endOfAnswer(s, up, cause)
		}
		ok = false
	}
	inFrame := up.Extra().partial.InFrame()
	o.pairs.part(up)
	o.dropUpstream(up)
	switch {
	case !ok || o.reply.tok == s.Token(): // it is its own event, which looks
	case inFrame:
		s.Cut(errTruncated)
	case s.Data().frame.Done(): // its close has passed, and is not answered
		o.end(s, frame.AppendCloseFrame(nil, 0, ""), &CloseError{Code: frame.StatusNoStatusRcvd, byPeer: true})
	default:
		o.conclude(s, nil, errUpstreamLost)
	}
	return false
}

// endOfAnswer reads an answer that the end of the connection has made whole, or else refuses
// the client.
func (o owner) endOfAnswer(s, up link, cause error) {
	if head := up.Extra().head; head == nil || !errors.Is(cause, io.EOF) || !o.door.readAnswer(up, head, true) {
		o.door.unanswered(s, cause)
	}
}

// unanswered refuses a client whose Call got no answer.
func (d *door) unanswered(s link, cause error) {
	a := d.takeAnswered(s)
	lr := d.places.At(a.place).route
	err := d.failed(lr, a.request, cause)
	d.abandon(a)
	d.refuse(s, lr, a.request, err)
}

var (
	errTruncated    = errors.New("server: what was relayed ended within a frame")
	errUpstreamLost = &CloseError{Code: frame.StatusBadGateway, Reason: "upstream_lost"}
)
