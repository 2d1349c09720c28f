//go:build linux

package bench

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"time"

	"github.com/usher-ws/usher/bench/load"
	"github.com/usher-ws/usher/bench/play"
	"github.com/usher-ws/usher/bench/proc"
)

// Idle measures what a connection costs that says nothing: the slope of the
// server's memory over the number of connections, which leaves out what it needs
// anyway.
type Idle struct {
	Common
	Steps  int           // at how many numbers of connections memory is read; default 4
	Hold   time.Duration // how long all are held at the end; default 2 s, negative: not at all
	Silent bool          // do not echo once on each connection before
	Size   int           // of that echo; default 20
}

const (
	defaultSteps = 4
	maxSteps     = 100
	defaultHold  = 2 * time.Second
	// settlePatience bounds the wait for a server's memory to come to rest.
	settlePatience = 5 * time.Second
	settleEvery    = 200 * time.Millisecond
	// settleCalm is how many readings in a row must be the same to a thousandth.
	settleCalm = 5
)

// Run measures. See the package's words on ctx and errors.
func (d Idle) Run(ctx context.Context) (*Report, error) {
	if err := d.complete(); err != nil {
		return nil, err
	}
	d.Steps, d.Hold, d.Size = orDefault(d.Steps, defaultSteps), max(orDefault(d.Hold, defaultHold), 0), orDefault(d.Size, defaultSize)
	if err := cmp.Or(within("steps", d.Steps, 1, maxSteps), within("size", d.Size, 1, maxSize)); err != nil {
		return nil, err
	}
	s, err := begin(ctx, &d.Common, "idle", plan{
		Role: echoRole, Conns: d.Conns,
		Echo: play.EchoConfig{Size: d.Size, Timeout: d.Timeout, Touch: !d.Silent},
	})
	defer s.end()
	if err != nil {
		return nil, err
	}
	r := s.report
	r.set("connections", group(d.Conns))
	r.set("steps", d.Steps)
	r.set("hold", d.Hold)
	if d.Silent {
		r.set("echoed once", "no")
	}
	opening, err := d.climb(ctx, s)
	if err != nil {
		return nil, err
	}
	open, err := d.hold(ctx, s)
	if err != nil {
		return nil, err
	}
	return d.conclude(s, open, opening), nil
}

// climb opens the connections step by step and reads the memory at each. It
// returns the time that the opening took.
func (d *Idle) climb(ctx context.Context, s *session) (opening time.Duration, err error) {
	empty := d.step(s, 0)
	s.report.Memory = append(s.report.Memory, empty)
	for k := 1; k <= d.Steps && ctx.Err() == nil; k++ {
		n := int(int64(d.Conns) * int64(k) / int64(d.Steps))
		begun := time.Now()
		if err := s.connect(ctx, n, d.Conns); err != nil {
			return 0, err
		}
		opening += time.Since(begun)
		d.settle(ctx, s)
		t, err := s.crew.take()
		if err != nil {
			return 0, err
		}
		s.note(&t)
		s.report.Memory = append(s.report.Memory, d.step(s, t.Open))
	}
	s.report.Cut = ctx.Err() != nil
	return opening, nil
}

func (d *Idle) step(s *session, conns int) Step {
	st := Step{Conns: conns, Kernel: proc.ReadKernel()}
	if s.server.known() {
		st.Server, _ = proc.Read(s.server.pids)
	}
	return st
}

// settle waits until the server's memory does not change any more.
func (d *Idle) settle(ctx context.Context, s *session) {
	limit := time.Now().Add(settlePatience)
	var last int64
	for calm := 0; calm < settleCalm && time.Now().Before(limit); {
		if !pause(ctx, settleEvery) {
			return
		}
		u, err := proc.Read(s.server.pids)
		if err != nil {
			return
		}
		if calm++; math.Abs(float64(u.RSS-last)) > float64(u.RSS)/1000 {
			calm = 0
		}
		last = u.RSS
		s.progress("coming to rest", float64(calm)/settleCalm, "RSS %s", size(float64(u.RSS)))
	}
}

