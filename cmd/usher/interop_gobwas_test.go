//go:build linux

package main_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	gobwas "github.com/gobwas/ws"
)

func TestGobwas(t *testing.T) {
	t.Parallel()
	check(t, converse(t, newJob(t, "alice"), dialGobwas), "alice", everything)
}

type gobwasConn struct {
	net.Conn
	in     io.Reader
	ponged bool
}

func dialGobwas(url string) (library, refusal, error) { return dialGobwasWith(nil, url) }

func dialGobwasWith(secure *tls.Config, url string) (library, refusal, error) {
	var refused refusal
	d := gobwas.Dialer{Timeout: patience, TLSConfig: secure, OnStatusError: func(_ int, _ []byte, r io.Reader) {
		if resp, err := http.ReadResponse(bufio.NewReader(r), nil); err == nil {
			refused = refusalOf(resp)
		}
	}}
	conn, early, _, err := d.Dial(context.Background(), url)
	if err != nil {
		return nil, refused, err
	}
	conn.SetDeadline(time.Now().Add(patience))
	c := &gobwasConn{Conn: conn, in: conn}
	if early != nil {
		c.in = io.MultiReader(early, conn)
	}
	return c, refusal{}, nil
}

func (c *gobwasConn) say(text bool, payload string) error {
	op := gobwas.OpBinary
	if text {
		op = gobwas.OpText
	}
	return c.send(gobwas.NewFrame(op, true, []byte(payload)))
}

func (c *gobwasConn) send(f gobwas.Frame) error {
	return gobwas.WriteFrame(c.Conn, gobwas.MaskFrame(f))
}

func (c *gobwasConn) hear() (bool, string, error) {
	for {
		f, err := c.frame()
		if err != nil {
			return false, "", err
		}
		switch f.Header.OpCode {
		case gobwas.OpPong:
			c.ponged = string(f.Payload) == "are you there"
		case gobwas.OpClose:
			code, reason := gobwas.ParseCloseFrameData(f.Payload)
			return false, reason, closedWith(code)
		default:
			return f.Header.OpCode == gobwas.OpText, string(f.Payload), nil
		}
	}
}

// frame reads the next frame. The program is trusted with its length.
func (c *gobwasConn) frame() (f gobwas.Frame, err error) {
	if f.Header, err = gobwas.ReadHeader(c.in); err != nil {
		return f, err
	}
	f.Payload = make([]byte, f.Header.Length)
	_, err = io.ReadFull(c.in, f.Payload)
	return f, err
}

// closedWith is the error of a reader that receives a close frame.
type closedWith int

func (code closedWith) Error() string { return fmt.Sprintf("closed with %d", int(code)) }

func (c *gobwasConn) ping() error {
	return c.send(gobwas.NewPingFrame([]byte("are you there")))
}

func (c *gobwasConn) pong() bool { return c.ponged }

func (c *gobwasConn) bye() (int, error) {
	defer c.Conn.Close()
	if err := c.send(gobwas.NewCloseFrame(gobwas.NewCloseFrameBody(gobwas.StatusNormalClosure, "bye"))); err != nil {
		return 0, err
	}
	for {
		if _, _, err := c.hear(); err != nil {
			var code closedWith
			if errors.As(err, &code) {
				return int(code), nil
			}
			return 0, err
		}
	}
}
