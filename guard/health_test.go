//go:build linux

package guard

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// at is a time in milliseconds.
func at(ms int) time.Duration { return time.Duration(ms) * time.Millisecond }

// TestHealth: what is known of an address after each of some events.
func TestHealth(t *testing.T) {
	answered := func(ms int) func(*health) { return func(h *health) { h.answered(at(ms)) } }
	failed := func(began, ms int, why trouble) func(*health) {
		return func(h *health) { h.failed(at(began), at(ms), why) }
	}
	probed := func(ms int, why trouble) func(*health) { return func(h *health) { h.probed(at(ms), why) } }
	for _, c := range []struct {
		name   string
		events []func(*health)
		state  state
		why    trouble
		until  int
	}{
		{"nothing is known", nil, well, isWell, 0},
		{"it refuses", []func(*health){failed(1000, 1001, refused)}, resting, refused, 1251},
		{"it refuses many at once", []func(*health){failed(1000, 1001, refused), failed(1000, 1002, refused), failed(1002, 1003, refused)}, resting, refused, 1251},
		{"it is probed and refuses", []func(*health){failed(1000, 1000, refused), probed(1250, refused)}, resting, refused, 1750},
		{"it refuses for long", []func(*health){failed(0, 0, refused), probed(250, refused), probed(750, refused), probed(1750, refused), probed(3750, refused), probed(5750, refused)}, resting, refused, 7750},
		{"it can be connected to again", []func(*health){failed(0, 0, refused), probed(250, isWell)}, well, isWell, 0},
		{"it is told of as back by a client", []func(*health){failed(0, 0, refused), answered(10), probed(250, refused)}, well, isWell, 0},
		{"it hangs", []func(*health){failed(0, 9000, unanswered), probed(9250, isWell)}, onTrial, unanswered, 9250},
		{"it answers others while one waits", []func(*health){answered(5000), failed(0, 10_000, unanswered)}, well, isWell, 0},
		{"it goes on hanging", []func(*health){failed(0, 9000, unanswered), probed(9250, isWell), failed(9300, 19_300, unanswered)}, resting, unanswered, 19_800},
		{"those that asked before its rest do not prolong it", []func(*health){failed(0, 9000, unanswered), probed(9250, isWell), failed(8000, 18_000, unanswered)}, onTrial, unanswered, 9250},
		{"it hangs for long", append([]func(*health){failed(0, 0, unanswered)}, repeat(20, probed(0, isWell), failed(1, 1, unanswered))...), resting, unanswered, 30_001},
		{"it hung, and answers", []func(*health){failed(0, 9000, unanswered), probed(9250, isWell), answered(9400)}, well, isWell, 0},
		{"it hung, and was ended and begun again", []func(*health){failed(0, 9000, unanswered), probed(9250, refused), probed(9750, isWell)}, well, isWell, 0},
		{"our ports are not its fault", []func(*health){failed(0, 1, noPorts), failed(0, 1, noResources), failed(0, 1, busy)}, well, isWell, 0},
		{"a probe for which we have no file", []func(*health){failed(0, 0, refused), probed(250, noResources)}, resting, refused, 500},
	} {
		var h health
		for _, do := range c.events {
			do(&h)
		}
		if h.state != c.state || h.why != c.why || h.until != at(c.until) {
			t.Errorf("%s: state %d for %v until %v, want %d for %v until %v", c.name, h.state, h.why, h.until, c.state, c.why, at(c.until))
		}
	}
}

func repeat(n int, events ...func(*health)) (all []func(*health)) {
	for range n {
		all = append(all, events...)
	}
	return all
}

// TestPick: the one with the fewest connections that is there.
func TestPick(t *testing.T) {
	down := func(why trouble) health { return health{state: resting, why: why, fails: 1} }
	trial := health{state: onTrial, why: unanswered, fails: 1}
	for _, c := range []struct {
		name    string
		targets []target
		tried   []uint32
		want    int // -1: none
	}{
		{"none", nil, nil, -1},
		{"the fewest", []target{{conns: 3}, {conns: 1}, {conns: 2}}, nil, 1},
		{"tried", []target{{conns: 3}, {conns: 1}, {conns: 2}}, []uint32{1}, 2},
		{"all tried", []target{{}, {}}, []uint32{1, 0}, -1},
		{"one rests", []target{{health: down(refused)}, {conns: 7}}, nil, 1},
		{"all rest, and one would refuse at once", []target{{health: down(unanswered)}, {health: down(refused), conns: 7}}, nil, 1},
		{"all rest that take time", []target{{health: down(unanswered)}, {health: down(unconnected)}}, nil, -1},
		{"a trial", []target{{conns: 7}, {health: trial, conns: 3}}, nil, 1},
		{"a trial is under way", []target{{conns: 7}, {health: trial, conns: 3, asked: 1}}, nil, 0},
		{"only those on trial", []target{{health: trial, conns: 7, asked: 3}, {health: trial, conns: 8, asked: 1}, {health: down(refused)}}, nil, 0},
	} {
		r := roster{targets: c.targets}
		for k := range r.targets {
			r.targets[k].isListed = true
		}
		n, ok := r.pick(c.tried)
		if got := int(n); ok != (c.want >= 0) || ok && got != c.want {
			t.Errorf("%s: got %d, %v, want %d", c.name, n, ok, c.want)
		}
	}
}

