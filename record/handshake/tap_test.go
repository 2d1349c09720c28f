package handshake

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/usher-ws/usher/record"
)

// slow is a connection that yields a byte at a time.
type slow struct {
	net.Conn
	io.Reader
}

func (s slow) Read(p []byte) (int, error) { return s.Reader.Read(p) }

// However the bytes of a handshake come, and whoever is asked to begin anew, it succeeds,
// and the records go on.
func TestHandshakeInPieces(t *testing.T) {
	for _, c := range choices {
		t.Run(c.String(), func(t *testing.T) {
			server, client := c.configs(t)
			server.CurvePreferences = []tls.CurveID{tls.CurveP384} // the client guesses another: HelloRetryRequest
			s, err := NewServer(server)
			if err != nil {
				t.Fatal(err)
			}
			a, b := tcpPair(t)
			type end struct {
				*Result
				err error
			}
			ends := make(chan end, 1)
			go func() {
				r, err := s.Handshake(t.Context(), slow{a, iotest.OneByteReader(a)}, nil)
				ends <- end{r, err}
			}()
			r, err := Client(t.Context(), slow{b, iotest.OneByteReader(b)}, client)
			other := <-ends
			if err := errors.Join(err, other.err); err != nil {
				t.Fatal(err)
			}
			if len(other.Rest) > 0 || len(r.Rest) > 0 {
				t.Errorf("got %x and %x read ahead", other.Rest, r.Rest)
			}
			finished := map[uint16]uint64{tls.VersionTLS12: 1}[c.version] // in TLS 1.3 it has another key
			if in, out := other.Conn.In.Seq(), other.Conn.Out.Seq(); in != finished || out != finished || r.State.HelloRetryRequest != (finished == 0) {
				t.Errorf("got %d and %d records, asked anew %t, want %d", in, out, r.State.HelloRetryRequest, finished)
			}
			x, y := newChannel(a, other.Result), newChannel(b, r)
			go func() {
				io.Copy(x, x)
				x.end(nil)
			}()
			say(t, y, 1, 20_000)
			y.end(nil)
			if _, err := y.next(); !errors.Is(err, io.EOF) {
				t.Errorf("got %v, want EOF", err)
			}
		})
	}
}

// tcpPair returns both ends of a connection.
func tcpPair(tb testing.TB) (a, b net.Conn) {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	if b, err = net.Dial("tcp", l.Addr().String()); err == nil {
		a, err = l.Accept()
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		a.Close()
		b.Close()
	})
	return a, b
}

