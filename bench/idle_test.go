//go:build linux

package bench

import (
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/usher-ws/usher/bench/internal/load"
	"github.com/usher-ws/usher/frame"
)

// TestIdle: all are held, at each of the steps.
func TestIdle(t *testing.T) {
	f := new(fake).serve(t)
	r, err := Idle{Common: f.short(20), Steps: 2, Hold: 50 * time.Millisecond}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !r.OK || r.Figure("open").Value != 20 || len(r.Memory) != 3 || r.Memory[1].Conns != 10 || r.Memory[2].Conns != 20 {
		t.Errorf("got %s", r.Text())
	}
}

// TestIdleSilent: what a server says by itself to those that are silent is no fault.
func TestIdleSilent(t *testing.T) {
	f := new(fake)
	f.door = func(c *fakeConn, r *http.Request) bool {
		c.upgrade(r.Header.Get("Sec-WebSocket-Key"))
		c.send(frame.OpText, []byte("Server: somebody has joined the chat"))
		_, _ = io.Copy(io.Discard, c)
		return true
	}
	f.serve(t)
	r, err := Idle{Common: f.short(20), Steps: 2, Hold: 50 * time.Millisecond, Silent: true}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !r.OK || r.Figure("open").Value != 20 {
		t.Errorf("got %s", r.Text())
	}
}

// TestIdleLosses: a connection that is lost while held is counted, with the reason.
func TestIdleLosses(t *testing.T) {
	f := new(fake)
	f.message = func(c *fakeConn, _ int, op frame.Opcode, data []byte) {
		c.send(op, data)
		switch c.number % 5 {
		case 0:
			c.reset()
		case 1:
			c.Close()
		case 2:
			b, _ := c.proto.AppendClose(nil, frame.StatusTryAgainLater, "")
			c.write(b)
		}
	}
	f.serve(t)
	r, err := Idle{Common: f.short(20), Steps: 1, Hold: 50 * time.Millisecond}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := load.Faults{
		{Kind: load.Reset, Code: 104}: 4, {Kind: load.Cut}: 4, {Kind: load.Closed, Code: 1013}: 4,
	}
	for fault, n := range want {
		if r.Faults[fault] != n {
			t.Errorf("%v: got %d, want %d", fault, r.Faults[fault], n)
		}
	}
	if r.OK || r.Figure("open").Value != 8 || r.Faults.Without(load.Unanswered).Total() != 12 {
		t.Errorf("got %s", r.Text())
	}
}

// TestIdleContent: an echo that is not what was said is counted before the silence.
func TestIdleContent(t *testing.T) {
	f := new(fake)
	f.message = func(c *fakeConn, _ int, op frame.Opcode, data []byte) {
		if c.number%4 == 0 {
			data[0] ^= 1
		}
		c.send(op, data)
	}
	f.serve(t)
	r, err := Idle{Common: f.short(20), Steps: 1, Hold: 50 * time.Millisecond}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Faults[load.Fault{Kind: load.WrongContent}]; r.OK || got != 5 || r.Faults.Total() != 5 {
		t.Errorf("got %v, want 5 of wrong content", r.Faults)
	}
}

// TestSlope: least squares over what was added for each connection.
func TestSlope(t *testing.T) {
	var steps []Step
	for k := range 5 {
		s := Step{Conns: 1000 * k}
		s.Server.RSS = 10<<20 + int64(1000*k)*96
		steps = append(steps, s)
	}
	if got, _ := slope(steps, func(s Step) int64 { return s.Server.RSS }); got < 95.999 || got > 96.001 {
		t.Errorf("got %g bytes each, want 96", got)
	}
}

// TestIdleDoor: a refused connection is counted, and is not among those held; the time
// at the door is in the time to open them.
func TestIdleDoor(t *testing.T) {
	const delay = 20 * time.Millisecond
	f := &fake{}
	f.door = func(c *fakeConn, _ *http.Request) bool {
		time.Sleep(delay)
		if c.number%4 == 0 {
			f.count.Add(1)
			c.answer(503, "full")
			return true
		}
		return false
	}
	f.serve(t)
	common := f.short(20)
	common.Timeout = patience
	r, err := Idle{Common: common, Steps: 2, Hold: time.Millisecond}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := int(f.count.Load())
	if got := r.Faults[load.Fault{Kind: load.Refused, Code: 503}]; got != want || r.Faults.Total() != want || want != 5 {
		t.Errorf("got %v, want 5 × 503", r.Faults)
	}
	if got := r.Figure("open").Value; got != 15 {
		t.Errorf("open: got %g, want 15", got)
	}
	if got := time.Duration(r.Figure("opening").Value); got < 2*delay {
		t.Errorf("two steps took %v, want at least %v", got, 2*delay)
	}
}