// hold keeps the connections and returns how many are left at the end.
func (d *Idle) hold(ctx context.Context, s *session) (open int, err error) {
	end := time.Now().Add(d.Hold)
	for {
		t, err := s.crew.take()
		if err != nil {
			return 0, err
		}
		s.note(&t)
		open = t.Open
		left := time.Until(end)
		s.progress("holding", 1-float64(left)/float64(d.Hold), "%s open", group(open))
		if left <= 0 || !pause(ctx, min(left, sampleEvery)) {
			return open, s.fleet.fallen()
		}
	}
}

func (d *Idle) conclude(s *session, open int, opening time.Duration) *Report {
	r := s.report
	steps := r.Memory
	r.add("open", "connections held", float64(open), Count)
	r.add("opening", "time to open them", float64(opening), Nanos)
	r.add("opened_per_second", "connections opened", float64(open)/opening.Seconds(), PerSec)
	if gone := d.Conns - open - r.Faults.Total(); gone > 0 && !r.Cut {
		r.Faults.Add(load.Fault{Kind: load.CannotConnect}, gone)
	}
	found := fmt.Sprintf("%s connections held", group(open))
	if s.server.known() && !s.server.ours() {
		rss := slope(steps[1:], func(s Step) int64 { return s.Server.RSS })
		r.add("rss_per_connection", "server RSS per connection", rss, Bytes)
		r.add("anon_per_connection", "server anonymous memory per connection", slope(steps[1:], func(s Step) int64 { return s.Server.Anon }), Bytes)
		r.add("pss_per_connection", "server PSS per connection", slope(steps[1:], func(s Step) int64 { return s.Server.PSS }), Bytes)
		r.add("rss_fixed", "server RSS before the first", float64(steps[0].Server.RSS), Bytes)
		last := steps[len(steps)-1].Server
		r.add("rss", "server RSS with all", float64(last.RSS), Bytes)
		r.add("fds", "server open files", float64(last.FDs), Count)
		r.add("threads", "server threads", float64(last.Threads), Count)
		if !math.IsNaN(rss) {
			found += fmt.Sprintf(", %s of server RSS each", size(rss))
		}
	}
	r.add("slab_per_connection", "kernel slab per connection, both ends", slope(steps, func(s Step) int64 { return s.Kernel.Slab }), Bytes)
	used := slope(steps, func(s Step) int64 { return -s.Kernel.Free })
	const machine = "memory of the machine per connection, all in all"
	if used <= 0 {
		r.withhold("machine_per_connection", machine, Bytes, "others gave back more than the connections took")
	} else {
		r.add("machine_per_connection", machine, used, Bytes)
	}
	s.confess()
	r.note("Slab and the memory of the machine are of everything that runs on it, the client included: " +
		"over loopback a connection has two sockets.")
	r.Tables = append(r.Tables, memoryTable(steps))
	return r.finish(found)
}

func memoryTable(steps []Step) Table {
	t := Table{Title: "memory", Columns: []string{"connections", "RSS", "PSS", "anonymous", "slab", "open files", "threads"}}
	for _, s := range steps {
		t.Rows = append(t.Rows, []string{
			group(s.Conns), size(float64(s.Server.RSS)), size(float64(s.Server.PSS)), size(float64(s.Server.Anon)),
			size(float64(s.Kernel.Slab)), group(s.Server.FDs), group(s.Server.Threads),
		})
	}
	return t
}

// slope is the rise of a value for each connection, by least squares; NaN for
// fewer than two numbers of connections.
func slope(steps []Step, value func(Step) int64) float64 {
	n := float64(len(steps))
	var sx, sy, sxx, sxy float64
	for _, s := range steps {
		x, y := float64(s.Conns), float64(value(s))
		sx, sy, sxx, sxy = sx+x, sy+y, sxx+x*x, sxy+x*y
	}
	return (n*sxy - sx*sy) / (n*sxx - sx*sx)
}
