//go:build linux

package guard

import "time"

// trouble is why an upstream did not answer: a word for metrics and the log.
type trouble uint8

const (
	isWell      trouble = iota
	refused             // no connection: nobody listens, or no way leads there
	unsecured           // the handshake of TLS has failed
	unconnected         // no connection in time
	unanswered          // a connection, and no answer in time
	hungUp              // a connection that ended without an answer
	noPorts             // every local port to it is in use
	busy                // too many wait to be accepted by it, on a unix socket
	noResources         // this process has no more files or memory
	numTroubles
)

var troubleNames = [numTroubles]string{"", "refused", "tls", "connect_timeout", "timeout", "closed", "ports", "busy", "resources"}

func (t trouble) String() string { return troubleNames[t] }

// isTheirs reports whether it says something of the upstream's health.
func (t trouble) isTheirs() bool { return t < noPorts }

// isQuick reports whether it is known at once, so that to try again costs nothing.
func (t trouble) isQuick() bool { return t == refused }

// isToConnect reports whether it ends when there is a connection. Of one that connects and does
// not answer only clients find out whether it does again.
func (t trouble) isToConnect() bool { return t <= unconnected }

// Backoff: how long an upstream rests after its first failure, and at most. One that cannot be
// connected to is tried by nobody but us; one that does not answer costs a client its time.
const (
	firstRest      = 250 * time.Millisecond
	maxRest        = 2 * time.Second
	maxRestOfTrial = 30 * time.Second
)

// health is what is known of one address from those that asked: it is never asked for that
// alone while it is well. Time is since any moment.
type health struct {
	state state
	why   trouble       // of the last failure, unless it is well
	fails int           // in a row
	since time.Duration // its last answer or failure
	until time.Duration // the end of its rest
}

// state is whether an address is asked.
type state uint8

const (
	well    state = iota
	resting       // it has failed, and is not asked
	onTrial       // it can be connected to again, and is asked by one at a time
)

// answered notes an answer, whatever it says: an application that refuses is there. To take a
// 503 for a failure would let one client, with a request that fails, take it from all others.
func (h *health) answered(now time.Duration) { *h = health{since: now} }

// failed notes that what began at a time has failed, and reports whether that begins a rest. It
// does not if the address has answered since, or has failed: an outage is one failure, however
// many wait for it, and one slow answer is none among others that come.
func (h *health) failed(began, now time.Duration, why trouble) bool {
	if !why.isTheirs() || h.state == resting || began < h.since {
		return false
	}
	h.rest(now, why)
	return true
}

func (h *health) rest(now time.Duration, why trouble) {
	h.state, h.why, h.since = resting, why, now
	h.fails++
	most := maxRestOfTrial
	if why.isToConnect() {
		most = maxRest
	}
	h.until = now + min(firstRest<<min(h.fails-1, 16), most)
}

// probed notes what our own attempt to connect has shown at the end of a rest.
func (h *health) probed(now time.Duration, why trouble) {
	switch {
	case h.state != resting: // a client was quicker
	case why == noPorts, why == noResources: // nothing is shown
		h.until = now + firstRest
	case why != isWell && why != busy: // where others wait to be accepted somebody is there
		if !h.why.isToConnect() {
			h.fails = 0 // it is another failure
		}
		h.rest(now, why)
	case h.why.isToConnect():
		h.answered(now)
	default:
		h.state = onTrial
	}
}
