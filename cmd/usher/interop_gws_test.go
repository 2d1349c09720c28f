//go:build linux

package main_test

import (
	"crypto/tls"
	"errors"
	"strings"
	"testing"

	"github.com/lxzan/gws"
)

// TestGws: gws hangs up when it has sent its close frame, so it sees a code only if the
// server closes first.
func TestGws(t *testing.T) {
	t.Parallel()
	can := everything
	can.closeCode = 1009
	check(t, converse(t, newJob(t, "alice"), dialGws), "alice", can)
}

type gwsConn struct {
	gws.BuiltinEventHandler
	*gws.Conn
	heard  chan heard
	ponged chan string
}

func dialGws(url string) (library, refusal, error) {
	return dialGwsWith(nil, gws.PermessageDeflate{}, url)
}

func dialGwsWith(secure *tls.Config, deflate gws.PermessageDeflate, url string) (library, refusal, error) {
	c := &gwsConn{heard: make(chan heard, 16), ponged: make(chan string, 1)}
	conn, resp, err := gws.NewClient(c, &gws.ClientOption{Addr: url, TlsConfig: secure, HandshakeTimeout: patience, PermessageDeflate: deflate})
	if err != nil {
		return nil, refusalOf(resp), err
	}
	c.Conn = conn
	go conn.ReadLoop()
	return c, refusal{}, nil
}

// OnMessage implements gws.Event.
func (c *gwsConn) OnMessage(_ *gws.Conn, m *gws.Message) {
	c.heard <- heard{m.Opcode == gws.OpcodeText, m.Data.String(), nil}
	m.Close()
}

// OnPong implements gws.Event.
func (c *gwsConn) OnPong(_ *gws.Conn, payload []byte) { c.ponged <- string(payload) }

// OnClose implements gws.Event.
func (c *gwsConn) OnClose(_ *gws.Conn, err error) { c.heard <- heard{err: err} }

func (c *gwsConn) say(text bool, payload string) error {
	op := gws.OpcodeBinary
	if text {
		op = gws.OpcodeText
	}
	return c.WriteMessage(op, []byte(payload))
}

func (c *gwsConn) hear() (bool, string, error) { return listen(c.heard) }

func (c *gwsConn) ping() error { return c.WritePing([]byte("are you there")) }

func (c *gwsConn) pong() bool { return len(c.ponged) == 1 && <-c.ponged == "are you there" }

// bye makes the server close: it sends more than --max-message.
func (c *gwsConn) bye() (int, error) {
	if err := c.say(false, strings.Repeat("x", 64<<10+1)); err != nil {
		return 0, err
	}
	for {
		_, _, err := c.hear()
		var closed *gws.CloseError
		switch {
		case errors.As(err, &closed):
			return int(closed.Code), nil
		case err != nil:
			return 0, err
		}
	}
}
