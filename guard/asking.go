//go:build linux

package guard

import (
	"container/list"
	"net/http"
	"time"

	"github.com/usher-ws/usher/internal/pattern"
	"github.com/usher-ws/usher/server"
	"github.com/usher-ws/usher/upgrade"
)

// asking is one request that is asked about: a server.Caller.
type asking struct {
	pool    *Pool
	guard   *Guard           // nil for a plain request
	r       *upgrade.Request // nil for a plain request
	isProbe bool
	isPlain bool

	// Calls.
	at       uint32 // the target that is asked
	isAsked  bool
	began    time.Duration
	tried    []uint32      // targets that there is no connection to, since it last waited
	deadline time.Duration // of all calls, from the first one on; 0: there was none
	why      trouble       // of the last

	// The line, under the lock of the Pool.
	holdUntil time.Duration // 0: it has not waited
	isHeld    bool          // it is to wait, or does
	isLet     bool          // it has waited, and was let on
	ready     func()
	place     *list.Element
}

// busyFor is after what time a socket is asked again whose backlog was full; of TCP the kernel
// does that itself.
const busyFor = 100 * time.Millisecond

// Next is server.Caller's. Nothing was said yet that could have an effect: another upstream is
// asked at once, within the time there is.
func (a *asking) Next(cause error) (c server.Call, err error) {
	p := a.pool
	p.mu.Lock()
	c, err = a.next(cause, p.now())
	ready := p.letOn()
	p.mu.Unlock()
	callAll(ready)
	if err == nil && c.Wait == 0 && !a.isPlain {
		c.Request = a.guard.Forward.AppendRequest(nil, a.r, pattern.Expand(a.guard.Path, a.r.PathValue), newID())
	}
	return c, err
}

// next is Next under the lock.
func (a *asking) next(cause error, now time.Duration) (server.Call, error) {
	p := a.pool
	p.line.leave(a)
	switch {
	case a.isAsked:
		a.why = p.troubleOf(a.at, cause)
		a.end(a.why)
		a.tried = append(a.tried, a.at)
	case cause == nil, a.isHeld && a.isLet: // it begins, or somebody is there
	case a.isHeld:
		return server.Call{}, a.refuse(cause, now)
	default: // those that were busy may not be any more
		a.tried = nil
	}
	a.isHeld = false
	if a.mayWait(now) && !a.isLet && a.deadline == 0 && p.line.waiting.Len() > 0 {
		return a.hold(now), nil // behind those that were here before
	}
	if a.deadline == 0 {
		a.deadline = now + p.timeout
	}
	left := a.deadline - now
	if left <= 0 {
		return server.Call{}, a.refuse(cause, now)
	}
	n, ok := p.roster.pick(a.tried)
	switch {
	case ok:
		return a.call(n, left, now), nil
	case a.why == busy:
		return server.Call{Wait: min(busyFor, left)}, nil
	case a.mayWait(now):
		return a.hold(now), nil
	}
	return server.Call{}, a.refuse(cause, now)
}

// mayWait reports whether it waits in the line if nobody is there.
func (a *asking) mayWait(now time.Duration) bool {
	return a.pool.hold > 0 && !a.isProbe && !a.isPlain && a.why.isTheirs() && (a.holdUntil == 0 || now < a.holdUntil)
}

// hold has it wait.
func (a *asking) hold(now time.Duration) server.Call {
	if a.holdUntil == 0 {
		a.holdUntil = now + a.pool.hold
	}
	a.isHeld, a.deadline, a.tried = true, 0, nil
	return server.Call{Wait: a.holdUntil - now}
}

// call is a call to a target. One that cannot be connected to leaves time for the others.
func (a *asking) call(n uint32, left, now time.Duration) server.Call {
	p := a.pool
	t := &p.roster.targets[n]
	p.take(n)
	a.at, a.isAsked, a.began = n, true, now
	return server.Call{
		Unix: t.address.unix, To: t.address.tcp, TLS: p.upstreams[t.upstream].tls, Upstream: n,
		Timeout: left, Connect: left / time.Duration(p.roster.others(append(a.tried, n))+1),
	}
}

// Await is server.Caller's.
func (a *asking) Await(ready func()) {
	p := a.pool
	p.mu.Lock()
	a.ready = ready
	if a.isHeld {
		p.join(a)
	}
	let := p.letOn()
	p.mu.Unlock()
	callAll(let)
}

// Answer is server.Caller's.
func (a *asking) Answer(dst []byte, forgetful bool, b []byte, eof bool) (server.Answer, error) {
	switch {
	case a.isProbe:
		return a.answerProbe(b, eof)
	case len(b) == 0: // it is Lost
		return server.Answer{}, nil
	}
	got, err := a.guard.Forward.passAnswer(dst, a.r, forgetful, b, eof)
	if got.status != 0 || err != nil { // one that is not valid is an answer, too: somebody is there
		a.finish(isWell)
	}
	return server.Answer{Status: got.status, Response: got.response, Size: got.n, Deflate: got.deflate, Takeover: got.takeover}, err
}

// answerProbe lets a probe in if the upstream begins to answer the plain request that it is: what
// it answers to that says nothing about an upgrade. So does hanging up: some that speak nothing
// but WebSocket do.
func (a *asking) answerProbe(b []byte, eof bool) (server.Answer, error) {
	const begin = "HTTP/1."
	n := min(len(b), len(begin))
	switch isHTTP := string(b[:n]) == begin[:n]; {
	case isHTTP && n < len(begin) && !eof:
		return server.Answer{}, nil
	case n == 0:
		a.finish(hungUp)
	default:
		if a.finish(isWell); !isHTTP {
			return server.Answer{}, invalid("no HTTP")
		}
	}
	return server.Answer{Status: http.StatusOK}, nil
}

// Lost is server.Caller's. The upstream may have done what it was asked for, so that nobody else
// is asked.
func (a *asking) Lost(cause error) error {
	a.why = troubleBehind(cause)
	a.finish(a.why)
	p := a.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	return a.refuse(cause, p.now())
}

// Done is server.Caller's.
func (a *asking) Done() {
	p := a.pool
	p.mu.Lock()
	p.line.leave(a)
	if a.isAsked {
		a.isAsked = false
		p.drop(a.at)
	}
	p.line.back(a, false)
	ready := p.letOn()
	p.mu.Unlock()
	callAll(ready)
}

// finish ends a call whose request was said.
func (a *asking) finish(why trouble) {
	p := a.pool
	p.mu.Lock()
	a.end(why)
	ready := p.letOn()
	p.mu.Unlock()
	callAll(ready)
}

// end ends a call under the lock.
func (a *asking) end(why trouble) {
	p := a.pool
	a.isAsked = false
	if (a.isPlain || a.isProbe) && (why == unanswered || why == hungUp) { // it is common with HTTP, and may be its own
		p.drop(a.at)
		p.count(a.at, why)
		return
	}
	p.note(a.at, a.began, why)
	if why != isWell && a.isLet {
		p.line.most = 1
	}
	if why == isWell {
		p.line.back(a, true)
	}
}
