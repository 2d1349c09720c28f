//go:build linux

package bench

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/usher-ws/usher/bench/internal/load"
	"github.com/usher-ws/usher/bench/internal/play"
	"github.com/usher-ws/usher/frame"
)

// attackNames are all ways to misbehave: the flood, then the attacks.
func attackNames() []string {
	names := []string{"flood"}
	for _, a := range play.Attacks() {
		names = append(names, a.String())
	}
	return names
}

// besiege lets three attackers do one thing to f, beside neighbours with a message
// every 50 ms each. A loaded machine may need longer to begin: it is tried with more
// and more time until the fake was attacked.
func besiege(t *testing.T, f *fake, name string, neighbours int) *Report {
	t.Helper()
	f.serve(t)
	n := Neighbours{Common: f.short(neighbours), Rate: 20 * float64(neighbours)}
	n.Timeout = patience
	for {
		r, err := runAssault(t, name, n)
		if err != nil {
			t.Fatal(err)
		}
		if f.count.Load() > 0 || n.Duration > patience {
			return r
		}
		n.Duration *= 4
	}
}

// runAssault lets three attackers come to n's server.
func runAssault(t *testing.T, name string, n Neighbours) (*Report, error) {
	t.Helper()
	at := n.URL[:len(n.URL)-1] + attackPath
	if name == "flood" {
		return Flood{n, 3, at}.Run(t.Context())
	}
	var a play.Attack
	if err := a.UnmarshalText([]byte(name)); err != nil {
		t.Fatal(err)
	}
	return Hostile{n, 3, []play.Attack{a}, at}.Run(t.Context())
}

// distribution returns the one of this name, empty if there is none.
func (r *Report) distribution(name string) Shape {
	for _, s := range r.Shapes {
		if s.Name == name {
			return s
		}
	}
	return Shape{}
}

// at returns the duration that percent of all do not exceed, believed or not.
func (s *Shape) at(percent float64) time.Duration { return s.all.At(percent) }

// TestSiegeDelay: a server that keeps the neighbours waiting while somebody
// misbehaves is reported with the time it did, and with every message it did it to.
func TestSiegeDelay(t *testing.T) {
	const delay = 30 * time.Millisecond
	for _, name := range attackNames() {
		t.Run(name, func(t *testing.T) {
			f := new(fake)
			var messages atomic.Int64 // of neighbours
			f.message = func(c *fakeConn, _ int, op frame.Opcode, data []byte) {
				if !c.hostile {
					messages.Add(1)
					if f.besieged() {
						f.count.Add(1)
						time.Sleep(delay)
					}
				}
				c.send(op, data)
			}
			r := besiege(t, f, name, 4)
			peace, during := r.distribution("in peace"), r.distribution("during "+name)
			delayed := int(f.count.Load())
			if got := during.at(100); got < delay || delayed == 0 {
				t.Errorf("%d were delayed by %v: got a maximum of %v", delayed, delay, got)
			}
			if got := during.at(50); 2*delayed > during.Count && got < delay {
				t.Errorf("%d of %d were delayed by %v: got a median of %v", delayed, during.Count, delay, got)
			}
			if got, want := peace.Count+during.Count, int(messages.Load()); !r.OK || got != want || delayed > during.Count {
				t.Errorf("got %d echoes, want %d; %v", got, want, r.Faults)
			}
		})
	}
}

// TestSiegeFaults: what goes wrong with neighbours meanwhile is theirs, and counted
// as often as it was done.
func TestSiegeFaults(t *testing.T) {
	for _, name := range attackNames() {
		t.Run(name, func(t *testing.T) {
			f := new(fake)
			f.message = func(c *fakeConn, _ int, op frame.Opcode, data []byte) {
				if !c.hostile && f.besieged() {
					f.count.Add(1)
					data[0] ^= 1
				}
				c.send(op, data)
			}
			r := besiege(t, f, name, 4)
			want := int(f.count.Load())
			if got := r.Faults[load.Fault{Kind: load.WrongContent}]; r.OK || got != want || r.Faults.Total() != want {
				t.Errorf("got %v, want %d of wrong content", r.Faults, want)
			}
			if got := r.Figure(name + "_errors").Value; got != float64(want) {
				t.Errorf("errors during %s: got %g, want %d", name, got, want)
			}
		})
	}
}

// losing is a server whose attackers cost so many neighbours their connections; at is
// where they attack.
func losing(t *testing.T, lost int) (f *fake, n Neighbours, at string) {
	t.Helper()
	f = new(fake)
	f.loseNeighbours(lost)
	f.serve(t)
	common := f.short(8)
	common.Timeout = patience
	return f, Neighbours{Common: common, Rate: 100}, f.url[:len(f.url)-1] + attackPath
}

// TestSiegeLosses: neighbours that an attack costs their connections are counted,
// and are there again for the next attack.
func TestSiegeLosses(t *testing.T) {
	const lost = 3
	f, n, at := losing(t, lost)
	r, err := Hostile{n, 2, nil, at}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := int(f.count.Load())
	if got := r.Faults[load.Fault{Kind: load.Reset, Code: 104}]; got != want || r.Faults.Without(load.Unanswered).Total() != want || want < lost {
		t.Errorf("got %v, want %d resets", r.Faults, want)
	}
	sum := 0.0
	for _, a := range play.Attacks() {
		sum += r.Figure(a.String() + "_errors").Value
	}
	if int(sum) != r.Faults.Total() {
		t.Errorf("errors of all attacks: got %g, want %d", sum, r.Faults.Total())
	}
}

// TestFloodLosses: the same of a flood.
func TestFloodLosses(t *testing.T) {
	const lost = 3
	f, n, at := losing(t, lost)
	r, err := Flood{n, 2, at}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := int(f.count.Load())
	if got := r.Faults[load.Fault{Kind: load.Reset, Code: 104}]; got != want || r.Faults.Without(load.Unanswered).Total() != want || want < lost {
		t.Errorf("got %v, want %d resets", r.Faults, want)
	}
	if got := r.Figure("flood_errors").Value; int(got) != r.Faults.Total() {
		t.Errorf("errors during the flood: got %g, want %d", got, r.Faults.Total())
	}
}

// loseNeighbours makes f cut n connections of neighbours that it has not cut before
// whenever an attack begins, and count them.
func (f *fake) loseNeighbours(n int) {
	f.attacked = func() {
		left := n
		for c := range f.conns {
			if left > 0 && c.inside && !c.hostile && !c.lost {
				c.lost = true
				left--
				f.count.Add(1)
				c.reset()
			}
		}
	}
}
