package frame

import (
	"bytes"
	"testing"
)

// TestHoldCopiesOnce checks that held input stays where it is.
func TestHoldCopiesOnce(t *testing.T) {
	bufs := new(countingBuffers)
	cfg := &Config{Buffers: bufs}
	p := New(cfg)
	p.Receive(bytes.Repeat(maskedBytes(OpText, "again and again"), 1000))
	var state State
	var q *Partial
	for i := range 1000 {
		if ev := p.NextEvent(); string(ev.Data) != "again and again" {
			t.Fatalf("message %d: got %v %q", i, ev.Kind, ev.Data)
		}
		p.Hold()
		state, q = p.Suspend()
		p.Resume(cfg, state, q)
	}
	if bufs.gets != 1 {
		t.Errorf("got %d buffers, want 1", bufs.gets)
	}
	if ev := p.NextEvent(); ev.Kind != NoEvent {
		t.Errorf("at the end: got %v, want none", ev.Kind)
	}
	if _, q = p.Suspend(); q != nil {
		t.Errorf("at the end: %d bytes held, want nothing", q.Size())
	}
	if s := bufs.check(); s != "" {
		t.Error(s)
	}
}

// TestReceiveBehind checks that input goes behind input not yet read.
func TestReceiveBehind(t *testing.T) {
	for _, hold := range []bool{false, true} {
		bufs := new(countingBuffers)
		cfg := &Config{Buffers: bufs}
		p := New(cfg)
		a, b := maskedBytes(OpText, "a"), maskedBytes(OpText, "b")
		in := append(bytes.Clone(a), a...)
		p.Receive(in)
		got := string(p.NextEvent().Data)
		if hold {
			p.Hold()
		}
		for range 3 {
			p.Receive(bytes.Clone(b[:4]))
			p.Receive(bytes.Clone(b[4:]))
		}
		spoil(in)
		for ev := p.NextEvent(); ev.Kind != NoEvent; ev = p.NextEvent() {
			got += string(ev.Data)
		}
		if want := "aabbb"; got != want {
			t.Errorf("hold %t: got %q, want %q", hold, got, want)
		}
		if _, q := p.Suspend(); q != nil {
			t.Errorf("hold %t: something is left: %+v", hold, q)
		}
		if s := bufs.check(); s != "" {
			t.Errorf("hold %t: %s", hold, s)
		}
	}
}

// TestReceiveWithoutNoEvent checks a caller that feeds more as soon as it has the
// last event, or turns to another connection, without asking for NoEvent.
func TestReceiveWithoutNoEvent(t *testing.T) {
	bufs := new(countingBuffers)
	cfg := &Config{Buffers: bufs}
	p := New(cfg)
	one, two := maskedBytes(OpText, "one"), maskedBytes(OpText, "two")
	next := func(want string) {
		t.Helper()
		if ev := p.NextEvent(); string(ev.Data) != want {
			t.Fatalf("got %v %q, want %q", ev.Kind, ev.Data, want)
		}
	}
	p.Receive(bytes.Clone(one))
	p.Hold()
	next("one")
	p.Receive(bytes.Clone(two)) // the held tail is read, but not yet put back
	next("two")
	p.Receive(bytes.Clone(one[:7]))
	next("")
	p.Receive(bytes.Clone(one[7:]))
	next("one")
	p.Resume(cfg, State{}, nil) // the memory of "one" is still out
	if s := bufs.check(); s != "" {
		t.Error(s)
	}
	p.Receive(append(bytes.Clone(one), two...))
	next("one")
	p.Hold()
	p.AppendClose(nil, StatusGoingAway, "")
	p.Receive(two)
	if _, q := p.Suspend(); q != nil {
		t.Errorf("after close: %d bytes held, want nothing", q.Size())
	}
	if s := bufs.check(); s != "" {
		t.Error(s)
	}
}
