package handshake

import (
	"crypto/tls"
	"errors"
	"net"
	"testing"
)

// BenchmarkHandshake is both sides of a handshake over a pipe, the client's by crypto/tls:
// with our server, and with crypto/tls's.
func BenchmarkHandshake(b *testing.B) {
	for _, c := range []choice{choices[0], choices[3]} {
		server, client := c.configs(b)
		ours, err := NewServer(server)
		if err != nil {
			b.Fatal(err)
		}
		for name, handshake := range map[string]func(net.Conn) error{
			"record": func(conn net.Conn) error {
				_, err := ours.Handshake(b.Context(), conn, nil)
				return err
			},
			"crypto-tls": func(conn net.Conn) error { return tls.Server(conn, server).HandshakeContext(b.Context()) },
		} {
			b.Run(c.String()+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					x, y := net.Pipe()
					errs := make(chan error, 1)
					go func() { errs <- handshake(x) }()
					conn := tls.Client(y, client)
					err := conn.HandshakeContext(b.Context())
					if err := errors.Join(err, <-errs); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
