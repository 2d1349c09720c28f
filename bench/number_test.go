//go:build linux

package bench

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/usher-ws/usher/bench/internal/load"
	"github.com/usher-ws/usher/bench/internal/proc"
)

// samples are n, of 1 to n µs.
func samples(n int) (h load.Histogram) {
	for k := range n {
		h.Record(time.Duration(k+1) * time.Microsecond)
	}
	return h
}

// TestFewSamples: a percentile needs ten samples beyond it, and there is no trace of one
// that has them not: in text, JSON or chart.
func TestFewSamples(t *testing.T) {
	for _, tt := range []struct {
		n        int
		believed string
	}{
		{19, "max"}, {20, "p50 max"}, {99, "p50 max"}, {100, "p50 p90 max"}, {201, "p50 p90 max"}, {999, "p50 p90 max"},
		{1000, "p50 p90 p99 max"}, {10_000, "p50 p90 p99 p999 max"}, {99_999, "p50 p90 p99 p999 max"}, {100_000, "p50 p90 p99 p999 p9999 max"},
	} {
		r := newReport("echo", "ws://x")
		r.latency("", "latency", samples(tt.n), load.Histogram{})
		r.finish("")
		for _, key := range []string{"p50", "p90", "p99", "p999", "p9999", "max"} {
			want := strings.Contains(" "+tt.believed+" ", " "+key+" ")
			if f := r.Figure(key); (f.Withheld == "") != want || (f.String() == noValue) == want {
				t.Errorf("%d samples: got %s %+v, believed: want %v", tt.n, key, f, want)
			}
		}
		for _, p := range r.Shapes[0].Points {
			if p.Percent < 100 && float64(tt.n)*(100-p.Percent)/100 < leastBeyond-0.001 {
				t.Errorf("%d samples: the distribution has %+v", tt.n, p)
			}
		}
	}
}

// TestWithheld: what is withheld is null for programs, a dash with its reason for
// people, and absent in charts.
func TestWithheld(t *testing.T) {
	r := newReport("echo", "ws://x")
	r.withhold("rate", "echoes", PerSec, "the client was the bottleneck")
	r.latency("", "latency", samples(201), load.Histogram{})
	quiet, few := load.Tally{Wall: time.Second, Latency: samples(5)}, load.Tally{Wall: time.Second}
	r.Series = []Sample{sample(time.Second, &quiet, spent{}), sample(2*time.Second, &few, spent{})}
	r.Memory = []Step{{}, {Conns: 10}}
	r.finish("")
	b, err := r.JSON()
	if err != nil {
		t.Fatal(err)
	}
	var back struct {
		Figures []struct {
			Key, Withheld string
			Value         *float64
		}
		Series []map[string]*float64
		Memory []struct{ Server *proc.Usage }
	}
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	for _, f := range back.Figures {
		if (f.Value == nil) != (f.Withheld != "") {
			t.Errorf("got %+v", f)
		}
	}
	for _, key := range []string{"p50", "p99", "p999", "server_cpu", "server_rss"} {
		if v, there := back.Series[0][key]; !there || v != nil {
			t.Errorf("%s of a second with five samples and no server: got %v, %v, want null", key, v, there)
		}
	}
	if back.Memory[1].Server != nil {
		t.Errorf("memory of a server that is not known: got %+v", back.Memory[1].Server)
	}
	page, err := r.HTML()
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{r.Text(), string(page)} {
		for _, want := range []string{"–", "withheld: fewer than 10 of the 201 samples are beyond it", "withheld: the client was the bottleneck"} {
			if !strings.Contains(text, want) {
				t.Errorf("it lacks %q: %s", want, text)
			}
		}
		if strings.Contains(text, " 0 ns") || strings.Contains(text, "NaN") || strings.Contains(text, "Server CPU") || strings.Contains(text, "Memory over") {
			t.Errorf("it has a figure that is withheld: %s", text)
		}
	}
}

