//go:build linux

package main_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	coder "github.com/coder/websocket"
	gobwas "github.com/gobwas/ws"
	gorilla "github.com/gorilla/websocket"
	"github.com/lxzan/gws"
)

// library is a client library of Go, behind the few verbs of the common job.
type library interface {
	say(text bool, payload string) error
	hear() (text bool, payload string, err error)
	ping() error // returns when the ping is on its way
	pong() bool  // one came back
	bye() (code int, err error)
}

type dialLibrary func(url string) (library, refusal, error)

func TestGorilla(t *testing.T) {
	t.Parallel()
	check(t, converse(t, newJob(t, "alice"), dialGorilla), "alice", everything)
}

func TestCoder(t *testing.T) {
	t.Parallel()
	check(t, converse(t, newJob(t, "alice"), dialCoder), "alice", everything)
}

func TestGobwas(t *testing.T) {
	t.Parallel()
	check(t, converse(t, newJob(t, "alice"), dialGobwas), "alice", everything)
}

// TestGws: gws hangs up when it has sent its close frame, so the code it can
// see is one that the server begins with.
func TestGws(t *testing.T) {
	t.Parallel()
	can := everything
	can.closeCode = 1009
	check(t, converse(t, newJob(t, "alice"), dialGws), "alice", can)
}

// converse has a library do the job.
func converse(t *testing.T, j job, dial dialLibrary) (s seen) {
	t.Helper()
	c, _, err := dial(j.Echo)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range j.Sizes {
		for _, text := range []bool{true, false} {
			payload := strings.Repeat("x", n)
			if err := c.say(text, payload); err != nil {
				t.Fatal(err)
			}
			gotText, got, err := c.hear()
			if err != nil {
				t.Fatal(err)
			}
			if gotText == text && got == payload {
				s.Echoed = append(s.Echoed, fmt.Sprintf("%s %d", kind(text), n))
			}
		}
	}
	if err := c.ping(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // what came in one read with the ping may be echoed before the pong
		c.say(true, "behind the ping")
		if _, got, err := c.hear(); err != nil || got != "behind the ping" {
			t.Fatalf("got %q (error %v), want the echo behind the ping", got, err)
		}
	}
	s.Pong = c.pong()
	if s.Close, err = c.bye(); err != nil {
		t.Errorf("close: %v", err)
	}
	if _, s.Refused, err = dial(j.Refused); err == nil {
		t.Error("a bad token was let in")
	}
	s.Chat = chatWith(t, j.Chat, dial)
	return s
}

func chatWith(t *testing.T, url string, dial dialLibrary) (lines []string) {
	t.Helper()
	c, _, err := dial(url)
	if err != nil {
		t.Fatal(err)
	}
	for _, say := range []string{"hi", ""} {
		_, line, err := c.hear()
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
		if say != "" {
			c.say(true, say)
		}
	}
	c.bye()
	return lines
}

func kind(text bool) string {
	if text {
		return "text"
	}
	return "binary"
}

// refusalOf keeps what a library shows of a response; nil shows nothing.
func refusalOf(resp *http.Response) refusal {
	if resp == nil {
		return refusal{}
	}
	body, _ := io.ReadAll(resp.Body)
	return refusal{Status: resp.StatusCode, Challenge: resp.Header.Get("WWW-Authenticate"), Body: string(body)}
}

func newReader(b []byte) *bufio.Reader { return bufio.NewReader(bytes.NewReader(b)) }

// github.com/gorilla/websocket

type gorillaConn struct {
	*gorilla.Conn
	ponged bool
}

func dialGorilla(url string) (library, refusal, error) {
	conn, resp, err := gorilla.DefaultDialer.Dial(url, nil)
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

// github.com/coder/websocket

type coderConn struct {
	*coder.Conn
	ctx    context.Context
	heard  chan heard
	ponged chan string
}

// heard is what a reading goroutine passes on.
type heard struct {
	text    bool
	payload string
	err     error
}

func dialCoder(url string) (library, refusal, error) {
	ctx := context.Background()
	c := &coderConn{ctx: ctx, heard: make(chan heard, 16), ponged: make(chan string, 1)}
	dialed, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, resp, err := coder.Dial(dialed, url, &coder.DialOptions{
		OnPongReceived: func(_ context.Context, payload []byte) { c.ponged <- string(payload) },
	})
	if err != nil {
		return nil, refusalOf(resp), err
	}
	conn.SetReadLimit(1 << 20)
	c.Conn = conn
	go c.read()
	return c, refusal{}, nil
}

// read runs for the connection's life: Ping needs somebody who reads.
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

// listen waits for what a reading goroutine heard.
func listen(from <-chan heard) (bool, string, error) {
	select {
	case h := <-from:
		return h.text, h.payload, h.err
	case <-time.After(patience):
		return false, "", errors.New("nothing was heard")
	}
}

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

// github.com/gobwas/ws

type gobwasConn struct {
	net.Conn
	in     io.Reader
	ponged bool
}

func dialGobwas(url string) (library, refusal, error) {
	var refused refusal
	d := gobwas.Dialer{Timeout: patience, OnStatusError: func(_ int, _ []byte, r io.Reader) {
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
		f, err := gobwas.ReadFrame(c.in)
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

// closedWith is the error of who hears a close frame.
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

// github.com/lxzan/gws

type gwsConn struct {
	gws.BuiltinEventHandler
	*gws.Conn
	heard  chan heard
	ponged chan string
}

func dialGws(url string) (library, refusal, error) {
	c := &gwsConn{heard: make(chan heard, 16), ponged: make(chan string, 1)}
	conn, resp, err := gws.NewClient(c, &gws.ClientOption{Addr: url, HandshakeTimeout: patience})
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

// bye provokes the server to close: it says more than --max-message.
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
