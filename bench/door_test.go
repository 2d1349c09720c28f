//go:build linux

package bench

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/usher-ws/usher/bench/internal/load"
)

// TestHandshake: all come through, and a door that is wrong in some way is
// reported as wrong in that way.
func TestHandshake(t *testing.T) {
	for _, tt := range []struct {
		name string
		door func(c *fakeConn, r *http.Request) bool
		want load.Fault
	}{
		{"sound", nil, load.Fault{}},
		{"other key", func(c *fakeConn, _ *http.Request) bool { c.upgrade("AAAAAAAAAAAAAAAAAAAAAA=="); return true },
			load.Fault{Kind: load.BadAnswer, Code: 101}},
		{"no HTTP", func(c *fakeConn, _ *http.Request) bool { c.write([]byte("SSH-2.0-OpenSSH\r\n\r\n")); return true },
			load.Fault{Kind: load.BadAnswer}},
		{"forbidden", func(c *fakeConn, _ *http.Request) bool { c.answer(403, "no"); return true },
			load.Fault{Kind: load.Refused, Code: 403}},
		{"end of stream", func(*fakeConn, *http.Request) bool { return true }, load.Fault{Kind: load.NoAnswer}},
		{"reset", func(c *fakeConn, _ *http.Request) bool { c.reset(); return true }, load.Fault{Kind: load.Reset, Code: 104}},
		{"silence", func(c *fakeConn, _ *http.Request) bool { _, _ = c.Read(make([]byte, 1)); return true },
			load.Fault{Kind: load.NoAnswer}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := &fake{}
			if tt.door != nil {
				f.door = func(c *fakeConn, r *http.Request) bool { f.count.Add(1); return tt.door(c, r) }
			}
			f.serve(t)
			r, err := Handshake{f.short(5)}.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if tt.want == (load.Fault{}) {
				if !r.OK || r.Figure("handshakes").Value == 0 || r.Figure("p50").Value <= 0 {
					t.Errorf("got %s", r.Text())
				}
				return
			}
			if got, want := r.Faults[tt.want], int(f.count.Load()); got != want || got != r.Faults.Total() || want == 0 {
				t.Errorf("got %v, want %d × %v", r.Faults, want, tt.want)
			}
		})
	}
}

// TestHandshakeDelay: the time at the door is what is reported.
func TestHandshakeDelay(t *testing.T) {
	const delay = 40 * time.Millisecond
	f := &fake{door: func(*fakeConn, *http.Request) bool { time.Sleep(delay); return false }}
	f.serve(t)
	wantDelay(t, delay, f.short(4), func(c Common) (*Report, error) { return Handshake{c}.Run(t.Context()) })
}

// wantDelay runs what is asked for as long as it takes to have a figure, which is not below delay.
func wantDelay(t *testing.T, delay time.Duration, c Common, run func(c Common) (*Report, error)) {
	t.Helper()
	c.Timeout = patience
	for ; ; c.Duration *= 2 {
		r, err := run(c)
		if err != nil {
			t.Fatal(err)
		}
		switch got := r.Figure("p50").Value; {
		case got == 0 && r.Faults.Total() == 0: // none has ended in time
			continue
		case !r.OK:
			t.Fatal(r.Faults)
		case got < float64(delay):
			t.Errorf("p50: got %v, want at least %v", time.Duration(got), delay)
		}
		return
	}
}

// TestRefuse: how many clients read what is told exactly.
func TestRefuse(t *testing.T) {
	for _, tt := range []struct {
		name         string
		door         func(c *fakeConn, n int64) bool
		status, body float64 // percent, at the least and at the most
		faulty       bool
	}{
		{"with body", func(c *fakeConn, _ int64) bool { c.answer(403, `{"code":"no"}`); return true }, 100, 100, false},
		{"without body", func(c *fakeConn, _ int64) bool { c.answer(401, ""); return true }, 100, 0, false},
		{"half of the body", func(c *fakeConn, _ int64) bool {
			c.write([]byte("HTTP/1.1 403 Forbidden\r\nContent-Length: 10\r\n\r\nhello"))
			return true
		}, 100, 0, false},
		{"body until the end", func(c *fakeConn, _ int64) bool {
			c.write([]byte("HTTP/1.0 403 Forbidden\r\n\r\nhello"))
			return true
		}, 100, 100, false},
		{"reset", func(c *fakeConn, _ int64) bool { c.reset(); return true }, 0, 0, true},
		{"let in", func(*fakeConn, int64) bool { return false }, 0, 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := &fake{}
			f.door = func(c *fakeConn, _ *http.Request) bool { return tt.door(c, f.count.Add(1)) }
			f.serve(t)
			r, err := Refuse{Common: f.short(5)}.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got := r.Figure("read_status").Value; got != tt.status {
				t.Errorf("read the status: got %g %%, want %g %%", got, tt.status)
			}
			if got := r.Figure("read_all").Value; got != tt.body {
				t.Errorf("read status and body: got %g %%, want %g %%", got, tt.body)
			}
			if r.OK == tt.faulty {
				t.Errorf("OK: got %v; %v", r.OK, r.Faults)
			}
		})
	}
}

// TestRefuseShare: a server that resets every fourth reaches three of four.
func TestRefuseShare(t *testing.T) {
	f := &fake{}
	f.door = func(c *fakeConn, _ *http.Request) bool {
		if c.number%4 == 3 {
			f.count.Add(1)
			c.reset()
			return true
		}
		c.answer(403, "no")
		return true
	}
	f.serve(t)
	r, err := Refuse{Common: f.short(4), Padding: 10_000}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := r.Faults[load.Fault{Kind: load.Reset, Code: 104}], int(f.count.Load()); got != want || want == 0 {
		t.Errorf("got %v, want %d resets", r.Faults, want)
	}
	// The last round may be incomplete.
	if got := r.Figure("read_all").Value; got < 70 || got > 80 {
		t.Errorf("read status and body: got %.1f %%, want 75 %%", got)
	}
}

// TestHandshakeShare: a door that fails every third in some way is reported with
// as many failures, and with the others as handshakes.
func TestHandshakeShare(t *testing.T) {
	var well atomic.Int64
	f := &fake{}
	f.door = func(c *fakeConn, _ *http.Request) bool {
		if c.number%3 == 2 {
			f.count.Add(1)
			c.answer(503, "later")
			return true
		}
		well.Add(1)
		return false
	}
	f.serve(t)
	common := f.short(4)
	common.Timeout = patience
	r, err := Handshake{common}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := int(f.count.Load())
	if got := r.Faults[load.Fault{Kind: load.Refused, Code: 503}]; got != want || r.Faults.Total() != want || want == 0 {
		t.Errorf("got %v, want %d × 503", r.Faults, want)
	}
	// Those of the end, when nothing new began, are not in the figure.
	if got, most := r.Figure("handshakes").Value, float64(well.Load()); got > most || got < most/2 {
		t.Errorf("got %g handshakes, want %g or a few less", got, most)
	}
}

// TestRefuseDelay: the time until the refusal is what is reported.
func TestRefuseDelay(t *testing.T) {
	const delay = 40 * time.Millisecond
	f := &fake{door: func(c *fakeConn, _ *http.Request) bool { time.Sleep(delay); c.answer(403, "no"); return true }}
	f.serve(t)
	wantDelay(t, delay, f.short(4), func(c Common) (*Report, error) { return Refuse{Common: c}.Run(t.Context()) })
}
