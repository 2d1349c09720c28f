package oracle

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	gobwas "github.com/gobwas/ws"
	"github.com/gorilla/websocket"
	"github.com/lxzan/gws"

	"github.com/usher-ws/usher/frame"
)

// stream is a connection in memory: it delivers one frame, left times over, as
// a socket would, by copying it into the reader's buffer; what is written is
// counted.
type stream struct {
	net.Conn
	deflate bool // negotiated, without context takeover
	frame   []byte
	at      int
	left    int
	written int
}

func (s *stream) Read(b []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	n := copy(b, s.frame[s.at:])
	if s.at += n; s.at == len(s.frame) {
		s.at = 0
		s.left--
	}
	return n, nil
}

func (s *stream) Write(b []byte) (int, error)      { s.written += len(b); return len(b), nil }
func (s *stream) Close() error                     { return nil }
func (s *stream) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (s *stream) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (s *stream) SetDeadline(time.Time) error      { return nil }
func (s *stream) SetReadDeadline(time.Time) error  { return nil }
func (s *stream) SetWriteDeadline(time.Time) error { return nil }

// BenchmarkEcho reads a masked message, checks that text is UTF-8 (gorilla
// cannot), and writes it back: four libraries, the same bytes. Ours reads into a
// buffer of 64 KiB, as a loop does; 1 MiB therefore straddles reads.
func BenchmarkEcho(b *testing.B) {
	libraries := []struct {
		name string
		run  func(*testing.B, *stream)
	}{
		{"usher", echoUsher},
		{"gobwas", echoGobwas},
		{"gorilla", echoGorilla},
		{"gws", echoGws},
	}
	for _, op := range []frame.Opcode{frame.OpText, frame.OpBinary} {
		for _, size := range []int{20, 512, 16 << 10, 1 << 20} {
			for _, l := range libraries {
				b.Run(fmt.Sprintf("%s/%d/%s", op, size, l.name), func(b *testing.B) {
					s := &stream{frame: maskedFrame(op, size), left: b.N}
					b.SetBytes(int64(size))
					b.ReportAllocs()
					l.run(b, s)
					if want := len(frame.AppendFrame(nil, op, make([]byte, size))) * b.N; s.written < want {
						b.Fatalf("got %d bytes, want %d", s.written, want)
					}
				})
			}
		}
	}
}

// maskedFrame returns a client's frame of size letters.
func maskedFrame(op frame.Opcode, size int) []byte {
	h := frame.Header{Fin: true, Opcode: op, Masked: true, Mask: [4]byte{1, 2, 3, 4}, Length: int64(size)}
	f := frame.AppendHeader(nil, h)
	n := len(f)
	for i := range size {
		f = append(f, 'a'+byte(i%26))
	}
	frame.Mask(f[n:], h.Mask, 0)
	return f
}

// oneBuffer is Buffers for a single connection.
type oneBuffer struct{ b []byte }

func (o *oneBuffer) Get(n int) []byte {
	b := o.b
	o.b = nil
	if cap(b) < n {
		b = make([]byte, 0, n)
	}
	return b[:0]
}

func (o *oneBuffer) Put(b []byte) {
	if cap(b) > cap(o.b) {
		o.b = b
	}
}

// BenchmarkRead is what a loop pays for a read that holds one short message:
// everything but the socket.
func BenchmarkRead(b *testing.B) {
	for _, op := range []frame.Opcode{frame.OpText, frame.OpBinary} {
		b.Run(op.String(), func(b *testing.B) {
			cfg := new(frame.Config)
			p := frame.New(cfg)
			wire := maskedFrame(op, 20)
			in := make([]byte, len(wire))
			var out []byte
			var state frame.State
			var q *frame.Partial
			b.ReportAllocs()
			for b.Loop() {
				copy(in, wire)
				p.Resume(cfg, state, q)
				p.Receive(in)
				out = out[:0]
				for ev := p.NextEvent(); ev.Kind != frame.NoEvent; ev = p.NextEvent() {
					out = frame.AppendFrame(out, ev.Opcode, ev.Data)
				}
				state, q = p.Suspend()
			}
		})
	}
}

func echoUsher(b *testing.B, s *stream) {
	cfg := &frame.Config{MaxMessage: 16 << 20, Buffers: new(oneBuffer)}
	p := frame.New(cfg)
	in := make([]byte, 64<<10)
	var out []byte
	var state frame.State
	var q *frame.Partial
	for b.Loop() {
		s.left = 1
		for s.left > 0 {
			n, _ := s.Read(in)
			p.Resume(cfg, state, q)
			p.Receive(in[:n])
			out = out[:0]
			for ev := p.NextEvent(); ev.Kind != frame.NoEvent; ev = p.NextEvent() {
				out = frame.AppendFrame(out, ev.Opcode, ev.Data)
			}
			state, q = p.Suspend()
		}
		s.Write(out)
	}
}

func echoGobwas(b *testing.B, s *stream) {
	var in, out []byte
	for b.Loop() {
		s.left = 1
		h, err := gobwas.ReadHeader(s)
		if err != nil {
			b.Fatal(err)
		}
		if int64(cap(in)) < h.Length {
			in = make([]byte, h.Length)
		}
		in = in[:h.Length]
		if _, err := io.ReadFull(s, in); err != nil {
			b.Fatal(err)
		}
		gobwas.Cipher(in, h.Mask, 0)
		if h.OpCode == gobwas.OpText && !utf8.Valid(in) {
			b.Fatal("not UTF-8")
		}
		w := sliceWriter{out[:0]}
		if err := gobwas.WriteHeader(&w, gobwas.Header{Fin: true, OpCode: h.OpCode, Length: h.Length}); err != nil {
			b.Fatal(err)
		}
		out = append(w.b, in...)
		s.Write(out)
	}
}

