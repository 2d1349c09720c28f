//go:build linux

package main

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/usher-ws/usher/guard"
)

// upstreamCollector tells what a guard knows of its upstreams, whenever it is scraped.
type upstreamCollector struct{ pool *guard.Pool }

var (
	byUpstream        = []string{"upstream"}
	upstreamAddresses = prometheus.NewDesc("usher_upstream_addresses", "Addresses that the upstream has.", byUpstream, nil)
	upstreamUp        = prometheus.NewDesc("usher_upstream_up", "Addresses of the upstream that are asked; the others have failed and rest. 0: it is down.", byUpstream, nil)
	upstreamConns     = prometheus.NewDesc("usher_upstream_connections", "Connections to the upstream: those that are relayed, and requests.", byUpstream, nil)
	upstreamAnswers   = prometheus.NewDesc("usher_upstream_answers_total", "Requests that the upstream has answered, whatever it said.", byUpstream, nil)
	upstreamFailures  = prometheus.NewDesc("usher_upstream_failures_total", "Requests that the upstream has not answered, by reason; some were answered by another then. ports and resources are not its fault, and busy is a full backlog.", []string{"upstream", "reason"}, nil)
	upstreamWaiting   = prometheus.NewDesc("usher_upstream_waiting", "Clients that --hold-restart has wait until an upstream answers.", nil, nil)
)

// Describe implements prometheus.Collector.
func (c upstreamCollector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{upstreamAddresses, upstreamUp, upstreamConns, upstreamAnswers, upstreamFailures, upstreamWaiting} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c upstreamCollector) Collect(to chan<- prometheus.Metric) {
	st := c.pool.Stats()
	say := func(d *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, kind, value, labels...)
	}
	say(upstreamWaiting, prometheus.GaugeValue, float64(st.Waiting))
	for _, u := range st.Upstreams {
		if !u.IsLeft { // else it is not down
			say(upstreamAddresses, prometheus.GaugeValue, float64(u.Addresses), u.Name)
			say(upstreamUp, prometheus.GaugeValue, float64(u.Up), u.Name)
		}
		say(upstreamConns, prometheus.GaugeValue, float64(u.Conns), u.Name)
		say(upstreamAnswers, prometheus.CounterValue, float64(u.Answered), u.Name)
		for reason, n := range u.Failed {
			say(upstreamFailures, prometheus.CounterValue, float64(n), u.Name, reason)
		}
	}
}
