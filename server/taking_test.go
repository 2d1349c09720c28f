//go:build linux

package server

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/upgrade"
	"golang.org/x/sys/unix"
)

// lastWords is what is said before a close here: more than the peer's kernel takes.
const lastWords = 1536 << 10

// dialNarrow is rawDial of a client whose kernel takes little ahead of it.
func dialNarrow(t testing.TB, addr, path string) *net.TCPConn {
	t.Helper()
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 32<<10) })
	}}
	c, err := d.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	fmt.Fprintf(c, upgradeHead, path)
	answer, one := []byte(nil), make([]byte, 1)
	for !strings.HasSuffix(string(answer), "\r\n\r\n") {
		if _, err := io.ReadFull(c, one); err != nil {
			t.Fatalf("handshake: %v behind %q", err, answer)
		}
		answer = append(answer, one...)
	}
	return c.(*net.TCPConn)
}

// takeSlowly reads to the end, for longer than lingering lasts, and says something before
// each piece.
func takeSlowly(c net.Conn, say []byte) (got []byte, err error) {
	const pieces = 20
	buf := make([]byte, lastWords/pieces)
	for {
		time.Sleep(2 * lingerTime / pieces)
		if len(say) > 0 {
			c.Write(say) // the server may have ended before us
		}
		n, err := io.ReadFull(c, buf)
		got = append(got, buf[:n]...)
		switch err {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF:
			return got, nil
		default:
			return got, err
		}
	}
}

// TestCloseDestroysNothing: what was said before a close reaches a peer that keeps taking
// it, however slowly, and whatever it says meanwhile.
func TestCloseDestroysNothing(t *testing.T) {
	t.Parallel()
	ping, talk := masked(frame.OpPing, nil), make([]byte, 32<<10)
	words := frame.AppendFrame(nil, frame.OpBinary, make([]byte, lastWords))
	for _, c := range []struct {
		name  string
		first []byte // what the client asks with
		say   []byte // and says meanwhile
		code  string // of the close frame
		drain bool
	}{
		{"our close, to one that is quiet", masked(frame.OpText, []byte("close")), nil, "\x0f\xa0", false},
		{"our close, to one that pings", masked(frame.OpText, []byte("close")), ping, "\x0f\xa0", false},
		{"our close, to one that talks on", masked(frame.OpText, []byte("close")), talk, "\x0f\xa0", false},
		{"its own close", append(masked(frame.OpText, []byte("stay")), masked(frame.OpClose, []byte("\x03\xe8"))...), ping, "\x03\xe8", false},
		{"a protocol error", append(masked(frame.OpText, []byte("stay")), 0xff), ping, "\x03\xea", false},
		{"a drain", masked(frame.OpText, []byte("stay")), ping, "\x03\xe9", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			said := make(chan bool, 1)
			s := &Server{Loops: 1}
			if c.drain {
				s.Drain = 100 * lingerTime
			}
			s.Route("/words", Route{Message: func(conn Conn, m Message) error {
				defer func() { said <- true }()
				if err := conn.Send(frame.OpBinary, make([]byte, lastWords)); err != nil || string(m.Data) != "close" {
					return err
				}
				return conn.Close(4000, "")
			}})
			addr := start(t, s)
			client := dialNarrow(t, addr, "/words")
			client.Write(c.first)
			<-said
			if c.drain {
				ctx, cancel := context.WithCancel(context.Background())
				down := make(chan bool)
				go func() { s.Shutdown(ctx); close(down) }()
				defer func() { cancel(); <-down }()
			}
			got, err := takeSlowly(client, c.say)
			if err != nil || len(got) < len(words)+4 {
				t.Fatalf("got %d of %d bytes: %v", len(got), len(words), err)
			}
			// Behind it there are pongs, and then the close frame.
			at := strings.LastIndexByte(string(got), 0x88)
			if rest := string(got[at:]); at < len(words) || len(rest) < 4 || rest[2:4] != c.code {
				t.Errorf("behind the words: % x, want a close frame with % x", rest, c.code)
			}
		})
	}
}

// TestTakersAreSpared: those who have yet to take what was said before the close do not make
// room for others that linger, as long as they may count as connections.
func TestTakersAreSpared(t *testing.T) {
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	few := before
	few.Cur = 512 // the smallest reserve, 16
	s := &Server{Loops: 1}
	s.Route("/words", Route{Message: func(conn Conn, m Message) error {
		conn.Send(frame.OpBinary, make([]byte, lastWords))
		return conn.Close(4000, "")
	}})
	s.Route("/no", Route{Guards: []upgrade.Guard{{OnRequest: func(*upgrade.Request) error { return upgrade.Reject(http.StatusForbidden, "no", "No.") }}}})
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	addr := start(t, s)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	client := dialNarrow(t, addr, "/words")
	client.Write(masked(frame.OpText, nil))
	buf := make([]byte, 400<<10) // so that the outbox is empty: what is left is the kernel's
	if _, err := io.ReadFull(client, buf); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it lingers", func() bool {
		client.Write(masked(frame.OpPing, nil))
		io.ReadFull(client, buf[:1<<10])
		return s.Stats().Lingering == 1
	})
	for range 4 * s.reserve {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, upgradeHead, "/no")
		io.ReadFull(c, buf[:1])
	}
	eventually(t, "many are evicted", func() bool { return s.Stats().Evicted >= int64(2*s.reserve) })
	if _, err := takeSlowly(client, masked(frame.OpPing, nil)); err != nil {
		t.Errorf("it was destroyed: %v", err)
	}
}

// TestTakesNothing: a peer that takes nothing of what was said before the close is waited for
// no longer than the write-timeout.
func TestTakesNothing(t *testing.T) {
	t.Parallel()
	s := &Server{Loops: 1, WriteTimeout: time.Second}
	s.Route("/words", Route{Message: func(conn Conn, m Message) error {
		conn.Send(frame.OpBinary, make([]byte, 512<<10))
		return conn.Close(4000, "")
	}})
	client := dialNarrow(t, start(t, s), "/words")
	client.Write(masked(frame.OpText, nil))
	eventually(t, "it has begun to end", func() bool { return s.Stats().Total.Conns == 0 && s.Stats().Total.Opened == 1 })
	eventually(t, "it has ended", func() bool { return s.Stats().Sockets == 0 })
}

// TestSlowReaderIsNotIdle: over sockets, one that reads without a pause lives as long as it
// does, also if its ping waits behind much more than it can read within the idle-timeout.
func TestSlowReaderIsNotIdle(t *testing.T) {
	t.Parallel()
	s := &Server{Loops: 1, IdleTimeout: 2 * time.Second, MaxBacklog: 4 << 20}
	s.Route("/words", Route{Message: func(conn Conn, m Message) error {
		return conn.Send(frame.OpBinary, make([]byte, lastWords))
	}})
	client := dialNarrow(t, start(t, s), "/words")
	client.Write(masked(frame.OpText, nil))
	buf := make([]byte, 16<<10)
	for got := 0; got < lastWords; { // 6 s
		time.Sleep(60 * time.Millisecond)
		n, err := client.Read(buf)
		if err != nil {
			t.Fatalf("behind %d of %d bytes: %v", got, lastWords, err)
		}
		if strings.HasSuffix(string(buf[:n]), "idle_timeout") {
			t.Fatalf("behind %d of %d bytes: closed as idle", got, lastWords)
		}
		got += n
	}
}
