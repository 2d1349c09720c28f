//go:build linux

package bench

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/usher-ws/usher/bench/internal/load"
	"github.com/usher-ws/usher/bench/internal/proc"
)

// Handshake measures a server's door: connect, upgrade, close, and again, over
// Conns connections at once.
type Handshake struct{ Common }

// Refuse measures how a server refuses, and whether clients learn why. The
// URL, the token or the origin has to be one that the server refuses.
type Refuse struct {
	Common
	Padding int // bytes of headers that mean nothing, to be still sending when the answer comes
}

const maxPadding = 1 << 20

// Run measures. See the package's words on ctx and errors.
func (h Handshake) Run(ctx context.Context) (*Report, error) {
	s, m, err := runDoor(ctx, &h.Common, "handshake", plan{Role: doorRole})
	defer s.end()
	if err != nil {
		return nil, err
	}
	r := s.report
	with := s.included()
	r.throughput("handshakes"+with, m)
	r.latency("", "connect to upgraded"+with, m.Latency, m.Late)
	r.efforts("handshake"+with, m, s)
	r.add("handshakes", "handshakes"+with, float64(m.Received), Count)
	return r.finish(r.found("each" + with)), nil
}

// Run measures. See the package's words on ctx and errors.
func (f Refuse) Run(ctx context.Context) (*Report, error) {
	if err := within("padding", f.Padding, 0, maxPadding); err != nil {
		return nil, err
	}
	s, m, err := runDoor(ctx, &f.Common, "refuse", plan{Role: doorRole, Refused: true, Door: doorPlan{Padding: f.Padding}})
	defer s.end()
	if err != nil {
		return nil, err
	}
	r := s.report
	if f.Padding > 0 {
		r.set("padding", group(f.Padding)+" B")
	}
	statuses := Table{Title: "refusals", Columns: []string{"status", "clients"}}
	for _, fault := range r.Faults.Sorted() {
		if fault.Kind == load.Refused {
			statuses.Rows = append(statuses.Rows, []string{fault.String(), group(r.Faults[fault])})
		}
	}
	// All since the first dial: the share is one of clients, not of time.
	refused := r.Faults.Of(load.Refused)
	dialed := refused + r.Faults.Without(load.Refused).Total()
	r.Faults = r.Faults.Without(load.Refused) // as it should be
	with := s.included()
	r.throughput("refusals"+with, m)
	r.add("read_status", "refused clients that read the status", 100*float64(refused)/float64(dialed), Percent)
	bodies := 100 * float64(m.Bodies+m.tail.Bodies) / float64(m.Received+m.tail.Received+uint64(m.lost()))
	r.add("read_all", "refused clients that read status and body", bodies, Percent)
	r.latency("", "connect to refused"+with, m.Latency, m.Late)
	r.efforts("refusal"+with, m, s)
	r.Tables = append(r.Tables, statuses)
	return r.finish(r.found("each"+with) + fmt.Sprintf(", %.1f %% read status and body", bodies)), nil
}

// lost is how many of the measured went away without an answer.
func (m *measurement) lost() int {
	lost := make(load.Faults)
	lost.Merge(m.Faults)
	lost.Merge(m.tail.Faults)
	return lost.Without(load.Refused).Total()
}

func runDoor(ctx context.Context, c *Common, scenario string, p plan) (*session, *measurement, error) {
	if err := c.complete(); err != nil {
		return noSession(c), nil, err
	}
	p.Conns, p.AtOnce = c.Conns, c.Conns
	s, err := begin(ctx, c, scenario, p)
	if err != nil {
		return s, nil, err
	}
	s.report.set("at once", group(c.Conns))
	s.report.set("duration", c.Duration)
	m, err := s.play(ctx, "measuring", c.Warmup)
	if err != nil {
		return s, nil, err
	}
	if s.isSecure() && s.crew.processes == 0 {
		s.charge(&m)
	}
	s.report.Cut, s.report.Series = m.cut, m.series
	if m.Received == 0 && s.report.Faults.Total() == 0 {
		return s, nil, errors.Join(errNothing, s.fleet.fallen())
	}
	return s, &m, nil
}

// charge counts the whole process as the client, whose half of the handshakes of TLS runs beside
// its loops.
func (s *session) charge(m *measurement) {
	m.CPU = m.process
	if cores := proc.Processors(os.Getpid()); cores > 0 {
		m.Busy = max(m.Busy, float64(m.CPU)/float64(m.Wall)/float64(cores))
	}
	s.report.note("The client's CPU is that of its process: handshakes of TLS run beside its loops.")
}
