//go:build linux

package bench

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"time"

	"github.com/usher-ws/usher/bench/internal/load"
	"github.com/usher-ws/usher/bench/internal/play"
	"github.com/usher-ws/usher/bench/internal/proc"
)

// Idle measures what a silent connection costs: the slope of the server's memory
// over the number of connections, which leaves out what the server needs anyway.
type Idle struct {
	Common
	Steps  int           // at how many numbers of connections memory is read; default 4
	Hold   time.Duration // how long all are held at the end; default 2 s, negative: not at all
	Silent bool          // do not echo once on each connection before; what the server says is let pass
	Size   int           // of that echo; default 20

	rest []Step // the memory before the first connection
}

const (
	defaultSteps = 4
	maxSteps     = 100
	defaultHold  = 2 * time.Second
	// settlePatience bounds the wait for a server's memory to come to rest.
	settlePatience = 5 * time.Second
	settleEvery    = 200 * time.Millisecond
	// settleCalm is how many readings in a row must be the same to a thousandth: usher gives
	// back what came with a crowd up to two seconds after it.
	settleCalm = 12
	// restLooks is how often memory is read before the first connection, to know what it
	// does by itself.
	restLooks = 4
)

// Run measures. See the package's words on ctx and errors.
func (d Idle) Run(ctx context.Context) (*Report, error) {
	if err := d.complete(); err != nil {
		return nil, err
	}
	d.Steps, d.Hold, d.Size = cmp.Or(d.Steps, defaultSteps), max(cmp.Or(d.Hold, defaultHold), 0), cmp.Or(d.Size, defaultSize)
	if err := cmp.Or(within("steps", d.Steps, 1, maxSteps), within("size", d.Size, 1, maxSize)); err != nil {
		return nil, err
	}
	p := plan{Role: echoRole, Conns: d.Conns, Echo: play.EchoConfig{Size: d.Size, Timeout: d.Timeout, Touch: true}}
	if d.Silent {
		p.Echo = play.EchoConfig{Timeout: d.Timeout, Active: -1, Unasked: true}
	}
	s, err := begin(ctx, &d.Common, "idle", p)
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
	for range restLooks {
		d.rest = append(d.rest, d.step(s, 0))
		pause(ctx, settleEvery)
	}
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
		d.rise(r, "rss_per_connection", "server RSS per connection", steps[1:], func(s Step) int64 { return s.Server.RSS })
		d.rise(r, "anon_per_connection", "server anonymous memory per connection", steps[1:], func(s Step) int64 { return s.Server.Anon })
		if steps[0].Server.PSS > 0 {
			d.rise(r, "pss_per_connection", "server PSS per connection", steps[1:], func(s Step) int64 { return s.Server.PSS })
		}
		r.add("rss_fixed", "server RSS before the first", float64(steps[0].Server.RSS), Bytes)
		last := steps[len(steps)-1].Server
		r.add("rss", "server RSS with all", float64(last.RSS), Bytes)
		r.add("fds", "server open files", float64(last.FDs), Count)
		r.add("threads", "server threads", float64(last.Threads), Count)
		if f := r.Figure("rss_per_connection"); f.Withheld == "" {
			found += fmt.Sprintf(", %v of server RSS each", f)
		}
	}
	d.rise(r, "slab_per_connection", "kernel slab per connection, both ends", steps, func(s Step) int64 { return s.Kernel.Slab })
	d.rise(r, "machine_per_connection", "memory of the machine per connection, all in all", steps, func(s Step) int64 { return -s.Kernel.Free })
	s.confess()
	r.note("Slab and the memory of the machine are of everything that runs on it, the client included: " +
		"over loopback a connection has two sockets.")
	r.Tables = append(r.Tables, memoryTable(steps))
	return r.finish(found)
}

// rise adds how much a value rises for each connection, unless that is not more than
// what the value does by itself.
func (d *Idle) rise(r *Report, key, label string, steps []Step, value func(Step) int64) {
	each, noise := slope(steps, value)
	if noise = max(noise, d.restless(value)); each > noise {
		r.add(key, label, each, Bytes)
		return
	}
	why := fmt.Sprintf("%s a connection is below the noise, which is %s", size(each), size(noise))
	if math.IsNaN(each) {
		why = "there is no rise over a single number of connections"
	}
	r.withhold(key, label, Bytes, why)
}

// restless is how much a value moved while there was no connection, for each that there
// was in the end.
func (d *Idle) restless(value func(Step) int64) float64 {
	if len(d.rest) == 0 {
		return 0
	}
	low, high := value(d.rest[0]), value(d.rest[0])
	for _, s := range d.rest {
		low, high = min(low, value(s)), max(high, value(s))
	}
	return float64(high-low) / float64(d.Conns)
}

func memoryTable(steps []Step) Table {
	t := Table{Title: "memory", Columns: []string{"connections", "RSS", "PSS", "anonymous", "slab", "open files", "threads"}}
	// What is 0 or less could not be seen.
	seen := func(n int64, format func(float64) string) string {
		if n <= 0 {
			return noValue
		}
		return format(float64(n))
	}
	for _, s := range steps {
		t.Rows = append(t.Rows, []string{
			group(s.Conns), seen(s.Server.RSS, size), seen(s.Server.PSS, size), seen(s.Server.Anon, size),
			seen(s.Kernel.Slab, size), seen(int64(s.Server.FDs), significant), seen(int64(s.Server.Threads), significant),
		})
	}
	return t
}

// slope is the rise of a value for each connection, by least squares, NaN for fewer than
// two numbers of connections; and how far that can be chance, 0 where the points are too
// few to tell.
func slope(steps []Step, value func(Step) int64) (each, noise float64) {
	n := float64(len(steps))
	var sx, sy, sxx, sxy float64
	for _, s := range steps {
		x, y := float64(s.Conns), float64(value(s))
		sx, sy, sxx, sxy = sx+x, sy+y, sxx+x*x, sxy+x*y
	}
	spread := sxx - sx*sx/n
	each = (sxy - sx*sy/n) / spread
	if len(steps) < 3 {
		return each, 0
	}
	base, squares := (sy-each*sx)/n, 0.0
	for _, s := range steps {
		off := float64(value(s)) - base - each*float64(s.Conns)
		squares += off * off
	}
	// Student's t for four points, two degrees of freedom and 95 %; for more points it is less.
	const t = 4.3
	return each, t * math.Sqrt(squares/(n-2)/spread)
}
