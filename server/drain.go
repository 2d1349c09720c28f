//go:build linux

package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/poller"
	"golang.org/x/sys/unix"
)

// drainStep is how often a draining loop closes its next connections.
const drainStep = 5 * time.Millisecond

// DrainGrace is how long after Server.Drain whoever remains is cut.
const DrainGrace = 2 * time.Second

// drainSpacing is the time that a drain takes for each connection, until that is 80 % of
// it: few clients that come back at once are nobody's burden.
const drainSpacing = 200 * time.Millisecond

// drainSilence is how long a draining server waits for the first byte of a request.
// Browsers open connections that they may never use.
const drainSilence = time.Second

// cutPatience is how long a callback may hold up its loop when all is cut: the loop is
// left to it then.
const cutPatience = 250 * time.Millisecond

// ErrOnLoop is what Shutdown and Wait answer in a callback, which holds up what they
// would wait for.
var ErrOnLoop = errors.New("server: cannot wait in a callback")

// drainage is a loop's progress in closing its connections evenly over the window.
type drainage struct {
	active bool
	start  time.Duration
	window time.Duration
	total  int    // connections there were at the start
	done   int    // of which were closed
	next   uint32 // the slot to look at
}

// Shutdown drains the server: newcomers are answered 503, connections are closed
// with 1001, paced over 80 % of Drain, less if they are few, and told when to come back,
// then the listeners are closed; whoever remains is cut two seconds after Drain, be it a
// WebSocket, a request to Handler, or a question to an authorizer. Without any connection
// there is nothing to wait for. When ctx ends, all are cut at once, and its error is
// returned. Shutdown returns when all sockets are closed; ListenAndServe and Wait then
// return nil. Goroutines that run the user's code, of Authorize, Offload or Handler, are
// not waited for after the cut, nor is a loop that a callback still holds up, which is an
// error.
//
// In a callback, Shutdown begins the drain and answers ErrOnLoop; ctx is ignored then.
// Elsewhere in the user's code it waits, for its own caller too, until that is cut: call it
// on a goroutine of its own.
func (s *Server) Shutdown(ctx context.Context) error {
	if !s.running.Load() || !s.isDown.CompareAndSwap(false, true) {
		return errors.New("server: not running")
	}
	if s.here() != nil {
		go func() { _ = s.shutDown(context.WithoutCancel(ctx)) }()
		return ErrOnLoop
	}
	return s.shutDown(ctx)
}

func (s *Server) shutDown(ctx context.Context) error {
	begin, drain := time.Now(), s.drainTime()
	s.drainWindow = s.pace()
	s.drainingFlag.Store(true)
	for _, l := range s.loops {
		_ = l.post(l.startDrain)
	}
	end := begin.Add(drain + DrainGrace)
	err := s.waitDrained(ctx, begin.Add(drain*8/10), end)
	cut := s.total()
	err = errors.Join(err, s.stopLoops())
	s.http.stop()
	s.watch.stop()
	s.log.add(slog.LevelInfo, "server: drained", "duration", time.Since(begin).Round(time.Millisecond), "cut", cut)
	s.log.stop(end)
	close(s.done)
	return err
}

// pace returns over which time the connections there are are closed.
func (s *Server) pace() time.Duration {
	return min(s.drainTime()*8/10, time.Duration(s.total())*drainSpacing)
}

// waitDrained waits for the last connection, until end at most, and closes the listeners
// when there is none or their time has come.
func (s *Server) waitDrained(ctx context.Context, unlisten, end time.Time) error {
	deadline, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	listening := true
	for {
		if listening && (s.total() == 0 || !time.Now().Before(unlisten)) {
			listening = false
			s.closeListeners(deadline)
		}
		if !listening && s.total() == 0 {
			return nil
		}
		select {
		case <-deadline.Done():
			if listening {
				s.closeListeners(deadline)
			}
			return ctx.Err()
		case err := <-s.failed:
			return err
		case <-tick.C:
		}
	}
}

