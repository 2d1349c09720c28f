//go:build linux

package bench

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"github.com/usher-ws/usher/bench/internal/load"
	"github.com/usher-ws/usher/frame"
)

func runEcho(t *testing.T, e Echo) *Report {
	t.Helper()
	r, err := e.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if r.OK != (r.Faults.Total() == 0) {
		t.Errorf("OK: got %v with %v", r.OK, r.Faults)
	}
	return r
}

// TestEchoSound: nothing is wrong, and nothing is said to be, whatever the size,
// the opcode and the pace.
func TestEchoSound(t *testing.T) {
	f := new(fake).serve(t)
	for _, e := range []Echo{
		{Size: 1}, {Size: 7, InFlight: 9}, {Size: 8}, {Size: 20, InFlight: 16}, {Size: 125}, {Size: 126, Text: true},
		{Size: 70_000, InFlight: 3}, {Size: 20, Rate: 2000}, {Size: 20, Rate: 500, InFlight: 1},
	} {
		e.Common = f.short(10)
		e.Timeout = patience
		r := runEcho(t, e)
		if !r.OK || r.Figure("messages").Value == 0 || len(r.Shapes) != 1 {
			t.Errorf("%+v: got %s", e, r.Text())
		}
	}
}

// TestEchoFaults: each fault is counted as often as it was injected.
func TestEchoFaults(t *testing.T) {
	always := load.Fault{Kind: load.Unanswered}
	for _, tt := range []struct {
		name string
		fake *fake
		want []load.Fault // their sum is what was injected
		also []load.Fault // may be there too: what was under way when a connection ended
	}{
		{"drop", new(fake).every(10, func(*fakeConn, frame.Opcode, []byte) {}),
			[]load.Fault{{Kind: load.Missing}, always}, nil},
		{"first byte", new(fake).every(7, func(c *fakeConn, op frame.Opcode, b []byte) { b[0] ^= 0x40; c.send(op, b) }),
			[]load.Fault{{Kind: load.WrongContent}}, nil},
		{"last byte", new(fake).every(7, func(c *fakeConn, op frame.Opcode, b []byte) { b[len(b)-1] ^= 1; c.send(op, b) }),
			[]load.Fault{{Kind: load.WrongContent}}, nil},
		{"opcode", new(fake).every(7, func(c *fakeConn, op frame.Opcode, b []byte) { c.send(frame.OpText, b) }),
			[]load.Fault{{Kind: load.WrongContent}}, nil},
		{"length", new(fake).every(5, func(c *fakeConn, op frame.Opcode, b []byte) { c.send(op, b[1:]) }),
			[]load.Fault{{Kind: load.WrongLength}}, nil},
		{"twice", new(fake).every(5, func(c *fakeConn, op frame.Opcode, b []byte) { c.write(bytes.Repeat(frame.AppendFrame(nil, op, b), 2)) }),
			[]load.Fault{{Kind: load.WrongOrder}}, nil},
		{"reset", new(fake).every(10, func(c *fakeConn, _ frame.Opcode, _ []byte) { c.reset() }),
			[]load.Fault{{Kind: load.Reset, Code: 104}}, []load.Fault{always}},
		{"close frame", new(fake).every(10, func(c *fakeConn, _ frame.Opcode, _ []byte) {
			b, _ := c.proto.AppendClose(nil, frame.StatusInternalError, "")
			c.write(b)
		}), []load.Fault{{Kind: load.Closed, Code: 1011}}, []load.Fault{always}},
		{"protocol", new(fake).every(10, func(c *fakeConn, _ frame.Opcode, _ []byte) { c.write([]byte{0xF1, 0}) }),
			[]load.Fault{{Kind: load.Broken, Code: 1002}}, []load.Fault{always}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := tt.fake.serve(t)
			r := runEcho(t, Echo{Common: f.short(4), InFlight: 4})
			got := 0
			for _, fault := range tt.want {
				got += r.Faults[fault]
			}
			want := int(f.count.Load())
			all := got
			for _, fault := range tt.also {
				all += r.Faults[fault]
			}
			if got != want || want == 0 || all != r.Faults.Total() {
				t.Errorf("got %v, want %d of %v", r.Faults, want, tt.want)
			}
			if r.OK || !has(r.Headline, "ERRORS", tt.want[0].Kind.String()) && tt.name != "drop" {
				t.Errorf("headline %q does not say so", r.Headline)
			}
		})
	}
}

// TestEchoSwapped: two echoes in the wrong order are one that is missed and one
// that comes late.
func TestEchoSwapped(t *testing.T) {
	f := new(fake)
	f.message = func(c *fakeConn, n int, op frame.Opcode, data []byte) {
		switch n % 10 {
		case 3:
			c.held = append([]byte(nil), data...)
		case 4:
			f.count.Add(1)
			c.write(frame.AppendFrame(frame.AppendFrame(nil, op, data), op, c.held))
		default:
			c.send(op, data)
		}
	}
	f.serve(t)
	r := runEcho(t, Echo{Common: f.short(2), InFlight: 2})
	// The last pair of a connection may be cut in two by the end of the run.
	missing, order := r.Faults[load.Fault{Kind: load.Missing}], r.Faults[load.Fault{Kind: load.WrongOrder}]
	if want := int(f.count.Load()); missing != want || order != want {
		t.Errorf("got %v, want %d missing and as many in wrong order", r.Faults, want)
	}
}

