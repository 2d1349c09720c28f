//go:build linux

package bench

import (
	"testing"
	"time"

	"github.com/usher-ws/usher/bench/play"
	"github.com/usher-ws/usher/frame"
)

// TestFlood: what a flooder gets through, what he is told, and that he is thrown
// out, is reported; his neighbours are not to blame.
func TestFlood(t *testing.T) {
	const passed = 100
	f := new(fake)
	f.message = func(c *fakeConn, n int, op frame.Opcode, data []byte) {
		switch {
		case n < passed:
			c.send(op, data)
		case n == passed:
			f.count.Add(1)
			c.send(frame.OpText, []byte("slow down"))
			b, _ := c.proto.AppendClose(nil, frame.StatusPolicyViolation, "")
			c.write(b)
		}
	}
	f.serve(t)
	common := f.short(4)
	r, err := Flood{Neighbours: Neighbours{Common: common, Rate: 100}, Flooders: 2}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// Who still sends when the server closes may see a RST overtake its last words,
	// so that not all who were thrown out were told.
	thrown, told := r.Figure("flood_thrown_out").Value, r.Figure("flood_told").Value
	if !r.OK || thrown == 0 || thrown > float64(f.count.Load()) || told == 0 || told > thrown {
		t.Errorf("got %s, want up to %d thrown out", r.Text(), f.count.Load())
	}
	if got := r.Figure("flood_passed_rate").Value; got == 0 {
		t.Error("came back: got none")
	}
}

// TestHostile: every attack reaches the server, and what it costs the neighbours
// is seen: this server stops for a while for everybody that is reset.
func TestHostile(t *testing.T) {
	const stop = 30 * time.Millisecond
	f := new(fake)
	f.gone = func(*fakeConn, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.count.Add(1)
		time.Sleep(stop)
	}
	f.message = func(c *fakeConn, _ int, op frame.Opcode, data []byte) {
		f.mu.Lock()
		defer f.mu.Unlock()
		c.send(op, data)
	}
	f.serve(t)
	common := f.short(3)
	common.Timeout = 5 * time.Second
	r, err := Hostile{Neighbours: Neighbours{Common: common, Rate: 200}, Attackers: 3, Attacks: []play.Attack{play.ResetStorm}}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if f.count.Load() == 0 || !r.OK {
		t.Errorf("got %s after %d resets", r.Text(), f.count.Load())
	}
	if got := r.Figure("reset-storm_p99").Value; got < float64(stop) {
		t.Errorf("neighbours' p99: got %v, want at least %v", time.Duration(got), stop)
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
		if !r.OK || len(r.Tables) != 2 || len(r.Tables[0].Rows) != 1+len(play.Attacks()) {
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
