//go:build linux

package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/internal/websocket"
	"github.com/usher-ws/usher/stream"
	"golang.org/x/sys/unix"
)

// workshop is a route whose messages are handled elsewhere, when the test says so.
type workshop struct {
	gate   chan bool // a handler takes one from it
	began  atomic.Int32
	closed chan string // what Close was told, and after how many jobs
	said   chan error  // what Send answered
	doing  atomic.Int32
	most   atomic.Int32
}

func newWorkshop() *workshop {
	return &workshop{gate: make(chan bool, 1000), closed: make(chan string, 10), said: make(chan error, 1000)}
}

func (w *workshop) route(n int) Route {
	return Route{
		Middleware: []Middleware{Offload(n)},
		Message: func(c Conn, m Message) error {
			w.began.Add(1)
			n := w.doing.Add(1)
			defer w.doing.Add(-1)
			for most := w.most.Load(); n > most && !w.most.CompareAndSwap(most, n); most = w.most.Load() {
			}
			<-w.gate
			switch string(m.Data) {
			case "panic":
				panic("as asked")
			case "fail":
				return &CloseError{Code: 4000, Reason: "as asked"}
			case "close":
				return c.Close(4001, "as asked")
			case "where":
				m.Data = fmt.Append(nil, c.PathValue("room"), c.Identity() == nil, c.RemoteAddr().IsValid(), c.Subprotocol())
			}
			err := c.Send(m.Opcode, m.Data)
			w.said <- err
			return nil
		},
		Close: func(c Conn, err error) {
			var e *CloseError
			errors.As(err, &e)
			w.closed <- fmt.Sprintf("%d after %d in %s", e.Code, w.began.Load(), c.PathValue("room"))
		},
	}
}

// ended checks that a connection has ended, and as its Close was to be told.
func (w *workshop) ended(t *testing.T, want string) {
	t.Helper()
	select {
	case told := <-w.closed:
		if told != want {
			t.Errorf("Close: got %q, want %q", told, want)
		}
	default:
		t.Errorf("no end, want %q", want)
	}
}

// let lets n jobs end.
func (w *workshop) let(n int) {
	for range n {
		w.gate <- true
	}
}

// Messages of one connection are handled in order, of several at once, by no more
// than there may be.
func TestOffload(t *testing.T) {
	const conns, messages, workers = 8, 200, 3
	w := newWorkshop()
	w.said = make(chan error, conns*messages)
	s := &Server{Loops: 2}
	s.Route("/work/{room}", w.route(workers))
	addr := start(t, s)
	var all sync.WaitGroup
	for range conns {
		c := dial(t, addr, "/work/a")
		all.Go(func() {
			for k := range messages {
				if err := c.WriteMessage(websocket.TextMessage, fmt.Append(nil, k)); err != nil {
					t.Error(err)
					return
				}
			}
		})
		all.Go(func() {
			for k := range messages {
				if _, got, err := c.ReadMessage(); err != nil || string(got) != fmt.Sprint(k) {
					t.Errorf("answer %d: got %q, %v", k, got, err)
					return
				}
			}
		})
	}
	eventually(t, "all workers have a message", func() bool { return w.most.Load() == workers })
	close(w.gate)
	all.Wait()
	if n := w.most.Load(); n > workers {
		t.Errorf("%d messages were handled at once, want %d", n, workers)
	}
}