// TestEchoDelay: what a server waits is what is reported.
func TestEchoDelay(t *testing.T) {
	const delay = 50 * time.Millisecond
	f := new(fake)
	f.message = func(c *fakeConn, _ int, op frame.Opcode, data []byte) {
		time.Sleep(delay)
		c.send(op, data)
	}
	f.serve(t)
	r := runEcho(t, Echo{Common: f.short(3)})
	for _, key := range []string{"mean", "max"} { // of percentiles there are too few samples
		if got := r.Figure(key).Value; got < float64(delay) {
			t.Errorf("%s: got %v, want at least %v", key, time.Duration(got), delay)
		}
	}
}

// TestEchoStall: in an open loop one stall of the server counts for everything
// that was due meanwhile, although the server was asked nothing then.
func TestEchoStall(t *testing.T) {
	const (
		stall = 400 * time.Millisecond
		rate  = 500
	)
	f := new(fake)
	f.message = func(c *fakeConn, n int, op frame.Opcode, data []byte) {
		if n == 10 {
			time.Sleep(stall)
		}
		c.send(op, data)
	}
	f.serve(t)
	for _, inFlight := range []int{0, 1} {
		common := f.short(1)
		common.Duration, common.Timeout = time.Second, 2*time.Second
		r := runEcho(t, Echo{Common: common, Rate: rate, InFlight: inFlight})
		// Whoever was due in the first half of the stall waited for the second.
		slow := 0.0
		for i, p := range r.Shapes[0].Points {
			if time.Duration(p.NS) >= stall/2 && i > 0 {
				slow = 100 - r.Shapes[0].Points[i-1].Percent
				break
			}
		}
		want := 100 * 0.9 * (stall / 2).Seconds() * rate / float64(r.Shapes[0].Count)
		if slow < want {
			t.Errorf("in flight %d: %.1f %% waited for %v, want at least %.1f %%", inFlight, slow, stall/2, want)
		}
	}
}

// TestEchoBeside: connections that are only there say nothing, also in a process that has
// none of the others.
func TestEchoBeside(t *testing.T) {
	f := new(fake)
	var speakers sync.Map
	f.message = func(c *fakeConn, _ int, op frame.Opcode, data []byte) {
		speakers.Store(c.number, true)
		c.send(op, data)
	}
	f.serve(t)
	for _, rate := range []float64{0, 200} {
		speakers.Clear()
		common := f.short(2)
		common.PerProcess, common.Worker, common.Timeout = 4, []string{"/proc/self/exe", workerArg}, patience
		r := runEcho(t, Echo{Common: common, Beside: 10, Rate: rate})
		n := 0
		speakers.Range(func(any, any) bool { n++; return true })
		if n != 2 || !r.OK || r.Figure("messages").Value == 0 {
			t.Errorf("rate %g: %d connections spoke, want 2; got %s", rate, n, r.Text())
		}
	}
}

// TestEchoNobody: a server that lets nobody in is an error.
func TestEchoNobody(t *testing.T) {
	f := new(fake).serve(t)
	closed := f.short(2)
	closed.URL = "ws://127.0.0.1:1/"
	if _, err := (Echo{Common: closed}).Run(t.Context()); err == nil || !has(err.Error(), "2 × cannot connect: connection refused") {
		t.Errorf("got %v, want two refused connections", err)
	}
}

// TestProcesses: the same over three processes and over three loops.
func TestProcesses(t *testing.T) {
	f := new(fake).every(10, func(c *fakeConn, op frame.Opcode, b []byte) { b[len(b)-1] ^= 1; c.send(op, b) }).serve(t)
	for _, c := range []Common{
		{PerProcess: 3, Worker: []string{"/proc/self/exe", workerArg}},
		{Loops: 3},
	} {
		f.count.Store(0)
		common := f.short(7)
		common.PerProcess, common.Worker, common.Loops = c.PerProcess, c.Worker, c.Loops
		r := runEcho(t, Echo{Common: common})
		if got, want := r.Faults[load.Fault{Kind: load.WrongContent}], int(f.count.Load()); got != want || want == 0 {
			t.Errorf("%+v: got %v, want %d of wrong content", c, r.Faults, want)
		}
		if r.Figure("p50").Value <= 0 || len(r.Series) == 0 {
			t.Errorf("%+v: got %s", c, r.Text())
		}
	}
}

// TestEchoShare: a server that delays every fifth message delays a fifth, in a
// closed loop and in an open one.
func TestEchoShare(t *testing.T) {
	const delay = 30 * time.Millisecond
	for _, rate := range []float64{0, 100} {
		f := new(fake).every(5, func(c *fakeConn, op frame.Opcode, b []byte) { time.Sleep(delay); c.send(op, b) }).serve(t)
		common := f.short(1)
		common.Duration, common.Timeout = 500*time.Millisecond, patience
		r := runEcho(t, Echo{Common: common, Rate: rate})
		all, delayed := r.distribution("latency"), int(f.count.Load())
		if got := all.at(100); got < delay || delayed == 0 || !r.OK {
			t.Errorf("rate %g: %d of %d were delayed by %v: got a maximum of %v; %v", rate, delayed, all.Count, delay, got, r.Faults)
		}
		if got := all.at(90); 10*delayed > all.Count && got < delay {
			t.Errorf("rate %g: %d of %d were delayed by %v: got %v for one in ten", rate, delayed, all.Count, delay, got)
		}
	}
}
