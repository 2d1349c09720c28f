package handshake

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
	_ "unsafe" // for linkname

	"github.com/usher-ws/usher/record"
)

// suites13 is the order in which crypto/tls prefers the suites of TLS 1.3, which has no
// setting. It is one of the names that it keeps for those that link to it (go.dev/issue/67401).
//
//go:linkname suites13 crypto/tls.defaultCipherSuitesTLS13
var suites13 []uint16

// with13 has crypto/tls know one suite of TLS 1.3 until the test ends.
func with13(t testing.TB, id uint16) {
	before := suites13
	suites13 = []uint16{id}
	t.Cleanup(func() { suites13 = before })
}

// identities are a CA and what it has signed, made once.
type identities struct {
	ca                 *x509.CertPool
	caFile             []byte
	ecdsa, rsa, client tls.Certificate
}

var made = sync.OnceValues(func() (*identities, error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return nil, err
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	all := &identities{ca: x509.NewCertPool(), caFile: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
	all.ca.AddCert(root)
	sign := func(key crypto.Signer, name string) tls.Certificate {
		leaf := &x509.Certificate{
			SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
			NotBefore:   ca.NotBefore, NotAfter: ca.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		}
		der, e := x509.CreateCertificate(rand.Reader, leaf, root, key.Public(), caKey)
		err = errors.Join(err, e)
		return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	}
	all.ecdsa, all.rsa, all.client = sign(caKey, "localhost"), sign(rsaKey, "localhost"), sign(caKey, "alice")
	return all, err
})

func identity(tb testing.TB) *identities {
	tb.Helper()
	all, err := made()
	if err != nil {
		tb.Fatal(err)
	}
	return all
}

// files writes a certificate and its key, and returns their paths.
func files(tb testing.TB, c tls.Certificate) (cert, key string) {
	tb.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		tb.Fatal(err)
	}
	dir := tb.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	err = errors.Join(
		os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]}), 0o600),
		os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
	if err != nil {
		tb.Fatal(err)
	}
	return cert, key
}

// channel is a Result with the socket below it: data goes in and out as through a tls.Conn.
type channel struct {
	net.Conn
	*Result
	ciphers record.Ciphers
	in      []byte // to be opened
	records []record.Type
}

func newChannel(c net.Conn, r *Result) *channel {
	return &channel{Conn: c, Result: r, in: r.Rest}
}

// next returns the data of what comes next, which may be none.
func (c *channel) next() ([]byte, error) {
	for {
		typ, data, n, err := c.Result.Conn.Open(&c.ciphers, c.in)
		if err != nil {
			return nil, err
		}
		if n > 0 {
			c.in = c.in[n:]
			c.records = append(c.records, typ)
			return data, nil
		}
		b := make([]byte, 4096)
		if n, err = c.Conn.Read(b); err == io.EOF {
			return nil, c.Result.Conn.End()
		} else if err != nil {
			return nil, err
		}
		c.in = append(c.in, b[:n]...)
	}
}

// Read is io.Reader's for len(p) of MaxContent and more.
func (c *channel) Read(p []byte) (int, error) {
	data, err := c.next()
	return copy(p, data), err
}

func (c *channel) Write(p []byte) (int, error) {
	out, err := c.Result.Conn.Append(&c.ciphers, nil, p)
	if err != nil {
		return 0, err
	}
	_, err = c.Conn.Write(out)
	return len(p), err
}

// end sends the alert for err, and no more.
func (c *channel) end(why error) {
	if out, err := c.Result.Conn.AppendEnd(&c.ciphers, nil, why); err == nil {
		c.Conn.Write(out)
	}
	c.Conn.(*net.TCPConn).CloseWrite()
}

// served is a connection that an echoServer had.
type served struct {
	*channel
	err  error // of the handshake, or io.EOF, or what else ended it
	said bytes.Buffer
}

// echoServer sends back what comes, and answers HTTP with a page.
type echoServer struct {
	net.Listener
	done  chan *served
	group sync.WaitGroup
}

// serve starts an echoServer, which ends with the test.
func serve(tb testing.TB, config *tls.Config) *echoServer {
	tb.Helper()
	server, err := NewServer(config)
	if err != nil {
		tb.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	s := &echoServer{Listener: l, done: make(chan *served, 100)}
	s.group.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.group.Go(func() {
				defer c.Close()
				s.done <- s.echo(tb, server, c)
			})
		}
	})
	tb.Cleanup(func() {
		l.Close()
		s.group.Wait()
	})
	return s
}

func (s *echoServer) echo(tb testing.TB, server *Server, c net.Conn) *served {
	r, err := server.Handshake(tb.Context(), c, nil)
	if err != nil {
		return &served{err: err}
	}
	one := &served{channel: newChannel(c, r)}
	for {
		data, err := one.next()
		if err != nil {
			one.err = err
			one.end(err)
			io.Copy(io.Discard, c) // so that nothing is reset
			return one
		}
		one.said.Write(data)
		if bytes.HasPrefix(one.said.Bytes(), []byte("GET ")) {
			if bytes.HasSuffix(one.said.Bytes(), []byte("\r\n\r\n")) {
				io.WriteString(one.channel, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\npage\n")
			}
		} else if len(data) > 0 {
			one.channel.Write(data)
		}
	}
}
