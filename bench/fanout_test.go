//go:build linux

package bench

import (
	"testing"
	"time"

	"github.com/usher-ws/usher/bench/load"
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
			f := new(fake).broadcast(tt.deliver).serve(t)
			tt.fanout.Common = f.short(8)
			r, err := tt.fanout.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if !r.OK || r.Figure("published").Value == 0 || r.Figure("last_p50").Value < r.Figure("p50").Value {
				t.Errorf("got %s", r.Text())
			}
		})
	}
}

// TestFanoutLosses: each member that is left out is counted.
func TestFanoutLosses(t *testing.T) {
	f := new(fake)
	f.broadcast(func(to *fakeConn, op frame.Opcode, data []byte) {
		// The publisher, who dialed last, is nobody's loss.
		if to.number == 2 && f.count.Add(1)%5 == 0 {
			return
		}
		to.send(op, data)
	}).serve(t)
	common := f.short(8)
	common.Timeout = 150 * time.Millisecond
	r, err := Fanout{Common: common, Window: 3}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	lost := int(f.count.Load()) / 5
	got := r.Faults[load.Fault{Kind: load.Missing}] + r.Faults[load.Fault{Kind: load.Unanswered}]
	if got != lost || lost == 0 || r.OK {
		t.Errorf("got %v, want %d in all", r.Faults, lost)
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
	r, err := Fanout{Common: f.short(6)}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Figure("last_p50").Value; !r.OK || got < float64(delay) {
		t.Errorf("to the last member: got %v, want at least %v; %v", time.Duration(got), delay, r.Faults)
	}
}
