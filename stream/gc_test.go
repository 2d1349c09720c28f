//go:build linux

package stream

import (
	"crypto/tls"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"

	"github.com/usher-ws/usher/record"
)

// BenchmarkSecureGC: what a cycle of the garbage collector costs with a million streams in the
// clear, and with what TLS keeps of them. It is the same, as there is no pointer in it.
func BenchmarkSecureGC(b *testing.B) {
	const million = 1_000_000
	for _, isSecure := range []bool{false, true} {
		name := "in the clear"
		if isSecure {
			name = "TLS"
		}
		b.Run(name, func(b *testing.B) {
			e, err := New(roomy(), func(l *loop) Handler[mark, bag] { return newOwner(b, l) })
			if err != nil {
				b.Fatal(err)
			}
			defer e.Close()
			l := e.Loops()[0]
			secret := make([]byte, 32)
			for range million {
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
			b.ReportMetric(float64(m.HeapAlloc)/million, "B/conn")
			runtime.KeepAlive(l)
		})
	}
}

// gcSeconds is the processor time that collecting has taken so far.
func gcSeconds() float64 {
	samples := []metrics.Sample{{Name: "/cpu/classes/gc/total:cpu-seconds"}}
	metrics.Read(samples)
	return samples[0].Value.Float64()
}
