//go:build linux

package poller

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/usher-ws/usher/internal/leak"
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
	if after := openFiles(); after > before+1 { // the runtime may have opened its own epoll
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

// recorder is a Handler that hands on what it is told.
type recorder struct {
	loop   *Loop
	ready  func(data uint64, ev Event)
	wakes  atomic.Int32
	after  atomic.Int32
	timers chan time.Duration
	failed chan error
}

func (r *recorder) Ready(data uint64, ev Event) { r.ready(data, ev) }
func (r *recorder) Wake()                       { r.wakes.Add(1) }
func (r *recorder) Timer()                      { r.timers <- r.loop.Now() }
func (r *recorder) After()                      { r.after.Add(1) }
func (r *recorder) Failed(err error)            { r.failed <- err }

func startLoop(t testing.TB, ready func(uint64, Event)) *recorder {
	t.Helper()
	r := &recorder{ready: ready, timers: make(chan time.Duration, 8), failed: make(chan error, 1)}
	loop, err := New(r, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	r.loop = loop
	if err := loop.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := loop.Close(); err != nil && !errors.Is(err, ErrClosed) {
			t.Errorf("close: %v", err)
		}
	})
	return r
}

// onLoop runs f on the loop and waits for it.
func (r *recorder) onLoop(t testing.TB, f func()) {
	t.Helper()
	done := make(chan struct{})
	if err := r.loop.Post(func() { f(); close(done) }); err != nil {
		t.Fatal(err)
	}
	<-done
}

func socketPair(t testing.TB) (a, b int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fds[0]); unix.Close(fds[1]) })
	return fds[0], fds[1]
}

func TestReadyCarriesData(t *testing.T) {
	a, b := socketPair(t)
	const data = 0xfedcba9876543210
	got := make(chan Event, 1)
	r := startLoop(t, func(d uint64, ev Event) {
		if d != data {
			t.Errorf("data: got %x, want %x", d, uint64(data))
		}
		var buf [8]byte
		Recv(a, buf[:])
		select {
		case got <- ev:
		default: // a hang-up is level-triggered: it comes until the removal
		}
	})
	r.onLoop(t, func() {
		if err := r.loop.Add(a, data, Readable); err != nil {
			t.Error(err)
		}
	})
	Send(b, []byte("x"))
	if ev := <-got; ev != Readable {
		t.Errorf("event: got %v, want readable", ev)
	}
	unix.Shutdown(b, unix.SHUT_RDWR)
	if ev := <-got; ev&Hangup == 0 {
		t.Errorf("event after shutdown: got %v, want a hangup", ev)
	}
	r.onLoop(t, func() { r.loop.Remove(a) })
}

func TestNothingIsReportedUnasked(t *testing.T) {
	a, b := socketPair(t)
	var events atomic.Int32
	r := startLoop(t, func(uint64, Event) { events.Add(1) })
	r.onLoop(t, func() { r.loop.Add(a, 1, 0) })
	Send(b, []byte("x"))
	unix.Shutdown(b, unix.SHUT_WR) // FIN alone: not a hang-up, and RDHUP is not armed
	for range 3 {
		r.onLoop(t, func() {})
	}
	if n := events.Load(); n != 0 {
		t.Errorf("%d events for a descriptor that asked for none", n)
	}
	r.onLoop(t, func() { r.loop.Remove(a) })
}

// TestEdge: a change is reported once, what was left when it is asked for again, and
// the end of the stream with what was said before it.
func TestEdge(t *testing.T) {
	a, b := socketPair(t)
	events := make(chan Event, 100)
	r := startLoop(t, func(_ uint64, ev Event) { events <- ev })
	const asked = Readable | PeerClosed | Edge
	check := func(what string, want Event) {
		t.Helper()
		if got := <-events; got != want {
			t.Errorf("%s: got %v, want %v", what, got, want)
		}
		for range 3 {
			r.onLoop(t, func() {})
		}
		if n := len(events); n != 0 {
			t.Errorf("%s: reported %d times more", what, n)
		}
	}
	r.onLoop(t, func() { r.loop.Add(a, 1, asked) })
	Send(b, []byte("hello"))
	check("bytes", Readable)
	r.onLoop(t, func() { r.loop.Mod(a, 1, asked) })
	check("what was left", Readable)
	unix.Shutdown(b, unix.SHUT_WR)
	check("the end behind it", Readable|PeerClosed)
	r.onLoop(t, func() { r.loop.Remove(a) })
}

