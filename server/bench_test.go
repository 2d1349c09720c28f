//go:build linux

package server

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/stream"
	"github.com/usher-ws/usher/upgrade"
	"golang.org/x/sys/unix"
)

// bench is a loop that has not started, so that a test can hand it one event at a
// time, and one connection of it with the peer's end.
type bench struct {
	testing.TB
	l     *loop
	drive stream.Drive[session, extra]
	s     link // of slots that are used again, the connection that is there now
	peer  int
	far   *farEnd // of records, if the bench is over TLS

	asks chan error // what the authorizers answer
	exp  time.Time  // of alice's token

	begun   chan bool  // a job of /work has begun
	gate    chan bool  // and may end
	isBusy  bool       // others keep its workers busy
	onDrain func(Conn) // what else Drain does there

	upstream string  // where /relay leads, a unix socket
	listener int     // of it
	client   link    // for which a connection that was dialled is there
	caller   int     // the client's peer
	calling  *farEnd // what far was for that: what is dialled is in the clear
	waits    bool    // its Caller has requests wait
	ready    func()  // of such a Caller
	others   int     // how often that calls again
	causes   []error
	ended    []uint32
	done     int

	opened, closed int // how often Open and Close were called on the bench's own routes
}

const upgradeHead = "GET %s HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

func newBench(t testing.TB, s *Server) *bench {
	t.Helper()
	b := &bench{TB: t, peer: -1, asks: make(chan error, 1), exp: time.Now().Add(time.Hour),
		begun: make(chan bool, 1000), gate: make(chan bool, 1000)}
	s.Loops = 1
	b.routes(s)
	s.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	s.log = newLogWriter(s.Logger)
	s.authorizing.Max = askedAtOnce
	s.MaxRequests, s.Handler = 1, http.HandlerFunc(b.handle)
	if err := s.newEngine(); err != nil {
		t.Fatal(err)
	}
	s.http = newHTTPSide(s)
	b.l = s.loops[0]
	b.drive = b.l.Drive() // the test is the loop
	t.Cleanup(func() {
		b.l.drain.cut()
		s.engine.Close()
		unix.Close(b.peer)
		close(b.gate)
		s.http.stop()
		for s.asking.InUse() > 0 {
			time.Sleep(time.Millisecond) // the authorizer's goroutine is ending
		}
		s.log.stop(time.Now().Add(time.Minute))
		if n := b.l.Buffers.InUse(); n != 0 {
			t.Errorf("%d bytes of buffers are still lent", n)
		}
		if n := s.total(); n != 0 {
			t.Errorf("%d connections are still counted", n)
		}
		if b.opened != b.closed {
			t.Errorf("Open was called %d times, Close %d times", b.opened, b.closed)
		}
	})
	return b
}

