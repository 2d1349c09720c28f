//go:build linux

package load

import "time"

// Pacer is the plan of an open loop: message k is due at k/rate seconds after the
// start, whether or not the ones before it were answered. It goes to connection
// k modulo conns. As the plan is arithmetic, the time at which a message should
// have been sent is never stored: latency counts from it, and a server that
// stalls cannot delay the question along with the answer (coordinated omission).
type Pacer struct {
	start    time.Duration
	interval float64 // ns
	conns    uint64
	next     uint64 // the first message not taken yet
}

// NewPacer returns the plan of rate messages a second over conns connections.
// rate must be positive.
func NewPacer(start time.Duration, rate float64, conns int) *Pacer {
	return &Pacer{start: start, interval: float64(time.Second) / rate, conns: uint64(conns)}
}

// Take returns the connection of the next message if that is due at now.
func (p *Pacer) Take(now time.Duration) (conn int, ok bool) {
	if p.at(p.next) > now {
		return 0, false
	}
	conn = int(p.next % p.conns)
	p.next++
	return conn, true
}

// Next is when the next message is due.
func (p *Pacer) Next() time.Duration { return p.at(p.next) }

// Due is when message seq of connection conn was to be sent.
func (p *Pacer) Due(conn int, seq uint32) time.Duration {
	return p.at(uint64(seq)*p.conns + uint64(conn))
}

func (p *Pacer) at(k uint64) time.Duration {
	return p.start + time.Duration(float64(k)*p.interval)
}