// What a worker may ask it is told, pings are answered meanwhile, and what else may
// happen to a connection with jobs happens when they are done.
func TestOffloadEnds(t *testing.T) {
	closing := frame.AppendCloseFrame(nil, frame.StatusNormalClosure, "")
	closing = append(masked(frame.OpClose, nil)[:2], append([]byte{0, 0, 0, 0}, closing[2:]...)...)
	closing[1] |= 2
	said := func(texts ...string) (b []byte) {
		for _, text := range texts {
			b = append(b, masked(frame.OpText, []byte(text))...)
		}
		return b
	}
	for _, c := range []struct {
		name string
		sent []byte
		then func(c *net.TCPConn)
		want string // all that is read until the end
		told string // to Close
	}{
		{"facts", append(said("where"), closing...), nil, "\x81\x0aatrue true\x88\x02\x03\xe8", "1000 after 1 in a"},
		{"close frame", append(said("1", "2", "3"), closing...), nil, "\x81\x011\x81\x012\x81\x013\x88\x02\x03\xe8", "1000 after 3 in a"},
		{"protocol error", append(said("1", "2"), 0xff), nil, "\x81\x011\x81\x012\x88", "1002 after 2 in a"},
		{"end of input", said("1", "2", "3"), func(c *net.TCPConn) { c.CloseWrite() }, "\x81\x011\x81\x012\x81\x013", "1006 after 3 in a"},
		{"panic", said("1", "panic", "3"), nil, "\x81\x011\x88\x0a\x03\xf3internal", "1011 after 2 in a"},
		{"failure", said("1", "fail", "3"), nil, "\x81\x011\x88\x0a\x0f\xa0as asked", "4000 after 2 in a"},
		{"Conn.Close", said("1", "close", "3"), nil, "\x81\x011\x88\x0a\x0f\xa1as asked", "4001 after 2 in a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorkshop()
			s := &Server{Loops: 1}
			s.Route("/work/{room}", w.route(4))
			raw := rawDial(t, start(t, s), "/work/a")
			raw.Write(c.sent)
			if c.then != nil {
				c.then(raw)
			}
			eventually(t, "the first has begun", func() bool { return w.began.Load() == 1 })
			w.let(10)
			got, err := io.ReadAll(raw)
			if !strings.HasPrefix(string(got), c.want) {
				t.Errorf("got %q, %v, want %q", got, err, c.want)
			}
			if told := <-w.closed; told != c.told {
				t.Errorf("Close: got %q, want %q", told, c.told)
			}
		})
	}
}

// A peer that hangs up is gone, but what it said is handled, and Close comes last.
func TestOffloadHangUp(t *testing.T) {
	w := newWorkshop()
	s := &Server{Loops: 1, MaxConnsPerIP: 1}
	s.Route("/work/{room}", w.route(1))
	addr := start(t, s)
	c := dial(t, addr, "/work/a")
	for range 5 {
		say(t, c, "where")
	}
	eventually(t, "the first has begun", func() bool { return w.began.Load() == 1 })
	var jobs int
	eventually(t, "all are jobs", func() bool {
		done := make(chan int)
		s.loops[0].Post(func() { done <- s.loops[0].At(1).Extra().line.open })
		jobs = <-done
		return jobs == 5
	})
	c.UnderlyingConn().(*net.TCPConn).SetLinger(0)
	c.Close()
	w.let(1)
	<-w.said // of the job that may have come before the end
	eventually(t, "the end is noticed", func() bool {
		done := make(chan stream.State)
		s.loops[0].Post(func() { done <- s.loops[0].At(1).State() })
		return <-done == stream.Gone
	})
	if n := s.Stats().Sockets; n != 1 {
		t.Errorf("%d connections are counted, want the one with jobs", n)
	}
	w.let(4)
	for range 4 {
		if err := <-w.said; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Send after the end: got %v", err)
		}
	}
	if told := <-w.closed; told != "1006 after 5 in a" {
		t.Errorf("Close: got %q", told)
	}
	eventually(t, "nothing is counted", func() bool { return s.Stats().Sockets == 0 })
	dial(t, addr, "/work/a") // its place is free again
}

