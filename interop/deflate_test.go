package interop

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	coder "github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"
	"github.com/lxzan/gws"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/upgrade"
)

// echoer serves connections, and counts the bytes on the wire.
type echoer struct {
	deflated atomic.Int32 // connections that agreed on it
	in, out  atomic.Int64 // bytes behind the handshake
}

// measured is counted for an echoer.
type measured struct {
	*net.TCPConn
	e *echoer
}

func (c measured) Read(b []byte) (int, error) {
	n, err := c.TCPConn.Read(b)
	c.e.in.Add(int64(n))
	return n, err
}

func (c measured) Write(b []byte) (int, error) {
	c.e.out.Add(int64(len(b)))
	return c.TCPConn.Write(b)
}

func (e *echoer) serve(conn net.Conn, o outcome) {
	if o.err != nil {
		return
	}
	if o.r.Deflate() != 0 {
		e.deflated.Add(1)
	}
	e.in.Add(int64(len(o.early)))
	c := upgrade.NewConn(measured{conn.(*net.TCPConn), e}, o.r, o.early)
	c.MaxMessage = 4 << 20
	echo(c)
	_ = c.Close(frame.StatusNormalClosure, "")
}

// foreign is a client of another library.
type foreign struct {
	name     string
	deflated bool // it offers permessage-deflate so that we can agree
	dial     func(t *testing.T, url string) (say func(text bool, b []byte) ([]byte, error), end func())
}

var foreigners = []foreign{
	{"gorilla", true, gorillaClient(true)},
	{"gorilla, uncompressed", false, gorillaClient(false)},
	{"coder, no context takeover", true, coderClient(coder.CompressionNoContextTakeover)},
	{"coder, context takeover", true, coderClient(coder.CompressionContextTakeover)},
	{"coder, uncompressed", false, coderClient(coder.CompressionDisabled)},
	{"gws, no context takeover", true, gwsClient(gws.PermessageDeflate{Enabled: true})},
	{"gws, context takeover", true, gwsClient(gws.PermessageDeflate{Enabled: true, ServerContextTakeover: true, ClientContextTakeover: true})},
	{"gws, our window of 256", true, gwsClient(gws.PermessageDeflate{Enabled: true, ServerMaxWindowBits: 8})},
	{"gws, our window of 512", true, gwsClient(gws.PermessageDeflate{Enabled: true, ServerContextTakeover: true, ServerMaxWindowBits: 9})},
	{"gws, its window of 512", true, gwsClient(gws.PermessageDeflate{Enabled: true, ClientContextTakeover: true, ClientMaxWindowBits: 9})},
}

func gorillaClient(deflate bool) func(*testing.T, string) (func(bool, []byte) ([]byte, error), func()) {
	return func(t *testing.T, url string) (func(bool, []byte) ([]byte, error), func()) {
		c, _, err := (&gorilla.Dialer{EnableCompression: deflate}).Dial(url, nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(time.Hour))
		return func(text bool, b []byte) ([]byte, error) {
			kind := gorilla.BinaryMessage
			if text {
				kind = gorilla.TextMessage
			}
			if err := c.WriteMessage(kind, b); err != nil {
				return nil, err
			}
			_, b, err := c.ReadMessage()
			return b, err
		}, func() { c.Close() }
	}
}

func coderClient(mode coder.CompressionMode) func(*testing.T, string) (func(bool, []byte) ([]byte, error), func()) {
	return func(t *testing.T, url string) (func(bool, []byte) ([]byte, error), func()) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		transport := &http.Transport{}
		c, _, err := coder.Dial(ctx, url, &coder.DialOptions{
			CompressionMode: mode, HTTPClient: &http.Client{Transport: transport},
		})
		if err != nil {
			t.Fatal(err)
		}
		c.SetReadLimit(-1)
		return func(text bool, b []byte) ([]byte, error) {
				kind := coder.MessageBinary
				if text {
					kind = coder.MessageText
				}
				if err := c.Write(ctx, kind, b); err != nil {
					return nil, err
				}
				_, b, err := c.Read(ctx)
				return b, err
			}, func() {
				c.CloseNow()
				transport.CloseIdleConnections()
				cancel()
			}
	}
}

// gwsReader hands over what its connection receives.
type gwsReader struct {
	gws.BuiltinEventHandler
	messages chan []byte
	closed   chan error
}

func (r *gwsReader) OnMessage(_ *gws.Conn, m *gws.Message) {
	r.messages <- bytes.Clone(m.Bytes())
	m.Close()
}
func (r *gwsReader) OnClose(_ *gws.Conn, err error) { r.closed <- err }

func gwsClient(pd gws.PermessageDeflate) func(*testing.T, string) (func(bool, []byte) ([]byte, error), func()) {
	return func(t *testing.T, url string) (func(bool, []byte) ([]byte, error), func()) {
		r := &gwsReader{messages: make(chan []byte, 1), closed: make(chan error, 1)}
		c, _, err := gws.NewClient(r, &gws.ClientOption{Addr: url, PermessageDeflate: pd})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() { c.ReadLoop(); close(done) }()
		return func(text bool, b []byte) ([]byte, error) {
				op := gws.OpcodeBinary
				if text {
					op = gws.OpcodeText
				}
				if err := c.WriteMessage(op, b); err != nil {
					return nil, err
				}
				select {
				case b := <-r.messages:
					return b, nil
				case err := <-r.closed:
					return nil, fmt.Errorf("closed: %w", err)
				case <-time.After(time.Hour):
					return nil, context.DeadlineExceeded
				}
			}, func() {
				_ = c.NetConn().Close()
				<-done
			}
	}
}

// TestForeignDeflate: three libraries talk compressed with us, both ways, whatever
// context takeover they would like.
func TestForeignDeflate(t *testing.T) {
	t.Parallel()
	text := bytes.Repeat([]byte(`{"from":"alice","text":"the usher seats a very large audience"},`), 16<<10)
	noise := make([]byte, 100_000)
	for i, r := 0, rand.New(rand.NewPCG(1, 2)); i < len(noise); i++ {
		noise[i] = byte(r.Uint32())
	}
	for _, f := range foreigners {
		t.Run(f.name, func(t *testing.T) {
			e := new(echoer)
			say, end := f.dial(t, "ws://"+serve(t, deflateDoor, e.serve)+"/ws")
			defer end()
			said := int64(0)
			for round := range 3 { // a window that outlived a message would show
				for _, n := range []int{1, 5, 511, 512, 4096, 65535, 65536, len(text)} {
					got, err := say(true, text[:n])
					if err != nil || !bytes.Equal(got, text[:n]) {
						t.Fatalf("round %d, text of %d: %v, got %d bytes", round, n, err, len(got))
					}
					said += int64(n)
				}
				got, err := say(false, noise)
				if err != nil || !bytes.Equal(got, noise) {
					t.Fatalf("round %d, noise: %v, got %d bytes", round, err, len(got))
				}
			}
			if got := e.deflated.Load() == 1; got != f.deflated {
				t.Errorf("deflate agreed: %t, want %t", got, f.deflated)
			}
			in, out := e.in.Load()-3*int64(len(noise)), e.out.Load()-3*int64(len(noise))
			if f.deflated != (in < said/5) || f.deflated != (out < said/5) {
				t.Errorf("text of %d bytes came as %d and went as %d", said, in, out)
			}
		})
	}
}
