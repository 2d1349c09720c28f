//go:build linux

package hub

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"

	"github.com/usher-ws/usher/server"
)

const million = 1_000_000

// keyOf returns the key of a connection that is made up.
func keyOf(k int) (key server.ConnKey) {
	binary.LittleEndian.PutUint32(key[:], uint32(k+1))
	return key
}

// seatUsers seats n users in t, each with a connection that is made up.
func seatUsers(t *Topic, n int) {
	s := &t.hub.seats
	for k := range n {
		name := fmt.Sprint("user-", k)
		s.sitDown(t, s.take(t, name, name), keyOf(k), 0)
	}
}

// BenchmarkMillionGC: what a cycle of the garbage collector costs with a million members in a
// topic, and what each of them takes. Run it with -benchtime 10x.
func BenchmarkMillionGC(b *testing.B) {
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	h := new(Hub)
	t := newTopic(h, "lobby")
	seatUsers(t, million)
	runtime.GC()
	runtime.ReadMemStats(&after)
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // only when we say so
	cpu := gcSeconds()
	for b.Loop() {
		runtime.GC()
	}
	b.ReportMetric(1000*(gcSeconds()-cpu)/float64(b.N), "cpu-ms/cycle")
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/million, "B/member")
	runtime.KeepAlive(t)
}

// gcSeconds is the processor time that collecting has taken so far.
func gcSeconds() float64 {
	s := []metrics.Sample{{Name: "/cpu/classes/gc/total:cpu-seconds"}}
	metrics.Read(s)
	return s[0].Value.Float64()
}

// BenchmarkMember: the look-up that each message of a chat begins with.
func BenchmarkMember(b *testing.B) {
	h := new(Hub)
	t := newTopic(h, "lobby")
	h.topics = map[string]*Topic{"lobby": t}
	seatUsers(t, 4000)
	h.seats.sitDown(t, h.seats.take(t, "nobody", "nobody"), server.ConnKey{}, 0) // found as the zero Conn
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if m := h.Member("lobby", server.Conn{}); m.User() != "nobody" {
				b.Error(m.User())
			}
		}
	})
}
