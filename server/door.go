//go:build linux

package server

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/usher-ws/usher/internal/pattern"
	"github.com/usher-ws/usher/stream"
	"github.com/usher-ws/usher/upgrade"
)

// Refusals of the server's own, in docs/CODES.md with their places in the order.
var (
	errDraining = upgrade.Reject(http.StatusServiceUnavailable, upgrade.CodeDraining, "the server is shutting down")
	errFull     = upgrade.Reject(http.StatusServiceUnavailable, upgrade.CodeFull, "the server has no room for another connection")
	errPerIP    = upgrade.Reject(http.StatusTooManyRequests, upgrade.CodeTooManyRequests, "too many connections from this address")
	errPerUser  = upgrade.Reject(http.StatusTooManyRequests, upgrade.CodeTooManyRequests, "too many connections of this user")
	errNotFound = upgrade.Reject(http.StatusNotFound, upgrade.CodeNotFound, "nothing is served at this path")
)

// door judges the requests of a loop's connections: it is where they are until they are
// let in or refused.
type door struct {
	*loop
	gate upgrade.Upgrader // for what comes before a route is known

	// Memory every request uses in turn.
	req    upgrade.Request
	resp   []byte
	values []string
	ruling ruling // what the route's door has said, for respond

	answered int // bytes that Server.Answer has said in this pass
}

// ruling is what the route's own door, by the policy of the request, said of it: the answer,
// which lets it in unless there is an error.
type ruling struct {
	door     *upgrade.Upgrader
	response []byte // valid until the next request
	err      error
}

// judgeBy returns the innermost of the Upgrade hooks of all routes.
func (d *door) judgeBy() UpgradeFunc {
	return func(req *upgrade.Request) error {
		d.resp, d.ruling.err = d.ruling.door.Respond(d.resp[:0], req)
		d.ruling.response = d.resp
		return d.ruling.err
	}
}

// readHead gathers the request head. One that arrives in a single read is judged
// where it lies.
func (d *door) readHead(s link, b []byte) {
	from := 0
	if x := s.Extra(); x.head != nil {
		from = len(x.head)
		x.head = d.Buffers.Append(x.head, b)
		b = x.head
	}
	length, err := d.gate.Read(b, from, &d.req)
	switch {
	case err != nil:
		d.refuse(s, nil, &d.req, err)
	case length == 0:
		if x := s.NeedExtra(); x.head == nil {
			x.head = d.Buffers.Append(nil, b)
		}
	default:
		d.judge(s, &d.req, b[:length], b[length:])
	}
}

// await sets by when the request must be complete.
func (d *door) await(s link) {
	s.SetDue(stream.Behind(d.Tick(), s.Data().last.Left(d.Ran(), d.patience(s))))
}

// excessPatience is how long a connection without a place has to send its request, with
// which it is told so.
const excessPatience = time.Second

// patience is for how many ticks a request may be under way, 0 for any time.
func (d *door) patience(s link) uint32 {
	limit := stream.Ticks(d.srv.handshakeTimeout())
	shorten := func(to time.Duration) {
		if n := stream.Ticks(to); limit == 0 || n < limit {
			limit = n
		}
	}
	if s.Excess() {
		shorten(excessPatience)
	}
	if d.drain.active && s.Extra().head == nil {
		shorten(drainSilence)
	}
	return limit
}

// expireHead ends the waiting for a request: with 408 if it has begun, and without a word if
// nothing came. What has come is read before the verdict, and what held up the loop is not
// the client's.
func (d *door) expireHead(s link) {
	tok := s.Token()
	s.Read()
	if _, ok := d.Find(tok); !ok || s.Data().facts.state() != head {
		return
	}
	if limit := d.patience(s); limit == 0 || s.Data().last.Elapsed(d.Ran()) < limit {
		d.await(s)
		return
	}
	if s.Extra().head != nil {
		d.refuse(s, nil, nil, upgrade.ErrTimeout)
		return
	}
	cause := stream.ErrHangup
	switch {
	case s.AwaitsHeader():
		cause = errHeaderTimeout
	case s.State() == stream.Securing:
		cause = stream.ErrNotSecured
	}
	d.dropHead(s)
	s.Data().facts.become(over)
	s.Cut(cause)
}

// judge answers a request. head is what it was read from, and early what came
// behind that.
func (d *door) judge(s link, r *upgrade.Request, head, early []byte) {
	if state := s.Extra().tls; state != nil {
		d.gate.SetTLS(r, state)
	}
	isProxied, err := d.trace(s, r)
	if err != nil {
		d.refuse(s, nil, r, err)
		return
	}
	lr, values := d.match(r)
	isPlain := lr.isPlain(r)
	q, err := d.quotas(s, lr, r, isPlain, isProxied)
	switch {
	case err != nil:
		d.refuse(s, lr, r, err)
		return
	case isPlain:
		d.pass(s, lr, q, r, head, early)
		return
	case lr == nil:
		d.answerHere(s, q, r, head, early, false)
		return
	}
	isSlow, err := false, errExited // unless it returns
	defer func() {
		switch {
		case err != nil:
			q.release(d.srv)
			d.refuse(s, lr, r, err)
		case isSlow:
			d.prepareElsewhere(s, d.places.find(lr, values, ""), q, r, early)
		default:
			d.respond(s, lr, d.policy, values, q, r, early)
		}
	}()
	err = d.try(func() error { isSlow = d.policy.doors[lr.index].IsSlow(r); return nil })
}

