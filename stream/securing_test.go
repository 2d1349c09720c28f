//go:build linux

package stream

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/usher-ws/usher/record/handshake"
	"golang.org/x/sys/unix"
)

// withTLS adds a certificate to a Config.
func withTLS(t testing.TB, cfg config) config {
	t.Helper()
	cert, _ := testCert()
	shaker, err := handshake.NewServer(&tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		t.Fatal(err)
	}
	cfg.TLS, cfg.NotTLS = shaker, []byte("HTTP/1.1 400 Bad Request\r\n\r\n")
	return cfg
}

// adoptTLS returns a stream that was accepted and has yet to become secure, and its peer's end.
func (r *rig) adoptTLS() (s link, peer int) {
	r.Helper()
	mine, peer := r.pair()
	r.e.live.Add(1)
	r.l.conns.Add(1)
	i := r.l.slab.upcoming()
	r.l.adopt(adoption{fd: mine, isSecured: true})
	return r.l.At(i), peer
}

// What the peer of a stream that is Securing does.
func says(what string) func(*cellRig) { return func(c *cellRig) { c.send(c.peer, what) } }
func greets(c *cellRig)               { c.send(c.peer, string(clientHello(c))) }
func answers(b []byte) func(*cellRig) { return func(c *cellRig) { c.l.engine.cfg.NotTLS = b } }

// floods has the peer go on with its hello for as long as it is heard.
func floods(c *cellRig) {
	more := "\x16\x03\x01\x10\x00" + strings.Repeat("x", 4096)
	for c.s.State() == Securing && c.s.Generation() == c.gen {
		c.send(c.peer, more)
		c.d.Readable(c.s)
	}
}

// fullWire has the kernel take nothing more of the stream.
func fullWire(c *cellRig) {
	for {
		if _, err := unix.Write(int(c.s.slot.fd), plenty); err != nil {
			return
		}
	}
}

func (c *cellRig) shake() *negotiation { return c.l.exts.get(c.s.slot.ext).sealed.shake }

// answered waits for crypto/tls to answer, and has the loop look.
func answered(c *cellRig) {
	h := c.shake()
	eventually(c, "an answer to the hello", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.isTold
	})
	c.d.Wake()
}

// isOver waits for the end of the handshake, of which the loop has yet to hear.
func isOver(c *cellRig) {
	h := c.shake()
	eventually(c, "the end of the handshake", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.isOver
	})
}

func checkWrites(c *cellRig) {
	if _, write := c.d.Armed(c.s); !write {
		c.Error("the answer waits, and the loop is not to hear of room for it")
	}
}

// refusal is the alert bad_certificate.
const refusal = "\x15\x03\x03\x00\x02\x02\x2a"

// leaves has the loop hear of the end of the handshake, and of the peer's socket.
func leaves(c *cellRig) {
	c.d.Writable(c.s)
	if c.s.State() == Lingering {
		c.d.Hangup(c.s)
	}
}

// alerted says that the stream has ended because of the peer's alert.
func alerted(c *cellRig) { checkAlerted(c, c.o.causes[Token(c.s.Slot(), c.gen)]) }

func checkAlerted(t testing.TB, cause error) {
	t.Helper()
	if e, ok := errors.AsType[*handshake.Error](cause); !ok || !e.ByPeer || e.Alert != 42 {
		t.Errorf("ended with %v, want the peer's alert", cause)
	}
}

// shakes does the client's part of a handshake: the loop has yet to hear that it is over.
func shakes(c *cellRig) {
	fd, err := unix.Dup(c.peer)
	if err != nil {
		c.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "peer")
	defer f.Close()
	conn, err := net.FileConn(f)
	if err != nil {
		c.Fatal(err)
	}
	defer conn.Close()
	kept, done := &keeping{Conn: conn}, make(chan error, 1)
	_, pool := testCert()
	go func() { done <- tls.Client(kept, &tls.Config{ServerName: "127.0.0.1", RootCAs: pool}).Handshake() }()
	await(c, int(c.s.slot.fd), unix.POLLIN)
	c.d.Readable(c.s)
	for over := false; !over; {
		select {
		case err = <-done:
			over = true
		default:
			c.d.Wake()
		}
	}
	if err != nil {
		c.Fatal(err)
	}
	if _, err := conn.Write(kept.later); err != nil {
		c.Fatal(err)
	}
	c.d.Readable(c.s)
	isOver(c)
}

// keeping is a connection that keeps what is written to it from the second time on.
type keeping struct {
	net.Conn
	once  sync.Once
	later []byte
}

func (k *keeping) Write(b []byte) (n int, err error) {
	isFirst := false
	if k.once.Do(func() { isFirst = true }); isFirst {
		return k.Conn.Write(b)
	}
	k.later = append(k.later, b...)
	return len(b), nil
}

