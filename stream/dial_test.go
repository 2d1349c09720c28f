//go:build linux

package stream

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/usher-ws/usher/poller"
	"golang.org/x/sys/unix"
)

// A dial leaves nothing for the garbage collector: programs dial very many.
func TestDialAllocatesNothing(t *testing.T) {
	r := newRig(t, config{Loops: 1, Weigh: weigh})
	_, at := listenTCP(t)
	for _, from := range []netip.Addr{{}, netip.MustParseAddr("127.0.0.2")} {
		if got := testing.AllocsPerRun(10, func() {
			fd, err := r.l.address.socket(at.Addr(), from)
			if err != nil {
				t.Fatal(err)
			}
			if err := unix.Connect(fd, r.l.address.of(at)); err != nil && err != unix.EINPROGRESS {
				t.Error(err)
			}
			unix.Close(fd)
		}); got != 0 {
			t.Errorf("from %v: %v allocations", from, got)
		}
	}
}

// What is dialled connects, from the address that it should, with its data, and counts
// against nobody.
func TestDial(t *testing.T) {
	r := newRig(t, config{Loops: 1, Weigh: weigh}) // no MaxConns
	listener, at := listenTCP(t)
	from := netip.MustParseAddr("127.0.0.2")
	s, err := r.l.Dial(at, from, mark{7})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Data().n; got != 7 || s.State() != Dialing {
		t.Errorf("dialled: %v with %d, want dialing with 7", s.State(), got)
	}
	r.o.born(s)
	await(t, int(s.slot.fd), unix.POLLOUT)
	s.Write([]byte("lost"))
	r.d.Ready(s, poller.Writable)
	if s.State() != Flowing || !r.o.has("opened") {
		t.Fatalf("connected: %v, told %q", s.State(), r.o.log)
	}
	s.Write([]byte("hello"))
	await(t, listener, unix.POLLIN)
	peer, addr, errno := poller.Accept(listener)
	if errno != 0 {
		t.Fatal(errno)
	}
	r.peers = append(r.peers, peer)
	if addr.Addr() != from || s.RemoteAddr() != at {
		t.Errorf("from %v to %v, want %v and %v", addr, s.RemoteAddr(), from, at)
	}
	await(t, peer, unix.POLLIN)
	if got := r.receive(peer); got != "hello" {
		t.Errorf("got %q", got)
	}
	if st := r.e.Stats(); st.Live != 0 || st.Reserved != 0 || r.l.Streams() != 1 {
		t.Errorf("got %+v, %d streams", st, r.l.Streams())
	}
	s.Finish([]byte("bye"))
	if st := r.e.Stats(); st.Live != 0 || st.Reserved != 0 || s.State() != Lingering {
		t.Errorf("lingering: got %+v, %v", st, s.State())
	}
	r.hangUp(peer)
	await(t, int(s.slot.fd), unix.POLLRDHUP)
	r.d.Ready(s, poller.Readable|poller.PeerClosed)
	if s.State() != Free || r.l.Streams() != 0 {
		t.Errorf("at its end: %v, %d streams", s.State(), r.l.Streams())
	}
	if s.RemoteAddr().IsValid() {
		t.Error("a stream that has ended has a peer")
	}
}

// What cannot be dialled is an error, or the end of a stream that was Dialing.
func TestDialFails(t *testing.T) {
	r := newRig(t, roomy())
	fd, at := listenTCP(t)
	foreign := netip.MustParseAddr("192.0.2.1") // not ours, RFC 5737
	if _, err := r.l.Dial(at, foreign, mark{}); !errors.Is(err, unix.EADDRNOTAVAIL) {
		t.Errorf("from %v: got %v", foreign, err)
	}
	if _, err := r.l.Dial(at, netip.MustParseAddr("::1"), mark{}); err == nil {
		t.Error("from another family: no error")
	}
	if _, err := r.l.Dial(netip.AddrPort{}, netip.Addr{}, mark{}); err == nil {
		t.Error("to nowhere: no error")
	}
	if n := r.l.Streams(); n != 0 {
		t.Errorf("%d streams are left of errors", n)
	}
	// The kernel may tell of a refusal at once, or later.
	unix.Shutdown(fd, unix.SHUT_RD) // it listens no more
	s, err := r.l.Dial(at, netip.Addr{}, mark{})
	if err == nil {
		r.o.born(s)
		await(t, int(s.slot.fd), unix.POLLOUT)
		r.d.Ready(s, poller.Writable|poller.Hangup)
		err = r.o.causes[Token(s.Slot(), s.Generation()-1)]
	}
	if !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("refused: got %v", err)
	}
}