// TestPickTakesTurns: equals are chosen in turn, by several loops as well.
func TestPickTakesTurns(t *testing.T) {
	r := roster{targets: []target{{isListed: true}, {isListed: true}, {isListed: true}}}
	for k := range 9 {
		if n, _ := r.pick(nil); n != uint32(k%3) {
			t.Errorf("choice %d: got %d", k, n)
		}
	}
}

// TestRosterAtRandom: whatever comes and goes, a number is one address's as long as a connection
// knows it, the one that is chosen can be, and in the end nothing is left.
func TestRosterAtRandom(t *testing.T) {
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		var r roster
		known := make(map[uint32][]address) // connections by number, with what they were to
		now := time.Duration(0)
		for range 300 {
			now += time.Duration(rnd.Int64N(int64(time.Second)))
			switch rnd.IntN(5) {
			case 0:
				var all []address
				for k := range 4 {
					if rnd.IntN(2) == 0 {
						all = append(all, address{unix: fmt.Sprint(k)})
					}
				}
				r.list(rnd.IntN(2), all)
			case 1, 2:
				n, ok := r.pick(nil)
				if !ok {
					continue
				}
				x := &r.targets[n]
				if !x.isListed || x.state == resting && !x.why.isQuick() {
					t.Fatalf("seed %d: %+v was chosen", seed, x)
				}
				for k := range r.targets {
					if y := &r.targets[k]; y.isListed && y.state == well && (x.state == resting || x.state == well && y.conns < x.conns) {
						t.Fatalf("seed %d: %+v was chosen, and there is %+v", seed, x, y)
					}
				}
				x.conns++
				known[n] = append(known[n], x.address)
			case 3:
				for n, of := range known {
					x := &r.targets[n]
					for _, a := range of {
						if a != x.address {
							t.Fatalf("seed %d: %v became %v", seed, a, x.address)
						}
					}
					x.conns--
					if known[n] = of[1:]; len(of) == 1 {
						delete(known, n)
					}
					break
				}
			case 4:
				for k := range r.targets {
					switch x := &r.targets[k]; rnd.IntN(4) {
					case 0:
						x.failed(now-time.Duration(rnd.Int64N(int64(time.Second))), now, trouble(1+rnd.IntN(int(numTroubles)-1)))
					case 1:
						x.answered(now)
					case 2:
						x.probed(now, trouble(rnd.IntN(int(numTroubles))))
					}
					if x := r.targets[k]; (x.state == well) != (x.why == isWell) || x.state == resting && (x.until <= x.since || x.until-now > maxRestOfTrial) {
						t.Fatalf("seed %d: %+v", seed, x)
					}
				}
			}
		}
		if most := 8 + len(known); len(r.targets) > 50 {
			t.Errorf("seed %d: %d targets, want about %d", seed, len(r.targets), most)
		}
	}
}

// TestParseUpstream: what is an upstream, and what is said of what is none.
func TestParseUpstream(t *testing.T) {
	for s, want := range map[string]string{
		"http://127.0.0.1:8000":      "127.0.0.1:8000",
		"HTTP://127.0.0.1:8000/":     "127.0.0.1:8000",
		"http://127.0.0.1":           "127.0.0.1:80",
		"https://[::1]":              "[::1]:443",
		"http://[::ffff:10.0.0.1]":   "10.0.0.1:80",
		"unix:/run/app.sock":         "unix:/run/app.sock",
		"unix:@app":                  "unix:@app",
		"https://app.example:8443":   "app.example 8443",
		"http://localhost":           "localhost 80",
		"":                           "error",
		"localhost:8000":             "error",
		"127.0.0.1:8000":             "error",
		"ws://127.0.0.1":             "error",
		"http://":                    "error",
		"http://:80":                 "error",
		"http://h:0":                 "error",
		"http://h:65536":             "error",
		"http://h:":                  "error",
		"http://u@h":                 "error",
		"http://h/path":              "error",
		"http://h?":                  "error",
		"http://h/?a":                "error",
		"http://h/#a":                "error",
		"unix:":                      "error",
		"unix:app.sock":              "error",
		"unix:@":                     "error",
		"unix:/" + long(maxUnixPath): "error",
		"unix:/a\x00b":               "error",
		"http://h\r\n":               "error",
	} {
		u, err := parseUpstream(s, nil)
		got := "error"
		if err == nil {
			if got = fmt.Sprint(u.host, " ", u.port); u.known() != nil {
				got = u.known()[0].String()
			}
		}
		if got != want || u.tls != nil && u.tls.ServerName != u.host {
			t.Errorf("%q: got %s, %v, want %s", s, got, err, want)
		}
	}
	for _, urls := range [][]string{nil, {"http://h", "http://h/"}, {"http://h", "no"}} {
		if p, err := Open(Upstreams{URLs: urls}); err == nil {
			p.Close()
			t.Errorf("%q: no error", urls)
		}
	}
}

func long(n int) string { return fmt.Sprintf("%0*d", n, 0) }
