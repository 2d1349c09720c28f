//go:build linux

package play

import (
	"time"

	"github.com/usher-ws/usher/bench/internal/load"
	"github.com/usher-ws/usher/client"
	"github.com/usher-ws/usher/frame"
)

// Flood sends messages over every connection, as fast as the server takes them,
// and reads whatever comes back. A connection that is closed comes again. When the
// flood is over each sends a ping, and what comes until the pong still counts: the
// server has then dealt with all that was sent.
//
// Sent counts the messages begun, Received what came back unchanged, Other what
// the server said besides.
type Flood struct {
	client  *load.Client
	payload *load.Payload
	batch   []byte
	opcode  frame.Opcode
	running bool
	asked   []bool // by connection: a ping is under way
	pending int    // how many are
}

// clientSide encodes what the players send by themselves.
var clientSide = frame.Config{Client: true}

// floodBatch is how many messages leave in one send.
const floodBatch = 64

// NewFlood returns the player of a client. The messages have size bytes.
func NewFlood(c *load.Client, size int, text bool) *Flood {
	f := &Flood{client: c, payload: load.NewPayload(size), opcode: opcode(text), asked: make([]bool, c.Conns())}
	var s load.Stamp
	for range floodBatch {
		f.batch = clientSide.AppendFrame(f.batch, f.opcode, f.payload.Stamp(&s, 0, 0), f.payload.Pattern())
	}
	return f
}

// Start begins the flood.
func (f *Flood) Start() { f.running = true }

// Stop ends it; the connections stay.
func (f *Flood) Stop() {
	f.running = false
	ping := clientSide.AppendFrame(nil, frame.OpPing, nil, nil)
	for i := range f.asked {
		if f.client.IsOpen(i) && !f.asked[i] {
			f.asked[i] = true
			f.pending++
			f.client.SendRaw(i, ping)
		}
	}
}

// Pending returns how many connections have not got their pong.
func (f *Flood) Pending() int { return f.pending }

// Pong is the [load.Ponger]'s.
func (f *Flood) Pong(i int) {
	if f.asked[i] {
		f.asked[i] = false
		f.pending--
	}
}

// Opened is the [load.Player]'s.
func (f *Flood) Opened(int) {}

// Message is the [load.Player]'s.
func (f *Flood) Message(_ int, _ frame.Opcode, data []byte) {
	t := f.client.Tally()
	if verdict, _ := f.payload.Check(data, 0, 0); verdict == load.Right {
		t.Received++
		return
	}
	t.Other++
	t.Told.Add("to a flooder: "+string(data), 1)
}

// Answered is the [load.Player]'s.
func (f *Flood) Answered(int, *client.Response) {}

// Closed is the [load.Player]'s.
func (f *Flood) Closed(i int, _ load.Fault) {
	f.Pong(i) // there will be none
	if f.running {
		f.client.Dial(i)
	}
}

// Turn is the [load.Player]'s: connections with room send again. When none has, the
// server holds them back, and the next turn comes with the next event.
func (f *Flood) Turn(now time.Duration) (next time.Duration) {
	if !f.running {
		return 0
	}
	for i := range f.client.Conns() {
		if f.client.IsOpen(i) && f.client.Backlog(i) == 0 {
			f.client.SendRaw(i, f.batch)
			f.client.Tally().Sent += floodBatch
			next = now
		}
	}
	return next
}
