//go:build linux

package stream

import "sync/atomic"

// account counts the streams of all loops. Any goroutine may.
type account struct {
	live, reserved                          atomic.Int64 // streams that count against MaxConns, and against Reserve
	evicted, turnedAway, acceptPauses, shed atomic.Int64
}

// Stats is what an Engine has counted.
type Stats struct {
	Live, Reserved int   // accepted streams now: of MaxConns, and of Reserve
	Evicted        int64 // streams whose lingering was cut short for others
	TurnedAway     int64 // sockets closed at once, with the reserve full too
	AcceptPauses   int64 // times the process was out of descriptors
	Shed           int64 // streams cut for memory that had only their end to send
}

// Sockets returns how many accepted streams there are, those included that are Gone, and
// that Detach has given away and that were not yet discounted. Safe for any goroutine.
func (a *account) Sockets() int { return int(a.live.Load() + a.reserved.Load()) }

// Stats returns the counters. Safe for any goroutine.
func (a *account) Stats() Stats {
	return Stats{
		Live:         int(a.live.Load()),
		Reserved:     int(a.reserved.Load()),
		Evicted:      a.evicted.Load(),
		TurnedAway:   a.turnedAway.Load(),
		AcceptPauses: a.acceptPauses.Load(),
		Shed:         a.shed.Load(),
	}
}

// discount takes a closed stream out of the count.
func (a *account) discount(isReserved bool) {
	if isReserved {
		a.reserved.Add(-1)
		return
	}
	a.live.Add(-1)
}
