//go:build linux

package server

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/poller"
	"github.com/usher-ws/usher/upgrade"
	"golang.org/x/sys/unix"
)

// Refusals of the server's own, rows 2, 3 and 12 of the order of verdicts.
var (
	errDraining  = upgrade.Reject(http.StatusServiceUnavailable, upgrade.CodeDraining, "the server is shutting down")
	errFull      = upgrade.Reject(http.StatusServiceUnavailable, upgrade.CodeFull, "the server has no room for another connection")
	errPerIP     = upgrade.Reject(http.StatusTooManyRequests, upgrade.CodeTooManyRequests, "too many connections from this address")
	errPerUser   = upgrade.Reject(http.StatusTooManyRequests, upgrade.CodeTooManyRequests, "too many connections of this user")
	errNotFound  = upgrade.Reject(http.StatusNotFound, upgrade.CodeNotFound, "nothing is served at this path")
	errTimeout   = upgrade.Reject(http.StatusRequestTimeout, upgrade.CodeTimeout, "the request did not end in time")
	errUndecided = upgrade.Reject(http.StatusServiceUnavailable, upgrade.CodeUnavailable, "the authorization did not finish in time")
)

// readHead gathers the request head. One that arrives in a single read is judged
// where it lies.
func (l *loop) readHead(i uint32, s *slot) {
	n, errno := l.recv(s)
	if n == 0 {
		if errno != unix.EAGAIN {
			l.release(i, s, errHangup)
		}
		return
	}
	b, from := l.buf[:n], 0
	if x := l.exts.get(s); x.head != nil {
		from = len(x.head)
		x.head = l.buffers.grow(x.head, b)
		b = x.head
	}
	length, err := l.gate.Read(b, from, &l.req)
	switch {
	case err != nil:
		l.refuse(i, s, nil, &l.req, err)
	case length == 0:
		if x := l.exts.need(s); x.head == nil {
			x.head = l.buffers.grow(nil, b)
		}
	default:
		l.judge(i, s, &l.req, b[:length], b[length:])
	}
}

// peer is poller.Peer, but for tests that play many addresses.
var peer = poller.Peer

// judge answers a request. head is what it was read from, and early what came
// behind that.
func (l *loop) judge(i uint32, s *slot, r *upgrade.Request, head, early []byte) {
	r.RemoteAddr = peer(int(s.fd))
	lr := l.match(r)
	q, err := l.quotas(s, lr, r)
	if err != nil {
		l.refuse(i, s, lr, r, err)
		return
	}
	if lr == nil {
		l.handOver(i, s, q, head, early)
		return
	}
	slow, err := false, errExited // unless it returns
	defer func() {
		switch {
		case err != nil:
			q.release(l.srv)
			l.refuse(i, s, lr, r, err)
		case slow:
			l.prepareElsewhere(i, s, l.places.find(lr, l.values), q, r, early)
		default:
			l.respond(i, s, lr, q, r, early)
		}
	}()
	slow, err = l.callIsSlow(lr, r)
}

// respond answers a request that matches lr; l.values are its path values.
func (l *loop) respond(i uint32, s *slot, lr *loopRoute, q quota, r *upgrade.Request, early []byte) {
	l.enter(lr)
	err := errExited // unless it returns
	defer func() { l.responded(i, s, lr, q, r, early, err) }()
	err = l.callUpgrade(lr, r)
}

// responded goes on with what the route's hooks and guards said.
func (l *loop) responded(i uint32, s *slot, lr *loopRoute, q quota, r *upgrade.Request, early []byte, err error) {
	if err == nil {
		err = l.said // a hook cannot let in whom the door refused
	}
	probed := errors.Is(err, upgrade.ErrProbe)
	if err == nil || probed {
		if over := q.user(l, lr, r); over != nil {
			err, probed = over, false
		}
	}
	if err != nil && !(probed && lr.Authorize != nil) {
		l.countGuard(lr, err)
		q.release(l.srv)
		l.refuse(i, s, lr, r, err)
		return
	}
	place := l.places.find(lr, l.values)
	if lr.Authorize != nil {
		l.authorize(i, s, place, q, r, early)
		return
	}
	l.admit(i, s, place, q, r, l.resp, early)
}

// callUpgrade asks the route's hooks and guards. A panic of theirs is a bare 500.
func (l *loop) callUpgrade(lr *loopRoute, r *upgrade.Request) (err error) {
	defer l.guard(&err)
	l.inside = true
	err = sane(lr.upgrade(r))
	l.inside = false
	return err
}