// routes are those of every bench.
func (b *bench) routes(s *Server) {
	route := func(pattern string, r Route) {
		r.Open = func(Conn) error { b.opened++; return nil }
		r.Close = func(Conn, error) { b.closed++ }
		s.Route(pattern, r)
	}
	alice := &upgrade.Identity{Subject: "alice", ExpiresAt: b.exp}
	isAlice := []upgrade.Guard{{OnBeforeUpgrade: func(r *upgrade.Request) (http.Header, error) {
		r.Identity = alice
		return nil, nil
	}}}
	slowly := []upgrade.Guard{upgrade.Bearer(slowVerifier{alice})}
	ask := func(ctx context.Context, _ *upgrade.Request) error {
		select {
		case err := <-b.asks:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	work := []Middleware{Offload(1)}
	route("/echo", Route{Message: echo, Guards: isAlice})
	route("/much", Route{Guards: isAlice, Message: func(c Conn, _ Message) error { return c.Send(frame.OpBinary, make([]byte, 1<<20)) }})
	route("/slow", Route{Message: echo, Guards: slowly})
	route("/slow/no", Route{Guards: slowly, Authorize: func(context.Context, *upgrade.Request) error { return errNo }})
	route("/slow/ask", Route{Guards: slowly, Authorize: ask})
	route("/ask", Route{Message: echo, Authorize: ask})
	route("/ask/work", Route{Message: b.work, Authorize: ask, Middleware: work})
	route("/relay", Route{Relay: b.relay(), Limits: Limits{Over: Delay}})
	route("/work", Route{Message: b.work, Guards: isAlice, Middleware: work, Writable: func(c Conn) {
		if b.onDrain != nil {
			b.onDrain(c)
		}
	}})
}

// handle answers requests that no route matches with their body, when the test lets it. At
// /hijack it says 64 KiB each time that the test lets it, until it is told to end.
func (b *bench) handle(w http.ResponseWriter, r *http.Request) {
	b.begun <- true
	if r.URL.Path != "/hijack" {
		<-b.gate
		_, _ = io.Copy(w, r.Body) // it may be gone
		return
	}
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		b.Error(err)
		return
	}
	defer c.Close()
	for <-b.gate {
		_, _ = c.Write(make([]byte, outWindow))
	}
}

// work is a job: it echoes when the test lets it.
func (b *bench) work(c Conn, m Message) error {
	b.begun <- true
	if <-b.gate; string(m.Data) == "fail" {
		return &CloseError{Code: 4000}
	}
	_ = c.Send(m.Opcode, m.Data) // it may be gone
	return nil
}

// slowVerifier takes its time for every token, and knows one.
type slowVerifier struct{ id *upgrade.Identity }

func (v slowVerifier) Verify([]byte, time.Time) (*upgrade.Identity, error) {
	return nil, upgrade.ErrSlow
}

func (v slowVerifier) Begin(token []byte, _ time.Time) upgrade.Verification {
	isGood := string(token) == "good"
	return elsewhere(func(context.Context) (*upgrade.Identity, error) {
		if !isGood {
			return nil, errNo
		}
		return v.id, nil
	})
}

// elsewhere is a Verification that is slow.
type elsewhere func(context.Context) (*upgrade.Identity, error)

func (elsewhere) IsSlow() bool { return true }

func (elsewhere) Verify(time.Time) (*upgrade.Identity, error) { return nil, upgrade.ErrSlow }

func (f elsewhere) Wait(ctx context.Context, _ time.Time) (*upgrade.Identity, error) { return f(ctx) }

var errNo = upgrade.Reject(403, upgrade.CodeForbidden, "no")

// answeredElsewhere waits for the verdict of a question, and lets the loop have it.
func (b *bench) answeredElsewhere() {
	for b.l.srv.asking.InUse() > 0 {
		time.Sleep(time.Millisecond)
	}
	b.drive.Wake()
}

// connect adopts one end of a new socket pair.
func (b *bench) connect() {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		b.Fatal(err)
	}
	b.peer = fds[1]
	b.s = b.drive.Adopt(fds[0])
	if b.far != nil {
		b.secure()
	}
}

// again has another connection in the place of this one, which asks for path.
func (b *bench) again(path string) {
	b.Helper()
	slot := b.s.Slot()
	b.s.Cut(stream.ErrHangup)
	unix.Close(b.peer)
	if b.connect(); b.s.Slot() != slot {
		b.Fatalf("slot %d is free, and %d was used", slot, b.s.Slot())
	}
	b.ask(path)
}

// ask has the peer send a request, with more behind it, and the loop read it.
func (b *bench) ask(path string, early ...string) {
	b.Helper()
	b.send(fmt.Sprintf(upgradeHead, path) + strings.Join(early, ""))
	readable(b)
}

// conn is the connection as its callbacks see it.
func (b *bench) conn() Conn { return b.l.conn(b.s) }

func (b *bench) send(data string) {
	b.Helper()
	if b.far != nil {
		data = b.far.seal(b, data)
	}
	if _, err := unix.Write(b.peer, []byte(data)); err != nil {
		b.Fatalf("peer's write: %v", err)
	}
}

// receive returns what the peer can read now.
func (b *bench) receive() string { return b.receiveFrom(b.peer) }

func (b *bench) receiveFrom(fd int) string {
	var all []byte
	buf := make([]byte, 64<<10)
	for {
		n, err := unix.Read(fd, buf)
		if (n <= 0 || err != nil) && b.far != nil && fd == b.peer {
			return b.far.open(b, all)
		}
		if n <= 0 || err != nil {
			return string(all)
		}
		all = append(all, buf[:n]...)
	}
}

func (b *bench) message(text string) string { return string(masked(frame.OpText, []byte(text))) }

// stage is where a connection is: its session's state and its stream's.
type stage struct {
	session state
	stream  stream.State
}

var (
	isHead       = stage{head, stream.Flowing}
	isAsked      = stage{asked, stream.Flowing}
	isAskedHeld  = stage{asked, stream.Held}
	isQueued     = stage{queued, stream.Flowing}
	isServed     = stage{served, stream.Flowing}
	isServedHeld = stage{served, stream.Held}
	isOpen       = stage{open, stream.Flowing}
	isHeld       = stage{open, stream.Held}
	isWinding    = stage{winding, stream.Held}
	isCalled     = stage{called, stream.Flowing}
	isGone       = stage{winding, stream.Gone}
	isFinishing  = stage{over, stream.Finishing}
	isLingering  = stage{over, stream.Lingering}
	isFree       = stage{over, stream.Free}
)

func (p stage) String() string { return p.session.String() + "+" + p.stream.String() }

