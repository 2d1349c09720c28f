package record_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"slices"
	"sync"
	"testing"
	_ "unsafe" // for linkname

	"github.com/usher-ws/usher/record"
	"github.com/usher-ws/usher/record/handshake"
)

// suites13 is the order in which crypto/tls prefers the suites of TLS 1.3, which has no
// setting. It is one of the names that it keeps for those that link to it (go.dev/issue/67401).
//
//go:linkname suites13 crypto/tls.defaultCipherSuitesTLS13
var suites13 []uint16

// certificate is one that nobody verifies.
var certificate = sync.OnceValues(func() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, leaf, leaf, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
})

var errEnd = errors.New("nothing more")

// recorded is a connection that from some moment on reads what it is given, and keeps what
// is written.
type recorded struct {
	net.Conn
	on  bool
	in  []byte
	out []byte
}

func (r *recorded) Read(p []byte) (int, error) {
	if !r.on {
		return r.Conn.Read(p)
	}
	n := copy(p, r.in)
	if r.in = r.in[n:]; n == 0 {
		return 0, errEnd
	}
	return n, nil
}

func (r *recorded) Write(p []byte) (int, error) {
	if !r.on {
		return r.Conn.Write(p)
	}
	r.out = append(r.out, p...)
	return len(p), nil
}

// oracle is a tls.Conn after its handshake, and the record.Conn of its peer.
type oracle struct {
	*tls.Conn
	recorded *recorded
	peer     record.Conn
}

// newOracle does a handshake over a pipe.
func newOracle(tb testing.TB, role record.Role, version, id uint16) *oracle {
	cert, err := certificate()
	if err != nil {
		tb.Fatal(err)
	}
	suites13 = []uint16{id}
	config := &tls.Config{
		Certificates: []tls.Certificate{cert}, InsecureSkipVerify: true, SessionTicketsDisabled: true,
		MinVersion: version, MaxVersion: version, CurvePreferences: []tls.CurveID{tls.X25519},
	}
	if version == tls.VersionTLS12 {
		for _, s := range tls.CipherSuites() { // the same one for a key of another kind
			if slices.Equal(kind(s.ID), kind(id)) {
				config.CipherSuites = append(config.CipherSuites, s.ID)
			}
		}
	}
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	o := &oracle{recorded: &recorded{Conn: a}}
	done := make(chan error, 1)
	go func() {
		var r *handshake.Result
		var err error
		if role == record.Client {
			var s *handshake.Server
			if s, err = handshake.NewServer(config); err == nil {
				r, err = s.Handshake(context.Background(), b, nil)
			}
		} else {
			r, err = handshake.Client(context.Background(), b, config)
		}
		if err == nil {
			o.peer = r.Conn
		}
		done <- err
	}()
	if o.Conn = tls.Server(o.recorded, config); role == record.Client {
		o.Conn = tls.Client(o.recorded, config)
	}
	if err := errors.Join(o.Handshake(), <-done); err != nil {
		tb.Fatal(err)
	}
	o.recorded.on = true
	return o
}

// kind is what suites of TLS 1.2 have in common that differ in their key exchange.
func kind(id uint16) []byte {
	name := tls.CipherSuiteName(id)
	i := bytes.Index([]byte(name), []byte("_WITH_"))
	return []byte(name[i+1:])
}

// hear returns what crypto/tls makes of in: data, the alert that it sends, if it does, the
// key updates before, and the error.
func (o *oracle) hear(tb testing.TB, in []byte) (data []byte, sent record.Alert, updates int, err error) {
	o.recorded.in = in
	var b bytes.Buffer
	if _, err = io.Copy(&b, o.Conn); err == nil {
		err = io.EOF
	}
	var cipher record.Cipher
	sent = record.NoAlert
	for peer, out := o.peer, o.recorded.out; len(out) > 0; {
		t, content, n, e := peer.In.Open(&cipher, out)
		if e != nil || n == 0 {
			tb.Fatalf("crypto/tls wrote %x: %v", out, e)
		}
		switch t {
		case record.Handshake:
			updates++
			if e := peer.In.Update(); e != nil {
				tb.Fatal(e)
			}
		case record.AlertRecord:
			sent = record.Alert(content[1])
		}
		out = out[n:]
	}
	return b.Bytes(), sent, updates, err
}

