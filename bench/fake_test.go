//go:build linux

package bench

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/usher-ws/usher/frame"
)

// fake is a server that does wrong what it is told to. The zero fake echoes.
type fake struct {
	// door answers a request instead of the upgrade, if it returns true.
	door func(c *fakeConn, r *http.Request) bool
	// message handles the message number n of a connection, from 0; default: echo.
	message func(c *fakeConn, n int, op frame.Opcode, data []byte)
	// gone is told how a connection ended.
	gone func(c *fakeConn, err error)
	// attacked is told when the first attacker comes. A client that asks for a path that begins
	// with attackPath is one, even if the rest of his request never comes.
	attacked func()

	url   string
	count atomic.Int64 // how often the fault was injected

	mu        sync.Mutex // guards what follows
	conns     map[*fakeConn]bool
	attackers int
}

const attackPath = "/attack"

// fakeConn is one connection of a fake. Its methods are for the connection's own
// goroutine, but for write.
type fakeConn struct {
	*net.TCPConn
	number  int
	hostile bool // an attacker; the fake's mu guards this and the next two
	inside  bool // upgraded
	lost    bool // reset by a test
	proto   *frame.Protocol
	held    []byte     // a message kept back
	mu      sync.Mutex // guards what is written
}

// serve starts the fake; the test's end stops it and waits for all of it.
func (f *fake) serve(t testing.TB) *fake {
	t.Helper()
	stop, err := f.listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return f
}

func (f *fake) listen(address string) (stop func(), err error) {
	ln, err := net.Listen("tcp4", address)
	if err != nil {
		return nil, err
	}
	f.url = "ws://" + ln.Addr().String() + "/"
	f.conns = make(map[*fakeConn]bool)
	var all sync.WaitGroup
	all.Go(func() {
		for number := 0; ; number++ {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			c := &fakeConn{TCPConn: conn.(*net.TCPConn), number: number, proto: frame.New(&frame.Config{MaxMessage: 1 << 20})}
			f.mu.Lock()
			f.conns[c] = true
			f.mu.Unlock()
			all.Go(func() {
				err := f.handle(c)
				f.mu.Lock()
				delete(f.conns, c)
				f.mu.Unlock()
				c.Close()
				if f.gone != nil {
					f.gone(c, err)
				}
			})
		}
	})
	return func() {
		ln.Close()
		f.mu.Lock()
		for c := range f.conns {
			c.Close()
		}
		f.mu.Unlock()
		all.Wait()
	}, nil
}

// handle runs one connection.
func (f *fake) handle(c *fakeConn) error {
	in := bufio.NewReader(c)
	if b, _ := in.Peek(len("GET " + attackPath)); strings.HasSuffix(string(b), attackPath) {
		f.enter(c, 1)
		defer f.enter(c, -1)
	}
	r, err := http.ReadRequest(in)
	if err != nil {
		return err
	}
	if f.door != nil && f.door(c, r) {
		return nil
	}
	f.mu.Lock()
	c.inside = true
	f.mu.Unlock()
	c.upgrade(r.Header.Get("Sec-WebSocket-Key"))
	buf := make([]byte, 64<<10)
	for n := 0; ; {
		k, err := in.Read(buf)
		if err != nil {
			return err
		}
		c.proto.Receive(buf[:k])
		for ev := c.proto.NextEvent(); ev.Kind != frame.NoEvent; ev = c.proto.NextEvent() {
			if ev.Kind != frame.MessageEvent {
				c.write(c.proto.AppendReply(nil, ev))
				continue
			}
			if f.message != nil {
				f.message(c, n, ev.Opcode, ev.Data)
			} else {
				c.send(ev.Opcode, ev.Data)
			}
			n++
		}
		if c.proto.Done() { // what was said would not survive a close with input unread
			_ = c.CloseWrite()
			_, err := io.Copy(io.Discard, in)
			return err
		}
	}
}

// enter counts attackers: one more or one less.
func (f *fake) enter(c *fakeConn, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c.hostile = true
	f.attackers += n
	if n > 0 && f.attackers == 1 && f.attacked != nil {
		f.attacked()
	}
}

func (f *fake) besieged() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.attackers > 0
}

func (c *fakeConn) upgrade(key string) {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	c.write([]byte("HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nconnection: keep-alive, Upgrade\r\nsec-websocket-accept: " +
		base64.StdEncoding.EncodeToString(sum[:]) + "\r\n\r\n"))
}

func (c *fakeConn) write(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = c.Write(b)
}

func (c *fakeConn) send(op frame.Opcode, data []byte) { c.write(frame.AppendFrame(nil, op, data)) }

// answer writes a response and leaves.
func (c *fakeConn) answer(status int, body string) {
	c.write(fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		status, http.StatusText(status), len(body), body))
}

// reset ends the connection with a RST.
func (c *fakeConn) reset() {
	_ = c.SetLinger(0)
	c.Close()
}

// every calls wrong for each k-th message and echoes the others.
func (f *fake) every(k int, wrong func(c *fakeConn, op frame.Opcode, data []byte)) *fake {
	f.message = func(c *fakeConn, n int, op frame.Opcode, data []byte) {
		if n%k == k-1 {
			f.count.Add(1)
			wrong(c, op, data)
			return
		}
		c.send(op, data)
	}
	return f
}

// patience is a timeout for runs in which nothing is lost, however busy the
// machine.
const patience = time.Hour // the limit is the test binary's own

// short is the Common of a quick run against the fake.
func (f *fake) short(conns int) Common {
	return Common{
		URL: f.url, Conns: conns,
		Duration: 400 * time.Millisecond, Warmup: -1, Timeout: 1200 * time.Millisecond,
	}
}

func has(s string, parts ...string) bool {
	for _, p := range parts {
		if !strings.Contains(s, p) {
			return false
		}
	}
	return true
}
