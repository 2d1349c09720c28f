//go:build linux

package metrics

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/usher-ws/usher/server"
)

// Collector reads the counters of one server whenever it is scraped. Safe for any
// goroutine.
type Collector struct {
	srv *server.Server
}

// NewCollector returns the collector of srv, which must have been started by the
// time of the first scrape; until then it has nothing to say.
func NewCollector(srv *server.Server) *Collector { return &Collector{srv} }

// family is one metric: its description and how it is read from the counters.
type family struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func(st *server.Stats, say func(value float64, labels ...string))
}

func counter(name, help string, labels []string, read func(*server.Stats, func(float64, ...string))) family {
	return family{prometheus.NewDesc(name, help, labels, nil), prometheus.CounterValue, read}
}

func gauge(name, help string, labels []string, read func(*server.Stats, func(float64, ...string))) family {
	return family{prometheus.NewDesc(name, help, labels, nil), prometheus.GaugeValue, read}
}

// perRoute reads a number of each route, the one of no route left out.
func perRoute(read func(r *server.RouteStats) float64) func(*server.Stats, func(float64, ...string)) {
	return func(st *server.Stats, say func(float64, ...string)) {
		for k := range st.Routes {
			if r := &st.Routes[k]; r.Route != "" {
				say(read(r), r.Route)
			}
		}
	}
}

// perWord reads what each route counts by words.
func perWord(read func(r *server.RouteStats) map[string]int64) func(*server.Stats, func(float64, ...string)) {
	return func(st *server.Stats, say func(float64, ...string)) {
		for k := range st.Routes {
			r := &st.Routes[k]
			for word, n := range read(r) {
				say(float64(n), r.Route, word)
			}
		}
	}
}

// perReason reads what TLS counts by reasons.
func perReason(read func(t *server.TLSStats) map[string]int64) func(*server.Stats, func(float64, ...string)) {
	return func(st *server.Stats, say func(float64, ...string)) {
		if st.TLS == nil {
			return
		}
		for reason, n := range read(st.TLS) {
			say(float64(n), reason)
		}
	}
}

// perLoop reads a number of each loop.
func perLoop(read func(l *server.LoopStats) float64) func(*server.Stats, func(float64, ...string)) {
	return func(st *server.Stats, say func(float64, ...string)) {
		for k := range st.Loops {
			say(read(&st.Loops[k]), strconv.Itoa(k))
		}
	}
}

func single(read func(st *server.Stats) float64) func(*server.Stats, func(float64, ...string)) {
	return func(st *server.Stats, say func(float64, ...string)) { say(read(st)) }
}

var (
	byRoute = []string{"route"}
	byCode  = []string{"route", "code"}
	byLoop  = []string{"loop"}
)

