//go:build linux

package stream

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/usher-ws/usher/record"
)

// testCert is a certificate for 127.0.0.1, and the pool that it is verified by.
var testCert = sync.OnceValues(func() (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	of := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, of, of, key.Public(), key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
})

// runTLS starts an engine that listens with TLS.
func runTLS(t testing.TB, cfg config, set func(o *owner)) (*engine, []*owner, netip.AddrPort) {
	t.Helper()
	return runWith(t, withTLS(t, cfg), set)
}

// runWith is runTLS with the Config's own certificates.
func runWith(t testing.TB, cfg config, set func(o *owner)) (*engine, []*owner, netip.AddrPort) {
	t.Helper()
	e, owners := run(t, cfg, set)
	fd, at := listenTCP(t)
	if err := e.Listen([]Listener{{FD: fd, TLS: true}}, func(err error) { t.Error(err) }); err != nil {
		t.Fatal(err)
	}
	return e, owners, at
}

// echoes writes back what comes.
func echoes(o *owner) {
	o.input = func(s link, b []byte, eof bool) {
		if eof {
			s.Finish(nil)
			return
		}
		s.Write(b)
	}
}

func dialTLS(t testing.TB, at netip.AddrPort, config *tls.Config) *tls.Conn {
	t.Helper()
	_, pool := testCert()
	config.RootCAs = pool
	c, err := tls.Dial("tcp", at.String(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// What crypto/tls sends comes back, of every length, and both ends say so.
func TestSecureEcho(t *testing.T) {
	_, _, at := runTLS(t, roomy(), echoes)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			c := dialTLS(t, at, &tls.Config{MaxVersion: version, MinVersion: version})
			for _, n := range []int{1, 2, 100, 16383, 16384, 16385, 100_000, 1 << 20} {
				say := bytes.Repeat([]byte{byte(n), 1, 2}, n)[:n]
				go c.Write(say)
				got := make([]byte, n)
				if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, say) {
					t.Fatalf("%d bytes: %v", n, err)
				}
			}
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("at the end: %d, %v", n, err)
			}
		})
	}
}

// A peer that takes nothing has what it was sent wait, sealed only as far as it was given to the
// kernel; it gets all of it in the end, and the close_notify behind it.
func TestSecureBacklog(t *testing.T) {
	big := make([]byte, 8<<20)
	rand.Read(big)
	_, _, at := runTLS(t, roomy(), func(o *owner) {
		o.input = func(s link, b []byte, eof bool) {
			if !eof {
				s.WriteParts(big, []Part{{From: 100, B: big[100 : 4<<20]}, {From: 4 << 20, B: big[4<<20:]}})
				s.Finish([]byte("end"))
			}
		}
	})
	c := dialTLS(t, at, &tls.Config{})
	io.WriteString(c, "?")
	time.Sleep(10 * time.Millisecond) // more often than not it waits by then
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, append(big[:len(big):len(big)], "end"...)) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// A stream that ends without close_notify is truncated, which its owner is told; one that is
// broken is answered by an alert.
func TestSecureFaults(t *testing.T) {
	faults := make(chan error, 1)
	_, _, at := runTLS(t, roomy(), func(o *owner) {
		o.input = func(s link, b []byte, eof bool) {
			if eof {
				faults <- s.Fault()
				s.Finish(nil)
			}
		}
	})
	for name, do := range map[string]func(c *tls.Conn){
		"truncated": func(c *tls.Conn) { c.NetConn().(*net.TCPConn).CloseWrite() },
		"bad record": func(c *tls.Conn) {
			c.NetConn().Write([]byte("\x17\x03\x03\x00\x20" + "0123456789abcdef0123456789abcdef"))
		},
		"wrong content": func(c *tls.Conn) { c.NetConn().Write([]byte("GET / HTTP/1.1\r\n\r\n")) },
	} {
		t.Run(name, func(t *testing.T) {
			c := dialTLS(t, at, &tls.Config{})
			io.WriteString(c, "hello")
			do(c)
			fault := <-faults
			if fault == nil {
				t.Error("no fault")
			}
			_, err := c.Read(make([]byte, 1))
			t.Log(fault, err)
			if err == nil || name != "truncated" && errors.Is(err, io.EOF) {
				t.Errorf("the peer is told %v", err)
			}
		})
	}
}