// sliceWriter is an io.Writer that appends.
type sliceWriter struct{ b []byte }

func (w *sliceWriter) Write(b []byte) (int, error) {
	w.b = append(w.b, b...)
	return len(b), nil
}

// hijack is the http.ResponseWriter that hands s to an upgrader.
type hijack struct {
	http.ResponseWriter
	s *stream
}

func (h hijack) Header() http.Header { return http.Header{} }
func (h hijack) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.s, bufio.NewReadWriter(bufio.NewReaderSize(h.s, 64<<10), bufio.NewWriterSize(h.s, 64<<10)), nil
}

// upgrade is a request that every library accepts.
func upgrade() *http.Request {
	return &http.Request{Method: "GET", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{
		"Connection":               {"Upgrade"},
		"Upgrade":                  {"websocket"},
		"Sec-Websocket-Version":    {"13"},
		"Sec-Websocket-Key":        {"dGhlIHNhbXBsZSBub25jZQ=="},
		"Sec-Websocket-Extensions": {"permessage-deflate; server_no_context_takeover; client_no_context_takeover"},
	}}
}

func echoGorilla(b *testing.B, s *stream) {
	c, err := (&websocket.Upgrader{EnableCompression: s.deflate}).Upgrade(hijack{s: s}, upgrade(), nil)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s.left = 1
		op, m, err := c.ReadMessage()
		if err != nil {
			b.Fatal(err)
		}
		if err := c.WriteMessage(op, m); err != nil {
			b.Fatal(err)
		}
	}
}

// gwsEcho answers messages, and counts them with b.Loop.
type gwsEcho struct {
	gws.BuiltinEventHandler
	b *testing.B
	s *stream
}

func (e *gwsEcho) OnMessage(c *gws.Conn, m *gws.Message) {
	if err := c.WriteMessage(m.Opcode, m.Bytes()); err != nil {
		e.b.Fatal(err)
	}
	m.Close()
	if e.b.Loop() {
		e.s.left = 1
	}
}

func echoGws(b *testing.B, s *stream) {
	e := &gwsEcho{b: b, s: s}
	up := gws.NewUpgrader(e, &gws.ServerOption{
		ReadMaxPayloadSize: 16 << 20, WriteMaxPayloadSize: 16 << 20, ReadBufferSize: 64 << 10, CheckUtf8Enabled: true,
		PermessageDeflate: gws.PermessageDeflate{Enabled: s.deflate},
	})
	s.left = 1
	c, err := up.Upgrade(hijack{s: s}, upgrade())
	if err != nil {
		b.Fatal(err)
	}
	b.Loop()
	c.ReadLoop()
}

// BenchmarkEchoDeflate reads a compressed message and writes it back compressed:
// JSON-like text, each message by itself.
func BenchmarkEchoDeflate(b *testing.B) {
	libraries := []struct {
		name string
		run  func(*testing.B, *stream)
	}{
		{"usher", echoUsherDeflate},
		{"gorilla", echoGorilla},
		{"gws", echoGws},
	}
	for _, size := range []int{1 << 10, 16 << 10} {
		for _, l := range libraries {
			b.Run(fmt.Sprintf("%d/%s", size, l.name), func(b *testing.B) {
				s := &stream{deflate: true, frame: deflatedFrame(size), left: b.N}
				b.SetBytes(int64(size))
				b.ReportAllocs()
				l.run(b, s)
				b.ReportMetric(float64(s.written)/float64(b.N), "wire-B/op")
			})
		}
	}
}

// deflatedFrame returns a client's compressed text of size bytes of JSON.
func deflatedFrame(size int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	words := strings.Fields("the usher checks your ticket at door and seats a very large audience")
	text := []byte("[")
	for len(text) < size {
		text = fmt.Appendf(text, `{"id":%d,"from":"%s","text":"`, r.IntN(1e6), words[r.IntN(13)])
		for range 3 + r.IntN(12) {
			text = append(append(text, words[r.IntN(13)]...), ' ')
		}
		text = append(text, `"},`...)
	}
	p := frame.New(&frame.Config{Client: true})
	p.EnableDeflate(frame.MaxWindow)
	f, _ := p.AppendMessage(nil, frame.OpText, text[:size])
	return f
}

func echoUsherDeflate(b *testing.B, s *stream) {
	cfg := &frame.Config{Buffers: new(oneBuffer)}
	p := frame.New(cfg)
	in := make([]byte, 64<<10)
	var out []byte
	state := frame.NewState(frame.MaxWindow)
	for b.Loop() {
		s.left = 1
		n, _ := s.Read(in)
		p.Resume(cfg, state, nil)
		p.Receive(in[:n])
		out = out[:0]
		for ev := p.NextEvent(); ev.Kind != frame.NoEvent; ev = p.NextEvent() {
			out, _ = p.AppendMessage(out, ev.Opcode, ev.Data)
		}
		state, _ = p.Suspend()
		s.Write(out)
	}
}

func BenchmarkMask(b *testing.B) {
	key := [4]byte{1, 2, 3, 4}
	for _, size := range []int{20, 125, 16 << 10} {
		p := make([]byte, size)
		b.Run(fmt.Sprintf("%d/usher", size), func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				frame.Mask(p, key, 0)
			}
		})
		b.Run(fmt.Sprintf("%d/gobwas", size), func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				gobwas.Cipher(p, key, 0)
			}
		})
	}
}