// TestLittleCPU: what the ticks or the scheduler cannot tell is no 0 ns.
func TestLittleCPU(t *testing.T) {
	begin := time.Now()
	seen := func(after, ran, ticks time.Duration, exact bool, tids ...int) look {
		l := look{at: begin.Add(after), ok: true, usage: proc.Usage{CPU: ticks}, threads: proc.ThreadTimes{Used: map[int]time.Duration{}, Exact: exact}}
		for _, tid := range tids {
			l.threads.Used[tid] = ran
		}
		return l
	}
	for name, tt := range map[string]struct {
		a, b look
		want time.Duration // 0: unsure
	}{
		"by the scheduler":   {seen(0, 0, 0, true, 1, 2), seen(time.Second, 15*time.Millisecond, 0, true, 1, 2), 30 * time.Millisecond},
		"a new thread":       {seen(0, 0, 0, true, 1), seen(time.Second, 15*time.Millisecond, 0, true, 1, 2), 30 * time.Millisecond},
		"too little":         {seen(0, 0, 0, true, 1), seen(time.Second, time.Millisecond, 0, true, 1), 0},
		"by ticks":           {seen(0, 0, 0, false, 1), seen(time.Second, 0, 210*time.Millisecond, false, 1), 210 * time.Millisecond},
		"too few ticks":      {seen(0, 0, 0, false, 1), seen(time.Second, time.Second, 190*time.Millisecond, false, 1), 0},
		"a thread has ended": {seen(0, 0, 0, true, 1, 2), seen(time.Second, time.Second, 300*time.Millisecond, true, 1), 300 * time.Millisecond},
	} {
		got := tt.a.until(tt.b)
		if (got.Unsure != "") != (tt.want == 0) || tt.want != 0 && got.CPU != tt.want {
			t.Errorf("%s: got %v, unsure %q, want %v", name, got.CPU, got.Unsure, tt.want)
		}
		r := newReport("echo", "ws://x")
		m := measurement{Tally: load.Tally{Received: 10, Wall: time.Second}, server: got}
		r.efforts("message", &m, &session{report: r, server: &server{pids: []int{1}}})
		if f := r.Figure("server_cpu_per"); (f.Withheld != "") != (tt.want == 0) {
			t.Errorf("%s: got %+v", name, f)
		}
	}
}

// TestRise: memory that moves by itself as much as with the connections tells nothing.
func TestRise(t *testing.T) {
	steps := func(slab ...int64) (list []Step) {
		for k, n := range slab {
			list = append(list, Step{Conns: 100 * k, Kernel: proc.Kernel{Slab: n}})
		}
		return list
	}
	for name, tt := range map[string]struct {
		rest, steps []Step
		want        bool
	}{
		"a line":           {nil, steps(0, 100_000, 200_000, 300_000, 400_000), true},
		"a rough line":     {nil, steps(0, 110_000, 190_000, 310_000, 400_000), true},
		"up and down":      {nil, steps(0, 400_000, 100_000, 300_000, 200_000), false},
		"down":             {nil, steps(0, -100_000, -200_000, -300_000), false},
		"flat":             {nil, steps(5, 5, 5, 5), false},
		"a restless start": {steps(0, 900_000), steps(0, 100_000, 200_000, 300_000, 400_000), false},
		"one number":       {nil, steps(5), false},
	} {
		r := newReport("idle", "ws://x")
		d := Idle{Common: Common{Conns: 400}, rest: tt.rest}
		d.rise(r, "slab_per_connection", "slab", tt.steps, func(s Step) int64 { return s.Kernel.Slab })
		if f := r.Figure("slab_per_connection"); (f.Withheld == "") != tt.want {
			t.Errorf("%s: got %+v, want a figure: %v", name, f, tt.want)
		}
	}
}

// TestContestWithheld: a contender without a run has no figures.
func TestContestWithheld(t *testing.T) {
	asked := []question{{name: "q", title: "A question", unit: Nanos}}
	c := newContest("machine", asked, []contender{{name: self, command: "c"}, {name: again, command: "c"}, {name: "broken", command: "c"}})
	c.record(0, 0, 0, Run{Value: 1000}, nil)
	c.record(0, 1, 0, Run{Value: 1010}, nil)
	c.record(0, 2, 0, Run{}, errors.New("withheld: the client was late itself"))
	c.finish(1)
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"noise":[null,null]`, `{"name":"broken","median":null,"min":null,"max":null,"ratio":null,"ratio_range":[null,null]`,
		`{"value":null,"failed":"withheld: the client was late itself"}`,
	} {
		if !strings.Contains(string(b), want) {
			t.Errorf("it lacks %s: %s", want, b)
		}
	}
	if got := c.Markdown(); !has(got, "| broken | – | – | withheld: the client was late itself | 1 |", "| usher again | 1.01 µs |") {
		t.Errorf("got %s", got)
	}
	if svg := string(c.Answers[0].Chart()); strings.Contains(svg, "broken") {
		t.Errorf("got %s", svg)
	}
}
