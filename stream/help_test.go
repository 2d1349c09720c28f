//go:build linux

package stream

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/usher-ws/usher/internal/leak"
	"github.com/usher-ws/usher/poller"
	"golang.org/x/sys/unix"
)

// TestMain checks that no descriptor and no goroutine outlives the tests.
func TestMain(m *testing.M) {
	before := openFiles()
	code := m.Run()
	if err := leak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, "goroutine leak:", err)
		code = 1
	}
	if after := openFiles(); after > before {
		fmt.Fprintf(os.Stderr, "fd leak: %d before, %d after\n", before, after)
		code = 1
	}
	os.Exit(code)
}

func openFiles() int {
	// The runtime's own poller opens its descriptors at first use: use it first.
	r, w, _ := os.Pipe()
	r.Close()
	w.Close()
	list, _ := os.ReadDir("/proc/self/fd")
	return len(list)
}

// eventually waits for ok.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Hour); !ok(); time.Sleep(time.Millisecond) { // the test binary's timeout is sooner
		if time.Now().After(end) {
			t.Fatalf("%s: still not so", what)
		}
	}
}

// mark is what the tests keep with every stream, bag what they keep with few.
type mark struct{ n uint32 }

type bag struct{ b []byte }

func weigh(x *bag) (int, bool) { return cap(x.b), x.b == nil }

type (
	loop   = Loop[mark, bag]
	link   = S[mark, bag]
	engine = Engine[mark, bag]
	config = Config[bag]
)

// owner is a Handler that records what it is told, holds it against what a Handler is
// promised, and does what the test says. The zero owner reads and forgets, and finishes
// at the end of the peer's.
type owner struct {
	t    testing.TB
	loop *loop

	opened  func(s link)
	secured func(s link, state *tls.ConnectionState)
	input   func(s link, b []byte, eof bool)
	resume  func(s link)
	due     func(s link)
	victim  func(s link)
	ended   func(s link, cause error) bool
	mail    func()
	turn    func(now time.Duration) time.Duration
	faulted func(s link, err error)

	seq    uint32
	lives  map[uint64]uint32 // the streams there are, and their marks
	causes map[uint64]error  // of those that have ended
	log    []string          // the callbacks about streams
	faults []error
}

func (o *owner) note(what string, s link) {
	o.log = append(o.log, what)
	if o.lives[s.Token()] == 0 {
		o.t.Errorf("%s of a stream that does not live, %d in slot %d", what, s.Generation(), s.Slot())
	}
}

// born says that there is a new stream, and marks it.
func (o *owner) born(s link) {
	tok := s.Token()
	if _, ended := o.causes[tok]; ended || o.lives[tok] != 0 {
		o.t.Errorf("a stream begins twice: %d in slot %d", s.Generation(), s.Slot())
	}
	o.seq++
	s.Data().n, o.lives[tok] = o.seq, o.seq
}

func (o *owner) Opened(s link) {
	if o.lives[s.Token()] == 0 { // else it was dialled
		if *s.Data() != (mark{}) || s.HasExtra() || s.Due() != 0 || s.Why() != 0 {
			o.t.Errorf("a new stream has %v, extra %v, due %d, why %d", *s.Data(), s.HasExtra(), s.Due(), s.Why())
		}
		o.born(s)
	}
	o.note("opened", s)
	if o.opened != nil {
		o.opened(s)
	}
}

func (o *owner) Secured(s link, state *tls.ConnectionState) {
	o.note("secured", s)
	if o.secured != nil {
		o.secured(s, state)
	}
}

func (o *owner) Input(s link, b []byte, eof bool) {
	o.note("input", s)
	if eof != (len(b) == 0) {
		o.t.Errorf("%d bytes, eof %v", len(b), eof)
	}
	if st := s.State(); st != Flowing && st != Held {
		o.t.Errorf("input of a stream that is %v", st)
	}
	switch {
	case o.input != nil:
		o.input(s, b, eof)
	case eof:
		s.Finish(nil)
	}
}

func (o *owner) Resume(s link) {
	o.note("resume", s)
	if o.resume != nil {
		o.resume(s)
	}
}

func (o *owner) Due(s link) {
	o.note("due", s)
	if o.due != nil {
		o.due(s)
	}
}

func (o *owner) Victim(s link) {
	o.log = append(o.log, "victim")
	if o.victim != nil {
		o.victim(s)
	}
}