// A connection whose queue is full is not read from, and goes on when half is done;
// pings are answered as long as it is not.
func TestOffloadPausesReading(t *testing.T) {
	w := newWorkshop()
	s := &Server{}
	s.Route("/work/{room}", w.route(2))
	b := newBench(t, s)
	b.open(fmt.Sprintf(upgradeHead, "/work/a"))
	b.send(b.message("first") + string(masked(frame.OpPing, []byte("p"))))
	readable(b)
	if got := b.receive(); got != "\x8a\x01p" {
		t.Errorf("got %q, want a pong", got)
	}
	const n = 50
	for k := range n {
		b.send(b.message(fmt.Sprint(k)))
	}
	readable(b)
	q := b.s.Extra().line
	if at := b.at(); at != isHeld || q.open != jobsAtOnce {
		t.Fatalf("with %d jobs: the connection is %v", q.open, at)
	}
	b.checkInterest(false)
	answered, done := 0, 0
	hear := func(k int) {
		w.let(k)
		for range k {
			if err := <-w.said; err != nil {
				t.Fatal(err)
			}
		}
		done += k
		eventually(t, "the loop hears of it", func() bool {
			b.drive.Wake()
			b.drive.After()
			answered += strings.Count(b.receive(), "\x81")
			return answered == done
		})
	}
	hear(jobsAtOnce/2 - 1)
	eventually(t, "the loop knows of the last", func() bool { b.drive.Wake(); return q.open <= jobsAtOnce/2+1 })
	if at := b.at(); at != isHeld {
		t.Errorf("with %d jobs left: the connection is %v, want %v", q.open, at, isHeld)
	}
	for answered < n+1 {
		hear(1)
		if b.at() == isOpen {
			readable(b)
		}
		if q.open > jobsAtOnce {
			t.Fatalf("%d jobs at once", q.open)
		}
	}
	eventually(t, "the last is over", func() bool { b.drive.Wake(); return b.s.Extra().line == nil })
	if got := b.l.Buffers.InUse() - b.l.tables; got != 0 {
		t.Errorf("%d bytes are still lent", got)
	}
}

// Memory that runs out takes the jobs that have not begun, and counts those that have.
func TestOffloadBudget(t *testing.T) {
	w := newWorkshop()
	s := new(Server)
	s.Route("/work/{room}", w.route(1))
	b := newBench(t, s)
	b.open(fmt.Sprintf(upgradeHead, "/work/a"))
	for range 3 {
		b.send(b.message(strings.Repeat("x", 30<<10)))
		readable(b)
	}
	eventually(t, "one has begun", func() bool { return w.began.Load() == 1 })
	b.drive.Budget(64 << 10)
	b.drive.After()
	if n := b.l.srv.stats.shed.Load(); n != 1 || b.l.Buffers.InUse()-b.l.tables > 32<<10 {
		t.Errorf("%d were closed for memory, %d bytes are lent", n, b.l.Buffers.InUse())
	}
	w.let(1)
	eventually(t, "it ends", func() bool { b.drive.Wake(); return len(w.closed) == 1 })
	if told := <-w.closed; told != "1006 after 1 in a" {
		t.Errorf("Close: got %q", told)
	}
}

// A reset that is noticed before the Close of a handler takes the jobs behind it along.
func TestOffloadResetAfterClose(t *testing.T) {
	w := newWorkshop()
	s := &Server{}
	s.Route("/work/{room}", w.route(1))
	b := newBench(t, s)
	b.open(fmt.Sprintf(upgradeHead, "/work/a"))
	b.send(b.message("close") + b.message("2") + b.message("3"))
	readable(b)
	w.let(1)
	eventually(t, "the loop is to hear of the end and of the job", func() bool {
		b.l.mail.mu.Lock()
		defer b.l.mail.mu.Unlock()
		return len(b.l.mail.lane.entries) == 2
	})
	b.s.Cut(unix.ECONNRESET)
	b.drive.Wake()
	w.ended(t, "1006 after 1 in a")
	if n := b.l.srv.total(); n != 0 {
		t.Errorf("%d connections are counted, want none", n)
	}
}

