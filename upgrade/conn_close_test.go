package upgrade

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/usher-ws/usher/frame"
)

// conns are the two ends of a WebSocket connection, the server's first.
func conns(server, client net.Conn) []*Conn {
	return []*Conn{NewConn(server, nil, nil), NewClientConn(client, 0, nil)}
}

// transports are connections of three kinds: with half-closing, without, and over TLS.
var transports = map[string]func(t *testing.T) (server, client net.Conn){
	"tcp": func(t *testing.T) (net.Conn, net.Conn) { s, c := sockets(t); return s, c },
	"pipe": func(*testing.T) (net.Conn, net.Conn) {
		return net.Pipe()
	},
	"tls": func(t *testing.T) (net.Conn, net.Conn) {
		site := httptest.NewUnstartedServer(nil)
		site.StartTLS()
		defer site.Close()
		s, c := sockets(t)
		return tls.Server(s, site.TLS), tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	},
}

// TestClose: either end closes, while it reads and while it does not; what was said
// before arrives, the code and reason do, and both ends know.
func TestClose(t *testing.T) {
	t.Parallel()
	for name, dial := range transports {
		for closer := range 2 {
			for _, reads := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%d/%t", name, closer, reads), func(t *testing.T) {
					t.Parallel()
					c := conns(dial(t))
					a, b := c[closer], c[1-closer]
					var wg sync.WaitGroup
					wg.Go(func() {
						want := []string{lineOf("text", []byte("last words")), fmt.Sprintf("close 4000 %x", "why")}
						if got := echoless(b); fmt.Sprint(got) != fmt.Sprint(want) {
							t.Errorf("heard %q, want %q", got, want)
						}
						if err := b.WriteMessage(frame.OpText, nil); err != net.ErrClosed {
							t.Errorf("the closed end writes: %v", err)
						}
						if err := b.Close(frame.StatusNormalClosure, ""); err != nil {
							t.Errorf("the closed end's Close: %v", err)
						}
					})
					if reads {
						wg.Go(func() {
							if _, _, err := a.ReadMessage(); err != net.ErrClosed {
								t.Errorf("a waiting ReadMessage: %v", err)
							}
						})
					}
					if err := a.WriteMessage(frame.OpText, []byte("last words")); err != nil {
						t.Error(err)
					}
					for range 2 {
						wg.Go(func() {
							if err := a.Close(4000, "why"); err != nil {
								t.Errorf("Close: %v", err)
							}
						})
					}
					wg.Wait()
					_, _, err := a.ReadMessage()
					if w := a.WriteMessage(frame.OpText, nil); err != net.ErrClosed || w != net.ErrClosed {
						t.Errorf("after Close: %v, %v", err, w)
					}
				})
			}
		}
	}
}

// echoless is echo that answers nothing.
func echoless(c *Conn) (heard []string) {
	for {
		op, msg, err := c.ReadMessage()
		var bye *CloseError
		if errors.As(err, &bye) {
			return append(heard, fmt.Sprintf("close %d %x", bye.Code, bye.Reason))
		}
		if err != nil {
			return append(heard, err.Error())
		}
		heard = append(heard, lineOf(op.String(), msg))
	}
}

// TestCloseCrosses: both ends close at once.
func TestCloseCrosses(t *testing.T) {
	t.Parallel()
	for name, dial := range transports {
		if name == "pipe" {
			continue // has no buffer: each waits for the other to read
		}
		var wg sync.WaitGroup
		for i, c := range conns(dial(t)) {
			wg.Go(func() {
				if err := c.Close(frame.StatusGoingAway, ""); err != nil {
					t.Errorf("%s, %d: %v", name, i, err)
				}
			})
		}
		wg.Wait()
	}
}

// TestCloseFrame: what Close says, of what it is given.
func TestCloseFrame(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		code   frame.StatusCode
		reason string
		want   string
	}{
		{0, "unheard", "\x88\x00"},
		{frame.StatusNoStatusRcvd, "unheard", "\x88\x00"},
		{1000, "bye", "\x88\x05\x03\xe8bye"},
		{frame.StatusAbnormalClosure, "bye", "\x88\x05\x03\xf3bye"},
		{4999, strings.Repeat("é", 100), "\x88\x7c\x13\x87" + strings.Repeat("é", 61)},
	} {
		s := &script{step: 1}
		if err := newConn(s, false, nil).Close(test.code, test.reason); !errors.Is(err, io.ErrUnexpectedEOF) || string(s.out) != test.want {
			t.Errorf("%d %q: %v, said %q, want %q", test.code, test.reason, err, s.out, test.want)
		}
	}
}

// roles names the ends that are tested.
var roles = map[string]bool{"server": false, "client": true}

// said is what a peer makes of the bytes that a Conn has sent.
func said(client bool, b []byte) []string {
	return echoless(newConn(&script{in: b, step: 1 << 20}, !client, nil))
}

