//go:build linux

package client

import (
	"io"
	"net"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/internal/leak"
	"github.com/usher-ws/usher/stream"
)

func TestMain(m *testing.M) { leak.VerifyTestMain(m) }

type link = Stream[uint32]

// script is an Owner that notes what it is told, and does what the test says. It belongs to
// the loop; what is told can be awaited elsewhere.
type script struct {
	request Request
	client  *Client[uint32]
	loop    *Loop[uint32]

	upgraded func(s link, r *Response)
	message  func(s link, op frame.Opcode, data []byte)

	refusals chan Response // with bytes of their own
	pongs    chan uint32
	ends     chan End
}

func (o *script) Request(link) *Request { return &o.request }

func (o *script) Upgraded(s link, r *Response) {
	if o.upgraded != nil {
		o.upgraded(s, r)
	}
}

func (o *script) Refused(_ link, r *Response) {
	o.refusals <- Response{r.Status, r.Minor, []byte(string(r.Header)), []byte(string(r.Body)), r.Complete}
}

func (o *script) Message(s link, op frame.Opcode, data []byte) {
	if o.message != nil {
		o.message(s, op, data)
	}
}

func (o *script) Pong(s link) { o.pongs <- s.Data().Tag }

func (o *script) Closed(_ link, e End) { o.ends <- e }

// run starts a loop with o as the owner. The test's end looks for what was left.
func (o *script) run(t testing.TB, cfg Config) *script {
	t.Helper()
	o.refusals, o.pongs, o.ends = make(chan Response, 100), make(chan uint32, 100), make(chan End, 100)
	engine, err := stream.New(stream.Config[Extra]{Loops: 1, ReadAlways: true, Weigh: Weigh},
		func(l *Loop[uint32]) stream.Handler[Session[uint32], Extra] {
			o.loop, o.client = l, New(l, o, cfg)
			return o.client
		})
	if err != nil {
		t.Fatal(err)
	}
	if err := engine.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		o.do(t, func() {
			for s := range o.loop.All() {
				s.Cut(nil)
			}
			if n, lent := o.loop.Streams(), o.loop.Buffers.InUse(); n != 0 || lent != 0 {
				t.Errorf("%d streams are left, and %d bytes lent", n, lent)
			}
		})
		engine.Close()
	})
	return o
}

// do runs f on the loop.
func (o *script) do(t testing.TB, f func()) {
	t.Helper()
	done := make(chan struct{})
	if err := o.loop.Post(func() { defer close(done); f() }); err != nil {
		t.Fatal(err)
	}
	<-done
}

// dial dials.
func (o *script) dial(t testing.TB, to netip.AddrPort) {
	t.Helper()
	o.request.Host = to.String()
	if o.request.Path == "" {
		o.request.Path = "/"
	}
	o.do(t, func() {
		if _, err := o.client.Dial(to, netip.Addr{}, 7); err != nil {
			t.Error(err)
		}
	})
}

func addrOf(s *httptest.Server) netip.AddrPort {
	return netip.MustParseAddrPort(s.Listener.Addr().String())
}

// listen has handle talk to the one that comes; the test's end waits for it.
func listen(t testing.TB, handle func(c *net.TCPConn)) netip.AddrPort {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		handle(c.(*net.TCPConn))
	}()
	t.Cleanup(func() {
		ln.Close()
		<-done
	})
	return netip.MustParseAddrPort(ln.Addr().String())
}

// Echo is a server that sends back what it hears until the client leaves.
func Echo(c *net.TCPConn) {
	_, _ = io.WriteString(c, greet(c)+"\r\n")
	p := frame.New(&frame.Config{MaxMessage: 1 << 20})
	in := make([]byte, 64<<10)
	for !p.Done() {
		n, err := c.Read(in)
		if err != nil {
			return
		}
		var out []byte
		p.Receive(in[:n])
		for ev := p.NextEvent(); ev.Kind != frame.NoEvent; ev = p.NextEvent() {
			out = p.AppendReply(out, ev)
			if ev.Kind == frame.MessageEvent {
				out, _ = p.AppendMessage(out, ev.Opcode, ev.Data)
			}
		}
		if _, err := c.Write(out); err != nil {
			return
		}
	}
}

// patient has nothing time out that the test does not want to.
var patient = Config{Timeout: time.Hour}
