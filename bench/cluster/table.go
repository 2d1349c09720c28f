//go:build linux

package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/usher-ws/usher/bench/internal/load"
)

// cluster is one of a size, and what was measured of it.
type cluster struct {
	nodes, members int // at each node
	largest        int // how many members the largest of its series has

	// Of each round.
	rest []float64 // processors that all nodes need when nobody speaks
	each []float64 // CPU for a delivery, beyond that, in nanoseconds

	// Of all rounds.
	here, there load.Histogram
}

// table is all that was measured, in Markdown.
func table(series [][]*cluster) string {
	var b strings.Builder
	b.WriteString("| members at each node | nodes | CPU a delivery | its range | to the first | at rest, of a processor | at the speaker's node, p50 | p99 | elsewhere, p50 | p99 |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|---|---|\n")
	for _, one := range series {
		for _, c := range one {
			fmt.Fprintf(&b, "| %d | %d | %s | %s to %s | %.2f | %.2f %% | %s | %s | %s | %s |\n", c.members, c.nodes,
				micros(median(c.each)), micros(slices.Min(c.each)), micros(slices.Max(c.each)), median(ratios(c.each, one[0].each)), 100*median(c.rest),
				at(c.here, 50), at(c.here, 99), at(c.there, 50), at(c.there, 99))
		}
	}
	return b.String()
}

// ratios returns those of each round.
func ratios(of, to []float64) (all []float64) {
	for k := range of {
		all = append(all, of[k]/to[k])
	}
	return all
}

// median returns the one in the middle, or the mean of the two.
func median(all []float64) float64 {
	s := slices.Sorted(slices.Values(all))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

func micros(ns float64) string { return fmt.Sprintf("%.1f µs", ns/1000) }

// at is a percentile, if ten samples are beyond it.
func at(h load.Histogram, percent float64) string {
	if float64(h.Count())*(100-percent)/100 < 10 {
		return "–"
	}
	return h.At(percent).Round(time.Microsecond).String()
}
