//go:build linux

package stream

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"

	"github.com/usher-ws/usher/poller"
)

// serve runs an engine that listens, and returns its address.
func serve(t testing.TB, cfg config, set func(o *owner)) (e *engine, owners []*owner, addr string) {
	t.Helper()
	e, owners = run(t, cfg, set)
	fd, err := poller.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at, err := poller.Local(fd)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Listen([]Listener{{FD: fd}}, func(err error) { t.Error(err) }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Unlisten(context.Background()) })
	return e, owners, at.String()
}

// client connects to an engine.
func client(t testing.TB, addr string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

// What is written when all that waited has left leaves too, however much the kernel has
// room for.
func TestWritesInResume(t *testing.T) {
	const piece, pieces = 512 << 10, 40
	_, _, addr := serve(t, roomy(), func(o *owner) {
		left := pieces
		o.input = func(s link, b []byte, eof bool) {
			if eof {
				s.Finish(nil)
				return
			}
			s.Write(make([]byte, piece))
		}
		o.resume = func(s link) {
			if left--; left > 0 {
				s.Write(make([]byte, piece))
				return
			}
			s.Finish(nil)
		}
	})
	c := client(t, addr)
	if _, err := c.Write([]byte("go")); err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, c); err != nil || n != piece*pieces {
		t.Errorf("got %d bytes, want %d: %v", n, piece*pieces, err)
	}
}

// The order of what is written stands, whatever waits.
func TestWritesKeepTheirOrder(t *testing.T) {
	r := newRig(t, roomy())
	s, peer := r.adopt()
	var want, got []byte
	for k := range 4000 {
		b := bytes.Repeat([]byte{byte(k), byte(k >> 8), 7}, 1+k%200)
		want = append(want, b...)
		s.Write(b)
		if k%7 == 0 {
			got = append(got, r.receive(peer)...)
			r.d.Writable(s)
		}
	}
	s.Finish([]byte("end"))
	want = append(want, "end"...)
	for s.State() == Finishing {
		got = append(got, r.receive(peer)...)
		r.d.Writable(s)
	}
	got = append(got, r.receive(peer)...)
	if !bytes.Equal(got, want) {
		t.Errorf("got %d bytes, want %d, or not in their order", len(got), len(want))
	}
	if s.State() != Lingering {
		t.Errorf("the stream is %v, want lingering", s.State())
	}
}