func (o *owner) Ended(s link, cause error) bool {
	o.note("ended", s)
	if got, want := s.Data().n, o.lives[s.Token()]; s.State() != Gone || got != want {
		o.t.Errorf("ended: the stream is %v and has the mark %d, want %d", s.State(), got, want)
	}
	delete(o.lives, s.Token())
	o.causes[s.Token()] = cause
	if s.HasExtra() {
		x := s.Extra()
		o.loop.Buffers.Put(x.b)
		x.b = nil
	}
	return o.ended != nil && o.ended(s, cause)
}

func (o *owner) Mail() {
	if o.mail != nil {
		o.mail()
	}
}

func (o *owner) Turn(now time.Duration) time.Duration {
	if o.turn != nil {
		return o.turn(now)
	}
	return 0
}

func (o *owner) Fault(s link, err error) {
	o.faults = append(o.faults, err)
	if o.faulted != nil {
		o.faulted(s, err)
		return
	}
	if !s.IsZero() {
		s.Cut(err)
	}
}

func (o *owner) Failed(err error) { o.t.Errorf("the loop has failed: %v", err) }

// echo is what an echo server does about input.
func echo(s link, b []byte, eof bool) {
	if eof {
		s.Finish(nil)
		return
	}
	s.Write(b)
}

// rig is a loop that has not started, in the hands of the test.
type rig struct {
	testing.TB
	e     *engine
	l     *loop
	d     Drive[mark, bag]
	o     *owner
	peers []int // closed at the end
}

// roomy is a Config for one loop that turns nobody away.
func roomy() config {
	return config{Loops: 1, MaxConns: 1 << 20, Reserve: 1 << 20, Weigh: weigh, WriteTimeout: time.Minute}
}

func newOwner(t testing.TB, l *loop) *owner {
	return &owner{t: t, loop: l, lives: map[uint64]uint32{}, causes: map[uint64]error{}}
}

func newRig(t testing.TB, cfg config) *rig {
	t.Helper()
	r := &rig{TB: t}
	cfg.LogError = func(msg string, args ...any) { t.Errorf("logged: %s %v", msg, args) }
	e, err := New(cfg, func(l *loop) Handler[mark, bag] { r.o = newOwner(t, l); return r.o })
	if err != nil {
		t.Fatal(err)
	}
	r.e, r.l = e, e.Loops()[0]
	r.d = r.l.Drive()
	t.Cleanup(func() {
		for s := range r.l.All() {
			s.Cut(nil)
			if s.State() == Gone {
				s.Free()
			}
		}
		e.Close()
		for _, fd := range r.peers {
			unix.Close(fd)
		}
		checkEmpty(t, e)
		if len(r.o.lives) != 0 {
			t.Errorf("%d streams were not told to have ended", len(r.o.lives))
		}
	})
	return r
}

// checkEmpty says that nothing is left of an engine that has ended.
func checkEmpty(t testing.TB, e *engine) {
	t.Helper()
	for _, l := range e.Loops() {
		if n := l.Buffers.InUse(); n != 0 {
			t.Errorf("loop %d: %d bytes of buffers are still lent", l.ID(), n)
		}
		if n := l.Streams(); n != 0 {
			t.Errorf("loop %d: %d streams are still counted", l.ID(), n)
		}
		if got, want := l.slab.resting(), int(l.slab.next)-1; got != want {
			t.Errorf("loop %d: %d slots are free of %d", l.ID(), got, want)
		}
		if got := len(l.members); got != 0 {
			t.Errorf("loop %d: %d streams are still listed", l.ID(), got)
		}
		for _, ok := l.inbox.asked(); ok; _, ok = l.inbox.asked() { // too late
			e.owed.Add(-1)
		}
		if got, want := len(l.exts.free), max(len(l.exts.all)-1, 0); got != want {
			t.Errorf("loop %d: %d extensions are free of %d", l.ID(), got, want)
		}
	}
	if n := e.Sockets(); n != 0 {
		t.Errorf("%d sockets are still counted", n)
	}
	if n := e.owed.Load(); n != 0 {
		t.Errorf("%d evictions are still waited for", n)
	}
	checkSources(t, &e.sources, 0)
}

// pair returns two ends of a connection without TCP, whose second is closed at the end.
func (r *rig) pair() (mine, peer int) {
	r.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		r.Fatal(err)
	}
	r.peers = append(r.peers, fds[1])
	return fds[0], fds[1]
}

// adopt returns a stream that was accepted, and its peer's end.
func (r *rig) adopt() (s link, peer int) {
	r.Helper()
	mine, peer := r.pair()
	return r.d.Adopt(mine), peer
}

