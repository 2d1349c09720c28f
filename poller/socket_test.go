//go:build linux

package poller

import (
	"math"
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// TestProgress: the kernel tells what a peer has taken, and what it has no room for.
func TestProgress(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	file, err := conn.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	fd := int(file.Fd())
	if err := unix.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}

	if o := Progress(fd); o.Waits() {
		t.Errorf("nothing was sent: %+v", o)
	}
	given := 0
	for {
		n, errno := Send(fd, make([]byte, 64<<10))
		if errno != 0 {
			break
		}
		given += n
	}
	if o := Progress(fd); o.Unsent == 0 || o.Unsent > given || !o.Waits() {
		t.Errorf("the peer has no room, and %d bytes were sent: %+v", given, o)
	}
	for buf := make([]byte, 64<<10); given > 0; {
		n, err := client.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		given -= n
	}
	for Progress(fd).Waits() { // the last acknowledgement may be under way
	}

	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	unix.Write(pair[0], []byte("x"))
	if o := Progress(pair[0]); o.Waits() || o.Taken() != math.MaxInt64 {
		t.Errorf("no TCP: %+v", o)
	}
}

// TestTaken: bytes that are under way are judged by the acknowledgements, others by when
// they left.
func TestTaken(t *testing.T) {
	for _, c := range []struct {
		o    Outgoing
		want int
	}{
		{Outgoing{Sent: 1, Acked: 2}, 1},
		{Outgoing{Unsent: 1, Sent: 2, Acked: 1}, 2},
		{Outgoing{Unacked: true, Sent: 1, Acked: 2}, 2},
		{Outgoing{Unsent: 1, Unacked: true, Sent: 2, Acked: 1}, 1},
	} {
		if got := c.o.Taken(); int(got) != c.want {
			t.Errorf("%+v: got %d, want %d", c.o, got, c.want)
		}
	}
}
