//go:build linux

package play

import (
	"fmt"
	"time"

	"github.com/usher-ws/usher/bench/internal/load"
	"github.com/usher-ws/usher/client"
	"github.com/usher-ws/usher/frame"
)

// Attack is one way to attack a server.
type Attack uint8

// The attacks.
const (
	SlowHead   Attack = iota // the request comes a byte at a time, and never ends
	SlowReader               // messages are sent, echoes are not read
	ResetStorm               // connect, upgrade, RST, and again
	Fragments                // an endless message of one-byte fragments
	HalfOpen                 // upgraded, then as if the cable was cut
	attacks
)

var attackNames = [attacks]string{"slow-head", "slow-reader", "reset-storm", "fragments", "half-open"}

// Attacks returns all of them, in the order in which they are worth trying.
func Attacks() []Attack { return []Attack{SlowHead, SlowReader, ResetStorm, Fragments, HalfOpen} }

// String names the attack.
func (a Attack) String() string {
	if a < attacks {
		return attackNames[a]
	}
	return fmt.Sprintf("attack %d", a)
}

// UnmarshalText reads a name that String wrote.
func (a *Attack) UnmarshalText(text []byte) error {
	for k, name := range attackNames {
		if name == string(text) {
			*a = Attack(k)
			return nil
		}
	}
	return fmt.Errorf("attack %q: want one of %q", text, attackNames)
}

// Hostile makes one attack over all connections of its client. A connection that the
// server ends comes again as long as the attack runs; Faults say how the server ended it.
type Hostile struct {
	client  *load.Client
	attack  Attack
	block   []byte // what is sent again and again
	running bool
	byteAt  time.Duration // when slow heads get their next byte
}

const (
	// slowByte is the pace of a slow head.
	slowByte = 200 * time.Millisecond
	// slowMessage is what a slow reader makes the server answer with.
	slowMessage = 16 << 10
	// fragmentsAtOnce leave in one send: 7 bytes each.
	fragmentsAtOnce = 1024
)

// NewHostile returns the player of a client. For SlowHead the client's
// Request.First should be small, and its Timeout longer than the attack.
func NewHostile(c *load.Client, attack Attack) *Hostile {
	h := &Hostile{client: c, attack: attack}
	switch attack {
	case SlowReader:
		h.block = clientSide.AppendFrame(nil, frame.OpBinary, make([]byte, slowMessage), nil)
	case Fragments:
		for range fragmentsAtOnce {
			h.block = frame.AppendHeader(h.block, frame.Header{Opcode: frame.OpContinuation, Masked: true, Length: 1})
			h.block = append(h.block, 'x') // the key is zero
		}
	}
	return h
}

// Start begins the attack.
func (h *Hostile) Start() {
	h.running = true
	for i := range h.client.Conns() {
		h.client.Dial(i)
	}
}

// Stop ends it; the connections stay until the client is closed.
func (h *Hostile) Stop() { h.running = false }

// Pending is always 0: nothing is awaited.
func (h *Hostile) Pending() int { return 0 }

// Opened is the [load.Player]'s.
func (h *Hostile) Opened(i int) {
	switch h.attack {
	case ResetStorm:
		h.client.Reset(i)
	case Fragments:
		h.client.SendRaw(i, frame.AppendHeader(nil, frame.Header{Opcode: frame.OpBinary, Masked: true}))
	case SlowReader, HalfOpen:
		h.client.Pause(i)
	case SlowHead: // somebody answers a request that is not complete
	}
}

// Message is the [load.Player]'s.
func (h *Hostile) Message(int, frame.Opcode, []byte) { h.client.Tally().Other++ }

// Answered is the [load.Player]'s.
func (h *Hostile) Answered(int, *client.Response) {}

// Closed is the [load.Player]'s.
func (h *Hostile) Closed(i int, _ load.Fault) {
	if h.running {
		h.client.Dial(i)
	}
}

// Turn is the [load.Player]'s.
func (h *Hostile) Turn(now time.Duration) (next time.Duration) {
	if !h.running {
		return 0
	}
	switch h.attack {
	case SlowHead:
		if now < h.byteAt {
			return h.byteAt
		}
		h.byteAt = now + slowByte
		for i := range h.client.Conns() {
			h.client.SendRaw(i, []byte{'x'})
		}
		return h.byteAt
	case SlowReader, Fragments:
		for i := range h.client.Conns() {
			if h.client.IsOpen(i) && h.client.Backlog(i) == 0 {
				h.client.SendRaw(i, h.block)
				h.client.Tally().Sent++
				next = now
			}
		}
	case ResetStorm, HalfOpen:
	}
	return next
}
