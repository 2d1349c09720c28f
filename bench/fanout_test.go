//go:build linux

package bench

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/usher-ws/usher/bench/internal/load"
	"github.com/usher-ws/usher/frame"
)

// broadcast makes f send what one says to all, as told by deliver for each member;
// nil: the message itself.
func (f *fake) broadcast(deliver func(to *fakeConn, op frame.Opcode, data []byte)) *fake {
	if deliver == nil {
		deliver = func(to *fakeConn, op frame.Opcode, data []byte) { to.send(op, data) }
	}
	f.message = func(_ *fakeConn, _ int, op frame.Opcode, data []byte) {
		f.mu.Lock()
		defer f.mu.Unlock()
		for c := range f.conns {
			deliver(c, op, data)
		}
	}
	return f
}

// TestFanout: plain servers and chats, one message at a time or several.
func TestFanout(t *testing.T) {
	chat := func(to *fakeConn, op frame.Opcode, data []byte) {
		to.send(op, append([]byte("bench: "), data...))
	}
	for _, tt := range []struct {
		name    string
		deliver func(to *fakeConn, op frame.Opcode, data []byte)
		fanout  Fanout
	}{
		{"plain", nil, Fanout{}},
		{"chat", chat, Fanout{Text: true, Window: 4}},
		{"paced", nil, Fanout{Rate: 50, Size: 16}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const members = 8
			f := new(fake).broadcast(tt.deliver).serve(t)
			tt.fanout.Common = f.short(members)
			tt.fanout.Timeout = patience
			r, err := tt.fanout.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if !r.OK || r.Figure("published").Value == 0 || len(r.Shapes) != 2 {
				t.Fatalf("got %s", r.Text())
			}
			// Figures may be withheld on a busy machine; what they are made of is there.
			each, last := r.Shapes[0].all, r.Shapes[1].all
			if last.Count() == 0 || each.Count() != members*last.Count() || each.Max() != last.Max() || last.At(50) < each.At(50) {
				t.Errorf("%d deliveries of %d messages, the last after %v and %v, half of them within %v and %v",
					each.Count(), last.Count(), each.Max(), last.Max(), each.At(50), last.At(50))
			}
			if late := r.Figure("late_max") != nil; late != (tt.fanout.Rate > 0) {
				t.Errorf("sent late: got %t, want %t", late, !late)
			}
		})
	}
}