// How a connection ends is decided once: by a peer that has said so, whatever happens
// before its last job is done, or begun if others keep the workers busy.
func TestOffloadEndStays(t *testing.T) {
	const bye = "\x88\x82\x00\x00\x00\x00\x03\xe8"
	for _, c := range []struct {
		name string
		busy bool
		then func(b *bench)
		want string
	}{
		{"reset", false, after(hangUp, hangup), "1000 after 1 in a"},
		{"reset", true, after(hangUp, hangup), "1000 after 2 in a"},
		{"memory", false, short, "1000 after 1 in a"},
		{"memory", true, short, "1000 after 1 in a"},
		{"Conn.Close", false, closes, "1000 after 1 in a"},
		{"Conn.Close", true, closes, "1000 after 1 in a"},
	} {
		t.Run(fmt.Sprintf("%s/busy=%v", c.name, c.busy), func(t *testing.T) {
			w := newWorkshop()
			s := &Server{}
			s.Route("/work/{room}", w.route(1))
			b := newBench(t, s)
			begun := func() bool { return w.began.Load() == 1 }
			if c.busy {
				defer unix.Close(b.open(fmt.Sprintf(upgradeHead, "/work/b")).peer)
				b.send(b.message("0"))
				readable(b)
				eventually(t, "another's has begun", begun)
			}
			b.open(fmt.Sprintf(upgradeHead, "/work/a"))
			r := b.l.routeOf(b.s)
			b.send(b.message("1") + bye)
			readable(b)
			eventually(t, "it has begun, if it can", begun)
			c.then(b)
			w.let(2)
			eventually(t, "it ends", func() bool { b.drive.Wake(); return len(w.closed) > 0 })
			w.ended(t, c.want)
			if n := r.tally.Closes["1000"]; n != 1 {
				t.Errorf("counted as 1000: got %d, want 1", n)
			}
		})
	}
}

// When memory runs out, jobs of connections that are gone go first. A connection of which no
// job has begun ends with that.
func TestOffloadBudgetOfTheGone(t *testing.T) {
	w := newWorkshop()
	s := new(Server)
	s.Route("/work/{room}", w.route(1))
	b := newBench(t, s)
	jobs := func(room string, n int) {
		p := b.open(fmt.Sprintf(upgradeHead, "/work/"+room))
		t.Cleanup(func() { unix.Close(p.peer) })
		for range n {
			b.send(b.message(strings.Repeat("x", 30<<10)))
			readable(b)
		}
	}
	jobs("begun", 2)
	eventually(t, "one has begun", func() bool { return w.began.Load() == 1 })
	b.s.Cut(unix.ECONNRESET)
	jobs("waiting", 3)
	b.s.Cut(unix.ECONNRESET)
	b.open(fmt.Sprintf(upgradeHead, "/echo"))
	b.send(b.message(strings.Repeat("x", 16<<10))[:15<<10])
	readable(b)

	b.drive.Budget(64 << 10)
	b.drive.After()
	w.ended(t, "1006 after 1 in waiting")
	if n := b.l.srv.stats.shed.Load(); n != 0 || b.at() != isOpen {
		t.Errorf("%d were closed for memory, one that is %v", n, b.at())
	}
	w.let(1)
	eventually(t, "it ends", func() bool { b.drive.Wake(); return len(w.closed) == 1 })
	w.ended(t, "1006 after 1 in begun")
}

// Whom memory that runs out closes before any of their jobs has begun has ended.
func TestOffloadBudgetOfTheWaiting(t *testing.T) {
	w := newWorkshop()
	s := new(Server)
	s.Route("/work/{room}", w.route(1))
	b := newBench(t, s)
	defer unix.Close(b.open(fmt.Sprintf(upgradeHead, "/work/begun")).peer)
	b.send(b.message("1"))
	readable(b)
	eventually(t, "one has begun", func() bool { return w.began.Load() == 1 })
	b.open(fmt.Sprintf(upgradeHead, "/work/waiting"))
	for range 3 {
		b.send(b.message(strings.Repeat("x", 30<<10)))
		readable(b)
	}
	b.drive.Budget(64 << 10)
	b.drive.After()
	w.ended(t, "1006 after 1 in waiting")
	w.let(1)
}

// A drain waits for jobs; what they answer comes before the 1001.
func TestOffloadDrain(t *testing.T) {
	w := newWorkshop()
	s := &Server{Drain: time.Hour}
	s.Route("/work/{room}", w.route(1))
	c := dial(t, start(t, s), "/work/a")
	say(t, c, "last")
	eventually(t, "it has begun", func() bool { return w.began.Load() == 1 })
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(context.Background()) }()
	eventually(t, "it is to be closed", func() bool {
		ended := make(chan bool)
		s.loops[0].Post(func() { ended <- s.loops[0].drain.done == 1 })
		return <-ended
	})
	w.let(1)
	if got := read(t, c); got != "last" {
		t.Errorf("got %q", got)
	}
	if e := closeOf(t, c); e.Code != 1001 {
		t.Errorf("got %v", e)
	}
	c.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A drain waits for the jobs of a peer that is gone, too: what it has said is handled.