// A refusal that comes later, from a listener whose backlog is full, ends the stream.
func TestDialRefusedLater(t *testing.T) {
	r := newRig(t, roomy())
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	at, err := poller.Local(fd)
	if err != nil {
		t.Fatal(err)
	}
	var last link
	for { // until one has to wait
		if last, err = r.l.Dial(at, netip.Addr{}, mark{}); err != nil {
			t.Fatal(err)
		}
		r.o.born(last)
		if n, _ := unix.Poll([]unix.PollFd{{Fd: last.slot.fd, Events: unix.POLLOUT}}, 0); n == 0 {
			break
		}
	}
	r.d.Due(last)
	if last.State() != Dialing || !r.o.has("due") {
		t.Fatalf("it is %v, told %q", last.State(), r.o.log)
	}
	tok := last.Token()
	unix.Shutdown(fd, unix.SHUT_RD)
	await(t, int(last.slot.fd), unix.POLLOUT) // its next SYN, a second later
	r.d.Ready(last, poller.Writable|poller.Hangup)
	if got := r.o.causes[tok]; !errors.Is(got, unix.ECONNREFUSED) || last.State() != Free {
		t.Errorf("it is %v, because of %v", last.State(), got)
	}
}

// A client that is read from always hears what its peer says while its own words wait, and
// what it had said before it reset; and then that it did.
func TestReadAlways(t *testing.T) {
	cfg := roomy()
	cfg.ReadAlways = true
	r := newRig(t, cfg)
	var heard []byte
	r.o.input = func(s link, b []byte, eof bool) {
		if eof {
			t.Error("a reset looks like an end")
		}
		heard = append(heard, b...)
	}
	s, peer := r.dial()
	r.d.Writable(s)
	for s.Waiting() == 0 {
		s.Write(plenty)
	}
	if s.State() != Flowing {
		t.Fatalf("while bytes wait it is %v, want flowing", s.State())
	}
	if read, write := r.d.Armed(s); !read || !write {
		t.Errorf("armed for reading %v and writing %v, want both", read, write)
	}
	r.send(peer, "first")
	await(t, int(s.slot.fd), unix.POLLIN)
	r.d.Ready(s, poller.Readable)
	s.Hold(Custom)
	if read, write := r.d.Armed(s); read || !write || s.State() != Held {
		t.Errorf("held while bytes wait: armed for reading %v and writing %v, %v", read, write, s.State())
	}
	s.Go(Custom)
	if read, write := r.d.Armed(s); !read || !write || s.State() != Flowing {
		t.Errorf("not held any more: armed for reading %v and writing %v, %v", read, write, s.State())
	}
	r.send(peer, " last")
	await(t, int(s.slot.fd), unix.POLLIN)
	r.reset(peer)
	await(t, int(s.slot.fd), unix.POLLHUP)
	tok := s.Token()
	r.d.Writable(s) // it finds out by sending
	if s.State() == Free {
		t.Fatalf("it has ended, and heard %q", heard)
	}
	s.Write([]byte("more")) // which is lost
	for range 3 {
		if s, ok := r.l.Find(tok); ok {
			r.d.Ready(s, poller.Readable|poller.Hangup)
		}
	}
	if string(heard) != "first last" {
		t.Errorf("heard %q", heard)
	}
	if got := r.o.causes[tok]; got != unix.ECONNRESET {
		t.Errorf("ended with %v, want ECONNRESET", got)
	}
}

// A unix socket is dialled by its path, and one that nobody listens at is an error.
func TestDialUnix(t *testing.T) {
	r := newRig(t, roomy())
	path := filepath.Join(t.TempDir(), "s")
	if _, err := r.l.DialUnix(path, mark{}); !errors.Is(err, unix.ENOENT) {
		t.Errorf("where there is no socket: got %v", err)
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	s, err := r.l.DialUnix(path, mark{7})
	if err != nil || s.Data().n != 7 {
		t.Fatalf("dialled: %v, with %d", err, s.Data().n)
	}
	r.o.born(s)
	await(t, int(s.slot.fd), unix.POLLOUT)
	r.d.Ready(s, poller.Writable)
	if s.State() != Flowing || s.RemoteAddr().IsValid() {
		t.Fatalf("connected: %v, of %v", s.State(), s.RemoteAddr())
	}
	s.Finish([]byte("hello"))
	c, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got, err := io.ReadAll(c); string(got) != "hello" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if st := r.e.Stats(); st.Live != 0 || st.Reserved != 0 {
		t.Errorf("it counts: %+v", st)
	}
}
