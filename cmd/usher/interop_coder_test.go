//go:build linux

package main_test

import (
	"context"
	"net/http"
	"testing"

	coder "github.com/coder/websocket"
)

func TestCoder(t *testing.T) {
	t.Parallel()
	check(t, converse(t, newJob(t, "alice"), dialCoder), "alice", everything)
}

type coderConn struct {
	*coder.Conn
	ctx    context.Context
	heard  chan heard
	ponged chan string
}

func dialCoder(url string) (library, refusal, error) {
	return dialCoderWith(nil, coder.CompressionDisabled, url)
}

func dialCoderWith(client *http.Client, mode coder.CompressionMode, url string) (library, refusal, error) {
	ctx := context.Background()
	c := &coderConn{ctx: ctx, heard: make(chan heard, 16), ponged: make(chan string, 1)}
	dialed, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, resp, err := coder.Dial(dialed, url, &coder.DialOptions{
		HTTPClient:      client,
		CompressionMode: mode,
		OnPongReceived:  func(_ context.Context, payload []byte) { c.ponged <- string(payload) },
	})
	if err != nil {
		return nil, refusalOf(resp), err
	}
	conn.SetReadLimit(1 << 20)
	c.Conn = conn
	go c.read()
	return c, refusal{}, nil
}

// read runs as long as the connection lives: Ping needs a reader.
func (c *coderConn) read() {
	for {
		kind, b, err := c.Conn.Read(c.ctx)
		c.heard <- heard{kind == coder.MessageText, string(b), err}
		if err != nil {
			return
		}
	}
}

func (c *coderConn) say(text bool, payload string) error {
	kind := coder.MessageBinary
	if text {
		kind = coder.MessageText
	}
	return c.Conn.Write(c.ctx, kind, []byte(payload))
}

func (c *coderConn) hear() (bool, string, error) { return listen(c.heard) }

func (c *coderConn) ping() error {
	ctx, cancel := context.WithTimeout(c.ctx, patience)
	defer cancel()
	return c.Conn.Ping(ctx) // returns when the pong is there
}

func (c *coderConn) pong() bool { return len(c.ponged) == 1 }

func (c *coderConn) bye() (int, error) {
	closing := c.Conn.Close(coder.StatusNormalClosure, "bye")
	for {
		if _, _, err := c.hear(); err != nil {
			if code := coder.CloseStatus(err); code != -1 || closing != nil {
				return int(code), closing
			}
			return int(coder.StatusNormalClosure), nil // Close returns nil when the answer was the same
		}
	}
}
