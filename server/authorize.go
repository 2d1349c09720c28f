//go:build linux

package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/usher-ws/usher/upgrade"
	"golang.org/x/sys/unix"
)

// askedAtOnce is the default of Server.MaxAuthorize.
const askedAtOnce = 1024

// earlyLimit is how much input is kept meanwhile. Beyond it the kernel's buffer,
// and so the client, waits.
const earlyLimit = 16 << 10

// asked is a question that is answered elsewhere: what will be needed then.
type asked struct {
	cancel   context.CancelFunc
	request  *upgrade.Request // a copy
	given    *upgrade.Request // another: who answers has it until then
	response []byte           // the 101, withheld, or a probe's 200; nil if the question is the door's
	early    []byte           // from the pool
	place    uint32
	quota    quota
}

// authorize calls the route's authorizer.
func (l *loop) authorize(i uint32, s *slot, place uint32, q quota, r *upgrade.Request, early []byte) {
	lr := l.places.all[place].route
	a := &asked{request: r.Clone(), given: r.Clone(), response: append([]byte(nil), l.resp...), place: place, quota: q}
	if !l.srv.authorizing.Acquire() {
		l.abandon(a)
		l.refuse(i, s, lr, a.request, errUndecided.WithRetryAfter(jitter(time.Second)))
		return
	}
	l.ask(i, s, a, early, func(ctx context.Context) error {
		defer l.srv.authorizing.Release()
		return lr.Authorize(ctx, a.given)
	})
}

// prepareElsewhere has a token verified that would keep the loop from its other
// connections. Then the request is judged as any other. How many there may be, and whose
// turn it is, is for package upgrade to say, that verifies for POST /ticket too.
func (l *loop) prepareElsewhere(i uint32, s *slot, place uint32, q quota, r *upgrade.Request, early []byte) {
	door := &l.places.all[place].route.door
	a := &asked{request: r.Clone(), given: r.Clone(), place: place, quota: q}
	l.ask(i, s, a, early, func(ctx context.Context) error {
		door.Prepare(ctx, a.given)
		return nil
	})
}

// ask has f called on a goroutine of its own, and its answer decided about.
func (l *loop) ask(i uint32, s *slot, a *asked, early []byte, f func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	a.cancel = cancel
	if len(early) > 0 {
		a.early = l.buffers.grow(nil, early)
	}
	l.exts.need(s).asked = a
	l.dropHead(s)
	l.said = nil
	s.state = pending
	tok := token(i, s.gen.Load())
	l.srv.asking.Acquire()
	go func() {
		defer l.srv.asking.Release()
		defer cancel()
		err := fmt.Errorf("server: Authorize or a Verifier: %w", errExited) // unless it returns
		defer func() { l.mail.verdict(tok, err) }()
		err = callSafely(ctx, f)
	}()
	if len(a.early) >= earlyLimit {
		l.arm(i, s, 0)
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

// readEarly keeps what a client sends before it is let in, and notices when it
// hangs up.
func (l *loop) readEarly(i uint32, s *slot) {
	n, errno := l.recv(s)
	if n == 0 {
		if errno != unix.EAGAIN {
			l.release(i, s, errHangup)
		}
		return
	}
	a := l.exts.get(s).asked
	a.early = l.buffers.grow(a.early, l.buf[:n])
	if len(a.early) >= earlyLimit {
		l.arm(i, s, 0)
	}
}

// decide does what was answered.
func (l *loop) decide(i uint32, s *slot, err error) {
	a := l.takeQuestion(s)
	if err == nil && l.srv.isDraining() {
		err = errDraining.WithRetryAfter(jitter(5 * time.Second))
	}
	if err == nil {
		err = a.identify(l)
	}
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			err = errUndecided.WithRetryAfter(jitter(time.Second))
		}
		lr := l.places.all[a.place].route
		l.abandon(a)
		l.refuse(i, s, lr, a.request, err)
		return
	}
	if a.response == nil {
		l.goOn(i, s, a)
		return
	}
	if a.request.IsProbe() {
		l.abandon(a)
		s.state = closing
		l.transmit(i, s, a.response)
		return
	}
	l.arm(i, s, armedRead)
	defer l.buffers.Put(a.early)
	l.admit(i, s, a.place, a.quota, a.request, a.response, a.early)
}

// goOn judges a request whose token has been verified.
func (l *loop) goOn(i uint32, s *slot, a *asked) {
	p := &l.places.all[a.place]
	route := p.route
	l.values = append(l.values[:0], p.values...)
	l.places.drop(a.place)
	l.arm(i, s, armedRead)
	defer l.buffers.Put(a.early)
	l.respond(i, s, route, a.quota, a.given, a.early)
}

// identify takes over whom the authorizer has recognised, and counts the connection
// as that user's.
func (a *asked) identify(l *loop) error {
	if a.given.Identity == a.request.Identity {
		return nil
	}
	a.request.Identity = a.given.Identity
	if a.quota.name != "" {
		l.srv.perUser.Release(a.quota.name)
		a.quota.name = ""
	}
	return a.quota.user(l, l.places.all[a.place].route, a.request)
}

// takeQuestion ends the waiting for an answer.
func (l *loop) takeQuestion(s *slot) *asked {
	x := l.exts.get(s)
	a := x.asked
	x.asked = nil
	l.exts.trim(s)
	a.cancel()
	return a
}

// abandon gives back what a connection that is not let in had taken.
func (l *loop) abandon(a *asked) {
	a.quota.release(l.srv)
	l.places.drop(a.place)
	l.buffers.Put(a.early)
}
