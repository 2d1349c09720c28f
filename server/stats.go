//go:build linux

package server

import (
	"sync/atomic"
	"time"
)

// stats counts what is rare, or belongs to no loop.
type stats struct {
	slow, shed, truncated atomic.Int64
}

// Stats is a server's counters since Start. Rates are for callers that ask twice.
type Stats struct {
	Uptime   time.Duration `json:"uptime_ns"`
	Draining bool          `json:"draining"`

	// Now.
	Sockets   int `json:"sockets"`   // connections, those of the Handler and those in a handshake included
	Lingering int `json:"lingering"` // of these, how many have been told to go
	Buffered  int `json:"buffered"`  // bytes that wait: heads, half messages, outboxes, what requests to Handler take; and what tables of users, members and limits do

	Requests        int `json:"requests"`         // that Handler answers
	RequestsWaiting int `json:"requests_waiting"` // for their turn

	// Since Start.
	Refused      int64 `json:"refused"`            // requests that were refused
	Evicted      int64 `json:"evicted"`            // connections whose lingering was cut short for others
	TurnedAway   int64 `json:"turned_away"`        // connections closed unanswered: with the reserve full too, or silent while others needed it
	Overflowed   int64 `json:"slow"`               // connections closed for a full backlog
	Shed         int64 `json:"shed"`               // connections closed because memory ran out
	Truncated    int64 `json:"upstream_truncated"` // connections that are relayed, cut in the middle of a frame of which the rest did not come in time
	AcceptPauses int64 `json:"accept_pauses"`      // times the process was out of descriptors
	LogDropped   int64 `json:"log_dropped"`        // records that a slow log had no room for

	// Connections of ProxyProtocol that did not begin with a PROXY header, by reason:
	// missing, malformed, too_large, ended or timeout. Nil without ProxyProtocol.
	ProxyHeaderErrors map[string]int64 `json:"proxy_header_errors,omitempty"`

	TLS *TLSStats `json:"tls,omitempty"` // nil without Server.TLS

	Total  RouteStats   `json:"total"`
	Routes []RouteStats `json:"routes"` // in the order in which they are tried; last, "" for what no route matches
	Limits []LimitCount `json:"limits"` // as LimitStats
	Loops  []LoopStats  `json:"loops"`
}

// RouteStats counts what happened on one route. Bytes are those of frames, headers
// included, behind the request and its answer.
type RouteStats struct {
	Route string `json:"route"` // the pattern

	Conns       int   `json:"connections"` // open now
	Opened      int64 `json:"opened"`      // since Start
	MessagesIn  int64 `json:"messages_in"` // complete ones, those over a limit included
	MessagesOut int64 `json:"messages_out"`
	Dropped     int64 `json:"dropped"` // messages that found a backlog full, of routes with DropNewest
	BytesIn     int64 `json:"bytes_in"`
	BytesOut    int64 `json:"bytes_out"` // accepted for sending; what fails then is not taken back
	Passed      int64 `json:"passed"`    // requests that Server.Answer has answered, or that were given to Server.Handler or Relay.Handler
	Stalls      int64 `json:"held"`      // callbacks that were seen to hold their loop for 100 ms or longer

	// By the words of docs/CODES.md, and by close code: 1006 without a close frame,
	// "3xxx" and "4xxx" for what clients make up. Both have a bound, and "other" beyond.
	Refusals map[string]int64 `json:"refusals"`
	Closes   map[string]int64 `json:"closes"`
}

// LoopStats is how an event loop is.
type LoopStats struct {
	Conns    int           `json:"connections"` // of clients
	Dialled  int           `json:"dialled"`     // to other servers, by routes with a Relay
	Buffered int           `json:"buffered"`
	Delay    time.Duration `json:"delay_ns"` // until it answered this question: how long it was busy
	Stuck    bool          `json:"stuck"`    // it did not answer within a second; its counters are older ones
	Late     int64         `json:"late"`     // ticks, one a second or more, that came 100 ms late or later
}

// Stats returns the counters. Each loop counts for itself, and is asked for a copy that is
// exact at that moment. In a callback only the copy of its own loop is: the others' are those
// they made last, and they are asked for new ones. Safe for any goroutine.
func (s *Server) Stats() Stats {
	if !s.life.hasRun() { // not started, or in vain
		return Stats{}
	}
	streams := s.engine.Stats()
	st := Stats{
		Uptime:       time.Since(s.begun),
		Draining:     s.life.isDraining(),
		Sockets:      s.total(),
		Lingering:    streams.Reserved,
		Evicted:      streams.Evicted,
		TurnedAway:   streams.TurnedAway,
		Overflowed:   s.stats.slow.Load(),
		Shed:         s.stats.shed.Load() + streams.Shed,
		Truncated:    s.stats.truncated.Load(),
		AcceptPauses: streams.AcceptPauses,
		LogDropped:   s.log.Lost(),
		Routes:       make([]RouteStats, len(s.routes)+1),
		Limits:       s.LimitStats(),
		Loops:        make([]LoopStats, len(s.loops)),
	}
	st.Requests, st.RequestsWaiting = s.http.inUse()
	if !s.ProxyProtocol.IsZero() {
		st.ProxyHeaderErrors = s.headers.snapshot()
	}
	if s.TLS != nil {
		st.TLS = s.handshakes.snapshot()
	}
	for k, copied := range s.survey(st.Loops) {
		if copied == nil {
			continue
		}
		l := &st.Loops[k]
		l.Conns, l.Dialled, l.Buffered, l.Late = copied.conns, copied.dialled, copied.buffered, copied.late
		st.Buffered += copied.buffered
		for r := range copied.routes {
			st.Routes[r].add(&copied.routes[r])
		}
	}
	for r := range st.Routes {
		if r < len(s.routes) {
			st.Routes[r].Route = s.routes[r].pattern.String()
			st.Routes[r].Stalls = s.watch.held[r].Load()
		}
		st.Total.add(&st.Routes[r])
	}
	for _, n := range st.Total.Refusals {
		st.Refused += n
	}
	return st
}

// Draining reports whether Shutdown has been called: newcomers are sent away.
func (s *Server) Draining() bool { return s.life.isDraining() }

func (t *RouteStats) add(more *RouteStats) {
	t.Conns += more.Conns
	t.Opened += more.Opened
	t.MessagesIn += more.MessagesIn
	t.MessagesOut += more.MessagesOut
	t.Dropped += more.Dropped
	t.BytesIn += more.BytesIn
	t.BytesOut += more.BytesOut
	t.Passed += more.Passed
	t.Stalls += more.Stalls
	addAll(&t.Refusals, more.Refusals)
	addAll(&t.Closes, more.Closes)
}

// addAll adds counts that are bounded already. With a bound of its own it would depend
// on the order which words count as others, and a count could go back.
func addAll(counts *map[string]int64, more map[string]int64) {
	if *counts == nil && len(more) > 0 {
		*counts = make(map[string]int64)
	}
	for word, n := range more {
		(*counts)[word] += n
	}
}