// sane looks at an error of the user's where a panic of its own methods is caught. A nil
// *Rejection is none, and no verdict either.
func sane(err error) error {
	var e *upgrade.Rejection
	if errors.As(err, &e) && e == nil {
		return errors.New("server: a nil *Rejection as an error")
	}
	_ = errors.Is(err, context.Canceled)
	return err
}

// callIsSlow asks the verifiers of the route's guards. A panic of theirs is a bare 500.
func (l *loop) callIsSlow(lr *loopRoute, r *upgrade.Request) (slow bool, err error) {
	defer l.guard(&err)
	l.inside = true
	slow = lr.door.IsSlow(r)
	l.inside = false
	return slow, nil
}

// callKeep asks the route what the connection keeps of its request. A panic is a bare
// 500.
func (l *loop) callKeep(lr *loopRoute, r *upgrade.Request) (kept any, err error) {
	defer l.guard(&err)
	l.enter(lr)
	l.inside = true
	kept = lr.Keep(r)
	l.inside = false
	return kept, nil
}

// match finds the route of r and sets its path values, which stay in l.values.
func (l *loop) match(r *upgrade.Request) *loopRoute {
	path := string(r.RawPath())
	for k := range l.routes {
		lr := &l.routes[k]
		values, ok := lr.match(path, l.values[:0])
		l.values = values
		if !ok {
			continue
		}
		for at, n := 0, 0; at < len(lr.segments); at++ {
			if seg := lr.segments[at]; seg.kind != literal {
				r.SetPathValue(seg.text, values[n])
				n++
			}
		}
		return lr
	}
	return nil
}

// quota is by what limits per address and user count a connection.
type quota struct {
	addr netip.Addr // zero: by none
	name string     // "": by none
}

// quotas is row 2 of the order of verdicts. A probe takes nothing. lr is nil if no
// route matches.
func (l *loop) quotas(s *slot, lr *loopRoute, r *upgrade.Request) (q quota, err error) {
	switch {
	case l.srv.isDraining():
		return q, errDraining.WithRetryAfter(jitter(5 * time.Second))
	case s.flags&overFull != 0:
		return q, errFull.WithRetryAfter(jitter(5 * time.Second))
	case l.srv.MaxConnsPerIP <= 0 && l.srv.ConnRate.Unlimited() && l.srv.MessagesPerIP.Unlimited():
		return q, nil
	}
	addr := limiter.Network(r.RemoteAddr.Addr())
	if !addr.IsValid() {
		return q, nil // hung up already, or no IP socket
	}
	if r.IsProbe() {
		return q, l.overConns(lr, r, errPerIP, l.srv.perIP.Check(addr, l.poll.Now()))
	}
	if err := l.srv.perIP.Acquire(addr, l.poll.Now()); err != nil {
		if err := l.overConns(lr, r, errPerIP, err); err != nil {
			return q, err
		}
		l.srv.perIP.Add(addr)
	}
	if l.srv.MaxConnsPerIP <= 0 {
		l.srv.perIP.Release(addr) // it has come; how many there are does not matter
	}
	q.addr = addr
	return q, nil
}

// user is row 12. A probe takes nothing.
func (q *quota) user(l *loop, lr *loopRoute, r *upgrade.Request) error {
	if l.srv.MaxConnsPerUser <= 0 || r.Identity == nil || r.Identity.Subject == "" {
		return nil
	}
	name := r.Identity.Subject
	if r.IsProbe() {
		return l.overConns(lr, r, errPerUser, l.srv.perUser.Check(name, l.poll.Now()))
	}
	if err := l.srv.perUser.Acquire(name, l.poll.Now()); err != nil {
		if err := l.overConns(lr, r, errPerUser, err); err != nil {
			return err
		}
		l.srv.perUser.Add(name)
	}
	q.name = name
	return nil
}

// overConns counts that a limit of connections has refused r, if err says so, and
// returns e as the refusal; nil in a dry run. A probe is not counted.
func (l *loop) overConns(lr *loopRoute, r *upgrade.Request, e *upgrade.Rejection, err error) error {
	var over *limiter.ErrLimit
	if !errors.As(err, &over) {
		return nil
	}
	which := userConnsLimit
	switch {
	case e == errPerIP && over.RetryAfter > 0:
		which = ipConnRateLimit
	case e == errPerIP:
		which = ipConnsLimit
	}
	if !r.IsProbe() {
		l.decisionsOf(lr).count(which, refusal)
	}
	if l.srv.LimitDryRun {
		l.srv.logDryRun(r, which)
		return nil
	}
	return retry(e, err)
}

