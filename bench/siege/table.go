//go:build linux

package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// row is what came of one attack on one server.
type row struct {
	attack, binary          string
	alone, during           report        // of the neighbours
	base, peak, after, held int64         // bytes
	cpu, waited             float64       // shares of the time
	delay                   time.Duration // of a loop, as the server says
	notes                   []string
	violations              []string // what must not be
}

func (r *row) print(w io.Writer) {
	fmt.Fprintf(w, "%s on %s: p99 %v alone, %v during it; %s, %s, %s\n",
		r.attack, r.binary, short(r.alone.P99), short(r.during.P99), mib(r.base), mib(r.peak), mib(r.after))
	for _, n := range r.notes {
		fmt.Fprintln(w, "  ", n)
	}
	for i, v := range r.violations {
		if i == 5 {
			fmt.Fprintf(w, "   ! and %d more\n", len(r.violations)-i)
			break
		}
		fmt.Fprintln(w, "   !", v)
	}
}

// table is all rows in columns.
func table(rows []row) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "attack\tserver\tp50 alone\tp99\tmax\tp50 during\tp99\tmax\tanswers\tlost\tRSS before\tpeak\t10 s later\theld\tCPU\twaited\tloop")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\t%v\t%v\t%v\t%v\t%v\t%v\t%d\t%d\t%s\t%s\t%s\t%s\t%.0f %%\t%.0f %%\t%v\n", r.attack, r.binary,
			short(r.alone.P50), short(r.alone.P99), short(r.alone.Max), short(r.during.P50), short(r.during.P99), short(r.during.Max),
			r.during.Count, len(r.during.Lost), mib(r.base), mib(r.peak), mib(r.after), mib(r.held), 100*r.cpu, 100*r.waited, short(r.delay))
	}
	w.Flush()
	return b.String()
}

func mib(n int64) string { return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20)) }

func short(d time.Duration) time.Duration {
	if d > 10*time.Millisecond {
		return d.Round(100 * time.Microsecond)
	}
	return d.Round(time.Microsecond)
}
