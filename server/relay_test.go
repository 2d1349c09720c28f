//go:build linux

package server

import (
	"bytes"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/stream"
	"github.com/usher-ws/usher/upgrade"
	"golang.org/x/sys/unix"
)

// relay leads to the bench's upstream, whose answers are passed on as they are.
func (b *bench) relay() *Relay {
	return &Relay{
		Call: func(*upgrade.Request) (Call, error) {
			return Call{Unix: b.upstream, Request: []byte("GET / HTTP/1.1\r\n\r\n"), Timeout: time.Hour}, nil
		},
		Answer: func(dst []byte, _ *upgrade.Request, in []byte, _ bool) (a Answer, _ error) {
			head, _, found := bytes.Cut(in, []byte("\r\n\r\n"))
			if !found {
				return a, nil
			}
			_, _ = fmt.Sscanf(string(head), "HTTP/1.1 %d ", &a.Status)
			a.Size = len(head) + len("\r\n\r\n")
			a.Response = append(dst, in[:a.Size]...)
			return a, nil
		},
		Failed: func(_ *upgrade.Request, cause error) error {
			return upgrade.Reject(502, "gone", cause.Error())
		},
	}
}

// accept makes what was dialled for the connection that there is now the bench's, connected and
// asked.
func (b *bench) accept() {
	b.Helper()
	far := b.peer
	b.far = far
	b.Cleanup(func() { unix.Close(far) })
	up, ok := b.l.pairs.of(b.l, b.s)
	if !ok {
		b.Fatalf("nothing was dialled: %q", b.receive())
	}
	fd, _, err := unix.Accept4(b.listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	if err != nil {
		b.Fatal(err)
	}
	b.client, b.s, b.peer = b.s, up, fd
	writable(b)
	if got := b.receive(); got != "GET / HTTP/1.1\r\n\r\n" {
		b.Fatalf("asked: %q", got)
	}
}

// listen makes the bench's upstream.
func (b *bench) listen() {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		b.Fatal(err)
	}
	b.listener, b.upstream = fd, fmt.Sprintf("@usher %d %p", os.Getpid(), b)
	b.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: b.upstream}); err != nil {
		b.Fatal(err)
	}
	if err := unix.Listen(fd, 8); err != nil {
		b.Fatal(err)
	}
}

// A client that is refused after the other server has let it in leaves nothing behind there.
func TestRefusedAfterAnswer(t *testing.T) {
	b := newBench(t, &Server{})
	for k := range b.l.routes {
		b.l.routes[k].route.Keep = func(*upgrade.Request) any { panic("no") }
	}
	b.bring(isCalled)
	b.send("HTTP/1.1 101 X\r\n\r\n\x82\x01x")
	relays(isLingering, readable)(b)
	got := []byte(b.receive())
	if h, n, err := frame.ParseHeader(got); err != nil || n+2 != len(got) || h.Opcode != frame.OpClose || !h.Masked || b.at() != isLingering {
		t.Errorf("the other server heard %x, and is %v", got, b.at())
	} else if frame.Mask(got[n:], h.Mask, 0); string(got[n:]) != "\x03\xe9" {
		t.Errorf("the other server heard the code %x, want 1001", got[n:])
	}
}

// Each side is held while bytes wait on the other, and heard again when they have left.
func TestRelayHolds(t *testing.T) {
	b := newBench(t, &Server{MaxMessage: -1})
	b.bring(isCalled)
	b.send("HTTP/1.1 101 X\r\n\r\n")
	relays(isOpen, readable)(b)
	header := frame.AppendHeader(nil, frame.Header{Fin: true, Opcode: frame.OpBinary, Length: 1 << 20})
	b.send(string(header))
	for sent := 0; b.s.State() != stream.Held; sent += 4096 {
		if sent > 1<<20-4096 {
			t.Fatal("it was not held")
		}
		b.send(string(make([]byte, 4096)))
		readable(b)
	}
	if waiting := b.client.Waiting(); waiting == 0 || waiting > 64<<10 || b.client.State() != stream.Flowing {
		t.Errorf("%d bytes wait for the client, which is %v", waiting, stageOf(b.client))
	}
	b.checkInterest(false)
	for b.client.Waiting() > 0 {
		if b.receiveFrom(b.far) == "" {
			t.Fatal("there is nothing to take")
		}
		b.drive.Writable(b.client)
	}
	if b.s.State() != stream.Flowing {
		t.Errorf("after all has left it is %v", b.at())
	}
	b.client.Cut(unix.ECONNRESET)
}

// relays is do, after which the client is where it is to be.
func relays(want stage, do func(*bench)) func(*bench) {
	return func(b *bench) {
		do(b)
		if got := stageOf(b.client); got != want {
			b.Errorf("the client is %v, want %v", got, want)
		}
	}
}