// TestFanoutLosses: each member that is left out is counted, once what comes next tells.
func TestFanoutLosses(t *testing.T) {
	const every, losing, enough = 5, 20, 40
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f, deliveries := new(fake), 0
	f.broadcast(func(to *fakeConn, op frame.Opcode, data []byte) {
		if to.number == 2 { // the publisher, who dialed last, is another
			switch deliveries++; {
			case deliveries <= losing && deliveries%every == 0:
				return
			case deliveries == enough: // the window is small: what was lost is known
				cancel()
			}
		}
		to.send(op, data)
	}).serve(t)
	common := f.short(8)
	common.Duration, common.Timeout = patience, patience
	r, err := Fanout{Common: common, Window: 3}.Run(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Faults[load.Fault{Kind: load.Missing}]; got != losing/every || r.Faults.Total() != got || r.OK {
		t.Errorf("got %v, want %d missing", r.Faults, losing/every)
	}
}

// TestFanoutUnanswered: what nobody gets is given up, so that the next can be published.
func TestFanoutUnanswered(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f := new(fake)
	f.message = func(_ *fakeConn, n int, _ frame.Opcode, _ []byte) {
		if n == 1 {
			cancel()
		}
	}
	f.serve(t)
	common := f.short(2)
	common.Duration, common.Timeout = patience, 2*time.Second // it bounds connecting, too
	r, err := Fanout{Common: common}.Run(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Faults[load.Fault{Kind: load.Unanswered}]; got != 2 || r.Faults.Total() != got {
		t.Errorf("got %v, want the first message unanswered twice", r.Faults)
	}
}

// TestFanoutLast: the last member's time is that of the slowest.
func TestFanoutLast(t *testing.T) {
	const delay = 30 * time.Millisecond
	f := new(fake)
	f.broadcast(func(to *fakeConn, op frame.Opcode, data []byte) {
		if to.number == 1 {
			b := append([]byte(nil), data...)
			time.AfterFunc(delay, func() { to.send(op, b) })
			return
		}
		to.send(op, data)
	}).serve(t)
	common := f.short(6)
	common.Timeout = patience
	r, err := Fanout{Common: common}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Figure("last_mean").Value; !r.OK || got < float64(delay) {
		t.Errorf("to the last member: got %v, want at least %v; %v", time.Duration(got), delay, r.Faults)
	}
}

// TestFanoutFaults: each wrong delivery to one of the members is counted once, as
// what it is; what the server says besides is none.
func TestFanoutFaults(t *testing.T) {
	flip := func(k int) func(to *fakeConn, op frame.Opcode, data []byte) {
		return func(to *fakeConn, op frame.Opcode, data []byte) {
			b := append([]byte(nil), data...)
			b[(k+len(b))%len(b)] ^= 0x40
			to.send(op, b)
		}
	}
	for _, tt := range []struct {
		name  string
		wrong func(to *fakeConn, op frame.Opcode, data []byte)
		want  load.Fault
	}{
		{"number", flip(0), load.Fault{Kind: load.WrongContent}},
		{"sender", flip(9), load.Fault{Kind: load.WrongContent}},
		{"last byte", flip(-1), load.Fault{Kind: load.WrongContent}},
		{"opcode", func(to *fakeConn, _ frame.Opcode, data []byte) { to.send(frame.OpText, data) }, load.Fault{Kind: load.WrongContent}},
		{"twice", func(to *fakeConn, op frame.Opcode, data []byte) { to.send(op, data); to.send(op, data) }, load.Fault{Kind: load.WrongOrder}},
		{"gossip", func(to *fakeConn, op frame.Opcode, data []byte) {
			to.send(frame.OpText, bytes.Repeat([]byte("* alice joined "), 20))
			to.send(op, data)
		}, load.Fault{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := new(fake)
			deliveries := 0
			f.broadcast(func(to *fakeConn, op frame.Opcode, data []byte) {
				if to.number == 2 { // the publisher, who dialed last, is another
					if deliveries++; deliveries%5 == 0 {
						f.count.Add(1)
						tt.wrong(to, op, data)
						return
					}
				}
				to.send(op, data)
			}).serve(t)
			common := f.short(8)
			common.Timeout = patience
			r, err := Fanout{Common: common, Window: 3}.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			want := int(f.count.Load())
			if tt.want == (load.Fault{}) {
				if got := r.Figure("other").Value; !r.OK || got < float64(want) {
					t.Errorf("got %g other messages, want at least %d; %v", got, want, r.Faults)
				}
				return
			}
			if got := r.Faults[tt.want]; got != want || r.Faults.Total() != want || want == 0 {
				t.Errorf("got %v, want %d × %v", r.Faults, want, tt.want)
			}
		})
	}
}

// TestFanoutReset: members whose connections end are counted, and the others are
// not kept waiting for them.
func TestFanoutReset(t *testing.T) {
	f := new(fake)
	deliveries := 0
	f.broadcast(func(to *fakeConn, op frame.Opcode, data []byte) {
		if to.number < 3 && !to.lost {
			if deliveries++; deliveries > 10 {
				to.lost = true
				f.count.Add(1)
				to.reset()
			}
		}
		to.send(op, data)
	}).serve(t)
	common := f.short(8)
	common.Timeout = patience
	r, err := Fanout{Common: common}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := int(f.count.Load())
	resets, unanswered := r.Faults[load.Fault{Kind: load.Reset, Code: 104}], r.Faults[load.Fault{Kind: load.Unanswered}]
	if resets != want || unanswered > want || resets+unanswered != r.Faults.Total() || want != 3 {
		t.Errorf("got %v, want %d resets, and what was under way to them", r.Faults, want)
	}
}

// TestFanoutTold: what a server says to the publisher, and in close frames, is in the
// report, so that it tells why messages are missing.
func TestFanoutTold(t *testing.T) {
	f := new(fake).broadcast(nil)
	deliver := f.message
	f.message = func(c *fakeConn, k int, op frame.Opcode, data []byte) {
		if k == 1 {
			c.send(frame.OpText, []byte("slow down"))
			return // and the message is lost
		}
		deliver(c, k, op, data)
	}
	f.serve(t)
	r, err := Fanout{Common: f.short(3), Window: 4}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if text := r.Text(); r.OK || !has(text, "what the server said", `"to the publisher: slow down"`) {
		t.Errorf("got %s", text)
	}
}
