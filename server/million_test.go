//go:build linux

package server

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/usher-ws/usher/upgrade"
)

const million = 1_000_000

// seat takes n slots as open connections have them, whose descriptors are made up.
// identify says who the k-th is; nil is nobody.
func seat(l *loop, n int, identify func(k int) *upgrade.Identity) {
	place := l.places.find(&l.routes[0], nil, "")
	drive := l.Drive()
	for k := range n {
		s := drive.Seat()
		s.Data().facts.become(open)
		s.Data().place = place
		if identify != nil {
			l.introduce(s, identify(k), false)
		}
	}
}

// newHall is a loop that never starts, for a table and nothing else.
func newHall(t testing.TB) *loop {
	s := &Server{Loops: 1}
	s.Route("/", Route{})
	if err := s.newEngine(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.engine.Close)
	return s.loops[0]
}

// A million connections cost the heap at most 64 bytes each, and freeing half of them
// and seating others no more.
func TestMillion(t *testing.T) {
	heap := func() int {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	l := newHall(t)
	before := heap()
	seat(l, million, nil)
	if each := float64(heap()-before) / million; each > 64 {
		t.Errorf("a slot costs %.1f bytes of heap, want at most 64", each)
	}
	for i := uint32(1); i <= million; i += 2 {
		l.Drive().Unseat(l.At(i))
	}
	seat(l, million/2, nil)
	// The list of free slots has grown: 4 bytes for each that was.
	if each := float64(heap()-before) / million; each > 64+4 {
		t.Errorf("a slot costs %.1f bytes of heap after a change of half of them, want at most 68", each)
	}
	if n := l.count(); n != million || l.Slots() != million+1 {
		t.Errorf("%d slots are live, and %d were made", n, l.Slots()-1)
	}
}

// BenchmarkMillionGC: what a cycle of the garbage collector costs with a million
// connections in the table. Run it with -benchtime 10x.
func BenchmarkMillionGC(b *testing.B) {
	expires := time.Now().Add(time.Hour).Truncate(time.Second).UTC()
	identity := func(name string) *upgrade.Identity {
		text := fmt.Sprintf(`{"sub":%q,"exp":%d,"iss":"https://id.example","rooms":["lobby","%s's"]}`, name, expires.Unix(), name)
		claims := make(map[string]any)
		if err := json.Unmarshal([]byte(text), &claims); err != nil {
			b.Fatal(err)
		}
		return upgrade.NewIdentity(name, expires, claims, text)
	}
	shared := identity("alice")
	for _, c := range []struct {
		name     string
		identify func(k int) *upgrade.Identity
	}{
		{"anonymous", nil},
		{"one token", func(int) *upgrade.Identity { return shared }},
		{"distinct", func(k int) *upgrade.Identity {
			return identity(fmt.Sprint("user-", k))
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			l := newHall(b)
			seat(l, million, c.identify)
			runtime.GC()
			defer debug.SetGCPercent(debug.SetGCPercent(-1)) // only when we say so
			before := gcSeconds()
			var stats debug.GCStats
			debug.ReadGCStats(&stats)
			paused := stats.PauseTotal
			for b.Loop() {
				runtime.GC()
			}
			debug.ReadGCStats(&stats)
			b.ReportMetric(1000*(gcSeconds()-before)/float64(b.N), "cpu-ms/cycle")
			b.ReportMetric(float64((stats.PauseTotal-paused).Microseconds())/float64(b.N), "stopped-µs/cycle")
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			b.ReportMetric(float64(m.HeapAlloc)/million, "B/conn")
			runtime.KeepAlive(l)
		})
	}
}

// gcSeconds is the processor time that collecting has taken so far, what idle
// processors helped with included.
func gcSeconds() float64 {
	s := []metrics.Sample{{Name: "/cpu/classes/gc/total:cpu-seconds"}}
	metrics.Read(s)
	return s[0].Value.Float64()
}

// BenchmarkMillionInspect: what a search among a million connections costs, in all and, at
// the most, in one turn. Run it with -benchtime 10x.
func BenchmarkMillionInspect(b *testing.B) {
	for name, q := range map[string]ConnQuery{"any": {Max: 100}, "user": {User: "user-7", Max: 100}, "room": {Path: map[string]string{"room": "x"}, Max: 100}} {
		b.Run(name, func(b *testing.B) {
			l := newHall(b)
			seat(l, million, func(k int) *upgrade.Identity { return &upgrade.Identity{Subject: fmt.Sprint("user-", k)} })
			longest := time.Duration(0)
			for b.Loop() {
				r := ranking{most: q.Max}
				for i := uint32(1); i < l.Slots(); {
					begun := time.Now()
					for range connsPerTurn {
						if s := l.At(i); takesPosts(s) && l.matches(s, &q) {
							r.add(ranked{l.rankOf(s, q.By), l.conn(s)})
						}
						if i++; i == l.Slots() {
							break
						}
					}
					longest = max(longest, time.Since(begun))
				}
			}
			b.ReportMetric(float64(longest.Microseconds()), "longest-µs")
		})
	}
}
