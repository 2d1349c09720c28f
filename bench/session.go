//go:build linux

package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/usher-ws/usher/bench/internal/load"
)

// session is one run: the servers, if it started them, the crew, and the report
// that grows. It belongs to the goroutine of Run.
type session struct {
	c      *Common
	doors  []load.Target
	own    pair // of the servers, if they want it
	fleet  *fleet
	crew   *crew
	unpin  func()
	server *server
	report *Report
}

// begin makes everything ready for the first connection. p says what the crew
// does; how many, where and what is said at the door are filled in here. The
// caller ends the session, also after an error.
func begin(ctx context.Context, c *Common, scenario string, p plan) (s *session, err error) {
	s = noSession(c)
	if s.doors, err = doorsOf(ctx, c.URL); err != nil {
		return s, err
	}
	s.report = newReport(scenario, c.URL)
	if err = s.launch(ctx); err != nil {
		return s, err
	}
	if s.unpin, err = pinSelf(c.PinClient); err != nil {
		return s, err
	}
	if s.server, err = findServer(c.PIDs, s.fleet, s.doors); err != nil {
		return s, err
	}
	if err := s.secure(ctx); err != nil {
		return s, err
	}
	crew, err := s.newCrew(p)
	if err != nil {
		return s, err
	}
	s.crew = crew
	if n := len(s.doors); n > 1 {
		s.report.set("servers", n)
	}
	if crew.processes > 0 {
		s.report.set("client processes", crew.processes)
	}
	return s, nil
}

// noSession is a session with nothing to end.
func noSession(c *Common) *session {
	return &session{c: c, fleet: &fleet{}, crew: &crew{}, unpin: func() {}}
}

// newCrew returns a crew for the session's servers; begin has more.
func (s *session) newCrew(p plan) (*crew, error) {
	padding, first := p.Door.Padding, p.Door.First
	var err error
	if p.Door, err = s.c.request(); err != nil {
		return nil, err
	}
	p.Door.Padding, p.Door.First = padding, first
	p.Targets, p.TLS = s.doors, s.c.TLS
	p.Sources = sources(s.doors, p.Conns, p.Role == doorRole || p.Role == hostileRole)
	p.Timeout = cmp.Or(p.Timeout, s.c.Timeout)
	return newCrew(s.c, p)
}

// end releases everything. Our side closes the connections first: what the servers
// do from now on does not count.
func (s *session) end() {
	_ = s.crew.close()
	s.unpin()
	s.fleet.stop()
	s.own.remove()
}

// progress calls Common.Progress, if there is one.
func (s *session) progress(phase string, done float64, format string, args ...any) {
	if s.c.Progress != nil {
		s.c.Progress(Progress{phase, min(max(done, 0), 1), fmt.Sprintf(format, args...)})
	}
}

const (
	// pollEvery is how often progress is looked at.
	pollEvery = 50 * time.Millisecond
	// pollEach is how much longer that is for each process that is asked, lest the
	// machine be busy with the asking.
	pollEach = 10 * time.Millisecond
	// sampleEvery is the step of the time series.
	sampleEvery = time.Second
)

// connect asks for n of the crew's connections and waits until no more are
// coming and none owes an answer. If none is open, that is an error: there is nothing
// to measure.
func (s *session) connect(ctx context.Context, n, total int) error {
	if err := s.crew.open(n, total); err != nil {
		return err
	}
	ticks := time.NewTicker(max(pollEvery, time.Duration(len(s.crew.hands))*pollEach))
	defer ticks.Stop()
	var t stretch
	for {
		part, err := s.crew.take()
		if err != nil {
			return err
		}
		s.note(&part)
		t = part
		s.progress("connecting", float64(t.Open)/float64(n), "%s of %s open", group(t.Open), group(n))
		if t.Waiting == 0 && t.Pending == 0 {
			break
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
		}
	}
	if err := s.fleet.fallen(); err != nil {
		return err
	}
	if t.Open == 0 {
		return fmt.Errorf("no connection to %s: %v", s.c.URL, s.report.Faults)
	}
	return nil
}

const (
	// calmEvery is how long nothing must arrive before calm returns.
	calmEvery    = 300 * time.Millisecond
	calmPatience = time.Minute
)