// at is where the connection is.
func (b *bench) at() stage { return stageOf(b.s) }

func stageOf(s link) stage {
	if s.State() == stream.Free {
		return isFree // and there is nothing of it any more
	}
	return stage{s.Data().facts.state(), s.State()}
}

// twoJobs is what a peer says of which two jobs remain, and that it ends.
func (b *bench) twoJobs() string {
	return b.message("1") + b.message("2") + string(masked(frame.OpClose, []byte("\x03\xe8")))
}

// bring has the connection reach a stage, by the way it would come there.
func (b *bench) bring(to stage) {
	b.Helper()
	b.connect()
	switch to {
	case isFree:
		b.s.Cut(stream.ErrHangup)
	case isHead:
	case isAsked:
		b.ask("/ask")
	case isAskedHeld:
		b.ask("/ask")
		b.send(strings.Repeat("x", earlyLimit))
		readable(b)
	case isQueued:
		b.send("POST /other HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhe")
		readable(b)
	case isServed:
		b.send("POST /other HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nhe")
		readable(b)
		<-b.begun
	case isServedHeld:
		b.send("GET /hijack HTTP/1.1\r\nHost: h\r\n\r\n")
		readable(b)
		<-b.begun
		for b.s.Waiting() == 0 {
			before := b.l.Sent()
			b.gate <- true
			eventually(b, "it is said", func() bool { b.drive.Wake(); return b.l.Sent() > before || b.s.Waiting() > 0 })
		}
	case isCalled:
		b.listen()
		b.ask("/relay")
		b.accept()
	case isWinding, isGone:
		b.ask("/work")
		b.receive()
		b.send(b.twoJobs())
		if readable(b); !b.isBusy {
			<-b.begun
		}
	default:
		b.ask("/echo")
		if !strings.HasPrefix(b.receive(), "HTTP/1.1 101 ") {
			b.Fatal("not upgraded")
		}
	}
	if to == isHeld || to == isFinishing {
		b.fill()
	}
	if to == isFinishing || to == isLingering {
		b.l.conclude(b.s, nil, &CloseError{Code: frame.StatusNormalClosure})
	}
	if to == isGone {
		b.s.Cut(unix.ECONNRESET)
	}
	if got := b.at(); got != to {
		b.Fatalf("set-up: the connection is %v, want %v", got, to)
	}
}

// fill sends more than the kernel takes.
func (b *bench) fill() {
	b.l.deliver(b.s, frame.AppendFrame(nil, frame.OpBinary, make([]byte, 1<<20)), 1)
	for sent := uint64(0); b.far != nil && sent != b.l.Sent(); { // no more is sealed at once than a part of that
		sent = b.l.Sent()
		writable(b)
	}
}

// empty has the peer take all that waits.
func (b *bench) empty() {
	for b.s.State() == stream.Held || b.s.State() == stream.Finishing {
		if b.receive() == "" {
			return
		}
		writable(b)
	}
}

// checkInterest holds what is armed against what the states allow. A lingering stream is
// heard unless it has said too much.
func (b *bench) checkInterest(saidTooMuch bool) {
	b.Helper()
	if b.s.State() == stream.Gone {
		return // no descriptor is left to ask about
	}
	var read, write bool
	switch b.s.State() {
	case stream.Flowing:
		read = true
	case stream.Lingering:
		read = !saidTooMuch
	case stream.Held, stream.Finishing:
		write = b.s.Waiting() > 0
	}
	if q := b.s.Extra().question; q != nil && len(q.early) >= earlyLimit {
		read = false
	}
	if r, w := b.drive.Armed(b.s); r != read || w != write {
		b.Errorf("armed in %v: got read %v, write %v, want %v, %v", b.at(), r, w, read, write)
	}
}

// These are the events of a stream.
func readable(b *bench) { b.drive.Readable(b.s); b.tell() }
func writable(b *bench) { b.drive.Writable(b.s); b.tell() }
func hangup(b *bench)   { b.drive.Hangup(b.s); b.tell() }
func dueNow(b *bench)   { b.drive.Due(b.s); b.tell() }

// after does something at the peer or to the clock, and then the event.
func after(first, ev func(*bench)) func(*bench) {
	return func(b *bench) { first(b); ev(b) }
}

func hangUp(b *bench) {
	if b.far != nil && b.far.isPolite {
		b.far.end(b)
	}
	unix.Shutdown(b.peer, unix.SHUT_RDWR)
}

func later(b *bench) { b.drive.Advance(stream.Ticks(24 * time.Hour)) }

func atExp(b *bench) { b.l.wall = func() time.Time { return b.exp } }

// tokenExpired is the close frame that says so.
const tokenExpired = "\x88\x0f\x11\x31token_expired"