// peer is S.RemoteAddr, but for tests that play many addresses.
var peer = link.RemoteAddr

// respond answers a request that matches lr with these path values, by a policy that may be the
// one before: that of the moment when the head was there.
func (d *door) respond(s link, lr *loopRoute, by *policy, values []string, q quota, r *upgrade.Request, early []byte) {
	d.enter(lr)
	// Its hooks and guards may end the goroutine: then d.ruling is what was said until then.
	err := errExited // unless it returns
	defer func() { d.responded(s, lr, by, values, q, r, early, d.ruling, err) }()
	d.ruling = ruling{door: &by.doors[lr.index]}
	err = d.try(func() error { return sane(lr.upgrade(r)) })
}

// responded goes on with what the route's door said, and err, which its hooks made of it.
func (d *door) responded(s link, lr *loopRoute, by *policy, values []string, q quota, r *upgrade.Request, early []byte, said ruling, err error) {
	if err == nil {
		err = said.err // a hook cannot let in what the door refused
	}
	isProbe := errors.Is(err, upgrade.ErrProbe)
	if err == nil || isProbe {
		if over := q.user(d, lr, by.MaxConnsPerUser, r); over != nil {
			err, isProbe = over, false
		}
	}
	if err != nil && !(isProbe && (lr.Authorize != nil || lr.Relay != nil)) {
		d.countGuard(lr, err)
		q.release(d.srv)
		if said.err != nil && errors.Is(err, said.err) {
			d.answer(s, lr, r, said.response, err)
		} else {
			d.refuse(s, lr, r, err)
		}
		return
	}
	place := d.places.find(lr, values, r.Subprotocol())
	if lr.Authorize != nil {
		d.authorize(s, place, by, q, r, said.response, early)
		return
	}
	d.admit(s, place, q, r, said.response, early)
}

// sane calls the methods of an error of the user's, where a panic of theirs is caught. A nil
// *Rejection is no verdict: it becomes an error.
func sane(err error) error {
	if err == nil {
		return nil
	}
	var e *upgrade.Rejection
	if errors.As(err, &e) && e == nil {
		return errors.New("server: a nil *Rejection as an error")
	}
	_ = errors.Is(err, context.Canceled)
	return err
}

// match finds the route of r and sets its path values, which are valid until the next
// request.
func (d *door) match(r *upgrade.Request) (*loopRoute, []string) {
	path := string(r.RawPath())
	for k := range d.routes {
		lr := &d.routes[k]
		values, ok := lr.pattern.Match(path, d.values[:0])
		d.values = values
		if !ok || lr.Relay != nil && !lr.pattern.IsAll() && !pattern.IsPlain(path) {
			continue // another server could take it for a path that does not match
		}
		for k, name := range lr.pattern.Names() {
			r.SetPathValue(name, values[k])
		}
		return lr, values
	}
	return nil, nil
}

// admit lets a request in, unless the route relays it and has to ask.
func (d *door) admit(s link, place uint32, q quota, r *upgrade.Request, response, early []byte) {
	lr := d.places.At(place).route
	if lr.Relay != nil {
		d.dial(s, place, q, r, response, early)
		return
	}
	d.letIn(s, place, q, r, response, early)
}

// refuse answers a request that is not let in; the answer says what err does. lr is nil if no
// route is known, and r may be nil.
func (d *door) refuse(s link, lr *loopRoute, r *upgrade.Request, err error) {
	by := &d.gate
	if lr != nil {
		by = &d.policy.doors[lr.index]
	}
	d.resp, err = by.Refuse(d.resp[:0], r, err)
	d.answer(s, lr, r, d.resp, err)
}

// answer ends a connection that is not let in with response, which tells err.
func (d *door) answer(s link, lr *loopRoute, r *upgrade.Request, response []byte, err error) {
	defer func() { // whatever those that are told of it do
		d.dropHead(s)
		s.Data().facts.become(over)
		s.Finish(response)
	}()
	d.noteRefusal(s, lr, r, err)
}

// dropHead gives back the memory of a head that was answered.
func (d *door) dropHead(s link) {
	if !s.HasExtra() {
		return
	}
	x := s.Extra()
	d.Buffers.Put(x.head)
	x.head = nil
	s.TrimExtra()
}
