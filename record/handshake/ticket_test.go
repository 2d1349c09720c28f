package handshake

import (
	"crypto/tls"
	"io"
	"testing"
)

// A client comes back with the ticket it was given, and is known again, though each handshake
// has a Config of its own. With TLS 1.2 it is given none.
func TestResumption(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		all := identity(t)
		s := serve(t, &tls.Config{Certificates: []tls.Certificate{all.ecdsa}})
		cache := tls.NewLRUClientSessionCache(1)
		client := &tls.Config{RootCAs: all.ca, ServerName: "localhost", MaxVersion: version, ClientSessionCache: cache}
		for i := range 3 {
			conn, err := tls.Dial("tcp", s.Addr().String(), client)
			if err != nil {
				t.Fatal(err)
			}
			say(t, conn, 10)
			conn.Close()
			one := <-s.done
			want := version == tls.VersionTLS13 && i > 0
			if got := conn.ConnectionState().DidResume; got != want || one.State.DidResume != want || one.err != io.EOF {
				t.Errorf("%s, connection %d: got resumed %t and %t, %v, want %t", tls.VersionName(version), i, got, one.State.DidResume, one.err, want)
			}
		}
	}
}

// Keys that are set later are those of the next ticket.
func TestTicketKeys(t *testing.T) {
	all := identity(t)
	config := &tls.Config{Certificates: []tls.Certificate{all.ecdsa}}
	config.SetSessionTicketKeys([][32]byte{{1}})
	s := serve(t, config)
	client := &tls.Config{RootCAs: all.ca, ServerName: "localhost", ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	for i, want := range []bool{false, true, false, true} {
		if i == 2 {
			config.SetSessionTicketKeys([][32]byte{{2}})
		}
		conn, err := tls.Dial("tcp", s.Addr().String(), client)
		if err != nil {
			t.Fatal(err)
		}
		say(t, conn, 10)
		conn.Close()
		if one := <-s.done; one.State.DidResume != want || one.err != io.EOF {
			t.Errorf("connection %d: got resumed %t, %v, want %t", i, one.State.DidResume, one.err, want)
		}
	}
}