// A turn takes at most maxPasses × maxEvents, so that wake-ups and timers are not
// starved by connections that are always ready.
func TestBusySetDoesNotStarveWakeups(t *testing.T) {
	a, b := socketPair(t)
	Send(b, []byte("never read"))
	r := startLoop(t, func(uint64, Event) {})
	r.onLoop(t, func() { r.loop.Add(a, 1, Readable) })
	for range 100 {
		r.onLoop(t, func() {})
	}
	r.onLoop(t, func() { r.loop.Remove(a) })
}

func TestWakeupsAreCoalesced(t *testing.T) {
	r := startLoop(t, func(uint64, Event) {})
	r.onLoop(t, func() {
		before := r.wakes.Load()
		for range 1000 {
			r.loop.Wake()
		}
		if got := r.wakes.Load(); got != before {
			t.Errorf("Wake was answered inside a callback")
		}
	})
	r.onLoop(t, func() {})
	if n := r.wakes.Load(); n > 4 {
		t.Errorf("a thousand wake-ups were answered %d times", n)
	}
}

func TestPostKeepsOrder(t *testing.T) {
	r := startLoop(t, func(uint64, Event) {})
	var got []int
	for i := range 1000 {
		r.loop.Post(func() { got = append(got, i) })
	}
	r.onLoop(t, func() {})
	for i, v := range got {
		if i != v {
			t.Fatalf("position %d holds %d", i, v)
		}
	}
	if len(got) != 1000 {
		t.Fatalf("%d of 1000 ran", len(got))
	}
}

func TestTimerEarliestWins(t *testing.T) {
	r := startLoop(t, func(uint64, Event) {})
	var asked time.Duration
	r.onLoop(t, func() {
		asked = r.loop.Now() + 5*time.Millisecond
		r.loop.SetTimer(asked + time.Hour)
		r.loop.SetTimer(asked)
		r.loop.SetTimer(asked + time.Minute)
	})
	if at := <-r.timers; at < asked {
		t.Errorf("fired at %v, asked for %v", at, asked)
	}
	r.onLoop(t, func() { r.loop.SetTimer(0) }) // a time that has passed fires at once
	<-r.timers
}

// spinner is a Handler that never lets the loop block.
type spinner struct {
	recorder
	goOn   func(*Loop)
	passes atomic.Int64
}

// Timer hands on what there is room for: the loop's own come every millisecond.
func (s *spinner) Timer() {
	select {
	case s.timers <- s.loop.Now():
	default:
	}
}

func (s *spinner) After() {
	s.passes.Add(1)
	s.goOn(s.loop)
}

