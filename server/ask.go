//go:build linux

package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/usher-ws/usher/stream"
	"github.com/usher-ws/usher/upgrade"
)

// askedAtOnce is the default of Server.MaxAuthorize.
const askedAtOnce = 1024

// earlyLimit is how much input is kept meanwhile. Beyond it the kernel's buffer,
// and so the client, waits.
const earlyLimit = 16 << 10

// question is what is answered elsewhere, and what will be needed then.
type question struct {
	cancel   context.CancelFunc
	request  *upgrade.Request // a copy
	given    *upgrade.Request // another, for the code that answers
	response []byte           // the 101, withheld, or a probe's 200; nil if the question is the door's
	early    []byte           // from the pool
	place    uint32
	quota    quota
	policy   *policy // by which the request is judged

	// Of a Relay.
	caller    Caller
	isWaiting bool // for the Caller to be ready
	charged   int  // to the loop's Buffers
}

// authorize calls the route's authorizer. response is the 101 it would get.
func (d *door) authorize(s link, place uint32, by *policy, q quota, r *upgrade.Request, response, early []byte) {
	lr := d.places.At(place).route
	a := &question{request: r.Clone(), given: r.Clone(), response: append([]byte(nil), response...), place: place, quota: q, policy: by}
	if !d.srv.authorizing.Acquire() {
		d.abandon(a)
		d.refuse(s, lr, a.request, upgrade.ErrUndecided.WithRetryAfter(jitter(time.Second)))
		return
	}
	d.ask(s, a, early, func(ctx context.Context) error {
		defer d.srv.authorizing.Release()
		return lr.Authorize(ctx, a.given)
	})
}

// prepareElsewhere verifies a token on another goroutine, since it would keep the loop from
// its other connections. Then the request is judged like any other. Package upgrade decides
// how many are verified at once and which is next, as it does for POST /ticket.
func (d *door) prepareElsewhere(s link, place uint32, q quota, r *upgrade.Request, early []byte) {
	a := &question{request: r.Clone(), given: r.Clone(), place: place, quota: q, policy: d.policy}
	by := &a.policy.doors[d.places.At(place).route.index]
	d.ask(s, a, early, func(ctx context.Context) error {
		by.Prepare(ctx, a.given)
		return nil
	})
}

// ask calls f on a goroutine of its own; decide follows with its answer.
func (d *door) ask(s link, a *question, early []byte, f func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	a.cancel = cancel
	if len(early) > 0 {
		a.early = d.Buffers.Append(nil, early)
	}
	s.NeedExtra().question = a
	d.dropHead(s)
	if s.Data().facts.state() == head {
		s.SetDue(d.Deadline(d.srv.handshakeTimeout())) // for all that is asked: the client has had its time
	}
	s.Data().facts.become(asked)
	tok, l := s.Token(), d.loop
	l.srv.asking.Acquire()
	go func() {
		defer l.srv.asking.Release()
		defer cancel()
		err := fmt.Errorf("server: Authorize or a Verifier: %w", errExited) // unless it returns
		defer func() { l.mail.verdict(tok, err) }()
		err = callSafely(ctx, f)
	}()
	if len(a.early) >= earlyLimit {
		s.Hold(byQuestion)
	}
}

func callSafely(ctx context.Context, f func(context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("server: panic in Authorize or a Verifier: %v", p)
		}
	}()
	return sane(f(ctx))
}

// readEarly keeps what a client sends before it is let in.
func (d *door) readEarly(s link, b []byte) {
	a := s.Extra().question
	a.early = d.Buffers.Append(a.early, b)
	if len(a.early) >= earlyLimit {
		s.Hold(byQuestion)
	}
}

// expireAsk ends the waiting for an answer, with 503, or tells a Caller of the end of its wait.
func (d *door) expireAsk(s link) {
	if s.Extra().question.caller != nil {
		d.goOnCalling(s, context.DeadlineExceeded)
		return
	}
	a := d.takeQuestion(s)
	lr := d.places.At(a.place).route
	d.abandon(a)
	d.refuse(s, lr, a.request, upgrade.ErrUndecided.WithRetryAfter(jitter(time.Second)))
}

// withdraw ends the waiting because the client has gone.
func (d *door) withdraw(s link) {
	d.abandon(d.takeQuestion(s))
	s.Data().facts.become(over)
	s.Cut(stream.ErrHangup)
}

// decide carries out the answer to the question.
func (d *door) decide(s link, err error) {
	if s.Extra().question.caller != nil {
		d.goOnCalling(s, nil)
		return
	}
	a := d.takeQuestion(s)
	s.Go(byQuestion)
	if err == nil && d.srv.life.isDraining() {
		err = errDraining.WithRetryAfter(jitter(5 * time.Second))
	}
	if err == nil {
		err = a.identify(d)
	}
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			err = upgrade.ErrUndecided.WithRetryAfter(jitter(time.Second))
		}
		lr := d.places.At(a.place).route
		d.abandon(a)
		d.refuse(s, lr, a.request, err)
		return
	}
	if a.response == nil {
		d.judgeOn(s, a)
		return
	}
	if a.request.IsProbe() && d.places.At(a.place).route.Relay == nil {
		d.abandon(a)
		s.Data().facts.become(over)
		s.Finish(a.response)
		return
	}
	defer d.Buffers.Put(a.early)
	d.admit(s, a.place, a.quota, a.request, a.response, a.early)
}

// judgeOn judges a request whose token has been verified.
func (d *door) judgeOn(s link, a *question) {
	p := d.places.At(a.place)
	route := p.route
	d.values = append(d.values[:0], p.values...)
	d.places.Drop(a.place)
	defer d.Buffers.Put(a.early)
	d.respond(s, route, a.policy, d.values, a.quota, a.given, a.early)
}

// identify takes over the identity that the authorizer has set, and counts the connection
// as that user's.
func (a *question) identify(d *door) error {
	if a.given.Identity == a.request.Identity {
		return nil
	}
	a.request.Identity = a.given.Identity
	if err := d.srv.bans.judge(a.request.Identity); err != nil {
		return err
	}
	if a.quota.name != "" {
		d.srv.users.release(a.quota.name)
		a.quota.name = ""
	}
	return a.quota.user(d, d.places.At(a.place).route, a.policy.MaxConnsPerUser, a.request)
}

// takeQuestion ends the waiting for an answer.
func (d *door) takeQuestion(s link) *question {
	x := s.Extra()
	a := x.question
	x.question = nil
	s.TrimExtra()
	a.cancel()
	if d.Buffers.Forget(a.charged); a.caller != nil {
		_ = d.try(func() error { a.caller.Done(); return nil })
	}
	return a
}

// abandon gives back what a connection that is not let in had taken.
func (d *door) abandon(a *question) {
	a.quota.release(d.srv)
	d.places.Drop(a.place)
	d.Buffers.Put(a.early)
}
