//go:build linux

package main

import (
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/usher-ws/usher/guard"
)

// TestUpstreamMetrics: the rules of promtool check metrics, and a series for each upstream and
// each reason from the beginning.
func TestUpstreamMetrics(t *testing.T) {
	pool, err := guard.Open(guard.Upstreams{
		URLs: []string{"unix:@usher nobody is here", "http://127.0.0.1:1"}, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(upstreamCollector{pool})
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("got %v, %v", problems, err)
	}
	for name, want := range map[string]int{"usher_upstream_up": 2, "usher_upstream_failures_total": 16, "usher_upstream_waiting": 1} {
		if n, err := testutil.GatherAndCount(registry, name); n != want || err != nil {
			t.Errorf("%s: got %d series, %v, want %d", name, n, err, want)
		}
	}
	if err := testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP usher_upstream_addresses Addresses that the upstream has.
# TYPE usher_upstream_addresses gauge
usher_upstream_addresses{upstream="http://127.0.0.1:1"} 1
usher_upstream_addresses{upstream="unix:@usher nobody is here"} 1
`), "usher_upstream_addresses"); err != nil {
		t.Error(err)
	}
}