// Whatever a function of the tls.Config does, its stream alone ends, and no other waits.
func TestHandshakeFaults(t *testing.T) {
	cert, _ := testCert()
	var do atomic.Pointer[func()]
	shaker, err := handshake.NewServer(&tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		if f := do.Load(); f != nil {
			(*f)()
		}
		return &cert, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	cfg, logged := withTLS(t, roomy()), make(chan string, 10)
	cfg.TLS = shaker
	cfg.LogError = func(msg string, _ ...any) { logged <- msg }
	e, owners, at := runWith(t, cfg, echoes)
	for name, f := range map[string]func(){"panics": func() { panic("on purpose") }, "exits": runtime.Goexit} {
		do.Store(&f)
		_, err := tls.Dial("tcp", at.String(), &tls.Config{InsecureSkipVerify: true})
		if err == nil {
			t.Errorf("%s: the handshake is done", name)
		}
		if name == "panics" {
			<-logged
		}
	}
	do.Store(nil)
	c := dialTLS(t, at, &tls.Config{})
	io.WriteString(c, "hello")
	if n, err := io.ReadFull(c, make([]byte, 5)); err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	l := e.Loops()[0]
	eventually(t, "the goroutines have ended", func() (isSo bool) {
		on(t, l, func() { isSo = l.secure.goroutines == 0 && l.secure.begun == 0 && len(owners[0].lives) == 1 })
		return isSo
	})
}

// A client that refuses the certificate and closes its socket at once leaves most of what it was
// sent unread, so that its kernel resets the connection. Its alert counts all the same.
func TestAlertBeforeReset(t *testing.T) {
	causes := make(chan error)
	_, _, at := runTLS(t, roomy(), func(o *owner) {
		o.ended = func(_ link, cause error) bool { causes <- cause; return false }
	})
	hello := clientHello(t)
	for range 50 {
		c, err := net.Dial("tcp", at.String())
		if err != nil {
			t.Fatal(err)
		}
		c.Write(hello)
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, refusal)
		c.Close()
		checkAlerted(t, <-causes)
	}
}

// What a client says right behind its handshake waits in the kernel, however much it is, until
// crypto/tls is done and nothing holds the stream.
func TestTalksAhead(t *testing.T) {
	cert, pool := testCert()
	going := make(chan bool)
	shaker, err := handshake.NewServer(&tls.Config{
		Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAnyClientCert,
		VerifyPeerCertificate: func([][]byte, [][]*x509.Certificate) error { <-going; return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	cfg := withTLS(t, roomy())
	cfg.TLS = shaker
	var got []byte
	l := make(chan link, 1)
	over := make(chan bool)
	e, _, at := runWith(t, cfg, func(o *owner) {
		o.secured = func(s link, _ *tls.ConnectionState) {
			s.Hold(Custom)
			l <- s
		}
		o.input = func(s link, b []byte, eof bool) {
			if s.Why()&Custom != 0 {
				t.Error("heard though it is held")
			}
			if got = append(got, b...); eof {
				close(over)
				s.Finish(nil)
			}
		}
	})
	c := dialTLS(t, at, &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: pool, MinVersion: tls.VersionTLS13})
	go func() {
		c.Write(counting[:1<<20])
		c.CloseWrite()
	}()
	loop := e.Loops()[0]
	eventually(t, "much waits", func() (isSo bool) {
		on(t, loop, func() {
			for s := range loop.All() {
				h := loop.exts.get(s.slot.ext).sealed.shake
				isSo = h != nil && !h.isHearing()
			}
		})
		return isSo
	})
	on(t, loop, func() {
		for s := range loop.All() {
			h := loop.exts.get(s.slot.ext).sealed.shake
			h.mu.Lock()
			if len(h.in) > 2*maxAhead {
				t.Errorf("%d bytes wait for crypto/tls", len(h.in))
			}
			h.mu.Unlock()
		}
	})
	close(going)
	s := <-l
	on(t, loop, func() { s.Go(Custom) })
	<-over
	if !bytes.Equal(got, counting[:1<<20]) {
		t.Errorf("%d bytes, and not those that were said", len(got))
	}
}

// stuckTLS is a Config whose handshakes wait for a certificate until going has something, or is closed.
func stuckTLS(t *testing.T) (cfg config, going chan bool) {
	cert, _ := testCert()
	going = make(chan bool)
	shaker, err := handshake.NewServer(&tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		<-going
		return &cert, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	cfg = withTLS(t, roomy())
	cfg.TLS = shaker
	return cfg, going
}

// Functions of the tls.Config that do not return have so many goroutines and no more.
func TestStuckHandshakes(t *testing.T) {
	cfg, going := stuckTLS(t)
	e, _, at := runWith(t, cfg, echoes)
	hello, loop := clientHello(t), e.Loops()[0]
	on(t, loop, func() { loop.secure.most = 2 * maxGoroutines }) // at once: they have no turns
	for range maxGoroutines + 50 {
		c, err := net.Dial("tcp", at.String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.Write(hello)
	}
	eventually(t, "some were turned away", func() bool { return e.Stats().TurnedAway == 50 })
	on(t, loop, func() {
		if n := loop.secure.goroutines; n != maxGoroutines {
			t.Errorf("%d goroutines, want %d", n, maxGoroutines)
		}
		if n := loop.secure.begun; n != maxHandshakes {
			t.Errorf("%d handshakes, want %d", n, maxHandshakes)
		}
	})
	close(going)
	eventually(t, "those of streams that have ended return", func() (isSo bool) {
		on(t, loop, func() { isSo = loop.secure.goroutines <= maxHandshakes })
		return isSo
	})
	c := dialTLS(t, at, &tls.Config{})
	io.WriteString(c, "hello")
	if n, err := io.ReadFull(c, make([]byte, 5)); err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
}
