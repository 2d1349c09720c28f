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
	"github.com/usher-ws/usher/stream"
	"github.com/usher-ws/usher/upgrade"
)

// drainStep is how often a draining loop closes its next connections.
const drainStep = 5 * time.Millisecond

// DrainGrace is how long after Server.Drain the connections that remain are cut.
const DrainGrace = 2 * time.Second

// drainSpacing is the time that a drain takes for each connection, up to 80 % of Drain in
// all: a few clients that come back at once are no burden.
const drainSpacing = 200 * time.Millisecond

// drainSilence is how long a draining server waits for the first byte of a request.
// Browsers open connections that they may never use.
const drainSilence = time.Second

// cutPatience is how long a callback may hold up its loop when all is cut: the loop is
// left to it then.
const cutPatience = 250 * time.Millisecond

// ErrOnLoop is what Shutdown, Wait and Each return in a callback, which holds up the loop that
// they would wait for.
var ErrOnLoop = errors.New("server: cannot wait in a callback")

// drainage is a loop's progress in closing its connections evenly over the window.
type drainage struct {
	*loop
	active bool
	start  time.Duration
	window time.Duration
	total  int    // connections there were at the start
	done   int    // of which were closed
	next   uint32 // the slot to look at
	cutTo  uint32 // when all is cut: the slot that is next
}

// Shutdown drains the server, once: a later call is an error, and other callers can Wait.
// Newcomers are answered 503; connections are closed with 1001, paced over 80 % of Drain,
// less if they are few, and told when to come back; then the listeners are closed. What
// remains two seconds after Drain is cut: WebSockets, requests to Handler, questions to an
// authorizer. Without any connection there is nothing to wait for. When ctx ends, all are
// cut at once, and its error is returned. Shutdown returns when all sockets are closed;
// ListenAndServe and Wait then return nil. Goroutines that run the user's code, of
// Authorize, Offload or Handler, are not waited for after the cut, nor is a loop that a
// callback still holds up, which is an error.
//
// In a callback, Shutdown begins the drain and returns ErrOnLoop; ctx is ignored then. In a
// worker of Offload, an Authorize or a Handler it would wait for its own caller, until that
// is cut: call it on a goroutine of its own there.
func (s *Server) Shutdown(ctx context.Context) error {
	if err := s.life.goOn(running, draining); err != nil {
		return err
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
	for _, l := range s.loops {
		_ = l.Post(l.drain.begin)
	}
	end := begin.Add(drain + DrainGrace)
	err := s.waitDrained(ctx, begin.Add(drain*8/10), end)
	cut := s.total()
	err = errors.Join(err, s.stopLoops())
	s.http.stop()
	s.watch.stop()
	s.log.add(slog.LevelInfo, "server: drained", "duration", time.Since(begin).Round(time.Millisecond), "cut", cut)
	s.log.stop(end)
	_ = s.life.goOn(draining, down)
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
			s.engine.Unlisten(deadline)
		}
		if !listening && s.total() == 0 {
			return nil
		}
		select {
		case <-deadline.Done():
			if listening {
				s.engine.Unlisten(deadline)
			}
			return ctx.Err()
		case err := <-s.failed:
			return err
		case <-tick.C:
		}
	}
}

// stopLoops cuts what is left and ends the loops. A loop that a callback holds up is left
// to end by itself.
func (s *Server) stopLoops() error {
	ended := make(chan bool, len(s.loops))
	for _, l := range s.loops {
		go func() { ended <- l.drain.stop() }()
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
func (d *drainage) stop() bool {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		done := make(chan struct{})
		if err := d.Post(func() { d.cutAll(done) }); err == nil {
			select {
			case <-done:
			case <-d.Dead():
			}
		}
		_ = d.Close()
	}()
	tick := time.NewTicker(cutPatience / 10)
	defer tick.Stop()
	seen, since := d.busy.Load(), time.Now()
	for {
		select {
		case <-ended:
			return true
		case now := <-tick.C:
			if busy := d.busy.Load(); busy == 0 || busy != seen {
				seen, since = busy, now
			} else if now.Sub(since) >= cutPatience {
				return false
			}
		}
	}
}

// cutAll is cut, whatever happens in the Close callbacks.
func (d *drainage) cutAll(done chan<- struct{}) {
	returned := false
	defer func() {
		if !returned {
			_ = d.Post(func() { d.cutAll(done) })
		}
	}()
	d.cut()
	d.publish()
	returned = true
	close(done)
}

// begin begins the loop's share of the drain.
func (d *drainage) begin() {
	d.active, d.start, d.window, d.next = true, d.Now(), d.srv.drainWindow, 1
	for s := range d.All() {
		switch f := s.Data().facts; {
		case hasTurn(s):
			d.total++
		case f.state() == head && s.Extra().head == nil:
			s.DueBy(d.Deadline(drainSilence))
		}
	}
	d.goOn(d.Now())
}

// hasTurn reports whether a connection is closed by a drain.
func hasTurn(s link) bool {
	if s.State() != stream.Flowing && s.State() != stream.Held {
		return false
	}
	do := table[s.Data().facts.state()][drain].do
	return do == goodbye || do == refuseWaiting && s.Extra().question.isWaiting
}

// goOn closes as many as are due by now: the k-th of n in the middle of the
// k-th n-th of the window. It returns when it is to be called again.
func (d *drainage) goOn(now time.Duration) (next time.Duration) {
	if !d.active {
		return 0
	}
	goal := d.total
	if passed := now - d.start; passed < d.window {
		goal = int(float64(d.total)*float64(passed)/float64(d.window) + 0.5)
	}
	for d.done < goal && d.next < d.Slots() {
		s := d.At(d.next)
		d.next++
		if hasTurn(s) {
			d.done++
			d.DealWith(s)
			if s.Data().facts.state() == asked {
				d.door.refuseWaiting(s)
			} else {
				d.goodbye(s)
			}
		}
	}
	return now + drainStep
}

// goodbye closes one connection, and tells it when to come back: after the drain,
// spread over as long again so that the crowd does not return as one.
func (d *drainage) goodbye(s link) {
	left := max(0, d.start+d.srv.drainTime()-d.Now())
	wait := left + rand.N(max(d.srv.drainTime(), time.Second))
	d.conclude(s, nil, &CloseError{
		Code:   frame.StatusGoingAway,
		Reason: upgrade.CodeDraining + upgrade.RetryHint(wait),
	})
}

// cut closes everything, now.
func (d *drainage) cut() {
	undone := append(d.work.drop(), d.mail.kill()...)
	defer d.tellUndone(undone)
	d.StopAdopting()
	d.cutTo = max(d.cutTo, 1)
	for d.cutTo < d.Slots() { // a slot is not begun with twice, also if it is at fault
		d.cutTo++
		if s := d.At(d.cutTo - 1); s.State() != stream.Free {
			d.DealWith(s)
			d.cutOne(s)
		}
	}
	d.weighTables()
}

// cutOne closes one connection, also if its jobs cannot be abandoned.
func (d *drainage) cutOne(s link) {
	if s.State() == stream.Gone {
		defer s.Free()
		defer d.depart(s, &CloseError{Code: frame.StatusAbnormalClosure, Err: errCut})
	} else {
		defer s.Cut(errCut)
	}
	d.jobs.abandonJobs(s)
}
