//go:build linux

package bench

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/usher-ws/usher/bench/internal/play"
	"github.com/usher-ws/usher/frame"
)

// TestFlood: what flooders sent, got back, were told, and how they were thrown out
// is counted to the last message, as the server counts it.
func TestFlood(t *testing.T) {
	const allowed = 100
	var sent, passed, told, thrown atomic.Int64 // as the server saw it
	echo := func(c *fakeConn, op frame.Opcode, data []byte) {
		passed.Add(1)
		c.send(op, data)
	}
	for _, tt := range []struct {
		name string
		over func(c *fakeConn, n int) // what happens to message n, from allowed; nil: it is echoed
		all  bool                     // the server reads all that is sent
		rude bool                     // its last words may be overtaken by a RST
	}{
		{"no limit", nil, true, false},
		{"dropped", func(*fakeConn, int) {}, true, false},
		{"warned", func(c *fakeConn, _ int) { told.Add(1); c.send(frame.OpText, []byte("slow down")) }, true, false},
		{"closed", func(c *fakeConn, _ int) {
			thrown.Add(1)
			b, _ := c.proto.AppendClose(nil, frame.StatusPolicyViolation, "")
			c.write(b)
		}, false, false},
		{"reset", func(c *fakeConn, n int) {
			if n == allowed {
				thrown.Add(1)
				c.reset()
			}
		}, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, n := range []*atomic.Int64{&sent, &passed, &told, &thrown} {
				n.Store(0)
			}
			f := new(fake)
			f.message = func(c *fakeConn, n int, op frame.Opcode, data []byte) {
				switch {
				case !c.hostile:
					c.send(op, data)
					return
				case n < allowed || tt.over == nil:
					echo(c, op, data)
				default:
					tt.over(c, n)
				}
				f.count.Add(1)
				sent.Add(1)
			}
			r := besiege(t, f, "flood", 2)
			for key, want := range map[string]*atomic.Int64{"flood_sent": &sent, "flood_passed": &passed, "flood_told": &told, "flood_thrown_out": &thrown} {
				got, want := r.Figure(key).Value, float64(want.Load())
				if key == "flood_sent" && !tt.all && got >= want {
					continue
				}
				if key == "flood_passed" && tt.rude && got <= want {
					continue
				}
				if got != want {
					t.Errorf("%s: got %g, want %g", key, got, want)
				}
			}
			if !r.OK {
				t.Errorf("got %s", r.Text())
			}
		})
	}
}

// TestAttacks: all of them run against a server that minds none, and leave the
// neighbours their answers. A loaded machine may need longer to begin each.
func TestAttacks(t *testing.T) {
	f := new(fake).serve(t)
	for duration := 100 * time.Millisecond; ; duration *= 4 {
		common := f.short(3)
		common.Duration, common.Timeout = duration, 10*time.Second
		r, err := Hostile{Neighbours: Neighbours{Common: common, Rate: 200}, Attackers: 3}.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		// A third table has what the server said, if fragments came to more than its limit.
		if !r.OK || len(r.Tables) < 2 || len(r.Tables[0].Rows) != 1+len(play.Attacks()) {
			t.Fatalf("got %s", r.Text())
		}
		missing := wrongAttacks(r)
		if len(missing) == 0 {
			return
		}
		if duration > 5*time.Second {
			t.Fatalf("in %v: %q", duration, missing)
		}
	}
}

// wrongAttacks returns the rows of attacks that were not made, or were let in and
// should not have been, or the other way round.
func wrongAttacks(r *Report) (wrong [][]string) {
	for k, a := range play.Attacks() {
		row := r.Tables[1].Rows[k]
		if letIn := row[2] != "0"; letIn != (a != play.SlowHead) || row[1] == "0" {
			wrong = append(wrong, row)
		}
	}
	return wrong
}