// start starts the loop, which is the caller's to close.
func (s *spinner) start(t testing.TB) *Loop {
	t.Helper()
	loop, err := New(s, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	s.loop = loop
	if err := loop.Start(); err != nil {
		t.Fatal(err)
	}
	return loop
}

// A loop that spins or goes on makes passes although nothing is ready, and neglects nobody:
// what is posted runs, a timer fires, a listener is served, a connection is read,
// and Close ends it.
func TestSpin(t *testing.T) {
	t.Run("spin", func(t *testing.T) {
		testGoingOn(t, func(l *Loop) { l.Spin(l.Now() + time.Hour) })
	})
	t.Run("again", func(t *testing.T) { testGoingOn(t, (*Loop).Again) })
}

func testGoingOn(t *testing.T, goOn func(*Loop)) {
	const enough = 1000
	a, b := socketPair(t)
	c, d := socketPair(t)
	Send(b, []byte("x"))
	Send(d, []byte("x"))
	s := &spinner{goOn: goOn}
	s.timers = make(chan time.Duration, 1)
	ready, listened := make(chan uint64, 1), make(chan bool, 1)
	s.ready = func(data uint64, _ Event) {
		s.loop.Remove(a)
		ready <- data
	}
	loop := s.start(t)
	s.onLoop(t, func() {})
	for s.passes.Load() < enough {
		runtime.Gosched()
	}
	s.onLoop(t, func() {
		loop.Add(a, 7, Readable)
		loop.Listen(c, func() { loop.Unlisten(c); listened <- true })
		loop.SetTimer(loop.Now())
	})
	if got := <-ready; got != 7 {
		t.Errorf("ready: got %d, want 7", got)
	}
	<-listened
	<-s.timers
	if err := loop.Close(); err != nil {
		t.Error(err)
	}
}

// Each Again is followed by one Wake, and after the last the loop rests.
func TestAgain(t *testing.T) {
	const n = 10_000
	s := new(spinner)
	enough := make(chan bool, 1)
	s.goOn = func(l *Loop) {
		switch k := s.passes.Load(); {
		case k < n:
			l.Again()
		case k == n:
			enough <- true
		}
	}
	loop := s.start(t)
	defer loop.Close()
	loop.Wake()
	<-enough
	s.onLoop(t, func() {})
	if wakes, passes := int64(s.wakes.Load()), s.passes.Load(); wakes < n || passes > n+4 {
		t.Errorf("%d passes and %d wakes of %d", passes, wakes, n)
	}
}

func TestListenPauseResume(t *testing.T) {
	fd, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	addr, err := Local(fd)
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan string, 8)
	r := startLoop(t, func(uint64, Event) {})
	r.onLoop(t, func() {
		r.loop.Listen(fd, func() {
			conn, peer, errno := Accept(fd)
			if errno != 0 {
				return
			}
			if Peer(conn) != peer {
				t.Errorf("accept says %v, getpeername %v", peer, Peer(conn))
			}
			if on, _ := unix.GetsockoptInt(conn, unix.IPPROTO_TCP, unix.TCP_NODELAY); on == 0 {
				t.Error("TCP_NODELAY was not inherited")
			}
			unix.Close(conn)
			accepted <- peer.String()
		})
		r.loop.PauseListen(fd)
	})
	conn, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range 3 {
		r.onLoop(t, func() {})
	}
	if len(accepted) != 0 {
		t.Fatal("accepted while paused")
	}
	r.onLoop(t, func() { r.loop.ResumeListen(fd) })
	if got := <-accepted; got != conn.LocalAddr().String() {
		t.Errorf("peer: got %s, want %s", got, conn.LocalAddr())
	}
	r.onLoop(t, func() { r.loop.Unlisten(fd) })
}

// easygo keeps a descriptor whose Add failed, and would refuse its number for ever.
func TestFailedAddDoesNotPoisonTheNumber(t *testing.T) {
	r := startLoop(t, func(uint64, Event) {})
	r.onLoop(t, func() {
		file, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Error(err)
			return
		}
		if err := r.loop.Listen(file, func() {}); err == nil {
			t.Error("epoll took a file it cannot poll")
		}
		fd, err := Listen("127.0.0.1:0")
		if err != nil {
			t.Error(err)
			return
		}
		if err := unix.Dup3(fd, file, unix.O_CLOEXEC); err != nil { // the same number, now a socket
			t.Error(err)
		}
		if err := r.loop.Listen(file, func() {}); err != nil {
			t.Errorf("the number is poisoned: %v", err)
		}
		r.loop.Unlisten(file)
		unix.Close(file)
		unix.Close(fd)
	})
}

// Events taken in one wait are dispatched although an earlier one of them removed
// the descriptor: the callback of a removed one must be dead.
func TestUnlistenedCallbackIsDead(t *testing.T) {
	r := startLoop(t, func(uint64, Event) {})
	a, aPeer := socketPair(t)
	b, bPeer := socketPair(t)
	var calls atomic.Int32
	first := make(chan struct{})
	take := func(other int) func() {
		return func() {
			if calls.Add(1) == 1 {
				r.loop.Unlisten(other)
				close(first)
			}
		}
	}
	r.onLoop(t, func() {
		Send(aPeer, []byte("x"))
		Send(bPeer, []byte("x"))
		r.loop.Listen(a, take(b))
		r.loop.Listen(b, take(a))
	})
	<-first
	r.onLoop(t, func() { // unlistens the one that is left
		r.loop.Unlisten(a)
		r.loop.Unlisten(b)
	})
	if calls.Load() == 0 {
		t.Error("no callback at all")
	}
}