func TestPlainOnTLS(t *testing.T) {
	_, _, at := runTLS(t, roomy(), echoes)
	c, err := net.Dial("tcp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "GET / HTTP/1.1\r\n\r\n")
	got, err := io.ReadAll(c)
	if err != nil || string(got) != "HTTP/1.1 400 Bad Request\r\n\r\n" {
		t.Errorf("%q, %v", got, err)
	}
}

// Very many handshakes that are never done make room for those that are.
func TestHalfDoneHandshakes(t *testing.T) {
	_, _, at := runTLS(t, roomy(), echoes)
	hello := clientHello(t)
	for range 2 * maxHandshakes {
		c, err := net.Dial("tcp", at.String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.Write(hello)
	}
	for k := range 20 {
		c := dialTLS(t, at, &tls.Config{})
		fmt.Fprintf(c, "hello %d", k)
		got := make([]byte, 100)
		if n, err := c.Read(got); err != nil || string(got[:n]) != fmt.Sprintf("hello %d", k) {
			t.Fatalf("%q, %v", got[:n], err)
		}
	}
}

// clientHello is what crypto/tls begins with.
func clientHello(t testing.TB) []byte {
	a, b := net.Pipe()
	defer b.Close()
	go tls.Client(a, &tls.Config{ServerName: "localhost"}).Handshake()
	buf := make([]byte, 4096)
	n, err := b.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}

// A dialled stream talks to a server of crypto/tls.
func TestDialTLS(t *testing.T) {
	cert, pool := testCert()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { io.Copy(c, c); c.Close() }()
		}
	}()
	var got bytes.Buffer
	done := make(chan error, 1)
	e, _ := run(t, roomy(), func(o *owner) {
		o.secured = func(s link, state *tls.ConnectionState) {
			if len(state.PeerCertificates) != 1 {
				t.Errorf("%d certificates", len(state.PeerCertificates))
			}
			s.Write(plenty[:100_000])
		}
		o.input = func(s link, b []byte, eof bool) {
			if got.Write(b); got.Len() == 100_000 || eof {
				s.Finish(nil)
			}
		}
		o.ended = func(s link, cause error) bool { done <- cause; return false }
	})
	on(t, e.Loops()[0], func() {
		s, err := e.Loops()[0].DialTLS(netip.MustParseAddrPort(l.Addr().String()), netip.Addr{}, mark{}, &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"})
		if err != nil {
			t.Error(err)
			return
		}
		e.Loops()[0].handler.(*owner).born(s)
	})
	if cause := <-done; cause != ErrHangup || got.Len() != 100_000 {
		t.Errorf("ended with %v after %d bytes", cause, got.Len())
	}
}

// Expanded ciphers are dropped with each look at the deadlines, which comes once a second, and
// made anew when they are needed.
func TestCiphersForgotten(t *testing.T) {
	e, _, at := runTLS(t, roomy(), echoes)
	c := dialTLS(t, at, &tls.Config{})
	got := make([]byte, 5)
	for range 3 {
		io.WriteString(c, "hello")
		if _, err := io.ReadFull(c, got); err != nil || string(got) != "hello" {
			t.Fatalf("%q, %v", got, err)
		}
		for _, l := range e.Loops() {
			on(t, l, func() {
				events[mark, bag]{l}.lookAround(0)
				if l.secure.ciphers != nil && *l.secure.ciphers != [cipherSlots]record.Ciphers{} {
					t.Error("ciphers are left")
				}
			})
		}
	}
}
