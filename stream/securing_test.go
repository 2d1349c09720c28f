//go:build linux

package stream

import (
	"crypto/tls"
	"net"
	"os"
	"strings"
	"sync"
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
	r.e.secured[0] = true
	r.e.live.Add(1)
	r.l.conns.Add(1)
	i := r.l.slab.upcoming()
	r.l.adopt(adoption{fd: mine, listener: 1})
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
