//go:build linux

package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/internal/websocket"
	"golang.org/x/sys/unix"
)

// person is a client of TestAtRandom: many connections, one after the other.
type person struct {
	*world
	addr string
	id   int
	rng  *rand.Rand
}

// live connects in one way after the other until the time is up.
func (p *person) live(ctx context.Context) {
	for ctx.Err() == nil {
		switch p.rng.IntN(8) {
		case 0:
			p.halfHead(ctx)
		case 1:
			p.request(ctx)
		default:
			p.session(ctx)
		}
	}
}

func (p *person) dial() (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(1+p.rng.IntN(6)))}}
	if p.rng.IntN(3) == 0 {
		d.Control = narrowly
	}
	c, err := d.Dial("tcp", p.addr)
	if err != nil {
		return nil, err
	}
	_ = c.SetDeadline(time.Now().Add(time.Hour))
	if p.rng.IntN(4) == 0 {
		_ = c.(*net.TCPConn).SetLinger(0)
	}
	if p.s.TLS == nil {
		return c, nil
	}
	over := tls.Client(c, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12 + uint16(p.rng.IntN(2))})
	if err := over.Handshake(); err != nil {
		c.Close()
		return nil, err // cut off since others needed the place, or the memory
	}
	return over, nil
}

// endWrite says that c writes nothing more.
func endWrite(c net.Conn) { _ = c.(interface{ CloseWrite() error }).CloseWrite() }

// narrowly has the kernel keep little for a connection, on either side of it.
func narrowly(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 4096)
		_ = unix.SetsockoptInt(int(fd), unix.SOL_TCP, unix.TCP_MAXSEG, 1000)
	})
}

// until closes a connection when the time is up.
func until(ctx context.Context, c io.Closer) (stop func()) {
	undo := context.AfterFunc(ctx, func() { c.Close() })
	return func() { undo(); c.Close() }
}

func (p *person) path() string {
	name := fmt.Sprint("user", p.rng.IntN(20))
	if p.rng.IntN(10) == 0 {
		name = "x"
	}
	paths := []string{"/room", "/room", "/room", "/work", "/relay", "/relay", "/delay", "/warn", "/drop", "/strict", "/ask", "/slow", "/nowhere"}
	path := paths[p.rng.IntN(len(paths))]
	if path == "/slow" {
		name = "token=" + []string{"good", "bad"}[p.rng.IntN(2)]
	}
	return path + "?" + name
}

// halfHead says a part of a request, or what is none, and waits or goes.
func (p *person) halfHead(ctx context.Context) {
	c, err := p.dial()
	if err != nil {
		return
	}
	defer until(ctx, c)()
	head := fmt.Sprintf(upgradeHead, p.path())
	switch p.rng.IntN(3) {
	case 0:
		head = head[:p.rng.IntN(len(head))]
	case 1:
		head = strings.Replace(head, ": ", " : ", 1)
	case 2:
		head = fmt.Sprintf(upgradeHead, "/room?"+strings.Repeat("x", p.rng.IntN(30_000)))
	}
	_, _ = io.WriteString(c, head)
	if p.rng.IntN(2) == 0 {
		endWrite(c)
	}
	if p.rng.IntN(3) > 0 {
		_, _ = io.Copy(io.Discard, c)
	}
}

// request asks the Handler, with a body that may stop, and may not read the answer.
func (p *person) request(ctx context.Context) {
	c, err := p.dial()
	if err != nil {
		return
	}
	defer until(ctx, c)()
	size := p.rng.IntN(100_000)
	_, _ = fmt.Fprintf(c, "POST /form HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", size)
	if p.rng.IntN(2) == 0 {
		size = p.rng.IntN(size + 1)
	}
	_, _ = c.Write(make([]byte, size))
	p.rest(ctx, 100)
	if p.rng.IntN(2) == 0 {
		_, _ = io.CopyN(io.Discard, c, 500)
	}
}

// rest waits for up to so many milliseconds.
func (p *person) rest(ctx context.Context, most int) {
	select {
	case <-ctx.Done():
	case <-time.After(time.Duration(p.rng.IntN(most)) * time.Millisecond):
	}
}

// visitor is one connection that was let in.
type visitor struct {
	*person
	*websocket.Conn
	raw    net.Conn
	pings  chan string
	echoes int
	joined [theirGroups]int // 1 for joined, 2 for left
}