func TestCloseRunsNothing(t *testing.T) {
	a, b := socketPair(t)
	Send(b, []byte("x"))
	r := startLoop(t, func(uint64, Event) {})
	var closing atomic.Bool
	r.onLoop(t, func() {
		r.loop.Listen(a, func() {
			if closing.Load() && onMain() {
				t.Error("a callback ran on the closer's goroutine")
			}
		})
	})
	closing.Store(true)
	if err := r.loop.Close(); err != nil {
		t.Fatal(err)
	}
	if err := r.loop.Close(); !errors.Is(err, ErrClosed) {
		t.Errorf("second close: got %v, want ErrClosed", err)
	}
	if err := r.loop.Post(func() { t.Error("posted to a closed loop, and run") }); !errors.Is(err, ErrClosed) {
		t.Errorf("post: got %v, want ErrClosed", err)
	}
	r.loop.Wake() // harmless
}

// onMain reports whether the caller runs on a test's goroutine.
func onMain() bool {
	stack := make([]byte, 8192)
	return bytes.Contains(stack[:runtime.Stack(stack, false)], []byte("testing.tRunner"))
}

func TestWaitErrorIsReported(t *testing.T) {
	r := startLoop(t, func(uint64, Event) {})
	r.onLoop(t, func() {
		null, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Error(err)
			return
		}
		// The set's number now means something epoll cannot wait on.
		saved, _ := unix.FcntlInt(uintptr(r.loop.set.fd), unix.F_DUPFD_CLOEXEC, 0)
		unix.Dup3(null, r.loop.set.fd, unix.O_CLOEXEC)
		r.loop.onReady()
		unix.Dup3(saved, r.loop.set.fd, unix.O_CLOEXEC)
		unix.Close(saved)
		unix.Close(null)
	})
	if err := <-r.failed; !errors.Is(err, unix.EINVAL) {
		t.Errorf("got %v, want EINVAL", err)
	}
}

func TestSocketCalls(t *testing.T) {
	a, b := socketPair(t)
	var buf [16]byte
	if _, errno := Recv(a, buf[:]); errno != unix.EAGAIN {
		t.Errorf("recv on an empty socket: %v, want EAGAIN", errno)
	}
	if n, errno := Send(b, []byte("hello")); n != 5 || errno != 0 {
		t.Errorf("send: %d, %v", n, errno)
	}
	if n, errno := Recv(a, buf[:]); string(buf[:n]) != "hello" || errno != 0 {
		t.Errorf("recv: %q, %v", buf[:n], errno)
	}
	big := make([]byte, 4*SendLimit)
	if n, errno := Send(b, big); n <= 0 || n > SendLimit || errno != 0 {
		t.Errorf("one send took %d bytes (%v), limit %d", n, errno, SendLimit)
	}
	unix.Shutdown(a, unix.SHUT_RDWR)
	if _, errno := Send(b, []byte("x")); errno != unix.EPIPE {
		t.Errorf("send to a closed peer: %v, want EPIPE and no signal", errno)
	}
	if conn, _, errno := Accept(a); errno == 0 {
		unix.Close(conn)
		t.Error("accept on a socket that does not listen")
	}
}

func TestListenErrors(t *testing.T) {
	for _, address := range []string{"nonsense", "127.0.0.1:99999", "256.0.0.1:0", "203.0.113.1:0"} {
		if fd, err := Listen(address); err == nil {
			unix.Close(fd)
			t.Errorf("%q: no error", address)
		}
	}
	fd, err := Listen(":0")
	if err != nil {
		t.Fatal(err)
	}
	addr, _ := Local(fd)
	if _, err := Listen(fmt.Sprintf("127.0.0.1:%d", addr.Port())); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("a taken port: %v, want EADDRINUSE", err)
	}
	unix.Close(fd)
}

func BenchmarkRecvSend(b *testing.B) {
	x, y := socketPair(b)
	buf := make([]byte, 64)
	b.Run("raw", func(b *testing.B) {
		for b.Loop() {
			Send(x, buf)
			Recv(y, buf)
		}
	})
	b.Run("syscall", func(b *testing.B) {
		for b.Loop() {
			_, _ = unix.Write(x, buf)
			_, _ = unix.Read(y, buf)
		}
	})
}

func BenchmarkWake(b *testing.B) {
	r := startLoop(b, func(uint64, Event) {})
	for b.Loop() {
		r.loop.Wake()
	}
}

