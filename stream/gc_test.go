//go:build linux

package stream

import (
	"crypto/tls"
	"fmt"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"

	"github.com/usher-ws/usher/record"
)

// BenchmarkSecureGC: what a cycle of the garbage collector costs with streams in the clear, and
// with what TLS keeps of as many. There is no pointer in that, so it is an object more to look at for
// each chunk.
func BenchmarkSecureGC(b *testing.B) {
	for _, n := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprint(n, "/clear"), func(b *testing.B) { benchmarkGC(b, n, false) })
		b.Run(fmt.Sprint(n, "/TLS"), func(b *testing.B) { benchmarkGC(b, n, true) })
	}
}

func benchmarkGC(b *testing.B, n int, isSecure bool) {
	e, err := New(roomy(), func(l *loop) Handler[mark, bag] { return newOwner(b, l) })
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	l := e.Loops()[0]
	secret := make([]byte, 32)
	for range n {
		s := l.Drive().Seat()
		if isSecure {
			var c record.Conn
			if err := c.Init13(record.Server, tls.TLS_AES_128_GCM_SHA256, secret, secret); err != nil {
				b.Fatal(err)
			}
			l.secure.add(s.i, &c)
		}
	}
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // only when we say so
	before := gcSeconds()
	for b.Loop() {
		runtime.GC()
	}
	b.ReportMetric(1000*(gcSeconds()-before)/float64(b.N), "cpu-ms/cycle")
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.HeapAlloc)/float64(n), "B/conn")
	runtime.KeepAlive(l)
}

// gcSeconds is the processor time that collecting has taken so far.
func gcSeconds() float64 {
	samples := []metrics.Sample{{Name: "/cpu/classes/gc/total:cpu-seconds"}}
	metrics.Read(samples)
	return samples[0].Value.Float64()
}
