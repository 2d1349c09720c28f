//go:build linux

package stream

import "sync/atomic"

// account counts the streams of all loops. Any goroutine may.
type account struct {
	live, reserved                          atomic.Int64 // streams that count against MaxConns, and against Reserve
	owed                                    atomic.Int64 // of reserved: streams that their loops were asked to evict
	evicted, turnedAway, acceptPauses, shed atomic.Int64
}

// Stats is what an Engine has counted.
type Stats struct {
	Live, Reserved int   // accepted streams now: of MaxConns, and of Reserve
	Evicted        int64 // streams whose lingering was cut short for others
	TurnedAway     int64 // sockets closed unanswered: with the reserve full too, or silent when others needed their place in it
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

// seat takes a place among most, if there is one.
func (a *account) seat(most int) bool {
	if a.live.Add(1) > int64(most) {
		a.live.Add(-1)
		return false
	}
	return true
}

// discount takes a closed stream out of the count.
func (a *account) discount(isReserved bool) {
	if isReserved {
		a.reserved.Add(-1)
		return
	}
	a.live.Add(-1)
}