// frames are messages of a Conn's peer.
func frames(client bool, msgs ...string) (b []byte) {
	p := frame.New(&frame.Config{Client: !client})
	for _, msg := range msgs {
		b, _ = p.AppendMessage(b, frame.OpText, []byte(msg))
	}
	return b
}

// TestCloseUnanswered: a peer that does not close has been told all the same, after
// what was said before, and is not waited for any longer than for 5 s and 2.
func TestCloseUnanswered(t *testing.T) {
	t.Parallel()
	for role, client := range roles {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			ours, peer := sockets(t)
			c := newConn(ours, client, nil)
			heard := make(chan []byte, 1)
			go func() {
				b, _ := io.ReadAll(peer)
				heard <- b
				peer.Close()
			}()
			msg := strings.Repeat("x", 50_000)
			if err := c.WriteMessage(frame.OpText, []byte(msg)); err != nil {
				t.Error(err)
			}
			if err := c.Close(frame.StatusGoingAway, "bye"); !isLate(err) {
				t.Errorf("Close: %v", err)
			}
			want := []string{lineOf("text", []byte(msg)), fmt.Sprintf("close 1001 %x", "bye")}
			if got := said(client, <-heard); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("heard %q, want %q", got, want)
			}
		})
	}
}

// isLate reports whether a Close has ended as its time was up: that of the peer, or, on a machine that
// is too busy to notice, all of its time.
func isLate(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed)
}

// TestCloseWhileTalking: what a peer says instead of closing does not keep the connection.
func TestCloseWhileTalking(t *testing.T) {
	t.Parallel()
	ours, peer := sockets(t)
	noise := frames(false, strings.Repeat("x", 30_000))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			if _, err := peer.Write(noise); err != nil {
				return
			}
		}
	}()
	if err := NewConn(ours, nil, nil).Close(frame.StatusGoingAway, ""); !isLate(err) {
		t.Errorf("Close: %v", err)
	}
	<-done
}

// TestCloseBlocked: a writer whose peer takes nothing is ended by Close, and holds it up no
// longer than the peer's silence would, whatever deadlines others set.
func TestCloseBlocked(t *testing.T) {
	t.Parallel()
	ours, peer := sockets(t)
	defer peer.Close()
	c := NewConn(ours, nil, nil)
	c.WriteTimeout, c.IdleTimeout = -1, -1
	began, done := make(chan struct{}), make(chan error, 2)
	go func() {
		close(began)
		done <- c.WriteMessage(frame.OpBinary, make([]byte, 64<<20))
	}()
	go func() {
		_, _, err := c.ReadMessage()
		done <- err
	}()
	<-began
	meddler := make(chan struct{})
	go func() {
		defer close(meddler)
		for ours.SetDeadline(time.Now().Add(time.Hour)) == nil {
			time.Sleep(time.Millisecond)
		}
	}()
	if err := c.Close(frame.StatusGoingAway, ""); err == nil {
		t.Error("Close: no error")
	}
	for range 2 {
		if err := <-done; err == nil {
			t.Error("a call ended without an error")
		}
	}
	<-meddler
}

// TestCloseDrains: a peer that has much to say before it closes is heard to its close. It has 5 s for
// that, and so no other test beside it.
func TestCloseDrains(t *testing.T) {
	for role, client := range roles {
		ours, peer := sockets(t)
		c := newConn(ours, client, nil)
		go func() {
			_, _ = io.ReadFull(peer, make([]byte, 2)) // the close is on its way
			b := bytes.Repeat(frames(client, strings.Repeat("x", 10_000)), 30)
			_, _ = peer.Write(b)
			b, _ = frame.New(&frame.Config{Client: !client}).AppendClose(nil, 1000, "")
			_, _ = peer.Write(b)
			_ = peer.CloseWrite()
			_, _ = io.Copy(io.Discard, peer)
			peer.Close()
		}()
		if err := c.Close(0, ""); err != nil {
			t.Errorf("%s: %v", role, err)
		}
	}
}

// TestHalfClosed: a peer that will say no more can be talked to.
func TestHalfClosed(t *testing.T) {
	t.Parallel()
	for role, client := range roles {
		ours, peer := sockets(t)
		_, _ = peer.Write(frames(client, "the end"))
		_ = peer.CloseWrite()
		c := newConn(ours, client, nil)
		heard := echoless(c)
		_ = c.WriteMessage(frame.OpText, []byte("indeed"))
		done := make(chan error, 1)
		go func() { done <- c.Close(1000, "") }()
		b, err := io.ReadAll(peer)
		peer.Close()
		if got := said(client, b); len(heard) != 2 || fmt.Sprint(got) != fmt.Sprint([]string{lineOf("text", []byte("indeed")), "close 1000 "}) || err != nil {
			t.Errorf("%s: heard %q, said %q, %v", role, heard, got, err)
		}
		if err := <-done; !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: Close: %v", role, err)
		}
	}
}
