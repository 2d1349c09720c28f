//go:build linux

package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMeasure: small clusters, for a moment each. All members hear all that is said.
func TestMeasure(t *testing.T) {
	path := filepath.Join(t.TempDir(), "usher")
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", path, "../../cmd/usher").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	series, err := allSeries("1,4", "3")
	if err != nil {
		t.Fatal(err)
	}
	p := plan{binary: path, rounds: 1, rest: time.Millisecond, speech: 300 * time.Millisecond, deliveries: 1000, messages: 20}
	if err := p.measureAll(t.Context(), series); err != nil {
		t.Fatal(err)
	}
	alone, four := series[0][0], series[0][1]
	if n := alone.here.Count(); n == 0 || n%3 != 0 || alone.there.Count() != 0 {
		t.Errorf("one node: %d deliveries, %d elsewhere", n, alone.there.Count())
	}
	if n := four.here.Count(); n == 0 || four.there.Count() != 3*n {
		t.Errorf("four nodes: %d deliveries, %d elsewhere", n, four.there.Count())
	}
	if lines := strings.Count(table(series), "\n"); lines != 4 {
		t.Errorf("got %d lines\n%s", lines, table(series))
	}
}

// TestNobodyThere: a program that does not serve is said to, with what it said.
func TestNobodyThere(t *testing.T) {
	p := plan{binary: "false", rounds: 1}
	err := p.measureAll(t.Context(), [][]*cluster{{{nodes: 1, members: 1, largest: 1}}})
	if err == nil || !strings.Contains(err.Error(), "does not listen") {
		t.Errorf("got %v", err)
	}
}

func TestMedian(t *testing.T) {
	for want, all := range map[float64][]float64{1: {1}, 2: {3, 2, 1}, 2.5: {4, 1, 3, 2}} {
		if got := median(all); got != want {
			t.Errorf("%v: got %v, want %v", all, got, want)
		}
	}
	if got := median(ratios([]float64{2, 9, 4}, []float64{1, 3, 4})); got != 2 {
		t.Errorf("ratios: got %v", got)
	}
}
