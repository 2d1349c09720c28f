//go:build linux

package server

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/usher-ws/usher/upgrade"
)

// What a loop counts it keeps in plain numbers of its own, a RouteStats for each
// route: the path of a message has no atomics for them. A reader asks the
// loops for copies.

// mostWords is how many words a loop tells a route's refusals or closes apart by: those
// of a guard or a handler may be any.
const mostWords = 64

// addTo adds n to the count of a word.
func addTo(counts *map[string]int64, word string, n int64) {
	if *counts == nil {
		*counts = make(map[string]int64)
	}
	if _, known := (*counts)[word]; !known && len(*counts) >= mostWords {
		word = "other"
	}
	(*counts)[word] += n
}

// surveyTime is how long a loop may take to answer. An operator wants to know of one that
// takes longer, and not to wait for it.
const surveyTime = time.Second

// loopCopy is what a loop has counted up to a moment.
type loopCopy struct {
	conns, dialled int
	buffered       int
	late           int64
	routes         []RouteStats
}

// survey asks all loops for copies and notes in loops how long they took. Of a loop
// that does not answer, or has ended, there is the last copy. In a callback no loop is
// waited for.
func (s *Server) survey(loops []LoopStats) []*loopCopy {
	asked := time.Now()
	type answer struct {
		id    int
		delay time.Duration
	}
	answers := make(chan answer, len(s.loops))
	waiting, here := 0, s.here()
	for _, l := range s.loops {
		if l == here {
			l.publish()
			continue
		}
		err := l.Post(func() {
			l.publish()
			answers <- answer{l.ID(), time.Since(asked)}
		})
		if err == nil && here == nil {
			loops[l.ID()].Stuck, loops[l.ID()].Delay = true, surveyTime
			waiting++
		}
	}
	late := time.NewTimer(surveyTime)
	defer late.Stop()
	for ; waiting > 0; waiting-- {
		select {
		case a := <-answers:
			loops[a.id].Stuck, loops[a.id].Delay = false, a.delay
		case <-late.C:
			waiting = 1
		case <-s.done:
			waiting = 1
		}
	}
	copies := make([]*loopCopy, len(s.loops))
	for k, l := range s.loops {
		copies[k] = l.published.Load()
	}
	return copies
}

// publish makes a copy of the loop's counters for others to see.
func (l *loop) publish() {
	l.weighTables()
	c := &loopCopy{
		conns:    l.Streams() - l.Dialled(),
		dialled:  l.Dialled(),
		buffered: l.Buffers.InUse(),
		late:     l.LateTicks(),
		routes:   make([]RouteStats, len(l.routes)+1),
	}
	for k := range c.routes {
		t := &l.unroutedTally
		if k < len(l.routes) {
			t = &l.routes[k].tally
		}
		c.routes[k] = *t
		c.routes[k].Refusals, c.routes[k].Closes = maps.Clone(t.Refusals), maps.Clone(t.Closes)
	}
	l.published.Store(c)
}

// tallyOf returns where the loop counts what happens on lr, which may be nil.
func (l *loop) tallyOf(lr *loopRoute) *RouteStats {
	if lr == nil {
		return &l.unroutedTally
	}
	return &lr.tally
}

// noteRefusal counts a refusal by its code, and tells the log and the middleware of
// it. An answer to a probe or a preflight is no refusal.
func (l *loop) noteRefusal(s link, lr *loopRoute, r *upgrade.Request, err error) {
	var e *upgrade.Rejection
	if !errors.As(err, &e) {
		return
	}
	addTo(&l.tallyOf(lr).Refusals, e.Word(), 1)
	if r == nil {
		r = new(upgrade.Request)
	}
	if !r.RemoteAddr.IsValid() {
		r.RemoteAddr = peer(s)
	}
	l.srv.logRefusal(r, e, err)
	for _, told := range slices.Backward(l.refusedOf(lr)) {
		defer func() { _ = l.try(func() error { told(r, e); return nil }) }() // all, also if one ends the goroutine
	}
}

// refusedOf returns the hooks that are told of refusals on lr, which may be nil.
func (l *loop) refusedOf(lr *loopRoute) []RefusedFunc {
	if lr == nil {
		return l.unroutedRefused
	}
	return lr.refused
}

// countClose counts the end of a connection. A client can make up three thousand
// codes of its own, so these are counted by their thousands.
func (t *RouteStats) countClose(e *CloseError) {
	word := strconv.Itoa(int(e.Code))
	if e.byPeer && e.Code >= 3000 {
		word = word[:1] + "xxx"
	}
	addTo(&t.Closes, word, 1)
	t.Conns--
}
