//go:build linux

package server

import (
	"bytes"
	"fmt"
	"os"
	"time"

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

// relays is do, after which the client is where it is to be.
func relays(want stage, do func(*bench)) func(*bench) {
	return func(b *bench) {
		do(b)
		if got := stageOf(b.client); got != want {
			b.Errorf("the client is %v, want %v", got, want)
		}
	}
}
