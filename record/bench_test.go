package record_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"testing"

	"github.com/usher-ws/usher/record"
)

var lengths = []int{20, 1 << 10, 16 << 10}

// benchSuites are the first suites of both versions.
var benchSuites = suites[:4]

// BenchmarkSeal is what it takes to write, with the key at hand, without a system call.
func BenchmarkSeal(b *testing.B) {
	for _, s := range benchSuites {
		for _, n := range lengths {
			data := make([]byte, n)
			b.Run(fmt.Sprintf("%s/%d", tls.CipherSuiteName(s.id), n), func(b *testing.B) {
				b.SetBytes(int64(n))
				b.ReportAllocs()
				server, _ := pair(b, s.version, s.id)
				var cs record.Ciphers
				var out []byte
				for b.Loop() {
					out, _ = server.Append(&cs, out[:0], data)
				}
			})
			b.Run(fmt.Sprintf("%s/%d/crypto-tls", tls.CipherSuiteName(s.id), n), func(b *testing.B) {
				b.SetBytes(int64(n))
				b.ReportAllocs()
				o := newOracle(b, record.Server, s.version, s.id)
				for b.Loop() {
					o.recorded.out = o.recorded.out[:0]
					o.Write(data)
				}
			})
		}
	}
}

// BenchmarkOpen seals a record, too: what BenchmarkSeal takes is to be subtracted.
func BenchmarkOpen(b *testing.B) {
	for _, s := range benchSuites {
		for _, n := range lengths {
			data := make([]byte, n)
			b.Run(fmt.Sprintf("%s/%d", tls.CipherSuiteName(s.id), n), func(b *testing.B) {
				b.SetBytes(int64(n))
				b.ReportAllocs()
				server, client := pair(b, s.version, s.id)
				var cs, theirs record.Ciphers
				var in []byte
				for b.Loop() {
					in, _ = client.Append(&theirs, in[:0], data)
					if got, _, err := server.Read(&cs, in); len(got) != n || err != nil {
						b.Fatal(len(got), err)
					}
				}
			})
			b.Run(fmt.Sprintf("%s/%d/crypto-tls", tls.CipherSuiteName(s.id), n), func(b *testing.B) {
				b.SetBytes(int64(n))
				b.ReportAllocs()
				o := newOracle(b, record.Server, s.version, s.id)
				var theirs record.Ciphers
				var in []byte
				got := make([]byte, n)
				for b.Loop() {
					in, _ = o.peer.Append(&theirs, in[:0], data)
					o.recorded.in = in
					if _, err := io.ReadFull(o, got); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkCipher makes the cipher of one direction, seals a record of 20 bytes and forgets
// the cipher: what a connection costs that was idle.
func BenchmarkCipher(b *testing.B) {
	for _, s := range suites {
		b.Run(fmt.Sprintf("%s/%s", tls.VersionName(s.version), tls.CipherSuiteName(s.id)), func(b *testing.B) {
			b.ReportAllocs()
			server, _ := pair(b, s.version, s.id)
			data, out := make([]byte, 20), make([]byte, 0, 100)
			for b.Loop() {
				var cs record.Ciphers
				server.Append(&cs, out, data)
			}
		})
	}
}

// BenchmarkUpdate is what the peer's key update costs.
func BenchmarkUpdate(b *testing.B) {
	for _, s := range suites[:3] {
		b.Run(tls.CipherSuiteName(s.id), func(b *testing.B) {
			b.ReportAllocs()
			server, _ := pair(b, s.version, s.id)
			for b.Loop() {
				server.In.Update()
			}
		})
	}
}
