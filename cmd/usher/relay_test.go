//go:build linux

package main_test

import (
	"bytes"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	gobwas "github.com/gobwas/ws"

	"github.com/usher-ws/usher/internal/vectors"
)

// relay stands between one client and the program, and keeps what passes.
type relay struct {
	addr string

	listener net.Listener
	passing  sync.WaitGroup
	up, down bytes.Buffer // from the client, to it; read them after wait
}

// newRelay returns a relay to the program, for the first client that connects.
func newRelay(t *testing.T, p *program) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{addr: l.Addr().String(), listener: l}
	r.passing.Go(func() { r.pass(t, p.addr) })
	t.Cleanup(r.wait)
	return r
}

func (r *relay) pass(t *testing.T, to string) {
	client, err := r.listener.Accept()
	if err != nil {
		return // nobody came
	}
	defer client.Close()
	program, err := net.Dial("tcp", to)
	if err != nil {
		t.Error(err)
		return
	}
	defer program.Close()
	copyTo := func(to, from net.Conn, kept *bytes.Buffer) {
		io.Copy(io.MultiWriter(to, kept), from) // an error is a hang-up, which the tests notice
		to.(*net.TCPConn).CloseWrite()
	}
	var both sync.WaitGroup
	both.Go(func() { copyTo(program, client, &r.up) })
	both.Go(func() { copyTo(client, program, &r.down) })
	both.Wait()
}

// wait returns when both ends have hung up.
func (r *relay) wait() {
	r.listener.Close()
	r.passing.Wait()
}

// passed is a message that went through a relay.
type passed struct {
	text     bool
	deflated bool
	size     int // of its frames on the wire, headers included
	far      int // how many bytes it refers back, if it is one frame without a mask
}

// messagesIn returns the messages of a stream that begins with an HTTP head, and
// the value of one of the head's headers.
func messagesIn(t *testing.T, stream []byte, header string) (value string, all []passed) {
	t.Helper()
	head, rest, ok := strings.Cut(string(stream), "\r\n\r\n")
	if !ok {
		t.Fatalf("got %q, want a head", stream)
	}
	for _, line := range strings.Split(head, "\r\n") {
		if name, v, _ := strings.Cut(line, ":"); strings.EqualFold(name, header) {
			value = strings.TrimSpace(v)
		}
	}
	for r := strings.NewReader(rest); r.Len() > 0; {
		before := r.Len()
		h, err := gobwas.ReadHeader(r)
		if err != nil || h.Length > int64(r.Len()) {
			t.Fatalf("header %+v, %v, with %d bytes behind it", h, err, r.Len())
		}
		payload := make([]byte, h.Length)
		io.ReadFull(r, payload)
		switch h.OpCode {
		case gobwas.OpText, gobwas.OpBinary:
			far := 0
			if h.Rsv1() && h.Fin && !h.Masked {
				if _, far, err = vectors.Inflate(payload); err != nil {
					t.Fatal(err)
				}
			}
			all = append(all, passed{h.OpCode == gobwas.OpText, h.Rsv1(), before - r.Len(), far})
		case gobwas.OpContinuation:
			all[len(all)-1].size += before - r.Len()
		}
	}
	return value, all
}
