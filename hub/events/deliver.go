package events

import (
	"crypto/rand"
	mathrand "math/rand/v2"
	"time"
)

// This file is what becomes of what is queued. All of it is run's goroutine, the only one that
// sends.

const (
	// A failed attempt is followed by a pause, which doubles from minPause to maxPause with each
	// and is cut by up to a half at random.
	minPause = 500 * time.Millisecond
	maxPause = 30 * time.Second

	// lastPause is the longest pause of a Sender that is being closed.
	lastPause = 500 * time.Millisecond

	// logEvery is how often the log is told of what lasts.
	logEvery = time.Minute
)

// outbox is what run keeps.
type outbox struct {
	lost     loss // in front of what is queued, to be told by the next request
	pause    time.Duration
	remained int // events of which there was no time to get rid, at the end

	isFailing     bool // as the log has it
	failureLogged time.Time
	droppedLogged time.Time
	droppedByThen int64 // counts.dropped
}

// run sends one batch after the other until the Sender is closed.
func (s *Sender) run() {
	defer close(s.done)
	for {
		b, ok := s.next()
		if !ok || !s.deliver(b) {
			break
		}
	}
	_, n := s.queue.close()
	s.counts.dropped.Add(int64(n))
	s.remained += n
	s.droppedLogged = time.Time{}
	s.logDropped(time.Now())
}

// next waits for something to send. It returns false at the end.
func (s *Sender) next() (batch, bool) {
	for {
		isClosing := s.isClosing()
		b, wait, ok := s.queue.take(time.Now(), isClosing)
		switch {
		case ok:
			return b, true
		case s.lost.n > 0:
			return batch{since: time.Now()}, true
		case isClosing:
			return batch{}, false
		}
		var due <-chan time.Time
		if wait >= 0 {
			due = time.After(wait)
		}
		select {
		case <-due:
		case <-s.queue.wake:
		case <-s.closing:
		}
	}
}

func (s *Sender) isClosing() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

// deliver sends b until it is taken, too old, or not wanted any more. It returns false when the
// Sender's time is over.
func (s *Sender) deliver(b batch) bool {
	id, body := "msg_"+rand.Text(), s.compose(b)
	for {
		f := s.post(id, body)
		now := time.Now()
		if f == nil {
			s.taken(b, now)
			return true
		}
		s.counts.failed.Add(1)
		s.logFailure(f, now)
		gaveUp := f.isGone || now.Sub(b.since) >= s.config.MaxAge
		if gaveUp {
			s.giveUp(b)
		}
		s.logDropped(now)
		var goOn bool
		if f.isGone {
			goOn = s.rest()
		} else {
			s.pause = min(max(2*s.pause, minPause), maxPause)
			jittered := s.pause - mathrand.N(s.pause/2)
			goOn = s.wait(max(jittered, f.retryAfter), f.retryAfter > 0)
		}
		switch {
		case !goOn && !gaveUp:
			s.giveUp(b)
			s.remained += b.n
			return false
		case !goOn:
			return false
		case gaveUp:
			return true
		}
	}
}

// compose returns the body for b. It is not used again: a request that has failed may still be
// read by the Transport.
func (s *Sender) compose(b batch) []byte {
	const head, tail = `{"events":[`, `]}`
	body := make([]byte, 0, len(head)+lossSize+len(s.config.Node)+len(b.events)+len(tail))
	body = append(body, head...)
	if s.lost.n > 0 {
		if body = s.lost.appendJSON(body, s.config.Node, time.Now()); len(b.events) > 0 {
			body = append(body, ',')
		}
	}
	return append(append(body, b.events...), tail...)
}

// taken notes that the backend has b, and knows what was lost before it.
func (s *Sender) taken(b batch, now time.Time) {
	s.queue.done(b)
	s.lost, s.pause = loss{}, 0
	s.counts.sent.Add(int64(b.n))
	s.counts.delivered.Add(1)
	if s.isFailing {
		s.isFailing = false
		s.config.Logger.Info("events: the backend takes events again")
	}
	s.logDropped(now)
}

// giveUp notes that the backend will not get b.
func (s *Sender) giveUp(b batch) {
	s.queue.done(b)
	m := b.missing()
	s.lost.add(m.n, m.since)
	s.counts.dropped.Add(int64(b.n))
}

// rest sends nothing until somebody has looked at the keys, and returns false at the end. The
// backend has answered 410.
func (s *Sender) rest() (goOn bool) {
	lost, n := s.queue.close()
	s.lost.add(lost.n, lost.since)
	s.counts.dropped.Add(int64(n))
	select {
	case <-s.resumed:
	case <-s.closing:
		return false
	}
	s.pause = 0
	s.queue.open()
	return true
}

// wait waits before the next attempt, and returns false if there is no time for one. Only as long
// as the backend has asked for is waited for at the end, too.
func (s *Sender) wait(pause time.Duration, isAsked bool) (goOn bool) {
	until := time.Now().Add(pause)
	for {
		closing := s.closing
		if s.isClosing() {
			closing = nil
			if last := time.Now().Add(lastPause); !isAsked && last.Before(until) {
				until = last
			}
			if !s.deadline.IsZero() && until.After(s.deadline) {
				return false
			}
		}
		timer := time.NewTimer(time.Until(until))
		select {
		case <-timer.C:
			return true
		case <-s.resumed:
			timer.Stop()
			return true
		case <-closing:
			timer.Stop()
		case <-s.ctx.Done():
			timer.Stop()
			return false
		}
	}
}

// logFailure logs the first failure, and that it goes on, now and then.
func (s *Sender) logFailure(f *failure, now time.Time) {
	log, queued := s.config.Logger, s.Stats().Queued
	switch {
	case f.isGone:
		log.Error("events: the backend has answered 410 Gone: nothing is sent to it until SIGHUP or a restart")
	case now.Sub(s.failureLogged) >= logEvery:
		log.Warn("events: the backend does not take events", "err", f.err, "queued", queued)
	default:
		return
	}
	s.isFailing, s.failureLogged = true, now
}

// logDropped logs what was dropped since it last did, not too often.
func (s *Sender) logDropped(now time.Time) {
	n := s.counts.dropped.Load()
	if n == s.droppedByThen || now.Sub(s.droppedLogged) < logEvery {
		return
	}
	s.config.Logger.Warn("events: some were dropped", "events", n-s.droppedByThen)
	s.droppedByThen, s.droppedLogged = n, now
}
