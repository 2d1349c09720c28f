//go:build linux

package server

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/usher-ws/usher/frame"
	"golang.org/x/sys/unix"
)

// drainStep is how often a draining loop closes its next connections.
const drainStep = 5 * time.Millisecond

// drainGrace is how long after the drain whoever remains is cut.
const drainGrace = 2 * time.Second

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
// with 1001, paced over 80 % of Drain and told when to come back, then the
// listeners are closed; whoever remains is cut two seconds after Drain. Without
// any connection there is nothing to wait for. When ctx ends, all are cut at
// once, and its error is returned. Shutdown returns when nothing of the server
// runs any more; ListenAndServe and Wait then return nil.
func (s *Server) Shutdown(ctx context.Context) error {
	if !s.started.Load() || !s.isDown.CompareAndSwap(false, true) {
		return errors.New("server: not running")
	}
	begin := time.Now()
	drain := s.drainTime()
	s.drainWindow = drain * 8 / 10
	s.drainingFlag.Store(true)
	for _, l := range s.loops {
		_ = l.poll.Post(l.startDrain)
	}
	err := s.waitDrained(ctx, begin, drain)
	s.stopLoops()
	httpErr := s.http.stop(ctx)
	s.watch.stop()
	s.log.stop()
	close(s.done)
	return errors.Join(err, httpErr)
}

// waitDrained waits for the window to pass and then for the last connection, and
// closes the listeners in between.
func (s *Server) waitDrained(ctx context.Context, begin time.Time, drain time.Duration) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	busy := s.total() > 0
	listening := true
	for {
		elapsed := time.Since(begin)
		if listening && (!busy || elapsed >= s.drainWindow) {
			listening = false
			s.closeListeners()
		}
		if !listening && s.total() == 0 || elapsed >= drain+drainGrace {
			return nil
		}
		select {
		case <-ctx.Done():
			if listening {
				s.closeListeners()
			}
			return ctx.Err()
		case err := <-s.failed:
			return err
		case <-tick.C:
		}
	}
}

// closeListeners runs on the acceptor, since nothing else may touch them.
func (s *Server) closeListeners() {
	done := make(chan struct{})
	acceptor := s.loops[0]
	err := acceptor.poll.Post(func() {
		defer close(done)
		acceptor.acceptAt = 0
		for _, fd := range s.listeners {
			_ = acceptor.poll.Unlisten(fd)
			unix.Close(fd)
		}
		s.listeners = nil
	})
	if err == nil {
		<-done
	}
}

// stopLoops cuts what is left and ends the loops.
func (s *Server) stopLoops() {
	for _, l := range s.loops {
		done := make(chan struct{})
		if err := l.poll.Post(func() { l.cut(); l.publish(); close(done) }); err == nil {
			<-done
		}
		_ = l.poll.Close()
	}
}

// startDrain begins the loop's share of the drain.
func (l *loop) startDrain() {
	l.drain = drainage{active: true, start: l.poll.Now(), window: l.srv.drainWindow, next: 1}
	for i := uint32(1); i < l.slab.next; i++ {
		if table[l.slab.at(i).state][drain].do == goodbye {
			l.drain.total++
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
	for _, a := range l.mail.kill() {
		unix.Close(a.fd)
		l.conns.Add(-1)
		l.srv.discount(a.over)
	}
	for i := uint32(1); i < l.slab.next; i++ {
		s := l.slab.at(i)
		l.abandonJobs(s)
		if s.state != closed {
			l.release(i, s, errCut)
		}
	}
}