// calm waits until the server has told all members about the new ones, as chats do.
// Some send a message for each pair.
func (s *session) calm(ctx context.Context) error {
	for limit := time.Now().Add(calmPatience); time.Now().Before(limit) && pause(ctx, calmEvery); {
		t, err := s.crew.take()
		if err != nil {
			return err
		}
		s.note(&t)
		if t.BytesIn == 0 {
			break
		}
		s.progress("waiting for silence", 0, "%s messages", group(int(t.Other)))
	}
	return s.fleet.fallen()
}

// note keeps what went wrong in a stretch, and what the server said.
func (s *session) note(t *stretch) {
	s.report.Faults.Merge(t.Faults)
	s.report.said.Merge(t.Told)
}

// measurement is what happened between two looks at the server.
type measurement struct {
	load.Tally
	tail    load.Tally // what came after the end, of what began before
	series  []Sample
	server  spent
	cut     bool          // by ctx
	pending int           // what did not come in the end
	process time.Duration // CPU of this one
}

// play starts what the crew does, lets it warm up, and measures it for the
// duration; then it waits for what is under way.
func (s *session) play(ctx context.Context, phase string, warmup time.Duration) (m measurement, err error) {
	before, err := s.warm(ctx, warmup)
	if err != nil {
		return m, err
	}
	m, err = s.measure(ctx, phase, before)
	if err != nil {
		return m, err
	}
	if err := s.crew.stop(); err != nil {
		return m, err
	}
	return m, s.drain(ctx, &m)
}

// warm starts the crew, and of the time of the warm-up only faults are kept. The
// look at the server comes before anything counts: at a large one it takes a
// while, in which our loops may have to wait for a processor.
func (s *session) warm(ctx context.Context, d time.Duration) (before look, err error) {
	if d == 0 {
		before = s.server.look()
		return before, s.crew.start()
	}
	if err := s.crew.start(); err != nil {
		return before, err
	}
	s.progress("warming up", 0, "%v", d)
	pause(ctx, d)
	before = s.server.look()
	t, err := s.crew.take()
	s.note(&t)
	return before, err
}

// pause returns after d, or false at the end of ctx.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// measure watches crew and server for the duration, or until ctx ends. before is
// the server at the beginning.
func (s *session) measure(ctx context.Context, phase string, before look) (m measurement, err error) {
	d := s.c.Duration
	begin, used := time.Now(), processCPU()
	last := before
	for elapsed := time.Duration(0); elapsed < d && !m.cut; elapsed = time.Since(begin) {
		m.cut = !pause(ctx, min(sampleEvery, d-elapsed))
		t, err := s.crew.take()
		if err != nil {
			return m, err
		}
		s.note(&t)
		now := s.server.glance()
		m.series = append(m.series, sample(time.Since(begin), &t.Tally, last.until(now)))
		m.Append(&t.Tally)
		last = now
		at := m.series[len(m.series)-1]
		s.progress(phase, float64(time.Since(begin))/float64(d), "%s/s, p99 %v, %d errors",
			at.Rate.or(significant), at.P99.or(duration), s.report.Faults.Total())
	}
	m.process = processCPU() - used
	m.server = before.until(s.server.look())
	return m, s.fleet.fallen()
}

// drain waits for the answers to what was sent before the end. Their latency
// counts, or else the slowest would be left out.
func (s *session) drain(ctx context.Context, m *measurement) error {
	limit := time.Now().Add(s.c.Timeout + time.Second)
	for {
		t, err := s.crew.take()
		if err != nil {
			return err
		}
		s.note(&t)
		m.tail.Append(&t.Tally)
		m.pending = t.Pending
		if m.cut || t.Pending == 0 || time.Now().After(limit) {
			break
		}
		s.progress("waiting for the last answers", 1, "%s", group(t.Pending))
		if !pause(ctx, pollEvery) {
			m.cut = true
		}
	}
	m.Latency.Merge(m.tail.Latency)
	m.Last.Merge(m.tail.Last)
	if !m.cut && m.pending > 0 {
		f := load.Fault{Kind: load.Unanswered}
		m.tail.Faults.Add(f, m.pending)
		s.report.Faults.Add(f, m.pending)
	}
	m.Faults.Merge(m.tail.Faults)
	return nil
}

// confess says why the report has nothing about the server, if it has nothing.
func (s *session) confess() {
	switch {
	case !s.server.known():
		s.report.note("The server's process is not known, so what it used is not reported; name it with --pid.")
	case s.server.ours():
		s.report.note("The server is this very process: what it used cannot be told from what we used.")
	}
}

// errNothing is for a run that ctx ended before it began.
var errNothing = errors.New("interrupted before anything was measured")
