//go:build linux

package play

import (
	"time"

	"github.com/usher-ws/usher/bench/internal/load"
	"github.com/usher-ws/usher/client"
	"github.com/usher-ws/usher/frame"
)

// FanoutConfig says what a Fanout publishes.
type FanoutConfig struct {
	Size    int           // of a message, in bytes
	Text    bool          // else binary
	Window  int           // messages published that have not reached all; 0: 1
	Rate    float64       // messages a second; 0: as the window allows
	Timeout time.Duration // until a message that has not reached all is given up; 0: 5 s
}

// Fanout has one publisher, the last connection, and members, all others. What
// the publisher says each member shall receive once, in order: the message alone,
// or with something in front of it, as chats do. What else the server sends to members,
// such as names of those that come and go, is counted as Other. Whether the publisher
// receives its own messages is up to the server.
//
// Latency is from the sending, or with a rate from when it was due, to each
// delivery; Last to the last member's. Received counts deliveries.
type Fanout struct {
	client  *load.Client
	cfg     FanoutConfig
	opcode  frame.Opcode
	payload *load.Payload

	members []uint32 // the number each member wants next
	ring    []publication
	next    uint32 // the number of the next message
	oldest  uint32 // the number of the first that has not reached all
	alive   int    // members that are open
	pacer   *load.Pacer
	room    time.Duration // since when the window has had room
	running bool
}

// publication is one message on its way to the members.
type publication struct {
	due  time.Duration
	left int // members that have not got it
}

// NewFanout returns the player of a client of at least two connections.
func NewFanout(client *load.Client, cfg FanoutConfig) *Fanout {
	cfg.Window = max(cfg.Window, 1)
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultTimeout
	}
	return &Fanout{
		client:  client,
		cfg:     cfg,
		opcode:  opcode(cfg.Text),
		payload: load.NewPayload(max(cfg.Size, load.StampSize)),
		members: make([]uint32, client.Conns()-1),
		ring:    make([]publication, cfg.Window),
	}
}

// Start begins to publish.
func (f *Fanout) Start() {
	f.running = true
	if f.cfg.Rate > 0 {
		f.pacer = load.NewPacer(f.client.Now(), f.cfg.Rate, 1)
	}
	f.fill(f.client.Now())
}

// Stop publishes nothing more.
func (f *Fanout) Stop() { f.running = false }

// Pending returns how many messages have not reached all members.
func (f *Fanout) Pending() int { return int(f.next - f.oldest) }

func (f *Fanout) publisher() int { return len(f.members) }

// Opened is the [load.Player]'s.
func (f *Fanout) Opened(i int) {
	if i != f.publisher() {
		f.alive++
		f.members[i] = f.next
	}
}

// fill publishes what is due and the window has room for.
func (f *Fanout) fill(now time.Duration) (next time.Duration) {
	for f.running && f.alive > 0 && f.next-f.oldest < uint32(f.cfg.Window) && f.client.IsOpen(f.publisher()) {
		due := now
		if f.pacer != nil {
			if due = f.pacer.Next(); due > now {
				return due
			}
			f.pacer.Take(now)
			f.client.Tally().Late.Record(f.client.Now() - max(due, f.room))
		}
		f.ring[f.next%uint32(f.cfg.Window)] = publication{due, f.alive}
		var s load.Stamp
		stamp := f.payload.Stamp(&s, f.publisher(), f.next)
		f.next++
		f.client.Send(f.publisher(), f.opcode, stamp, f.payload.Pattern())
	}
	return 0
}

// Message is the [load.Player]'s.
func (f *Fanout) Message(i int, op frame.Opcode, data []byte) {
	t := f.client.Tally()
	if i == f.publisher() && f.next != 0 && !f.isOwn(data) {
		t.Told.Add("to the publisher: "+string(data), 1)
	}
	if i == f.publisher() || f.next == 0 || len(data) < f.payload.Size() {
		t.Other++
		return
	}
	want := &f.members[i]
	said := data[len(data)-f.payload.Size():]
	verdict, seq := f.payload.Check(said, f.publisher(), *want)
	switch {
	case verdict == load.Ahead && seq-*want < f.next-*want:
		f.client.Count(load.Fault{Kind: load.Missing}, int(seq-*want))
		for ; *want != seq; *want++ {
			f.reached(*want)
		}
	case verdict != load.Right && !f.payload.Resembles(said, f.publisher()):
		t.Other++
		return
	case verdict == load.Behind, *want == f.next:
		f.client.Count(load.Fault{Kind: load.WrongOrder}, 1)
		return
	case verdict != load.Right || op != f.opcode:
		f.client.Count(load.Fault{Kind: load.WrongContent}, 1)
		f.reached(*want)
		*want++
		return
	}
	t.Received++
	if p := f.publication(*want); p != nil {
		t.Latency.Record(f.client.At() - p.due)
	}
	f.reached(*want)
	*want++
}

// isOwn reports whether the publisher hears its own words.
func (f *Fanout) isOwn(data []byte) bool {
	from := len(data) - f.payload.Size()
	return from >= 0 && f.payload.Resembles(data[from:], f.publisher())
}

// publication returns message seq, nil if it is no longer awaited.
func (f *Fanout) publication(seq uint32) *publication {
	if seq-f.oldest >= f.next-f.oldest {
		return nil
	}
	return &f.ring[seq%uint32(f.cfg.Window)]
}

// reached notes that one member less is to get message seq.
func (f *Fanout) reached(seq uint32) {
	p := f.publication(seq)
	if p == nil {
		return
	}
	p.left--
	if p.left > 0 {
		return
	}
	f.client.Tally().Last.Record(f.client.At() - p.due)
	for f.oldest != f.next && f.ring[f.oldest%uint32(f.cfg.Window)].left <= 0 {
		f.advance(f.client.At())
	}
	f.fill(f.client.Now())
}

// advance lets go of the oldest message, which makes room in a full window.
func (f *Fanout) advance(now time.Duration) {
	if f.next-f.oldest == uint32(f.cfg.Window) {
		f.room = now
	}
	f.oldest++
}

// Answered is the [load.Player]'s.
func (f *Fanout) Answered(int, *client.Response) {}

// Closed is the [load.Player]'s: nothing more reaches a member that has gone.
func (f *Fanout) Closed(i int, _ load.Fault) {
	if i == f.publisher() || f.members[i] == gone {
		return
	}
	seq := f.members[i]
	f.members[i] = gone
	f.alive = max(f.alive-1, 0)
	if f.next-seq > f.next-f.oldest {
		seq = f.oldest
	}
	f.client.Count(load.Fault{Kind: load.Unanswered}, int(f.next-seq))
	for end := f.next; seq != end; seq++ {
		f.reached(seq)
	}
}

// gone is in the place of that number once a member has left.
const gone = 1<<32 - 1

// Turn is the [load.Player]'s.
func (f *Fanout) Turn(now time.Duration) (next time.Duration) {
	for f.oldest != f.next {
		p := &f.ring[f.oldest%uint32(f.cfg.Window)]
		if now-p.due <= f.cfg.Timeout {
			break
		}
		f.client.Count(load.Fault{Kind: load.Unanswered}, p.left)
		p.left = 0
		f.advance(now)
	}
	return f.fill(now)
}
