//go:build linux

package main_test

import (
	"errors"
	"testing"
	"time"

	gorilla "github.com/gorilla/websocket"
)

func TestGorilla(t *testing.T) {
	t.Parallel()
	check(t, converse(t, newJob(t, "alice"), dialGorilla), "alice", everything)
}

type gorillaConn struct {
	*gorilla.Conn
	ponged bool
}

func dialGorilla(url string) (library, refusal, error) {
	return dialGorillaWith(gorilla.DefaultDialer, url)
}

func dialGorillaWith(d *gorilla.Dialer, url string) (library, refusal, error) {
	conn, resp, err := d.Dial(url, nil)
	if err != nil {
		return nil, refusalOf(resp), err
	}
	conn.SetReadDeadline(time.Now().Add(patience))
	c := &gorillaConn{Conn: conn}
	conn.SetPongHandler(func(payload string) error {
		c.ponged = payload == "are you there"
		return nil
	})
	return c, refusal{}, nil
}

func (c *gorillaConn) say(text bool, payload string) error {
	op := gorilla.BinaryMessage
	if text {
		op = gorilla.TextMessage
	}
	return c.WriteMessage(op, []byte(payload))
}

func (c *gorillaConn) hear() (bool, string, error) {
	op, b, err := c.ReadMessage()
	return op == gorilla.TextMessage, string(b), err
}

func (c *gorillaConn) ping() error {
	return c.WriteControl(gorilla.PingMessage, []byte("are you there"), time.Now().Add(patience))
}

func (c *gorillaConn) pong() bool { return c.ponged }

func (c *gorillaConn) bye() (int, error) {
	defer c.Conn.Close()
	bye := gorilla.FormatCloseMessage(gorilla.CloseNormalClosure, "bye")
	if err := c.WriteControl(gorilla.CloseMessage, bye, time.Now().Add(patience)); err != nil {
		return 0, err
	}
	for {
		if _, _, err := c.ReadMessage(); err != nil {
			var closed *gorilla.CloseError
			if errors.As(err, &closed) {
				return closed.Code, nil
			}
			return 0, err
		}
	}
}