func TestOffloadDrainOfTheGone(t *testing.T) {
	w := newWorkshop()
	s := &Server{Loops: 1, Drain: time.Hour}
	s.Route("/work/{room}", w.route(1))
	c := dial(t, start(t, s), "/work/a")
	say(t, c, "1")
	say(t, c, "2")
	onLoop := func(is func(l *loop) bool) func() bool {
		return func() bool {
			answer := make(chan bool, 1)
			if s.loops[0].Post(func() { answer <- is(s.loops[0]) }) != nil {
				return true // it has ended, too soon
			}
			select {
			case ok := <-answer:
				return ok
			case <-s.done:
				return true
			}
		}
	}
	eventually(t, "there are two jobs", onLoop(func(l *loop) bool { q := l.At(1).Extra().line; return q != nil && q.open == 2 }))
	c.UnderlyingConn().(*net.TCPConn).SetLinger(0)
	c.Close()
	eventually(t, "the end is noticed", onLoop(func(l *loop) bool { return l.At(1).State() == stream.Gone }))
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(context.Background()) }()
	eventually(t, "the drain has begun", onLoop(func(l *loop) bool { return l.drain.active }))
	w.let(2)
	if err := <-done; err != nil {
		t.Error(err)
	}
	w.ended(t, "1006 after 2 in a")
}

// A job that does not end is not waited for beyond the drain.
func TestOffloadCut(t *testing.T) {
	w := newWorkshop()
	s := &Server{Loops: 1}
	s.Route("/work/{room}", w.route(1))
	c := dial(t, start(t, s), "/work/a")
	say(t, c, "never ends")
	say(t, c, "never begins")
	eventually(t, "it has begun", func() bool { return w.began.Load() == 1 })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("shutdown: got %v", err)
	}
	if told := <-w.closed; told != "1006 after 1 in a" {
		t.Errorf("Close: got %q", told)
	}
	w.let(1)
	if err := <-w.said; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Send: got %v", err)
	}
}

func TestWhatHasNoPlaceBehindOffload(t *testing.T) {
	for _, m := range []Middleware{Offload(1), {Name: "looped", OnLoop: true}} {
		s := &Server{Addr: "127.0.0.1:0"}
		s.Use(Offload(1))
		s.Route("/", Route{Middleware: []Middleware{m}})
		if err := s.Start(); err == nil || !strings.Contains(err.Error(), m.Name+" has no place behind an Offload") {
			t.Errorf("%s: got %v", m.Name, err)
		}
	}
}

// What a callback of Run says may be what memory runs out for: the connection has ended
// then, and its slot is free, before the callback's panic would end it.
func TestShedByWhatRunSays(t *testing.T) {
	w := newWorkshop()
	said, conns := new(journal), make(chan Conn, 2)
	s := &Server{Loops: 1, MaxBuffered: 1 << 20, Logger: slog.New(slog.NewTextHandler(said, nil))}
	r := w.route(1)
	r.Open = func(c Conn) error { conns <- c; return nil }
	s.Route("/work/{room}", r)
	addr := start(t, s)
	say(t, dial(t, addr, "/work/a"), "begins")
	eventually(t, "the worker is busy", func() bool { return w.began.Load() == 1 })
	<-conns
	say(t, dial(t, addr, "/work/b"), "waits")
	c := <-conns
	eventually(t, "its job waits", func() bool { return c.line() != nil })
	if err := c.Run(func(c Conn) {
		_ = c.Send(frame.OpBinary, make([]byte, 32<<20))
		panic("as asked")
	}); err != nil {
		t.Fatal(err)
	}
	if got, want := <-w.closed, "1006 after 1 in b"; got != want {
		t.Errorf("Close: got %q, want %q", got, want)
	}
	w.let(1)
	<-w.said
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if got := said.String(); strings.Contains(got, "panic on a loop") {
		t.Error(got)
	}
}