// session upgrades and does one thing after the other, while a reader checks what comes.
func (p *person) session(ctx context.Context) {
	path := p.path()
	dialer := websocket.Dialer{EnableCompression: p.rng.IntN(2) == 0, WriteBufferSize: 1 << (5 + p.rng.IntN(12))}
	stop, early := func() {}, 0
	dialer.NetDial = func(string, string) (net.Conn, error) {
		c, err := p.dial()
		if err != nil {
			return nil, err
		}
		stop = until(ctx, c)
		if p.rng.IntN(4) > 0 {
			return c, nil
		}
		early = 1 + p.rng.IntN(3)
		return &hasty{c, early, p.rng.IntN(20_000)}, nil
	}
	conn, _, err := dialer.Dial("ws://"+p.addr+path, nil)
	if err != nil {
		stop()
		return // refused, or cut off since others needed the place
	}
	raw := conn.NetConn()
	if h, ok := raw.(*hasty); ok {
		raw = h.Conn
	}
	v := &visitor{person: p, Conn: conn, raw: raw, echoes: early, pings: make(chan string, 100)}
	conn.SetPingHandler(func(data string) error { // a pong of the reader would part what is being written
		select {
		case v.pings <- data:
		default:
		}
		return nil
	})
	var reading sync.WaitGroup
	h := &heard{world: p.world, route: path, last: make(map[string]int), gaps: strings.HasPrefix(path, "/drop") || strings.HasPrefix(path, "/warn") || p.s.policy.Load().sharesMessages}
	naps := rand.New(rand.NewPCG(p.rng.Uint64(), 0))
	reading.Go(func() { v.listen(h, naps) })
	for n := p.rng.IntN(200); n > 0 && ctx.Err() == nil; n-- {
		if v.act() != nil {
			break
		}
		v.answer()
		if p.rng.IntN(6) == 0 {
			p.rest(ctx, 20)
		}
	}
	v.leave(ctx)
	stop()
	reading.Wait()
}

// hasty is a connection of a client that says something before it was let in.
type hasty struct {
	net.Conn
	texts, size int
}

// Write sends a request, and texts in the same segment.
func (h *hasty) Write(b []byte) (int, error) {
	whole := b
	for n := range h.texts {
		whole = append(whole[:len(whole):len(whole)], masked(frame.OpText, []byte(fmt.Sprint("echo ", n, " ", strings.Repeat("z", h.size))))...)
	}
	h.texts = 0
	if _, err := h.Conn.Write(whole); err != nil {
		return 0, err
	}
	return len(b), nil
}

// listen reads what comes, slowly at times.
func (v *visitor) listen(h *heard, rng *rand.Rand) {
	for {
		_, data, err := v.ReadMessage()
		if err != nil {
			return
		}
		h.hear(string(data))
		if rng.IntN(40) == 0 {
			time.Sleep(time.Duration(rng.IntN(300)) * time.Millisecond)
		}
	}
}

// answer answers pings, most of them.
func (v *visitor) answer() {
	for {
		select {
		case data := <-v.pings:
			if v.rng.IntN(4) > 0 {
				_, _ = v.raw.Write(masked(frame.OpPong, []byte(data)))
			}
		default:
			return
		}
	}
}

func (v *visitor) act() error {
	size := 1 << v.rng.IntN(15)
	switch v.rng.IntN(20) {
	case 0, 1:
		k := v.rng.IntN(theirGroups)
		if v.joined[k]++; v.joined[k] == 1 {
			return v.say(fmt.Sprint("join ", k, " "))
		}
		if v.joined[k] == 2 {
			return v.say(fmt.Sprint("leave ", k, " "))
		}
	case 2, 3, 4:
		return v.say(fmt.Sprint("publish ", v.rng.IntN(randomGroups), " ", size, " "))
	case 5, 6, 7:
		return v.say(fmt.Sprint("tell ", v.rng.IntN(60), " ", v.rng.IntN(size), " "))
	case 8:
		return v.say([]string{"run ", "renew "}[v.rng.IntN(2)])
	case 9:
		_, err := v.raw.Write(masked(frame.OpPing, []byte("hello")))
		return err
	case 10:
		_, err := v.raw.Write(bytes.Repeat(masked(frame.OpPing, nil), v.rng.IntN(400)))
		return err
	case 11:
		if v.rng.IntN(8) == 0 {
			return v.say([]string{"close ", "fail ", "panic "}[v.rng.IntN(3)])
		}
	case 12:
		if v.rng.IntN(10) == 0 {
			_, err := v.raw.Write([]byte{byte(v.rng.IntN(256)), byte(v.rng.IntN(256))})
			return err
		}
	default:
		for n := 1 + v.rng.IntN(4); n > 0; n-- {
			v.echoes++
			if err := v.say(fmt.Sprint("echo ", v.echoes-1, " ", strings.Repeat("y", size))); err != nil {
				return err
			}
		}
	}
	return nil
}

// say sends a text: whole, in pieces of the dialer's buffer, compressed if that was agreed
// on, or in two writes, between which the server may look.
func (v *visitor) say(text string) error {
	if v.rng.IntN(3) > 0 {
		return v.WriteMessage(websocket.TextMessage, []byte(text))
	}
	b := masked(frame.OpText, []byte(text))
	cut := v.rng.IntN(len(b))
	if _, err := v.raw.Write(b[:cut]); err != nil {
		return err
	}
	time.Sleep(time.Duration(v.rng.IntN(3)) * time.Millisecond)
	_, err := v.raw.Write(b[cut:])
	return err
}

// leave ends the connection in one of many ways.
func (v *visitor) leave(ctx context.Context) {
	switch v.rng.IntN(6) {
	case 0:
		_ = v.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, "bye"), time.Now().Add(time.Hour))
		v.rest(ctx, 50)
	case 1:
		endWrite(v.raw)
		v.rest(ctx, 50)
	case 2:
		_ = tcp(v.raw).SetLinger(0)
	case 3: // half a message
		b := masked(frame.OpBinary, make([]byte, 1+v.rng.IntN(60_000)))
		_, _ = v.raw.Write(b[:v.rng.IntN(len(b))])
		v.rest(ctx, 1500)
	case 4: // and does not answer pings
		v.rest(ctx, 1500)
	}
}