// write has a peer say what a program says, two bytes for each step and what it takes.
func (s *script) write(p []byte) {
	next := func() (b byte) {
		if len(p) > 0 {
			b, p = p[0], p[1:]
		}
		return b
	}
	some := func(n int) []byte {
		b := p[:min(n, len(p))]
		p = p[len(b):]
		return b
	}
	v13, last := s.Version() == tls.VersionTLS13, 0
	for steps := 0; len(p) > 0 && steps < 40; steps++ {
		op, arg, before := next(), next(), len(s.out)
		switch op % 15 {
		case 0:
			s.seal(data, bytes.Repeat([]byte{arg}, int(arg))...)
		case 1:
			s.raw(data, []byte{1, 2, 0}, int(arg)*65)
		case 2:
			s.seal(shake, some(int(arg%12))...)
		case 3:
			s.seal(alert, arg, next())
		case 4:
			s.seal(record.Type(arg), some(1)...)
		case 5:
			if v13 {
				s.update(arg&1, [][]int{{5}, {1, 4}, {2, 2, 1}, {1, 1, 1, 1, 1}}[arg>>1&3]...)
			}
		case 6:
			s.bytes(some(int(arg % 12))...)
		case 7:
			if n := len(s.out) - 1 - int(arg>>3); n >= 0 {
				s.out[n] ^= 1 << (arg & 7)
			}
		case 8:
			s.bytes(s.out[last:]...)
		case 9:
			s.seal(data, arg)
			s.out = s.out[:before]
		case 10:
			s.seal(data, make([]byte, record.MaxContent+2-int(arg%5))...)
		case 11:
			s.repeat(int(arg%20), func() { s.seal(data) })
		case 12:
			s.bytes(byte(data), 3, 3, arg, next())
		case 13:
			s.out = s.out[:max(0, len(s.out)-int(arg))]
		case 14:
			s.seal(shake, slices.Concat([]byte{4, 0, 0, 14, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1}, []byte{arg}, []byte{0, 0})...)
		}
		if len(s.out) > before {
			last = before
		}
		last = min(last, len(s.out))
	}
}

// FuzzRecord has crypto/tls and this package hear the same peer, in both roles. Where they
// do not agree, it is on purpose.
func FuzzRecord(f *testing.F) {
	for which := range byte(12) {
		f.Add(which, []byte{0, 3, 1, 2, 0, 255, 3, 1, 0})
		f.Add(which, []byte{5, 1, 0, 9, 5, 6, 0, 1, 8, 0})
		f.Add(which, []byte{2, 5, 24, 0, 0, 1, 0, 14, 1, 10, 2, 0, 4})
		f.Add(which, []byte{11, 16, 0, 1, 11, 17, 4, 20, 1})
		f.Add(which, []byte{0, 9, 7, 77, 0, 1, 3, 2, 42})
	}
	f.Fuzz(func(t *testing.T, which byte, program []byte) {
		s := suites[which%6]
		role := record.Role(which / 6 % 2)
		o := newOracle(t, role, s.version, s.id)
		adversary, listener := o.peer, o.peer
		ours := o.peer.Peer()
		whole := *ours
		said := &script{Conn: &adversary}
		said.write(program)
		in := said.out
		wantData, wantAlert, updates, wantErr := o.hear(t, bytes.Clone(in))

		var cs record.Ciphers
		gotData, n, err := whole.Read(&cs, bytes.Clone(in))
		fail := func(what string) {
			t.Helper()
			t.Errorf("%s:\nsuite %x, role %d, in %x\ngot  %d bytes, %d of %d, %v\nwant %d bytes, %v, %v",
				what, s.id, role, in, len(gotData), n, len(in), err, len(wantData), wantAlert, wantErr)
		}
		if split := int(which) % (len(in) + 1); len(in) > 0 {
			one, two := *ours, *ours
			if a, b := hear(&one, in, len(in), 1), hear(&two, in, max(split, 1), 7); !slices.Equal(a, b) {
				fail("cut otherwise")
			}
		}
		if !bytes.HasPrefix(wantData, gotData) && !ticketRefused(s.version, role, wantAlert) {
			fail("data")
		}
		switch {
		case ticketRefused(s.version, role, wantAlert): // which we do not read
		case record.Early(err):
		case !bytes.Equal(gotData, wantData):
			fail("data")
		case err == nil:
			if wantErr != errEnd {
				fail("no error")
			}
			back, e := whole.Append(&cs, nil, []byte("x"))
			if e != nil {
				t.Fatal(e)
			}
			types, _ := open(t, &listener, back)
			if answered := types[0] == record.Handshake; answered != (updates > 0) {
				fail("answer to key updates")
			}
		case err == io.EOF:
			if wantErr != io.EOF || wantAlert != record.NoAlert {
				fail("end")
			}
		default:
			a := record.NoAlert
			if e, ok := errors.AsType[*record.Error](err); ok {
				a = e.Alert
			}
			if a != wantAlert || wantErr == errEnd || wantErr == io.EOF {
				fail("alert")
			}
		}
	})
}

// ticketRefused reports whether crypto/tls may have read a ticket and not liked it.
func ticketRefused(version uint16, role record.Role, a record.Alert) bool {
	return version == tls.VersionTLS13 && role == record.Client &&
		slices.Contains([]record.Alert{record.DecodeError, record.IllegalParameter, record.InternalError}, a)
}
