//go:build linux

package server

import "sync/atomic"

type stats struct {
	refused, evicted, turnedAway, slow, shed, acceptPauses atomic.Int64
}

// Stats is a server's counters since Start.
type Stats struct {
	Conns        int   // connections now, those of the Handler included
	Lingering    int   // of which have been told to go
	Refused      int64 // requests answered with anything but 101
	Evicted      int64 // connections whose lingering was cut short for others
	TurnedAway   int64 // connections closed unanswered, with the reserve full too
	Slow         int64 // connections closed for a full backlog
	Shed         int64 // connections closed because memory ran out
	AcceptPauses int64 // times the process was out of descriptors
}

// Stats returns the counters. Safe for any goroutine.
func (s *Server) Stats() Stats {
	return Stats{
		Conns:        s.total(),
		Lingering:    int(s.reserved.Load()),
		Refused:      s.stats.refused.Load(),
		Evicted:      s.stats.evicted.Load(),
		TurnedAway:   s.stats.turnedAway.Load(),
		Slow:         s.stats.slow.Load(),
		Shed:         s.stats.shed.Load(),
		AcceptPauses: s.stats.acceptPauses.Load(),
	}
}
