//go:build linux

package server

import (
	"sync/atomic"

	"github.com/usher-ws/usher/upgrade"
)

// limit is one of the limits that are told apart when they are exceeded.
type limit uint8

const (
	within limit = iota // none is exceeded

	// Of messages: the rungs of Limits.Over.
	messagesLimit
	bytesLimit
	userLimit
	ipLimit

	// Of connections: refused with 429.
	ipConnsLimit
	ipConnRateLimit
	userConnsLimit
	guardLimit
	numLimits
)

var limitNames = [numLimits]string{
	"", "messages", "bytes", "user", "ip", "ip_conns", "ip_conn_rate", "user_conns", "guard",
}

// String returns the name that LimitCount and Violation give the limit.
func (l limit) String() string { return limitNames[l] }

// code returns the word by which the refusal or the close frame tells it.
func (l limit) code() string {
	if l >= ipConnsLimit {
		return upgrade.CodeTooManyRequests
	}
	return limitNames[l] + "_limit"
}

// refusal is what the limits of connections do.
const refusal = Disconnect + 1

// decisions counts, for one route on one loop, what was done about each limit. The loop
// counts and others read.
type decisions [numLimits][refusal + 1]atomic.Int64

func (d *decisions) count(l limit, a Action) { d[l][a].Add(1) }

// LimitCount is how often a limit was exceeded on a route, and what that led to.
type LimitCount struct {
	// Route is the pattern, "" for requests that no route matches.
	Route string `json:"route"`

	// Limit is "messages" or "bytes" of a connection; "user" or "ip" for messages
	// of all connections of one; "ip_conns", "ip_conn_rate" and "user_conns" for
	// connections; "guard" for a guard that answered 429.
	Limit string `json:"limit"`

	// Action is "warn", "drop", "delay" or "close" for what was done about a
	// message, "refuse" for a connection. In a dry run it is what would have been.
	Action string `json:"action"`

	// Code is the word that the close frame or the refusal, and the log, tell.
	Code string `json:"code"`

	Count int64 `json:"count"`
}

// LimitStats returns all that was decided about limits since Start, but for what
// never was. Safe for any goroutine.
func (s *Server) LimitStats() []LimitCount {
	if !s.life.hasRun() {
		return nil
	}
	var all []LimitCount
	for at := range len(s.routes) + 1 {
		for l := within + 1; l < numLimits; l++ {
			for a := range refusal + 1 {
				c := LimitCount{Limit: l.String(), Action: "refuse", Code: l.code()}
				if a < refusal {
					c.Action = a.String()
				}
				for _, loop := range s.loops {
					d := &loop.unrouted
					if at < len(s.routes) {
						d, c.Route = &loop.routes[at].decided, s.routes[at].pattern.String()
					}
					c.Count += d[l][a].Load()
				}
				if c.Count > 0 {
					all = append(all, c)
				}
			}
		}
	}
	return all
}