// countGuard counts a guard's 429.
func (l *loop) countGuard(lr *loopRoute, err error) {
	var e *upgrade.Rejection
	if errors.As(err, &e) && e.Status == http.StatusTooManyRequests && e.Code == upgrade.CodeTooManyRequests {
		lr.decided.count(guardLimit, refusal)
	}
}

func (l *loop) decisionsOf(lr *loopRoute) *decisions {
	if lr == nil {
		return &l.unrouted
	}
	return &lr.decided
}

func (q quota) release(srv *Server) {
	if q.addr.IsValid() && srv.MaxConnsPerIP > 0 {
		srv.perIP.Release(q.addr)
	}
	if q.name != "" {
		srv.perUser.Release(q.name)
	}
}

// retry is e with the time to come back, spread so that those who were refused
// together do not return together: from when the limit has room again, if it knows
// that. nil stays nil.
func retry(e *upgrade.Rejection, err error) error {
	if err == nil {
		return nil
	}
	var limit *limiter.ErrLimit
	if errors.As(err, &limit) && limit.RetryAfter > 0 {
		return e.WithRetryAfter(limit.RetryAfter + rand.N(max(limit.RetryAfter, 2*time.Second)))
	}
	return e.WithRetryAfter(jitter(5 * time.Second))
}

// jitter spreads those who are told to come back over d to 2d.
func jitter(d time.Duration) time.Duration { return d + rand.N(d) }

// admit lets a request in, unless the route fails to say what is to be kept of it.
func (l *loop) admit(i uint32, s *slot, place uint32, q quota, r *upgrade.Request, response, early []byte) {
	lr := l.places.all[place].route
	if lr.Keep == nil {
		l.seat(i, s, place, q, r, nil, response, early)
		return
	}
	kept, err := any(nil), errExited // unless it returns
	defer func() {
		if err != nil {
			q.release(l.srv)
			l.places.drop(place)
			l.refuse(i, s, lr, r, err)
			return
		}
		l.seat(i, s, place, q, r, kept, response, early)
	}()
	kept, err = l.callKeep(lr, r)
}

// seat opens a connection: response, what Open says and the answers to early leave
// together. kept is the connection's Data.
func (l *loop) seat(i uint32, s *slot, place uint32, q quota, r *upgrade.Request, kept any, response, early []byte) {
	s.state, s.place, s.last = open, place, l.tick
	s.ident = l.identities.find(r.Identity)
	s.flags |= opened
	t := &l.routeOf(s).tally
	t.Opened++
	t.Conns++
	if w := frame.Window(r.Deflate()); w != 0 {
		s.frame = frame.NewState(w)
		s.gen.Or(uint32(w) << windowShift)
	}
	if q.addr.IsValid() {
		l.exts.need(s).addr = q.addr
	}
	if proto := r.Subprotocol(); proto != "" {
		l.exts.need(s).proto = proto
	}
	if kept != nil {
		l.exts.need(s).data = kept
	}
	// The head's buffer holds early, which is read before the buffer goes back.
	var buffer []byte
	if s.ext != 0 {
		x := l.exts.get(s)
		buffer, x.head = x.head, nil
		l.exts.trim(s)
	}
	l.openDeadline(i, s)
	defer l.buffers.Put(buffer)
	l.run(i, s, response, early)
}

// refuse answers a request that is not let in, and begins to close. err is the
// route's own answer, which l.resp holds already, or one that is put into words
// here. lr is nil if no route is known, and r may be.
func (l *loop) refuse(i uint32, s *slot, lr *loopRoute, r *upgrade.Request, err error) {
	if l.said == nil || !errors.Is(err, l.said) {
		door := &l.gate
		if lr != nil {
			door = &lr.door
		}
		l.resp, err = door.Refuse(l.resp[:0], r, err)
	}
	l.said = nil
	l.noteRefusal(s, lr, r, err)
	l.dropHead(s)
	s.state = closing
	l.transmit(i, s, l.resp)
}

// dropHead gives back the memory of a head that was answered.
func (l *loop) dropHead(s *slot) {
	if s.ext == 0 {
		return
	}
	x := l.exts.get(s)
	l.buffers.Put(x.head)
	x.head = nil
	l.exts.trim(s)
}