var families = []family{
	gauge("usher_connections", "Open WebSocket connections.", byRoute,
		perRoute(func(r *server.RouteStats) float64 { return float64(r.Conns) })),
	counter("usher_handshakes_total", "Handshakes answered with 101.", byRoute,
		perRoute(func(r *server.RouteStats) float64 { return float64(r.Opened) })),
	counter("usher_refusals_total", "Requests refused, by the code of the refusal. No route: none matched, or the request was no HTTP.", byCode,
		perWord(func(r *server.RouteStats) map[string]int64 { return r.Refusals })),
	counter("usher_closes_total", "WebSocket connections that ended, by close code; 1006 is without a close frame.", byCode,
		perWord(func(r *server.RouteStats) map[string]int64 { return r.Closes })),
	counter("usher_messages_received_total", "Complete data messages received, those over a limit included.", byRoute,
		perRoute(func(r *server.RouteStats) float64 { return float64(r.MessagesIn) })),
	counter("usher_messages_sent_total", "Messages accepted for sending, one for each recipient.", byRoute,
		perRoute(func(r *server.RouteStats) float64 { return float64(r.MessagesOut) })),
	counter("usher_messages_dropped_total", "Messages for somebody whose backlog was full.", byRoute,
		perRoute(func(r *server.RouteStats) float64 { return float64(r.Dropped) })),
	counter("usher_received_bytes_total", "Bytes of frames received.", byRoute,
		perRoute(func(r *server.RouteStats) float64 { return float64(r.BytesIn) })),
	counter("usher_sent_bytes_total", "Bytes of frames accepted for sending.", byRoute,
		perRoute(func(r *server.RouteStats) float64 { return float64(r.BytesOut) })),
	counter("usher_slow_callbacks_total", "Callbacks that were seen to hold their loop for 100 ms or longer.", byRoute,
		perRoute(func(r *server.RouteStats) float64 { return float64(r.Stalls) })),
	counter("usher_limit_actions_total", "Messages and connections over a limit, by limit and what was done about them.",
		[]string{"route", "limit", "action"}, func(st *server.Stats, say func(float64, ...string)) {
			for _, c := range st.Limits {
				say(float64(c.Count), c.Route, c.Limit, c.Action)
			}
		}),
	counter("usher_http_requests_total", "Requests that no route matched, given to the http.Handler.", nil,
		single(func(st *server.Stats) float64 { return float64(st.Total.Passed) })),
	counter("usher_proxy_header_errors_total", "Connections of --proxy-protocol that did not begin with a PROXY header, by reason.", []string{"reason"},
		func(st *server.Stats, say func(float64, ...string)) {
			for reason, n := range st.ProxyHeaderErrors {
				say(float64(n), reason)
			}
		}),
	counter("usher_tls_handshakes_total", "Handshakes of TLS that were completed: full, or resumed by a ticket.", []string{"kind"},
		func(st *server.Stats, say func(float64, ...string)) {
			if st.TLS != nil {
				say(float64(st.TLS.Handshakes-st.TLS.Resumed), "full")
				say(float64(st.TLS.Resumed), "resumed")
			}
		}),
	counter("usher_tls_handshake_failures_total", "Handshakes of TLS that were not completed, by reason: the name of an alert, with peer_ before those of the peer, or not_tls, timeout, hangup, evicted, long_hello, memory, other.", []string{"reason"},
		perReason(func(t *server.TLSStats) map[string]int64 { return t.Failed })),
	counter("usher_tls_faults_total", "Connections that ended by a fault of TLS after their handshake, by reason: the name of an alert, with peer_ before those of the peer, or truncated.", []string{"reason"},
		perReason(func(t *server.TLSStats) map[string]int64 { return t.Faults })),
	gauge("usher_sockets", "Open sockets, those in a handshake and those that linger included.", nil,
		single(func(st *server.Stats) float64 { return float64(st.Sockets) })),
	gauge("usher_requests", "Requests by HTTP that are answered at the moment.", nil,
		single(func(st *server.Stats) float64 { return float64(st.Requests) })),
	gauge("usher_requests_waiting", "Requests by HTTP that wait for their turn.", nil,
		single(func(st *server.Stats) float64 { return float64(st.RequestsWaiting) })),
	gauge("usher_lingering_sockets", "Sockets that have been told to go.", nil,
		single(func(st *server.Stats) float64 { return float64(st.Lingering) })),
	counter("usher_lingering_evicted_total", "Sockets whose lingering was cut short for others.", nil,
		single(func(st *server.Stats) float64 { return float64(st.Evicted) })),
	counter("usher_turned_away_total", "Sockets closed unanswered: with the lingering reserve full too, or silent while others needed it.", nil,
		single(func(st *server.Stats) float64 { return float64(st.TurnedAway) })),
	counter("usher_upstream_truncated_total", "Connections of a guard that were cut in the middle of a frame of which the rest did not come in time.", nil,
		single(func(st *server.Stats) float64 { return float64(st.Truncated) })),
	counter("usher_slow_closed_total", "Connections closed for a full backlog.", nil,
		single(func(st *server.Stats) float64 { return float64(st.Overflowed) })),
	counter("usher_memory_closed_total", "Connections closed because memory ran out.", nil,
		single(func(st *server.Stats) float64 { return float64(st.Shed) })),
	counter("usher_accept_pauses_total", "Times accepting paused for want of descriptors.", nil,
		single(func(st *server.Stats) float64 { return float64(st.AcceptPauses) })),
	counter("usher_log_dropped_total", "Log records dropped because the log was slow.", nil,
		single(func(st *server.Stats) float64 { return float64(st.LogDropped) })),
	gauge("usher_draining", "1 while the server sends everybody away.", nil,
		single(func(st *server.Stats) float64 { return truth(st.Draining) })),
	gauge("usher_buffered_bytes", "Bytes that wait: heads, half messages, outboxes; and what is in tables of users, members and limits.", byLoop,
		perLoop(func(l *server.LoopStats) float64 { return float64(l.Buffered) })),
	gauge("usher_loop_sockets", "Open sockets of the loop, of clients.", byLoop,
		perLoop(func(l *server.LoopStats) float64 { return float64(l.Conns) })),
	gauge("usher_loop_dialled_sockets", "Open sockets of the loop to the servers behind a guard.", byLoop,
		perLoop(func(l *server.LoopStats) float64 { return float64(l.Dialled) })),
	gauge("usher_loop_delay_seconds", "How long the loop took to answer this scrape.", byLoop,
		perLoop(func(l *server.LoopStats) float64 { return l.Delay.Seconds() })),
	gauge("usher_loop_stuck", "1 if the loop did not answer within a second; its figures are then its last ones.", byLoop,
		perLoop(func(l *server.LoopStats) float64 { return truth(l.Stuck) })),
	counter("usher_loop_late_ticks_total", "Ticks, one a second or more, that came 100 ms late or later: something held the loop up.", byLoop,
		perLoop(func(l *server.LoopStats) float64 { return float64(l.Late) })),
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(to chan<- *prometheus.Desc) {
	for _, f := range families {
		to <- f.desc
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(to chan<- prometheus.Metric) {
	st := c.srv.Stats()
	if st.Uptime == 0 {
		return // not started
	}
	for _, f := range families {
		f.read(&st, func(value float64, labels ...string) {
			to <- prometheus.MustNewConstMetric(f.desc, f.kind, value, labels...)
		})
	}
}