// closeListeners runs on the acceptor, since nothing else may touch them. Whoever is in
// their backlogs is let in, to be told to come back. Nobody waits for an acceptor that is
// held up when the time has come.
func (s *Server) closeListeners(ctx context.Context) {
	done := make(chan struct{})
	acceptor := s.loops[0]
	err := acceptor.post(func() {
		defer close(done)
		for _, fd := range s.listeners {
			_ = poller.Unreachable(fd)
			acceptor.acceptSome(fd, poller.Backlog)
			_ = acceptor.poll.Unlisten(fd)
			unix.Close(fd)
		}
		acceptor.acceptAt = 0
		s.listeners = nil
	})
	if err != nil {
		return
	}
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// stopLoops cuts what is left and ends the loops. A loop that a callback holds up is left
// to end by itself.
func (s *Server) stopLoops() error {
	ended := make(chan bool, len(s.loops))
	for _, l := range s.loops {
		go func() { ended <- l.stop() }()
	}
	stuck := 0
	for range s.loops {
		if !<-ended {
			stuck++
		}
	}
	if stuck > 0 {
		return fmt.Errorf("server: callbacks hold up %d of %d loops, which are not waited for", stuck, len(s.loops))
	}
	return nil
}

// stop ends the loop, and reports false if a callback holds it up.
func (l *loop) stop() bool {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		done := make(chan struct{})
		if err := l.post(func() { l.cutAll(done) }); err == nil {
			select {
			case <-done:
			case <-l.failed:
			}
		}
		_ = l.poll.Close()
	}()
	tick := time.NewTicker(cutPatience / 10)
	defer tick.Stop()
	seen, since := l.busy.Load(), time.Now()
	for {
		select {
		case <-ended:
			return true
		case now := <-tick.C:
			if busy := l.busy.Load(); busy == 0 || busy != seen {
				seen, since = busy, now
			} else if now.Sub(since) >= cutPatience {
				return false
			}
		}
	}
}

// cutAll is cut, whatever happens in the Close callbacks.
func (l *loop) cutAll(done chan<- struct{}) {
	returned := false
	defer func() {
		if !returned {
			_ = l.post(func() { l.cutAll(done) })
		}
	}()
	l.cut()
	l.publish()
	returned = true
	close(done)
}

// startDrain begins the loop's share of the drain.
func (l *loop) startDrain() {
	l.drain = drainage{active: true, start: l.poll.Now(), window: l.srv.drainWindow, next: 1}
	for i := uint32(1); i < l.slab.next; i++ {
		switch s := l.slab.at(i); {
		case table[s.state][drain].do == goodbye:
			l.drain.total++
		case s.state == head && l.exts.get(s).head == nil:
			l.dueBy(i, l.deadline(drainSilence))
		}
	}
	l.drainOn()
}

// drainOn closes as many as are due by now: the k-th of n in the middle of the
// k-th n-th of the window.
func (l *loop) drainOn() {
	d := &l.drain
	if !d.active {
		return
	}
	goal := d.total
	if passed := l.poll.Now() - d.start; passed < d.window {
		goal = int(float64(d.total)*float64(passed)/float64(d.window) + 0.5)
	}
	for d.done < goal && d.next < l.slab.next {
		i := d.next
		d.next++
		if s := l.slab.at(i); table[s.state][drain].do == goodbye {
			d.done++
			l.handle(i, s, drain)
		}
	}
}

// goodbye closes one connection, and tells it when to come back: after the drain,
// spread over as long again so that the crowd does not return as one.
func (l *loop) goodbye(i uint32, s *slot) {
	left := max(0, l.drain.start+l.srv.drainTime()-l.poll.Now())
	wait := left + rand.N(max(l.srv.drainTime(), time.Second))
	l.conclude(i, s, nil, &CloseError{
		Code:   frame.StatusGoingAway,
		Reason: fmt.Sprintf("draining; retry-after-ms=%d", wait.Milliseconds()),
	})
}

// cut closes everything, now.
func (l *loop) cut() {
	adopted, undone := l.mail.kill()
	defer l.joinsUndone(append(l.taken.entries[l.nextTaken:], undone...))
	l.nextTaken = len(l.taken.entries)
	for _, a := range adopted {
		unix.Close(a.fd)
		l.conns.Add(-1)
		l.srv.discount(a.over)
	}
	for l.cutNext++; l.cutNext < l.slab.next; l.cutNext++ {
		i := l.cutNext
		s := l.slab.at(i)
		l.at = i
		l.abandonJobs(s)
		if s.state != closed {
			l.release(i, s, errCut)
		}
	}
}
