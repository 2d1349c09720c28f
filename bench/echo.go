//go:build linux

package bench

import (
	"cmp"
	"context"

	"github.com/usher-ws/usher/bench/internal/play"
)

// Echo measures a server that sends every message back.
type Echo struct {
	Common
	Size     int     // of a message, in bytes; default 20
	Text     bool    // text messages, else binary
	InFlight int     // of one connection; default 1, with a rate 1,024
	Rate     float64 // messages a second of all connections; 0: as the answers come
	Beside   int     // further connections that are open and say nothing
}

const (
	defaultSize = 20
	// openInFlight only bounds memory: an open loop does not wait for answers.
	openInFlight = 1024
	maxSize      = 16 << 20
)

// Run measures. See the package's words on ctx and errors.
func (e Echo) Run(ctx context.Context) (*Report, error) {
	if err := e.complete(); err != nil {
		return nil, err
	}
	e.Size = cmp.Or(e.Size, defaultSize)
	if e.Rate > 0 {
		e.InFlight = cmp.Or(e.InFlight, openInFlight)
	}
	e.InFlight = cmp.Or(e.InFlight, 1)
	if err := cmp.Or(
		within("size", e.Size, 1, maxSize),
		within("messages in flight", e.InFlight, 1, 1<<16),
		within("idle connections", e.Beside, 0, maxConns),
		positive("rate", e.Rate),
	); err != nil {
		return nil, err
	}
	s, err := begin(ctx, &e.Common, "echo", plan{Role: echoRole, Conns: e.Conns + e.Beside, Echo: e.play()})
	defer s.end()
	if err != nil {
		return nil, err
	}
	e.describe(s.report)
	if err := s.connect(ctx, e.Conns+e.Beside, e.Conns+e.Beside); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, errNothing
	}
	m, err := s.play(ctx, "measuring", e.Warmup)
	if err != nil {
		return nil, err
	}
	return e.conclude(s, &m), nil
}

func (e *Echo) play() play.EchoConfig {
	return play.EchoConfig{
		Size: e.Size, Text: e.Text, InFlight: e.InFlight, Rate: e.Rate, Timeout: e.Timeout, Active: e.Conns,
	}
}

func (e *Echo) describe(r *Report) {
	r.set("connections", group(e.Conns))
	if e.Beside > 0 {
		r.set("idle beside", group(e.Beside))
	}
	r.set("size", group(e.Size)+" B")
	if e.Text {
		r.set("opcode", "text")
	}
	if e.Rate > 0 {
		r.set("rate", significant(e.Rate)+"/s, open loop")
	} else {
		r.set("in flight", e.InFlight)
	}
	r.set("duration", e.Duration)
}

// conclude turns what was measured into the report.
func (e *Echo) conclude(s *session, m *measurement) *Report {
	r := s.report
	r.Cut, r.Series = m.cut, m.series
	r.throughput("echoes", m)
	r.latency("", "latency", m.Latency, m.Late)
	r.efforts("message", m, s)
	r.add("messages", "messages echoed", float64(m.Received), Count)
	if e.Rate > 0 {
		r.late(m.Late)
	} else {
		r.note("A closed loop: every connection waits for its answer, so a stall of the server is counted once, " +
			"not for all who would have asked meanwhile. Latency as users see it is measured with --rate.")
	}
	return r.finish(r.found("per message"))
}
