//go:build linux

package bench

import (
	"cmp"
	"context"
	"fmt"

	"github.com/usher-ws/usher/bench/internal/load"
	"github.com/usher-ws/usher/bench/internal/play"
)

// Fanout measures a server that sends what one client says to all others: to the room
// that the URL names. Conns is how many listen; the publisher is one more.
type Fanout struct {
	Common
	Size   int     // of a message, in bytes; default 128, at least 16
	Text   bool    // text messages, else binary; chats want text
	Window int     // messages published that have not reached all; default 1
	Rate   float64 // messages published a second; 0: as the window allows
}

const defaultFanoutSize = 128

// Run measures. See the package's words on ctx and errors.
func (f Fanout) Run(ctx context.Context) (*Report, error) {
	if err := f.complete(); err != nil {
		return nil, err
	}
	f.Size, f.Window = cmp.Or(f.Size, defaultFanoutSize), cmp.Or(f.Window, 1)
	if err := cmp.Or(
		within("size", f.Size, load.StampSize, maxSize),
		within("window", f.Window, 1, 1<<16),
		positive("rate", f.Rate),
	); err != nil {
		return nil, err
	}
	if f.Conns+1 > files() {
		return nil, usagef("%s members and a publisher do not fit into one process, which may open %s files here (ulimit -n); fanout cannot use more than one",
			group(f.Conns), group(files()))
	}
	f.Loops = 1 // one loop counts which message reached which member
	s, err := begin(ctx, &f.Common, "fanout", plan{
		Role: fanoutRole, Conns: f.Conns + 1,
		Fanout: play.FanoutConfig{Size: f.Size, Text: f.Text, Window: f.Window, Rate: f.Rate, Timeout: f.Timeout},
	})
	defer s.end()
	if err != nil {
		return nil, err
	}
	r := s.report
	r.set("members", group(f.Conns))
	r.set("size", group(f.Size)+" B")
	r.set("window", f.Window)
	if f.Rate > 0 {
		r.set("rate", significant(f.Rate)+"/s")
	}
	r.set("duration", f.Duration)
	if err := s.connect(ctx, f.Conns+1, f.Conns+1); err != nil {
		return nil, err
	}
	if err := s.calm(ctx); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, errNothing
	}
	m, err := s.play(ctx, "measuring", f.Warmup)
	if err != nil {
		return nil, err
	}
	r.Cut, r.Series = m.cut, m.series
	r.throughput("deliveries", &m)
	r.add("published", "messages published", float64(m.Sent), Count)
	r.latency("", "to each member", m.Latency, m.Late)
	r.latency("last_", "to the last member", m.Last, m.Late)
	r.late(m.Late)
	r.efforts("delivery", &m, s)
	if m.Other > 0 {
		r.add("other", "other messages received", float64(m.Other), Count)
	}
	return r.finish(r.found("each") + fmt.Sprintf(", last member p50 %v", r.word("last_p50"))), nil
}
