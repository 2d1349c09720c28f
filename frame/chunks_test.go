package frame

import (
	"bytes"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// transcript is what a connection said and was told.
type transcript struct {
	events []string
	out    []byte
	cost   int
}

func (t *transcript) String() string {
	return fmt.Sprintf("%s\n  out %s\n  cost %d", strings.Join(t.events, "\n  "), brief(t.out), t.cost)
}

func (t *transcript) equal(u *transcript) bool {
	return t.cost == u.cost && bytes.Equal(t.out, u.out) && strings.Join(t.events, "\n") == strings.Join(u.events, "\n")
}

// pauses says how a run interrupts itself.
type pauses struct {
	suspend bool // around every read
	hold    int  // after every hold-th event; 0: never
	each    bool // every fragment is an event
	late    bool // Inflate is called for each compressed message
}

// echoRun is a connection that echoes, on a Protocol shared with others.
type echoRun struct {
	transcript
	p     *Protocol
	cfg   *Config
	state State
	q     *Partial
	n     int // events
	pauses
}

// read feeds one chunk. The chunk is spoiled afterwards, as a loop's buffer is.
func (r *echoRun) read(chunk []byte) {
	p := r.p
	if r.suspend {
		p.Resume(r.cfg, r.state, r.q)
	}
	in := bytes.Clone(chunk)
	p.Receive(in)
	for ev := p.NextEvent(); ev.Kind != NoEvent; ev = p.NextEvent() {
		r.event(p.Inflate())
		r.n++
		if r.hold > 0 && r.n%r.hold == 0 {
			p.Hold()
			spoil(in)
			in = nil
			if r.suspend {
				r.cost += p.TakeCost()
				r.state, r.q = p.Suspend()
				p.Resume(r.cfg, r.state, r.q)
			}
		}
	}
	spoil(in)
	r.cost += p.TakeCost()
	if r.suspend {
		r.state, r.q = p.Suspend()
	}
}

// spoil overwrites b, so that a late reader shows.
func spoil(b []byte) {
	for len(b) > 0 {
		b = b[copy(b, spoiled):]
	}
}

// spoiled is copied: the race detector makes a loop over bytes slow.
var spoiled = bytes.Repeat([]byte{0xEE}, 1<<16)

// event records ev and answers it.
func (r *echoRun) event(ev *Event) {
	switch ev.Kind {
	case FragmentEvent: // the events are the same without
	case MessageEvent:
		r.events = append(r.events, describe(ev.Opcode.String(), 0, ev.Data))
		r.out, _ = r.p.AppendMessage(r.out, ev.Opcode, ev.Data)
	case PingEvent, PongEvent:
		r.events = append(r.events, describe(ev.Kind.String(), 0, ev.Data))
	case CloseEvent:
		r.events = append(r.events, describe("close", int(ev.Code), ev.Data))
	case ErrorEvent:
		r.events = append(r.events, describe("error", int(ev.Err.(*ProtocolError).Code), nil))
	default:
		r.events = append(r.events, ev.Kind.String())
	}
	r.out = r.p.AppendReply(r.out, ev)
}

// end closes the run's books: all memory back.
func (r *echoRun) end() {
	if !r.suspend {
		r.state, r.q = r.p.Suspend()
	}
	r.q.Release(r.cfg)
	r.q.Release(r.cfg)
}

// echo runs chunks through p and checks the balance of memory.
func echo(tb testing.TB, p *Protocol, v *vector, how pauses, chunks ...[]byte) *transcript {
	tb.Helper()
	bufs := new(countingBuffers)
	r := &echoRun{p: p, cfg: v.config(bufs), state: NewState(v.window), pauses: how}
	r.cfg.Fragments, r.cfg.KeepDeflated = how.each, how.late
	p.Resume(r.cfg, r.state, nil)
	for _, c := range chunks {
		r.read(c)
	}
	r.end()
	if s := bufs.check(); s != "" {
		tb.Fatalf("%s: memory: %s\n  in %s", v.name, s, brief(v.in))
	}
	return &r.transcript
}

// cut cuts b into pieces of n bytes.
func cut(b []byte, n int) (chunks [][]byte) {
	for len(b) > n {
		chunks = append(chunks, b[:n])
		b = b[n:]
	}
	return append(chunks, b)
}

// splits returns the positions at which to split n bytes: all of them up to a
// kibibyte, else the first and last few and a spread in between, and ever fewer.
func splits(n int) (at []int) {
	step, edge := 1, 0
	switch {
	case n > 1<<16:
		step = n / (1 + 1<<18/n)
	case n > 1<<10:
		step, edge = n/16, 8
	}
	for i := 1; i < n; i++ {
		if i%step == 0 || i < edge || n-i < edge {
			at = append(at, i)
		}
	}
	return at
}

var allPauses = []pauses{{suspend: true}, {suspend: true, hold: 1}, {}, {hold: 1}, {suspend: true, hold: 2}, {suspend: true, hold: 1, each: true},
	{suspend: true, late: true}, {hold: 1, late: true}}

func TestVectors(t *testing.T) {
	t.Parallel()
	vs := loadVectors(t)
	if len(vs) < 300 {
		t.Errorf("%d vectors, want 300 or more", len(vs))
	}
	// What one case leaves in a Protocol, the next finds there.
	protocols := make(chan *Protocol, runtime.GOMAXPROCS(0))
	for range cap(protocols) {
		protocols <- New(nil)
	}
	for _, v := range vs {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			p := <-protocols
			defer func() { protocols <- p }()
			want := &transcript{events: v.events, out: v.out}
			whole := echo(t, p, v, pauses{}, v.in)
			want.cost = whole.cost
			if !whole.equal(want) {
				t.Fatalf("whole:\ngot\n  %v\nwant\n  %v\nin %s", whole, want, brief(v.in))
			}
			breaks := slices.ContainsFunc(want.events, func(e string) bool { return strings.HasPrefix(e, "error") })
			compare := func(what string, how pauses, chunks ...[]byte) {
				t.Helper()
				got := echo(t, p, v, how, chunks...)
				if how.late && breaks {
					got.cost = want.cost // it is charged before it is found out
				}
				if !got.equal(want) {
					t.Fatalf("%s, %+v:\ngot\n  %v\nwant\n  %v\nin %s", what, how, got, want, brief(v.in))
				}
			}
			hows, piece, at := allPauses, 1, splits(len(v.in))
			switch {
			case v.window != 0 && v.largest > 1<<12 && len(v.in) <= 1<<10: // little in, much to do
				hows, at = slices.Concat(allPauses[:2], allPauses[6:7]), splits(min(len(v.in), 16))
			case v.window != 0 && len(v.in) > 1<<7, len(v.in) > 1<<10:
				hows = allPauses[:2]
			}
			if raceEnabled && (len(v.in) > 1<<10 || v.window != 0 && v.largest >= minDeflate) {
				hows = hows[1:2] // twenty times slower
			}
			if len(v.in) > 1<<16 {
				piece = 4093
			}
			for _, how := range hows {
				compare(fmt.Sprintf("%d bytes at a time", piece), how, cut(v.in, piece)...)
				for _, i := range at {
					compare(fmt.Sprintf("split at %d", i), how, v.in[:i], v.in[i:])
				}
			}
		})
	}
}

// TestReleaseMidway ends connections wherever they are.
func TestReleaseMidway(t *testing.T) {
	t.Parallel()
	p := New(nil)
	for _, v := range loadVectors(t) {
		for _, i := range splits(min(len(v.in), 300)) {
			echo(t, p, v, pauses{suspend: true}, v.in[:i])
			echo(t, p, v, pauses{hold: 1}, v.in[:i/2], v.in[i/2:i])
		}
		// Held input that nobody comes back for.
		bufs := new(countingBuffers)
		cfg := v.config(bufs)
		p.Resume(cfg, NewState(v.window), nil)
		p.Receive(bytes.Clone(v.in))
		p.NextEvent()
		p.Hold()
		_, q := p.Suspend()
		if got, want := q.Size(), bufs.now; got != want {
			t.Errorf("%s: Size %d, want %d\nin %s", v.name, got, want, brief(v.in))
		}
		q.Release(cfg)
		if s := bufs.check(); s != "" {
			t.Errorf("%s: %s\nin %s", v.name, s, brief(v.in))
		}
	}
}
