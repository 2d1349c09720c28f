//go:build linux

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/usher-ws/usher/bench/internal/load"
	"github.com/usher-ws/usher/client"
	"github.com/usher-ws/usher/frame"
)

const (
	messageSize = 128
	// A message to a node that has just got its first member may miss it, and is said again.
	tryAgain = 200 * time.Millisecond
	lookEach = 20 * time.Millisecond
)

// audience is the members of a room, and the one who speaks, which is the last connection. Member
// i is at node i modulo their number, and the speaker at the first. What is not a function for
// everybody is the loop's.
type audience struct {
	client  *load.Client
	payload *load.Payload
	nodes   int

	want    []uint32        // the number of the message that each member is to hear next
	due     []time.Duration // of each message
	heard   uint32          // all members have heard the messages before this
	missing map[uint32]int  // by message, how many have not heard it
	tuning  bool            // messages may get lost
	pacer   *load.Pacer     // nil: nobody speaks
	account heard
	fault   error // the first
}

// heard is what came of what was said.
type heard struct {
	deliveries  int
	here, there load.Histogram // at the speaker's node, and at the others
}

// gather has so many members come to each node, and waits until a message reaches all of them.
// leave is to follow, also after an error.
func gather(ctx context.Context, t *town, members int) (*audience, error) {
	a := &audience{payload: load.NewPayload(messageSize), nodes: len(t.nodes), want: make([]uint32, len(t.nodes)*members), missing: make(map[uint32]int)}
	doors, err := t.doors()
	if err != nil {
		return a, err
	}
	token, err := t.token()
	if err != nil {
		return a, err
	}
	a.client, err = load.New(load.Config{
		Conns: len(a.want) + 1, Targets: doors, Request: load.Request{Token: func(int) string { return token }},
	}, func(c *load.Client) load.Player { a.client = c; return a })
	if err != nil {
		return a, err
	}
	err = a.do(func() {
		pin(clientsPart) // the loop's thread
		for i := range a.client.Conns() {
			a.client.Dial(i)
		}
	})
	if err != nil {
		return a, err
	}
	if err := a.until(ctx, func() bool { return a.client.Open() == a.client.Conns() }); err != nil {
		return a, err
	}
	return a, a.tune(ctx)
}

// tune speaks until all members have heard one message.
func (a *audience) tune(ctx context.Context) error {
	a.tuning = true
	var last time.Time
	for {
		all := false
		err := a.do(func() {
			if all = len(a.due) > 0 && a.heard == uint32(len(a.due)); all {
				a.tuning = false
			} else if time.Since(last) > tryAgain {
				last = time.Now()
				a.speak(a.client.Now())
			}
		})
		if err != nil || all {
			return err
		}
		if err := wait(ctx, lookEach); err != nil {
			return err
		}
	}
}

// hear has so many messages said a second, for a while, and returns when all have heard all.
func (a *audience) hear(ctx context.Context, rate float64, d time.Duration) (h heard, err error) {
	err = a.do(func() {
		a.account = heard{}
		a.pacer = load.NewPacer(a.client.Now(), rate, 1)
	})
	if err != nil {
		return h, err
	}
	if err = wait(ctx, d); err != nil {
		return h, err
	}
	if err = a.do(func() { a.pacer = nil }); err != nil {
		return h, err
	}
	err = a.until(ctx, func() bool {
		h = a.account
		return a.heard == uint32(len(a.due))
	})
	return h, err
}

// do runs f on the loop, and returns what was wrong up to then.
func (a *audience) do(f func()) error {
	var fault error
	if err := a.client.Do(func() { f(); fault = a.fault }); err != nil {
		return err
	}
	return fault
}

// until waits until something is so on the loop.
func (a *audience) until(ctx context.Context, so func() bool) error {
	for is := false; ; {
		if err := a.do(func() { is = so() }); err != nil || is {
			return err
		}
		if err := wait(ctx, lookEach); err != nil {
			return err
		}
	}
}

// leave ends all connections.
func (a *audience) leave() {
	if a.client != nil {
		_ = a.client.Close()
	}
}

// speak says the next message, which was due then.
func (a *audience) speak(due time.Duration) {
	seq := uint32(len(a.due))
	a.due = append(a.due, due)
	a.missing[seq] = len(a.want)
	var s load.Stamp
	stamp := a.payload.Stamp(&s, len(a.want), seq)
	a.client.Send(len(a.want), frame.OpText, stamp, a.payload.Pattern())
}

// Turn is the [load.Player]'s.
func (a *audience) Turn(now time.Duration) (next time.Duration) {
	for a.pacer != nil {
		if next = a.pacer.Next(); next > now {
			return next
		}
		a.pacer.Take(now)
		a.speak(next)
	}
	return 0
}

// Message is the [load.Player]'s. The chat puts the speaker's name before what is said.
func (a *audience) Message(i int, _ frame.Opcode, data []byte) {
	if i == len(a.want) || len(data) < messageSize {
		return // the speaker itself; who comes and goes
	}
	verdict, seq := a.payload.Check(data[len(data)-messageSize:], len(a.want), a.want[i])
	if verdict != load.Right && (verdict != load.Ahead || !a.tuning) {
		a.fail(fmt.Errorf("member %d at node %d wants message %d and hears %q", i, i%a.nodes, a.want[i], data))
		return
	}
	a.want[i] = seq + 1
	a.account.deliveries++
	if h := &a.account.there; i%a.nodes != 0 {
		h.Record(a.client.At() - a.due[seq])
	} else {
		a.account.here.Record(a.client.At() - a.due[seq])
	}
	if a.missing[seq]--; a.missing[seq] == 0 {
		delete(a.missing, seq)
		a.heard = seq + 1
	}
}

func (a *audience) fail(err error) {
	if a.fault == nil {
		a.fault = err
	}
}

// Opened is the [load.Player]'s.
func (a *audience) Opened(int) {}

// Answered is the [load.Player]'s.
func (a *audience) Answered(i int, r *client.Response) {
	a.fail(fmt.Errorf("connection %d was refused: %d", i, r.Status))
}

// Closed is the [load.Player]'s.
func (a *audience) Closed(i int, f load.Fault) {
	a.fail(fmt.Errorf("connection %d has ended: %v", i, f))
}