func (r *rig) send(fd int, data string) {
	r.Helper()
	if _, err := unix.Write(fd, []byte(data)); err != nil {
		r.Fatalf("peer's write: %v", err)
	}
}

// receive returns what the peer can read now.
func (r *rig) receive(fd int) string {
	var all []byte
	buf := make([]byte, 64<<10)
	for {
		n, err := unix.Read(fd, buf)
		if n <= 0 || err != nil {
			return string(all)
		}
		all = append(all, buf[:n]...)
	}
}

// advance lets a tick pass, and looks at the deadlines in as many turns as it takes.
func (r *rig) advance() {
	r.d.Advance(1)
	for r.l.sweeping = 1; r.l.sweeping != 0; {
		events[mark, bag]{r.l}.sweep()
	}
}

// plenty is more than the kernel takes.
var plenty = make([]byte, 4<<20)

// cutAll ends what there is on the loops of an engine that runs, and the loops.
func cutAll(t testing.TB, e *engine) {
	t.Helper()
	for _, l := range e.Loops() {
		done := make(chan bool)
		if err := l.Post(func() {
			l.StopAdopting()
			for s := range l.All() {
				s.Cut(nil)
				s.Free()
			}
			close(done)
		}); err != nil {
			t.Error(err)
			continue
		}
		<-done
	}
	e.Close()
	checkEmpty(t, e)
}

// run starts an engine, until the test ends. set prepares the owner of each loop.
func run(t testing.TB, cfg config, set func(o *owner)) (*engine, []*owner) {
	t.Helper()
	var owners []*owner
	if cfg.LogError == nil {
		cfg.LogError = func(msg string, args ...any) { t.Errorf("logged: %s %v", msg, args) }
	}
	e, err := New(cfg, func(l *loop) Handler[mark, bag] {
		o := newOwner(t, l)
		if set != nil {
			set(o)
		}
		owners = append(owners, o)
		return o
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cutAll(t, e)
		for _, o := range owners {
			if len(o.lives) != 0 {
				t.Errorf("loop %d: %d streams were not told to have ended", o.loop.ID(), len(o.lives))
			}
		}
	})
	return e, owners
}

// on runs f on the loop, and waits for it.
func on(t testing.TB, l *loop, f func()) {
	t.Helper()
	done := make(chan bool)
	if err := l.Post(func() { defer close(done); f() }); err != nil {
		t.Fatal(err)
	}
	<-done
}

// has reports whether the owner was told of these, in that order, others in between.
func (o *owner) has(what ...string) bool {
	for _, l := range o.log {
		if len(what) > 0 && l == what[0] {
			what = what[1:]
		}
	}
	return len(what) == 0
}

// count is how often the owner was told of something.
func (o *owner) count(what string) (n int) {
	for _, l := range o.log {
		if l == what {
			n++
		}
	}
	return n
}

// listenTCP returns a listening socket, and its address. It is closed at the end.
func listenTCP(t testing.TB) (fd int, at netip.AddrPort) {
	t.Helper()
	fd, err := poller.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	at, err = poller.Local(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fd, at
}

// await waits until one of events holds for fd.
func await(t testing.TB, fd int, events int16) {
	t.Helper()
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: events}}, -1)
		if err == unix.EINTR {
			continue
		}
		if n != 1 || err != nil {
			t.Fatalf("poll: %d, %v", n, err)
		}
		return
	}
}

// dial returns a stream that is Dialing, though the kernel has connected it, and its
// peer's end.
func (r *rig) dial() (s link, peer int) {
	r.Helper()
	listener, at := listenTCP(r)
	s, err := r.l.Dial(at, netip.Addr{}, mark{})
	if err != nil {
		r.Fatal(err)
	}
	r.o.born(s)
	await(r, listener, unix.POLLIN)
	peer, _, errno := poller.Accept(listener)
	if errno != 0 {
		r.Fatal(errno)
	}
	r.peers = append(r.peers, peer)
	await(r, int(s.slot.fd), unix.POLLOUT)
	return s, peer
}

// reset closes the peer's end fd with RST.
func (r *rig) reset(fd int) {
	r.Helper()
	if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
		r.Fatal(err)
	}
	r.hangUp(fd)
}

// hangUp closes the peer's end fd.
func (r *rig) hangUp(fd int) {
	at := slices.Index(r.peers, fd)
	r.peers = slices.Delete(r.peers, at, at+1)
	unix.Close(fd)
}
