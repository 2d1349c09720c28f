package upgrade

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"testing"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/internal/vectors"
)

// script is a net.Conn in memory: it reads what a peer says, at most step bytes at once,
// and then io.EOF; it takes what is written, and has no time.
type script struct {
	net.Conn
	in   []byte
	step int
	out  []byte
}

func (s *script) Read(b []byte) (int, error) {
	if len(s.in) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), s.step)], s.in)
	s.in = s.in[n:]
	return n, nil
}

func (s *script) Write(b []byte) (int, error)      { s.out = append(s.out, b...); return len(b), nil }
func (s *script) Close() error                     { return nil }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// newVectorConn is NewConn or NewClientConn, with the masking keys of vectors.
func newVectorConn(conn net.Conn, client bool, window frame.Window, early []byte) *Conn {
	c := newConn(conn, client, early)
	c.cfg.MaskKey = func() [4]byte { return vectors.Key }
	c.enableDeflate(window)
	return c
}

// lineOf is a message in one line, of a long one the checksum.
func lineOf(kind string, msg []byte) string {
	if len(msg) > 200 {
		return fmt.Sprintf("%s of %d bytes, crc %x", kind, len(msg), crc32.ChecksumIEEE(msg))
	}
	return fmt.Sprintf("%s %x", kind, msg)
}

// echo answers each message with itself, and returns what it heard and why it ended, a
// line each.
func echo(c *Conn) (heard []string) {
	for {
		op, msg, err := c.ReadMessage()
		var bye *CloseError
		var bad *frame.ProtocolError
		switch {
		case err == nil:
			heard = append(heard, lineOf(op.String(), msg))
		case errors.As(err, &bye):
			return append(heard, fmt.Sprintf("close %d %x", bye.Code, bye.Reason))
		case errors.As(err, &bad):
			return append(heard, fmt.Sprintf("error %d", bad.Code))
		case errors.Is(err, io.ErrUnexpectedEOF):
			return heard
		default:
			return append(heard, err.Error())
		}
		if err := c.WriteMessage(op, msg); err != nil {
			return append(heard, err.Error())
		}
	}
}

// expected is what a vector has echo hear and say.
func expected(t *testing.T, v *vectors.Case) (heard []string, out []byte) {
	for _, e := range v.Events {
		switch e.Kind {
		case "text", "binary":
			heard = append(heard, lineOf(e.Kind, e.Data))
		case "close":
			heard = append(heard, fmt.Sprintf("close %d %x", e.Code, e.Data))
		case "error":
			heard = append(heard, fmt.Sprintf("error %d", e.Code))
		}
	}
	p := frame.New(&frame.Config{Client: v.Client, MaskKey: func() [4]byte { return vectors.Key }})
	p.EnableDeflate(frame.Window(v.Window))
	for _, o := range v.Out {
		if o.Deflated == "" {
			out = append(out, o.Bytes...)
			continue
		}
		op := frame.OpText
		if o.Deflated == frame.OpBinary.String() {
			op = frame.OpBinary
		}
		var err error
		if out, err = p.AppendMessage(out, op, o.Bytes); err != nil {
			t.Fatal(err)
		}
	}
	return heard, out
}

func loadVectors(tb testing.TB) []*vectors.Case {
	all, err := vectors.Load()
	if err != nil {
		tb.Fatal(err)
	}
	return all
}

// TestConnVectors runs all vectors in their role, with the bytes in pieces of many sizes,
// and some or all of them early.
func TestConnVectors(t *testing.T) {
	t.Parallel()
	for _, v := range loadVectors(t) {
		wantHeard, wantOut := expected(t, v)
		for _, cut := range []struct{ step, early int }{{1, 0}, {3, 1}, {100, 100}, {4096, 0}, {1 << 20, 8000}, {1, 1 << 20}} {
			early := min(cut.early, len(v.In))
			if (len(v.In)-early)/cut.step > 2000 || len(v.In) > 200_000 {
				continue // sockets cut those in many ways
			}
			s := &script{in: bytes.Clone(v.In[early:]), step: cut.step}
			c := newVectorConn(s, v.Client, frame.Window(v.Window), v.In[:early])
			c.MaxMessage = v.Max
			heard := echo(c)
			if fmt.Sprint(heard) != fmt.Sprint(wantHeard) || !bytes.Equal(s.out, wantOut) {
				t.Errorf("%s, %d early, in steps of %d:\nheard %.200q\nwant  %.200q\nout  %.200x\nwant %.200x\nin %.400x",
					v.Name, early, cut.step, heard, wantHeard, s.out, wantOut, v.In)
			}
		}
	}
}

// TestConnVectorsOverTCP runs them over sockets, of which the peer closes its half at the
// end.
func TestConnVectorsOverTCP(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for _, v := range loadVectors(t) {
		wantHeard, wantOut := expected(t, v)
		peer := dial(t, ln.Addr().String())
		conn, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		heard := make(chan []string, 1)
		go func() {
			c := newVectorConn(conn, v.Client, frame.Window(v.Window), nil)
			c.MaxMessage = v.Max
			heard <- echo(c)
			Linger(conn)
		}()
		said := make(chan struct{})
		go func() {
			_, _ = peer.Write(v.In) // all of it, unless it is refused before its end
			_ = peer.CloseWrite()
			close(said)
		}()
		out, err := io.ReadAll(peer)
		if got := <-heard; err != nil || fmt.Sprint(got) != fmt.Sprint(wantHeard) || !bytes.Equal(out, wantOut) {
			t.Errorf("%s: %v\nheard %.200q\nwant  %.200q\nout  %.200x\nwant %.200x\nin %.400x", v.Name, err, got, wantHeard, out, wantOut, v.In)
		}
		<-said
		peer.Close()
	}
}

// FuzzConn holds a Conn, whatever it hears in whatever pieces, to what package frame says
// of the same bytes.
func FuzzConn(f *testing.F) {
	for i, v := range loadVectors(f) {
		if len(v.In) < 200 && i%7 == 0 {
			f.Add(v.In, uint16(3), uint8(i), v.Client, v.Window != 0)
		}
	}
	f.Fuzz(func(t *testing.T, in []byte, step uint16, early uint8, client, deflate bool) {
		window := frame.Window(0)
		if deflate {
			window = frame.MaxWindow
		}
		cfg := &frame.Config{Client: client, MaskKey: func() [4]byte { return vectors.Key }}
		p, out, heard := frame.New(cfg), []byte(nil), []string(nil)
		p.EnableDeflate(window)
		p.Receive(bytes.Clone(in))
		for ev := p.NextEvent(); ev.Kind != frame.NoEvent; ev = p.NextEvent() {
			out = p.AppendReply(out, ev)
			switch ev.Kind {
			case frame.MessageEvent:
				heard = append(heard, lineOf(ev.Opcode.String(), ev.Data))
				out, _ = p.AppendMessage(out, ev.Opcode, ev.Data)
			case frame.CloseEvent:
				heard = append(heard, fmt.Sprintf("close %d %x", ev.Code, ev.Data))
			case frame.ErrorEvent:
				heard = append(heard, fmt.Sprintf("error %d", ev.Code))
			}
		}
		at := min(int(early), len(in))
		s := &script{in: bytes.Clone(in[at:]), step: max(1, int(step))}
		if got := echo(newVectorConn(s, client, window, in[:at])); fmt.Sprint(got) != fmt.Sprint(heard) || !bytes.Equal(s.out, out) {
			t.Fatalf("heard %q, want %q\nout  %x\nwant %x\nin %x, %d early, in steps of %d", got, heard, s.out, out, in, at, step)
		}
	})
}
