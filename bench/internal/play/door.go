//go:build linux

package play

import (
	"time"

	"github.com/usher-ws/usher/bench/internal/load"
	"github.com/usher-ws/usher/client"
	"github.com/usher-ws/usher/frame"
)

// Door goes through a server's door all the time: it connects, asks for the
// upgrade, and goes again with a close frame as soon as it is in; or it expects to
// be refused, and looks whether the refusal arrives, status and body.
//
// Latency is from the beginning of the connecting to the answer. Received counts
// the answers that were as expected.
type Door struct {
	client  *load.Client
	refused bool
	running bool
	since   []time.Duration // when the connection was dialed
}

// NewDoor returns the player of a client. refused says what is expected.
func NewDoor(client *load.Client, refused bool) *Door {
	return &Door{client: client, refused: refused, since: make([]time.Duration, client.Conns())}
}

// Start lets all connections try the door.
func (d *Door) Start() {
	d.running = true
	for i := range d.since {
		d.dial(i)
	}
}

// Stop begins nothing new; connections under way go on.
func (d *Door) Stop() { d.running = false }

// Pending returns how many connections are under way.
func (d *Door) Pending() (n int) {
	for i := range d.since {
		if !d.client.IsUnused(i) {
			n++
		}
	}
	return n
}

func (d *Door) dial(i int) {
	d.since[i] = d.client.Now()
	d.client.Dial(i)
}

// Opened is the [load.Player]'s.
func (d *Door) Opened(i int) {
	if d.refused {
		d.client.Count(load.Fault{Kind: load.LetIn}, 1)
	} else {
		d.passed(i)
	}
	d.client.Leave(i, frame.StatusNormalClosure)
}

// Answered is the [load.Player]'s.
func (d *Door) Answered(i int, a *client.Response) {
	if !d.refused {
		return
	}
	d.passed(i)
	if a.Complete && len(a.Body) > 0 {
		d.client.Tally().Bodies++
	}
}

func (d *Door) passed(i int) {
	t := d.client.Tally()
	t.Received++
	t.Latency.Record(d.client.At() - d.since[i])
}

// Message is the [load.Player]'s. What a server says to a newcomer is not asked
// for here.
func (d *Door) Message(int, frame.Opcode, []byte) { d.client.Tally().Other++ }

// Closed is the [load.Player]'s.
func (d *Door) Closed(i int, _ load.Fault) {
	if d.running {
		d.dial(i)
	}
}

// Turn is the [load.Player]'s.
func (d *Door) Turn(time.Duration) time.Duration { return 0 }