// Handshakes that fail leave nothing, and say why.
func TestHandshakesThatFail(t *testing.T) {
	server, client := choices[0].configs(t)
	s, err := NewServer(server)
	if err != nil {
		t.Fatal(err)
	}
	fails := func(name string, ctx context.Context, peer func(net.Conn)) error {
		t.Helper()
		a, b := tcpPair(t)
		errs := make(chan error, 1)
		go func() {
			r, err := s.Handshake(ctx, a, nil)
			if r != nil || err == nil {
				t.Errorf("%s: got %v", name, r)
			}
			a.Close()
			errs <- err
		}()
		peer(b)
		return <-errs
	}
	if err := fails("HTTP", t.Context(), func(c net.Conn) { io.WriteString(c, "GET / HTTP/1.1\r\n\r\n") }); !errors.As(err, new(tls.RecordHeaderError)) {
		t.Errorf("HTTP: got %v, want an error of the header", err)
	}
	if err := fails("nothing", t.Context(), func(c net.Conn) { c.Close() }); !errors.Is(err, io.EOF) {
		t.Errorf("nothing: got %v, want EOF", err)
	}
	if err := fails("half a hello", t.Context(), func(c net.Conn) {
		c.Write([]byte{22, 3, 1, 1, 0, 1})
		c.Close()
	}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("half a hello: got %v, want an unexpected EOF", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := fails("cancelled", ctx, func(net.Conn) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
	a, _ := tcpPair(t)
	a.SetDeadline(time.Unix(1, 0))
	if _, err := s.Handshake(t.Context(), a, nil); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("too late: got %v", err)
	}
	err = fails("no trust", t.Context(), func(c net.Conn) {
		client.RootCAs = nil
		_, err := Client(t.Context(), c, client)
		if err == nil || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("no trust: the client got %v", err)
		}
	})
	if err == nil || !strings.Contains(err.Error(), "bad certificate") {
		t.Errorf("no trust: got %v, want the alert", err)
	}
}

// stuffer is the connection of a client of TLS 1.2 that sends more with its Finished message.
type stuffer struct {
	tap
	suite  uint16
	inside string // in the same record
	behind string // as application data
}

func (s *stuffer) Write(b []byte) (int, error) {
	s.out.pass(b)
	if len(s.out.kept) == 0 {
		return s.Conn.Write(b)
	}
	var c record.Conn
	if err := c.Init12(record.Client, s.suite, s.master.bytes(), s.clear, s.in.random()); err != nil {
		return 0, err
	}
	var cipher record.Cipher
	was := c.Out
	_, content, _, err := was.Open(&cipher, bytes.Clone(s.out.kept)) // what we have sealed ourselves
	if err != nil {
		return 0, err
	}
	out := bytes.Clone(b[:len(b)-len(s.out.kept)])
	out, err = c.Out.AppendRecord(&cipher, out, record.Handshake, append(content, s.inside...))
	if err == nil && s.behind != "" {
		out, err = c.Out.AppendRecord(&cipher, out, record.ApplicationData, []byte(s.behind))
	}
	if err == nil {
		_, err = s.Conn.Write(out)
	}
	return len(b), err
}

// stuffed does a handshake with a stuffer.
func stuffed(t *testing.T, inside, behind string) (*Result, error) {
	t.Helper()
	c := choices[3]
	server, client := c.configs(t)
	s, err := NewServer(server)
	if err != nil {
		t.Fatal(err)
	}
	a, b := tcpPair(t)
	st := &stuffer{tap{Conn: b}, c.suite, inside, behind}
	client.KeyLogWriter = keyLog{&st.tap}
	done := make(chan error, 1)
	go func() { done <- tls.Client(st, client).HandshakeContext(t.Context()) }()
	r, err := s.Handshake(t.Context(), a, nil)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return r, err
}

// What is in the record of a Finished message and behind it would be lost between crypto/tls
// and us.
func TestStuffedFinished(t *testing.T) {
	if _, err := stuffed(t, "\x00\x00\x00\x00", ""); err != errBehind { // HelloRequest
		t.Errorf("got %v, want %v", err, errBehind)
	}
}

// A client of TLS 1.2 need not wait for the server's Finished message (RFC 7918).
func TestFalseStart(t *testing.T) {
	r, err := stuffed(t, "", "early")
	if err != nil {
		t.Fatal(err)
	}
	if data, n, err := r.Conn.Read(new(record.Ciphers), r.Rest); string(data) != "early" || n != len(r.Rest) || err != nil {
		t.Errorf("got %q, %d of %d bytes, %v", data, n, len(r.Rest), err)
	}
}

// A key log in another form than crypto/tls's is an error, and never half a secret.
func TestKeyLogLines(t *testing.T) {
	random, value := strings.Repeat("ab", 32), strings.Repeat("cd", 32)
	for _, c := range []struct {
		line string
		ok   bool
	}{
		{"CLIENT_TRAFFIC_SECRET_0 " + random + " " + value + "\n", true},
		{"SERVER_TRAFFIC_SECRET_0 " + random + " " + value, true},
		{"EXPORTER_SECRET " + random + " " + value + "\n", true},
		{"CLIENT_RANDOM " + random + " " + value[:32] + value + "\n", true},
		{"CLIENT_RANDOM " + random + " " + value + value + "\n", false},
		{"CLIENT_RANDOM xy " + value + "\n", false},
		{"CLIENT_TRAFFIC_SECRET_0 " + random + " xy\n", false},
		{"CLIENT_TRAFFIC_SECRET_0 " + random + "\n", false},
		{"CLIENT_TRAFFIC_SECRET_0\n", false},
	} {
		k := keyLog{new(tap)}
		n, err := k.Write([]byte(c.line))
		if (err == nil) != c.ok || c.ok && n != len(c.line) {
			t.Errorf("%q: got %d, %v, want %t", c.line, n, err, c.ok)
		}
		k.forget()
		if k.client != (secret{}) || k.server != (secret{}) || k.master != (secret{}) {
			t.Errorf("%q: a secret is left", c.line)
		}
	}
}

// What a peer sends during a handshake is not kept for long, however it is cut; the last
// records are.
func TestKeptIsBounded(t *testing.T) {
	f := flow{most: mostHeard}
	for _, size := range []int{1, 100, 1 << 14} {
		body := make([]byte, size)
		for i := range 10_000 / size * 10 {
			f.pass(append([]byte{23, 3, 3, byte(size >> 8), byte(size)}, body...))
			if len(f.kept) > mostHeard+5+size || !bytes.HasSuffix(f.kept, body) || !f.between() {
				t.Fatalf("%d bytes, record %d: got %d kept", size, i, len(f.kept))
			}
		}
	}
}