// exiter is a Handler whose callbacks may end the goroutine.
type exiter struct {
	recorder
	exit atomic.Bool // the next callback does
	seen chan uint64
}

func (e *exiter) leave() {
	if e.exit.Swap(false) {
		runtime.Goexit()
	}
}

func (e *exiter) Ready(data uint64, _ Event) { e.seen <- data; e.leave() }
func (e *exiter) Wake()                      { e.leave() }
func (e *exiter) Timer()                     { e.timers <- e.loop.Now(); e.leave() }
func (e *exiter) After()                     { e.leave() }

// TestGoexit: a callback that ends its goroutine ends nothing else. The other events of
// the pass, which are told of once, and what was posted come on the next.
func TestGoexit(t *testing.T) {
	const fds = 8
	e := &exiter{seen: make(chan uint64, 64)}
	e.timers, e.failed = make(chan time.Duration, 8), make(chan error, 1)
	loop, err := New(e, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	e.loop = loop
	listener, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(listener)
	if err := loop.Start(); err != nil {
		t.Fatal(err)
	}
	var peers []int
	for k := range uint64(fds) {
		a, b := socketPair(t)
		peers = append(peers, b)
		if err := loop.Add(a, k, Readable|Edge); err != nil {
			t.Fatal(err)
		}
	}
	came := make(chan int, 1)
	e.onLoop(t, func() {
		if err := loop.Listen(listener, func() {
			fd, _, errno := Accept(listener)
			if errno != 0 {
				return
			}
			came <- fd
			e.leave()
		}); err != nil {
			t.Error(err)
		}
	})
	for round := range 20 {
		held, ready := make(chan bool), make(chan bool)
		_ = loop.Post(func() { close(held); <-ready }) // so that they are one pass
		<-held
		for _, b := range peers {
			Send(b, []byte("x"))
		}
		e.exit.Store(true)
		posted := make(chan int, 3)
		for k := range 3 {
			_ = loop.Post(func() { posted <- k; e.leave() })
		}
		close(ready)
		var all uint64
		for range fds {
			all |= 1 << <-e.seen
		}
		if all != 1<<fds-1 {
			t.Fatalf("round %d: got events %b", round, all)
		}
		for k := range 3 {
			if got := <-posted; got != k {
				t.Fatalf("round %d: got post %d, want %d", round, got, k)
			}
		}
		e.onLoop(t, func() { _ = loop.SetTimer(loop.Now()) })
		e.exit.Store(true)
		<-e.timers
		e.exit.Store(true)
		addr, _ := Local(listener)
		c, err := net.Dial("tcp", addr.String())
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(<-came)
		c.Close()
	}
	if err := loop.Close(); err != nil {
		t.Error(err)
	}
}

// TestUnreachable: connections in the backlog are accepted, and none comes after.
func TestUnreachable(t *testing.T) {
	listener, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr, _ := Local(listener)
	const waiting = 20
	for range waiting {
		c, err := net.Dial("tcp", addr.String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	if err := Unreachable(listener); err != nil {
		t.Fatal(err)
	}
	late := make(chan error, 1)
	go func() {
		c, err := net.Dial("tcp", addr.String())
		if err == nil {
			c.Close()
		}
		late <- err
	}()
	n := 0
	for ; ; n++ {
		fd, _, errno := Accept(listener)
		if errno != 0 {
			break
		}
		unix.Close(fd)
	}
	unix.Close(listener)
	if n != waiting {
		t.Errorf("%d were accepted, want %d", n, waiting)
	}
	if err := <-late; err == nil {
		t.Error("one came later")
	}
}

// A program that this one starts has nothing of a loop, also when an Epoll was replaced: a callback
// has ended its goroutine.
func TestClosedOnExec(t *testing.T) {
	r := startLoop(t, func(uint64, Event) {})
	look := func() {
		t.Helper()
		all, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range all {
			of, _ := os.Readlink("/proc/self/fd/" + e.Name())
			fd, err := strconv.Atoi(e.Name())
			if err != nil || !strings.HasPrefix(of, "anon_inode:") {
				continue
			}
			if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
				t.Errorf("descriptor %d, %s, is not closed on exec", fd, of)
			}
		}
	}
	look()
	if err := r.loop.Post(runtime.Goexit); err != nil {
		t.Fatal(err)
	}
	r.onLoop(t, look)
}
