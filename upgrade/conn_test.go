package upgrade

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	gorilla "github.com/usher-ws/usher/internal/websocket"

	"github.com/usher-ws/usher/frame"
)

// acts is a script in which anything may come: strings are read, errors returned. After
// failsAt bytes a write fails.
type acts struct {
	script
	reads   []any
	writes  int
	failsAt int
}

func (a *acts) Read(b []byte) (int, error) {
	if len(a.reads) == 0 {
		return 0, io.EOF
	}
	next := a.reads[0]
	a.reads = a.reads[1:]
	if err, ok := next.(error); ok {
		return 0, err
	}
	return copy(b, next.(string)), nil
}

func (a *acts) Write(b []byte) (int, error) {
	a.writes++
	if a.failsAt > 0 {
		n := min(len(b), a.failsAt-len(a.out))
		a.out = append(a.out, b[:n]...)
		return n, os.ErrDeadlineExceeded
	}
	return a.script.Write(b)
}

const (
	aPing  = "\x89\x80\x37\xfa\x21\x3d" // a client's, without payload
	aHello = "\x81\x05Hello"
)

// TestConnIdle: a peer is pinged when it is silent, and lives if it answers.
func TestConnIdle(t *testing.T) {
	t.Parallel()
	late := os.ErrDeadlineExceeded
	a := &acts{reads: []any{late, "\x8a\x00", late, "\x81\x05He", late, "llo", late, late, aHello, io.EOF}}
	c := newVectorConn(a, true, 0, nil)
	for _, want := range []error{nil, late, nil, io.ErrUnexpectedEOF} {
		_, msg, err := c.ReadMessage()
		if !errors.Is(err, want) || err == nil && string(msg) != "Hello" {
			t.Errorf("got %q, %v, want %v", msg, err, want)
		}
	}
	if string(a.out) != strings.Repeat(aPing, 4) {
		t.Errorf("said %x, want four pings", a.out)
	}
	a = &acts{reads: []any{late, aHello}}
	c = newVectorConn(a, true, 0, nil)
	c.IdleTimeout = -1
	_, _, first := c.ReadMessage()
	_, msg, err := c.ReadMessage()
	if !errors.Is(first, late) || string(msg) != "Hello" || err != nil || len(a.out) > 0 {
		t.Errorf("without a limit: %v, then %q, %v; said %x", first, msg, err, a.out)
	}
}

// TestConnPongs: what one read brought is answered with one write, before the message
// behind it is handed over.
func TestConnPongs(t *testing.T) {
	t.Parallel()
	a := &acts{reads: []any{strings.Repeat("\x89\x01x", 100) + aHello + "\x89\x01y"}}
	c := newVectorConn(a, true, 0, nil)
	if _, msg, err := c.ReadMessage(); string(msg) != "Hello" || err != nil || a.writes != 1 || len(a.out) != 100*7 {
		t.Errorf("got %q, %v, %d bytes in %d writes", msg, err, len(a.out), a.writes)
	}
	if _, _, err := c.ReadMessage(); !errors.Is(err, io.ErrUnexpectedEOF) || a.writes != 2 {
		t.Errorf("%v, %d writes, want the pong behind the message in a second", err, a.writes)
	}
}

// TestConnWriteFails: behind half a message nothing is written, and a pong that is not
// taken is no timeout of the reading.
func TestConnWriteFails(t *testing.T) {
	t.Parallel()
	a := &acts{failsAt: 3, reads: []any{"\x89\x01x", aHello}}
	c := newVectorConn(a, false, 0, nil)
	if err := c.WriteMessage(frame.OpPing, nil); err != frame.ErrOpcode || a.writes > 0 {
		t.Errorf("a ping for a message: %v, %d writes", err, a.writes)
	}
	for range 2 {
		if err := c.WriteMessage(frame.OpText, []byte("Hello")); !errors.Is(err, os.ErrDeadlineExceeded) || string(a.out) != aHello[:3] {
			t.Errorf("got %v, said %x", err, a.out)
		}
	}
	c = newVectorConn(&acts{failsAt: 3, reads: []any{"\x89\x01x", aHello}}, true, 0, nil)
	if _, _, err := c.ReadMessage(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a pong is not taken: %v", err)
	}
}

// TestConnSlowReader: a peer that takes nothing does not hold up a writer for ever.
func TestConnSlowReader(t *testing.T) {
	t.Parallel()
	server, client := sockets(t)
	defer client.Close()
	c := NewConn(server, nil, nil)
	c.WriteTimeout = 50 * time.Millisecond
	if err := c.WriteMessage(frame.OpBinary, make([]byte, 64<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if err := c.Close(frame.StatusNormalClosure, ""); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Close: %v", err)
	}
}

// sockets are the two ends of a connection over loopback.
func sockets(t *testing.T) (server, client *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client = dial(t, ln.Addr().String())
	_ = client.SetDeadline(time.Time{})
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn), client
}

// TestConnAllocatesNothing: an echo, in both roles.
func TestConnAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("counts are not ours under the race detector")
	}
	for _, client := range []bool{false, true} {
		peer := frame.New(&frame.Config{Client: !client})
		in, _ := peer.AppendMessage(nil, frame.OpText, bytes.Repeat([]byte("x"), 1000))
		s := &script{step: 1 << 20}
		c := newConn(s, client, nil)
		if got := testing.AllocsPerRun(100, func() {
			s.in, s.out = in, s.out[:0] // unmasked in c's memory, not in this
			op, msg, err := c.ReadMessage()
			if err != nil || c.WriteMessage(op, msg) != nil || len(s.out) < 1000 {
				t.Fatal(err)
			}
		}); got != 0 {
			t.Errorf("client %t: %v allocations", client, got)
		}
	}
}

