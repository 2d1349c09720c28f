//go:build linux

package bench

import (
	"fmt"
	"time"

	"github.com/usher-ws/usher/bench/internal/load"
)

// latency adds the usual percentiles of h and its whole distribution. key is a
// prefix, "" or one that ends in "_". late is how late the client itself was, none
// for a closed loop.
func (r *Report) latency(key, name string, h, late load.Histogram) {
	if h.Count() == 0 {
		return
	}
	r.percentile(key+"p50", name+" p50", h, late, 50)
	r.percentile(key+"p90", name+" p90", h, late, 90)
	r.percentile(key+"p99", name+" p99", h, late, 99)
	r.percentile(key+"p999", name+" p99.9", h, late, 99.9)
	r.percentile(key+"p9999", name+" p99.99", h, late, 99.99)
	r.percentile(key+"max", name+" max", h, late, 100)
	if late.Mean() > h.Mean()/2 {
		r.withhold(key+"mean", name+" mean", Nanos, fmt.Sprintf("%s: %s late", clientLate, short(late.Mean())))
	} else {
		r.add(key+"mean", name+" mean", float64(h.Mean()), Nanos)
	}
	r.Shapes = append(r.Shapes, Shape{name, h.Count(), points(h, late), h})
}

// shape adds the percentiles that tell a comparison, and the distribution.
func (r *Report) shape(key, name string, h, late load.Histogram) {
	if h.Count() == 0 {
		return
	}
	r.percentile(key+"p50", name+" p50", h, late, 50)
	r.percentile(key+"p99", name+" p99", h, late, 99)
	r.percentile(key+"p999", name+" p99.9", h, late, 99.9)
	r.Shapes = append(r.Shapes, Shape{name, h.Count(), points(h, late), h})
}

// percentile adds one figure of h, unless it is in doubt.
func (r *Report) percentile(key, label string, h, late load.Histogram, percent float64) {
	if why := doubt(h, late, percent); why != "" {
		r.withhold(key, label, Nanos, why)
		return
	}
	r.add(key, label, float64(h.At(percent)), Nanos)
}

// late adds how far behind the plan of an open loop the client was.
func (r *Report) late(h load.Histogram) {
	if h.Count() == 0 {
		return
	}
	for _, p := range []struct {
		key, label string
		percent    float64
	}{{"late_p50", "sent late, p50", 50}, {"late_p99", "sent late, p99", 99}, {"late_p999", "sent late, p99.9", 99.9}, {"late_max", "sent late, max", 100}} {
		r.percentile(p.key, p.label, h, load.Histogram{}, p.percent)
	}
}

// word formats a figure for the first line.
func (r *Report) word(key string) string {
	if f := r.Figure(key); f != nil {
		return f.String()
	}
	return noValue
}

// found says for the first line how many there were, how long they took, and what each
// cost the server.
func (r *Report) found(per string) string {
	found := "throughput withheld, the client was the bottleneck"
	if f := r.Figure("rate"); f != nil && f.Withheld == "" {
		found = f.String()
	}
	found += fmt.Sprintf(", p50 %v, p99 %v", r.word("p50"), r.word("p99"))
	if f := r.Figure("server_cpu_per"); f != nil && f.Withheld == "" {
		found += fmt.Sprintf(", %v server CPU %s", f, per)
	}
	return found
}

// throughput adds events per second, unless it is the client's figure.
func (r *Report) throughput(label string, m *measurement) {
	rate := float64(m.Received) / m.Wall.Seconds()
	if why := bottleneck(m); why != "" {
		r.withhold("rate", label, PerSec, why)
		for k := range r.Series {
			r.Series[k].Rate = none
		}
		return
	}
	r.add("rate", label, rate, PerSec)
}

// efforts adds what server and client used, in all and for each of n events.
func (r *Report) efforts(per string, m *measurement, sess *session) {
	n := float64(m.Received)
	if m.server.Known && !sess.server.ours() {
		u := m.server.Usage
		if why := m.server.Unsure; why != "" {
			r.withhold("server_cpu_per", "server CPU per "+per, Nanos, why)
			r.withhold("server_cpu", "server CPU", Cores, why)
		} else {
			r.add("server_cpu_per", "server CPU per "+per, float64(m.server.CPU)/n, Nanos)
			r.add("server_cpu", "server CPU", float64(m.server.CPU)/float64(m.server.Wall), Cores)
		}
		r.add("server_rss", "server RSS", float64(u.RSS), Bytes)
		if u.PSS > 0 {
			r.add("server_pss", "server PSS", float64(u.PSS), Bytes)
		}
		if u.FDs >= 0 { // where we may look
			r.add("server_fds", "server open files", float64(u.FDs), Count)
		}
		r.add("server_threads", "server threads", float64(u.Threads), Count)
	}
	sess.confess()
	r.add("client_cpu_per", "client CPU per "+per, float64(m.CPU)/n, Nanos)
	r.add("client_busy", "client's busiest loop", 100*m.Busy, Percent)
}

// memory adds what the server has, if that is known.
func (r *Report) memory(key, label string, s spent) {
	if s.Known {
		r.add(key, label, float64(s.Usage.RSS), Bytes)
	}
}

// bottleneck says why the client, not the server, set the pace; "" if it did not.
// In an open loop the plan sets the pace, as long as the client keeps to it.
func bottleneck(m *measurement) string {
	const (
		busy    = 0.95
		tooLate = time.Millisecond
	)
	if m.Late.Count() > 0 {
		if late := m.Late.At(50); late > tooLate {
			return fmt.Sprintf("the client fell behind its plan: half of the messages left %v late or more", short(late))
		}
		return ""
	}
	if m.Busy >= busy && float64(m.CPU) < 0.9*m.Busy*float64(m.Wall) {
		return fmt.Sprintf("the client did not get a processor when it wanted one: its loop ran or waited for one %.0f %% of the time", 100*min(m.Busy, 1))
	}
	if m.Busy >= busy && !m.server.saturated() {
		return fmt.Sprintf("the client was the bottleneck: its loop was busy %.0f %% of the time, the server was not", 100*min(m.Busy, 1))
	}
	return ""
}

// sample is a stretch as a point of the time series.
func sample(end time.Duration, t *load.Tally, s spent) Sample {
	p := Sample{
		At:        end.Seconds(),
		Rate:      Number(float64(t.Received) / t.Wall.Seconds()),
		P50:       at(t.Latency, t.Late, 50),
		P99:       at(t.Latency, t.Late, 99),
		P999:      at(t.Latency, t.Late, 99.9),
		ServerCPU: s.cores(),
		ServerRSS: none,
		Faults:    t.Faults.Total(),
	}
	if s.Known {
		p.ServerRSS = Number(s.Usage.RSS)
	}
	return p
}
