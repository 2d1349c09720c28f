//go:build linux

package stream

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// pairOf returns both ends of a connection that nobody accepts.
func pairOf(t *testing.T, kind int) (ours, theirs int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fds[1]) })
	return fds[0], fds[1]
}

// Inherited sockets are spread over the loops as accepted ones, count as these do, and
// belong to no listener. What is no connection is refused, and stays the caller's.
func TestAdopt(t *testing.T) {
	var opened, listened, excess atomic.Int32
	e, _ := run(t, config{Loops: 2, MaxConns: 4, Reserve: 2, Weigh: weigh}, func(o *owner) {
		o.opened = func(s link) {
			opened.Add(1)
			if s.Listener() != -1 {
				listened.Add(1)
			}
			if s.Excess() {
				excess.Add(1)
				s.Finish([]byte("full"))
			}
		}
	})
	for range 5 {
		ours, _ := pairOf(t, unix.SOCK_STREAM)
		if err := e.Adopt(ours, false); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all are there", func() bool { return opened.Load() == 5 })
	var each []int
	for _, l := range e.Loops() {
		each = append(each, l.Streams())
	}
	slices.Sort(each)
	if listened.Load() != 0 || excess.Load() != 1 || !slices.Equal(each, []int{2, 3}) {
		t.Errorf("%d have a listener, %d are too many, the loops have %v; want 0, 1, [2 3]", listened.Load(), excess.Load(), each)
	}

	datagrams, _ := pairOf(t, unix.SOCK_DGRAM)
	defer unix.Close(datagrams)
	alone, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(alone)
	for what, c := range map[string]struct {
		fd   int
		want error
	}{"datagrams": {datagrams, nil}, "not connected": {alone, unix.ENOTCONN}, "no descriptor": {-1, unix.EBADF}} {
		if err := e.Adopt(c.fd, false); err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want an error %v", what, err, c.want)
		}
	}
}

// A socket that comes when the loops adopt none any more stays the caller's; one that was
// on its way is closed. Neither counts.
func TestAdoptTooLate(t *testing.T) {
	e, _ := run(t, config{Loops: 1, MaxConns: 4, Reserve: 2, Weigh: weigh}, nil)
	ours, theirs := pairOf(t, unix.SOCK_STREAM)
	late, _ := pairOf(t, unix.SOCK_STREAM)
	defer unix.Close(late)
	on(t, e.Loops()[0], func() {
		if err := e.Adopt(ours, false); err != nil {
			t.Error(err)
		}
		e.Loops()[0].StopAdopting()
		if err := e.Adopt(late, false); err == nil {
			t.Error("got no error")
		}
	})
	await(t, theirs, unix.POLLIN)
	if n, err := unix.Read(theirs, make([]byte, 1)); n != 0 || err != nil {
		t.Errorf("got %d %v, want the end", n, err)
	}
	if n := e.live.Load(); n != 0 || e.Loops()[0].Streams() != 0 {
		t.Errorf("%d count, want none", n)
	}
}

// Inherited sockets begin with a handshake if they are to.
func TestAdoptTLS(t *testing.T) {
	e, _ := run(t, withTLS(t, roomy()), echoes)
	ours, theirs := pairOf(t, unix.SOCK_STREAM)
	if err := e.Adopt(ours, true); err != nil {
		t.Fatal(err)
	}
	copied, err := unix.Dup(theirs) // that pairOf closes, and the File its own
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(copied), "peer")
	conn, err := net.FileConn(file)
	file.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, pool := testCert()
	c := tls.Client(conn, &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"})
	if _, err := io.WriteString(c, "hello"); err != nil {
		t.Fatal(err)
	}
	if n, err := io.ReadFull(c, make([]byte, 5)); err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
}