// TestConnEarly: frames that came with the request, or a part of them, are heard.
func TestConnEarly(t *testing.T) {
	t.Parallel()
	over := serve(t, openDoor, func(conn net.Conn, o outcome) {
		if o.err == nil {
			c := NewConn(conn, o.r, o.early)
			echo(c)
			_ = c.Close(frame.StatusNormalClosure, "")
		}
	})
	inside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if conn, r, early, err := openDoor.UpgradeHTTP(w, req); err == nil {
			c := NewConn(conn, r, early)
			echo(c)
			_ = c.Close(frame.StatusNormalClosure, "")
		}
	}))
	defer inside.Close()
	p := frame.New(&frame.Config{Client: true})
	long := strings.Repeat("x", 3000)
	in, _ := p.AppendMessage([]byte(up()), frame.OpText, []byte("first"))
	in, _ = p.AppendMessage(in, frame.OpBinary, []byte(long))
	in, _ = p.AppendClose(in, 4000, "")
	want := frame.AppendFrame(nil, frame.OpText, []byte("first"))
	want = frame.AppendFrame(want, frame.OpBinary, []byte(long))
	want = frame.AppendCloseFrame(want, 4000, "")
	for _, addr := range []string{over, inside.Listener.Addr().String()} {
		for _, early := range []int{len(up()) - 1, len(up()), len(up()) + 1, len(up()) + 8, len(up()) + 2000, len(in)} {
			conn := dial(t, addr)
			_, _ = conn.Write(in[:early])
			_, _ = conn.Write(in[early:])
			answer, err := io.ReadAll(conn)
			_, got, _ := bytes.Cut(answer, []byte("\r\n\r\n"))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes at once: %v, got %.100x, want %.100x", early, err, got, want)
			}
			conn.Close()
		}
	}
}

// TestConnWriters: messages of many writers arrive whole, those of each in its order, with
// pongs among them, and whoever writes when the connection is closed is told.
func TestConnWriters(t *testing.T) {
	t.Parallel()
	const writers, messages, pings = 8, 200, 50
	addr := serve(t, deflateDoor, func(conn net.Conn, o outcome) {
		c := NewConn(conn, o.r, o.early)
		answered := make(chan struct{})
		go func() {
			_, _, _ = c.ReadMessage() // behind the pings
			close(answered)
			_, _, _ = c.ReadMessage() // until Close
		}()
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for m := range messages {
					msg := fmt.Sprintf("%d %d %s", w, m, strings.Repeat("x", m*w))
					if err := c.WriteMessage(frame.OpText, []byte(msg)); err != nil {
						t.Errorf("writer %d: %v", w, err)
					}
				}
			})
		}
		wg.Wait()
		<-answered
		for range writers {
			wg.Go(func() {
				var err error
				for err == nil {
					err = c.WriteMessage(frame.OpText, []byte("0 -1 "))
				}
				if err != net.ErrClosed {
					t.Errorf("after Close: %v", err)
				}
			})
		}
		if err := c.Close(frame.StatusGoingAway, "done"); err != nil {
			t.Errorf("Close: %v", err)
		}
		wg.Wait()
	})
	client, _, err := (&gorilla.Dialer{EnableCompression: true}).Dial("ws://"+addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	pongs, next := 0, [writers]int{}
	client.SetPongHandler(func(string) error { pongs++; return nil })
	for range pings {
		if err := client.WriteControl(gorilla.PingMessage, []byte("x"), time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := client.WriteMessage(gorilla.TextMessage, []byte("that is all")); err != nil {
		t.Fatal(err)
	}
	for {
		_, msg, err := client.ReadMessage()
		if err != nil {
			if !gorilla.IsCloseError(err, gorilla.CloseGoingAway) {
				t.Error(err)
			}
			break
		}
		var w, m int
		var x string
		_, _ = fmt.Sscan(string(msg), &w, &m, &x)
		if m >= 0 && (m != next[w] || x != strings.Repeat("x", m*w)) {
			t.Fatalf("writer %d: got %d, %q, want %d", w, m, x, next[w])
		}
		next[w] = max(next[w], m+1)
	}
	if pongs != pings || next != [writers]int{200, 200, 200, 200, 200, 200, 200, 200} {
		t.Errorf("%d pongs, messages %v", pongs, next)
	}
}

// TestConnTokenEnds: so does the connection.
func TestConnTokenEnds(t *testing.T) {
	t.Parallel()
	for _, left := range []time.Duration{-time.Hour, 50 * time.Millisecond} {
		server, client := sockets(t)
		r := &Request{Identity: &Identity{Subject: "alice", ExpiresAt: time.Now().Add(left)}}
		c := NewConn(server, r, nil)
		peer := NewClientConn(client, 0, nil)
		var bye *CloseError
		if _, _, err := peer.ReadMessage(); !errors.As(err, &bye) || *bye != (CloseError{4401, "token_expired"}) {
			t.Errorf("the client: %v", err)
		}
		if _, _, err := c.ReadMessage(); err != net.ErrClosed {
			t.Errorf("the server: %v", err)
		}
		if a, b := peer.Close(0, ""), c.Close(0, ""); a != nil || b != nil {
			t.Errorf("Close: %v, %v", a, b)
		}
	}
}
