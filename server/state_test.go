//go:build linux

package server

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/upgrade"
	"golang.org/x/sys/unix"
)

var update = flag.Bool("update", false, "rewrite what is generated from the code")

// bench is a loop that has not started, so that a test can hand it one event at a
// time, and one connection of it with the peer's end.
type bench struct {
	testing.TB
	l    *loop
	i    uint32
	peer int
	asks chan error // what the authorizer of /ask answers
	exp  time.Time  // of the token of /echo and /slow
}

const upgradeHead = "GET %s HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

func newBench(t testing.TB, s *Server) *bench {
	t.Helper()
	b := &bench{TB: t, asks: make(chan error, 1), exp: time.Now().Add(time.Hour)}
	s.Loops = 1
	alice := &upgrade.Identity{Subject: "alice", ExpiresAt: b.exp}
	s.Route("/echo", Route{Message: echo, Guards: []upgrade.Guard{{OnBeforeUpgrade: func(r *upgrade.Request) (http.Header, error) {
		r.Identity = alice
		return nil, nil
	}}}})
	s.Route("/slow", Route{Message: echo, Guards: []upgrade.Guard{upgrade.Bearer(slowVerifier{alice})}})
	s.Route("/slow/ask", Route{Guards: []upgrade.Guard{upgrade.Bearer(slowVerifier{alice})},
		Authorize: func(context.Context, *upgrade.Request) error { return errNo }})
	s.Route("/ask", Route{Message: echo, Authorize: func(ctx context.Context, _ *upgrade.Request) error {
		select {
		case err := <-b.asks:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}})
	s.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	s.log = newLogWriter(s.Logger)
	s.authorizing.Max = askedAtOnce
	s.setConnLimit()
	l, err := newLoop(s, 0, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	s.loops = []*loop{l}
	l.self.Store(self()) // the test is the loop
	b.l = l
	t.Cleanup(func() {
		l.cut()
		l.poll.Close()
		unix.Close(b.peer)
		for s.asking.InUse() > 0 {
			time.Sleep(time.Millisecond) // the authorizer's goroutine is ending
		}
		s.log.stop(time.Now().Add(time.Minute))
		if n := l.buffers.inUse; n != 0 {
			t.Errorf("%d bytes of buffers are still lent", n)
		}
		if n := s.total(); n != 0 {
			t.Errorf("%d connections are still counted", n)
		}
	})
	return b
}

// slowVerifier takes its time for every token, and knows one.
type slowVerifier struct{ id *upgrade.Identity }

func (v slowVerifier) Verify([]byte, time.Time) (*upgrade.Identity, error) {
	return nil, upgrade.ErrSlow
}

func (v slowVerifier) Begin(token []byte, _ time.Time) upgrade.Verification {
	return elsewhere(func(context.Context) (*upgrade.Identity, error) {
		if string(token) != "good" {
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

// answeredElsewhere waits for the verdict of a question, and lets the loop have it.
func (b *bench) answeredElsewhere() {
	for b.l.srv.asking.InUse() > 0 {
		time.Sleep(time.Millisecond)
	}
	b.l.Wake()
}

// connect adopts one end of a new socket pair.
func (b *bench) connect() {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		b.Fatal(err)
	}
	b.peer = fds[1]
	if b.i = b.l.slab.next; len(b.l.slab.free) > 0 {
		b.i = b.l.slab.free[len(b.l.slab.free)-1]
	}
	b.l.srv.live.Add(1)
	b.l.conns.Add(1)
	b.l.adopt(adoption{fd: fds[0]})
}

func (b *bench) slot() *slot { return b.l.slab.at(b.i) }

func (b *bench) send(data string) {
	b.Helper()
	if _, err := unix.Write(b.peer, []byte(data)); err != nil {
		b.Fatalf("peer's write: %v", err)
	}
}

// receive returns what the peer can read now.
func (b *bench) receive() string {
	var all []byte
	buf := make([]byte, 64<<10)
	for {
		n, err := unix.Read(b.peer, buf)
		if n <= 0 || err != nil {
			return string(all)
		}
		all = append(all, buf[:n]...)
	}
}

func (b *bench) message(text string) string {
	head := frame.AppendHeader(nil, frame.Header{Fin: true, Opcode: frame.OpText, Masked: true, Length: int64(len(text))})
	return string(head) + text // the mask is zero
}

// bring puts the connection into a state, by the way it would come there.
func (b *bench) bring(to state) {
	b.Helper()
	b.connect()
	switch to {
	case closed:
		b.l.release(b.i, b.slot(), errHangup)
	case head:
	case pending:
		b.send(fmt.Sprintf(upgradeHead, "/ask"))
		b.l.handle(b.i, b.slot(), readable)
	default:
		b.send(fmt.Sprintf(upgradeHead, "/echo"))
		b.l.handle(b.i, b.slot(), readable)
		if !strings.HasPrefix(b.receive(), "HTTP/1.1 101 ") {
			b.Fatal("not upgraded")
		}
	}
	if to == held || to == closing {
		b.fill()
	}
	if to == closing || to == lingering {
		b.l.conclude(b.i, b.slot(), nil, &CloseError{Code: frame.StatusNormalClosure})
	}
	if got := b.slot().state; got != to {
		b.Fatalf("set-up: the connection is %v, want %v", got, to)
	}
}

// fill sends more than the kernel takes.
func (b *bench) fill() {
	b.l.deliver(b.i, b.slot(), frame.AppendFrame(nil, frame.OpBinary, make([]byte, 1<<20)), 1)
}

// stimulus is how a test makes an event happen; want is the state it leads to.
type stimulus struct {
	name  string
	state state
	event event
	do    func(b *bench)
	want  state
}

func handle(ev event) func(*bench) {
	return func(b *bench) { b.l.handle(b.i, b.slot(), ev) }
}

// after does something at the peer or to the clock, and then the event.
func after(first func(*bench), ev event) func(*bench) {
	return func(b *bench) { first(b); handle(ev)(b) }
}

func hangUp(b *bench) { unix.Shutdown(b.peer, unix.SHUT_RDWR) }

func later(b *bench) { b.l.tick += ticks(24 * time.Hour) }

func drainPeer(b *bench) { b.receive() }

func atExp(b *bench) { b.l.wall = func() time.Time { return b.exp } }

// tokenExpired is the close frame that says so.
const tokenExpired = "\x88\x0f\x11\x31token_expired"

// slowly asks a door whose verifier is slow, with early input, until nothing is
// asked any more.
func slowly(path, want string) func(*bench) {
	return func(b *bench) {
		b.l.release(b.i, b.slot(), errHangup)
		unix.Close(b.peer)
		i := b.i
		b.connect()
		b.i = i // the slot is used again
		b.send(fmt.Sprintf(upgradeHead, path) + b.message("early"))
		handle(readable)(b)
		if got := b.slot().state; got != pending {
			b.Fatalf("with a slow token: the connection is %v, want pending", got)
		}
		for b.slot().state == pending {
			b.answeredElsewhere()
		}
		if got := b.receive(); !strings.HasPrefix(got, want) || want == "HTTP/1.1 101 " && !strings.HasSuffix(got, "early") {
			b.Errorf("answer: %q, want %q", got, want)
		}
	}
}

// posted sends from another goroutine's side, and lets the loop answer.
func posted(size int) func(*bench) {
	return func(b *bench) {
		c := b.l.conn(b.i, b.slot())
		_ = c.Send(frame.OpBinary, make([]byte, size))
		b.l.Wake()
	}
}

func answered(err error) func(*bench) {
	return func(b *bench) {
		b.l.mail.verdict(token(b.i, b.slot().gen.Load()), err)
		b.l.Wake()
	}
}

var errNo = upgrade.Reject(403, upgrade.CodeForbidden, "no")

// stimuli has at least one entry for every cell of the table.
var stimuli = []stimulus{
	{"stale", closed, readable, handle(readable), closed},
	{"stale", closed, writable, handle(writable), closed},
	{"stale", closed, hangup, handle(hangup), closed},
	{"stale", closed, due, handle(due), closed},
	{"stale", closed, verdict, answered(nil), closed},
	{"stale", closed, post, posted(1), closed},
	{"stale", closed, drain, handle(drain), closed},

	{"half a head", head, readable, after(func(b *bench) { b.send("GET /echo HT") }, readable), head},
	{"nothing yet", head, readable, handle(readable), head},
	{"a good head", head, readable, after(func(b *bench) { b.send(fmt.Sprintf(upgradeHead, "/echo")) }, readable), open},
	{"to be authorized", head, readable, after(func(b *bench) { b.send(fmt.Sprintf(upgradeHead, "/ask")) }, readable), pending},
	{"a bad head", head, readable, after(func(b *bench) { b.send("GARBAGE\r\n\r\n") }, readable), lingering},
	{"its end", head, readable, after(hangUp, readable), closed},
	{"stale", head, writable, handle(writable), head},
	{"reset", head, hangup, after(hangUp, hangup), closed},
	{"silent", head, due, handle(due), closed},
	{"slow", head, due, func(b *bench) {
		b.send("GET /echo HT")
		handle(readable)(b)
		handle(due)(b)
		if got := b.receive(); !strings.HasPrefix(got, "HTTP/1.1 408 ") {
			b.Errorf("answer: %q, want a 408", got)
		}
	}, lingering},
	{"stale", head, verdict, answered(nil), head},
	{"stale", head, post, posted(1), head},
	{"waits for its answer", head, drain, handle(drain), head},

	{"early", pending, readable, after(func(b *bench) { b.send(b.message("early")) }, readable), pending},
	{"too early", pending, readable, after(func(b *bench) { b.send(strings.Repeat("x", earlyLimit)) }, readable), pending},
	{"its end", pending, readable, after(hangUp, readable), closed},
	{"stale", pending, writable, handle(writable), pending},
	{"reset", pending, hangup, after(hangUp, hangup), closed},
	{"undecided", pending, due, func(b *bench) {
		handle(due)(b)
		if got := b.receive(); !strings.HasPrefix(got, "HTTP/1.1 503 ") {
			b.Errorf("answer: %q, want a 503", got)
		}
	}, lingering},
	{"yes", pending, verdict, func(b *bench) {
		b.send(b.message("early"))
		handle(readable)(b)
		answered(nil)(b)
		b.answeredElsewhere() // the authorizer is told to end; if it was quick, the echo is behind its answer
		if got := b.receive(); !strings.HasPrefix(got, "HTTP/1.1 101 ") || !strings.HasSuffix(got, "early") {
			b.Errorf("answer: %q, want a 101 and the echo of what came early", got)
		}
	}, open},
	{"no", pending, verdict, func(b *bench) {
		answered(errNo)(b)
		if got := b.receive(); !strings.HasPrefix(got, "HTTP/1.1 403 ") {
			b.Errorf("answer: %q, want a 403", got)
		}
	}, lingering},
	{"a slow token is good", pending, verdict, slowly("/slow?token=good", "HTTP/1.1 101 "), open},
	{"a slow token is bad", pending, verdict, slowly("/slow?token=bad", "HTTP/1.1 403 "), lingering},
	{"a slow token, then the authorizer", pending, verdict, slowly("/slow/ask?token=good", "HTTP/1.1 403 "), lingering},
	{"stale", pending, post, posted(1), pending},
	{"waits for its answer", pending, drain, handle(drain), pending},

	{"a message", open, readable, func(b *bench) {
		b.send(b.message("hi"))
		handle(readable)(b)
		if got := b.receive(); got != "\x81\x02hi" {
			b.Errorf("echo: %q", got)
		}
	}, open},
	{"half a message", open, readable, after(func(b *bench) { b.send(b.message("hello")[:8]) }, readable), open},
	{"a protocol error", open, readable, after(func(b *bench) { b.send("\xff") }, readable), lingering},
	{"its end", open, readable, after(hangUp, readable), closed},
	{"more than the peer takes", open, readable, func(b *bench) {
		b.fill()
		b.slot().state = open // as if the answer had been the connection's own
		b.slot().why = 0
		b.l.settle(b.i, b.slot())
	}, held},
	{"stale", open, writable, handle(writable), open},
	{"bytes before the end", open, hangup, after(func(b *bench) { b.send(b.message("last")); hangUp(b) }, hangup), closed},
	{"silent for a while", open, due, func(b *bench) {
		b.l.tick += ticks(b.l.srv.pingAfter())
		handle(due)(b)
		if got := b.receive(); got != string(pingFrame) {
			b.Errorf("sent: %q, want a ping", got)
		}
	}, open},
	{"silent for long, and never asked", open, due, after(later, due), open},
	{"does not answer", open, due, func(b *bench) {
		after(later, due)(b)
		after(later, due)(b)
		if got := b.receive(); !strings.HasSuffix(got, "\x03\xf0idle_timeout") {
			b.Errorf("sent: %q, want a close with 1008", got)
		}
	}, lingering},
	{"its answer is unread", open, due, func(b *bench) {
		after(later, due)(b)
		b.send(string(masked(frame.OpPong, nil)))
		after(later, due)(b)
	}, open},
	{"its end is unread", open, due, func(b *bench) {
		after(later, due)(b)
		hangUp(b)
		after(later, due)(b)
	}, closed},
	{"slow message", open, due, func(b *bench) {
		b.send(b.message("hello")[:8])
		handle(readable)(b)
		b.l.tick += ticks(b.l.srv.messageTimeout())
		handle(due)(b)
		if got := b.receive(); !strings.HasSuffix(got, "\x03\xf0message_timeout") {
			b.Errorf("sent: %q, want a close with 1008", got)
		}
	}, lingering},
	{"its token expires", open, due, func(b *bench) {
		after(atExp, due)(b)
		if got := b.receive(); got != tokenExpired {
			b.Errorf("sent: %q, want a close with 4401", got)
		}
	}, lingering},
	{"stale", open, verdict, answered(nil), open},
	{"a message", open, post, func(b *bench) {
		posted(1)(b)
		if got := b.receive(); got != "\x82\x01\x00" {
			b.Errorf("sent: %q", got)
		}
	}, open},
	{"a close", open, post, func(b *bench) {
		b.l.conn(b.i, b.slot()).Close(4000, "bye")
		b.l.Wake()
	}, lingering},
	{"more than the peer takes", open, post, posted(1 << 20), held},
	{"its turn", open, drain, handle(drain), lingering},

	{"not asked for", held, readable, after(func(b *bench) { b.send(b.message("hi")) }, readable), held},
	{"all taken", held, writable, func(b *bench) {
		b.send(b.message("hi"))
		for b.slot().state == held && len(b.receive()) > 0 {
			handle(writable)(b)
		}
	}, open},
	{"some taken", held, writable, handle(writable), held},
	{"reset", held, hangup, after(hangUp, hangup), closed},
	{"takes nothing", held, due, after(later, due), closed},
	{"its token expires", held, due, after(atExp, due), closing},
	{"its token expires in a delay", held, due, func(b *bench) {
		for b.slot().state == held {
			drainPeer(b)
			handle(writable)(b)
		}
		b.slot().state, b.slot().why = held, byDelay
		b.l.exts.need(b.slot()).resume = b.l.poll.Now() + time.Hour
		b.l.settle(b.i, b.slot())
		drainPeer(b)
		after(atExp, due)(b)
		if got := b.receive(); got != tokenExpired {
			b.Errorf("sent: %q, want a close with 4401", got)
		}
	}, lingering},
	{"too early", held, due, handle(due), held},
	{"end of a delay", held, due, func(b *bench) {
		drainPeer(b)
		handle(writable)(b)
		for b.slot().state == held {
			drainPeer(b)
			handle(writable)(b)
		}
		b.slot().state, b.slot().why = held, byDelay
		handle(due)(b)
	}, open},
	{"stale", held, verdict, answered(nil), held},
	{"a message", held, post, posted(1), held},
	{"too many", held, post, func(b *bench) { posted(1 << 20)(b) }, closing},
	{"its turn", held, drain, handle(drain), closing},

	{"not asked for", closing, readable, after(func(b *bench) { b.send(b.message("hi")) }, readable), closing},
	{"all taken", closing, writable, func(b *bench) {
		for b.slot().state == closing && len(b.receive()) > 0 {
			handle(writable)(b)
		}
	}, lingering},
	{"some taken", closing, writable, handle(writable), closing},
	{"reset", closing, hangup, after(hangUp, hangup), closed},
	{"takes nothing", closing, due, after(later, due), closed},
	{"too early", closing, due, handle(due), closing},
	{"stale", closing, verdict, answered(nil), closing},
	{"too late", closing, post, posted(1), closing},
	{"again", closing, drain, handle(drain), closing},

	{"still talking", lingering, readable, after(func(b *bench) { b.send("anything") }, readable), lingering},
	{"its end", lingering, readable, after(hangUp, readable), closed},
	{"too much", lingering, readable, func(b *bench) {
		for b.slot().flags&armedRead != 0 {
			b.send(strings.Repeat("x", 32<<10))
			handle(readable)(b)
		}
	}, lingering},
	{"stale", lingering, writable, handle(writable), lingering},
	{"bytes before the end", lingering, hangup, func(b *bench) {
		b.send("anything")
		hangUp(b)
		handle(hangup)(b) // the bytes
		handle(hangup)(b) // the end
	}, closed},
	{"long enough", lingering, due, handle(due), closed},
	{"stale", lingering, verdict, answered(nil), lingering},
	{"too late", lingering, post, posted(1), lingering},
	{"again", lingering, drain, handle(drain), lingering},
}

func TestEveryCell(t *testing.T) {
	var seen [numStates][numEvents]bool
	for _, c := range stimuli {
		seen[c.state][c.event] = true
		t.Run(fmt.Sprintf("%v/%v/%s", c.state, c.event, c.name), func(t *testing.T) {
			b := newBench(t, &Server{MaxBacklog: 3 << 19})
			b.bring(c.state)
			gen := b.slot().gen.Load() &^ closeAsked
			c.do(b)
			got := b.slot().state
			if got != c.want {
				t.Fatalf("state: got %v, want %v", got, c.want)
			}
			if cell := table[c.state][c.event]; !slices.Contains(cell.next, got) {
				t.Errorf("the table does not lead from %v to %v by %v", c.state, got, c.event)
			}
			if c.state != closed && got == closed && b.slot().gen.Load() == gen {
				t.Error("the slot was freed and kept its generation")
			}
			b.checkInterest()
		})
	}
	for s := range numStates {
		for e := range numEvents {
			if !seen[s][e] {
				t.Errorf("no test for %v × %v", s, e)
			}
		}
	}
}

// checkInterest holds what is armed against what the state allows.
func (b *bench) checkInterest() {
	b.Helper()
	s := b.slot()
	var want flags
	switch s.state {
	case head, open:
		want = armedRead
	case lingering:
		if b.l.exts.get(s).drained <= lingerBytes {
			want = armedRead
		}
	case pending:
		want = armedRead
		if len(b.l.exts.get(s).asked.early) >= earlyLimit {
			want = 0
		}
	case held, closing:
		if len(b.l.exts.get(s).unsent()) > 0 {
			want = armedWrite
		}
	}
	if got := s.flags & (armedRead | armedWrite); got != want {
		b.Errorf("armed in %v: got %b, want %b", s.state, got, want)
	}
}

// An authorizer is told when the client it is asked about hangs up.
func TestHangUpCancelsAuthorize(t *testing.T) {
	b := newBench(t, &Server{})
	b.bring(pending)
	hangUp(b)
	b.l.handle(b.i, b.slot(), readable)
	for b.l.srv.asking.InUse() > 0 {
		time.Sleep(time.Millisecond) // ctx.Done is what ends it
	}
	if got := b.slot().state; got != closed {
		t.Errorf("state: got %v, want closed", got)
	}
}

func TestSizes(t *testing.T) {
	if got := unsafe.Sizeof(slot{}); got != 56 {
		t.Errorf("slot is %d bytes, want 56", got)
	}
	if got := unsafe.Sizeof(chunk{}) / chunkSlots; got > 64 {
		t.Errorf("a connection costs %d bytes of table, want at most 64", got)
	}
	if got := unsafe.Sizeof(Conn{}); got != 16 {
		t.Errorf("Conn is %d bytes, want 16", got)
	}
}

// The path of a message from the kernel and back allocates nothing.
func TestEchoAllocatesNothing(t *testing.T) {
	b := newBench(t, &Server{})
	b.bring(open)
	for _, size := range []int{0, 20, 512, 16 << 10} {
		message := []byte(b.message(strings.Repeat("x", size)))
		buf := make([]byte, size+16)
		round := func() {
			if _, err := unix.Write(b.peer, message); err != nil {
				t.Fatal(err)
			}
			b.l.handle(b.i, b.slot(), readable)
			b.l.After()
			if n, _ := unix.Read(b.peer, buf); n < size {
				t.Fatalf("echo of %d bytes, want %d", n, size)
			}
		}
		if n := testing.AllocsPerRun(200, round); n != 0 {
			t.Errorf("%v allocations per echo of %d bytes, want 0", n, size)
		}
	}
}

// docs/ARCHITECTURE.md shows the table; go test ./server -run Architecture -update
// draws it again.
func TestArchitectureShowsTheTable(t *testing.T) {
	const file, begin, end = "../docs/ARCHITECTURE.md", "<!-- states -->\n", "<!-- /states -->"
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("docs are not part of this checkout")
	}
	before, rest, ok1 := strings.Cut(string(text), begin)
	shown, behind, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no place for the table between %q and %q", file, begin, end)
	}
	want := tableMarkdown()
	if shown == want {
		return
	}
	if !*update {
		t.Fatalf("%s shows another table than state.go has; run with -update", file)
	}
	if err := os.WriteFile(file, []byte(before+begin+want+end+behind), 0o644); err != nil {
		t.Fatal(err)
	}
}

// tableMarkdown draws the table for docs/ARCHITECTURE.md.
func tableMarkdown() string {
	var b strings.Builder
	b.WriteString("| state |")
	for e := range numEvents {
		fmt.Fprintf(&b, " %v |", e)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", int(numEvents)) + "\n")
	for s := range numStates {
		fmt.Fprintf(&b, "| **%v** |", s)
		for e := range numEvents {
			c := table[s][e]
			if c.do == ignore {
				b.WriteString(" – |")
				continue
			}
			var names []string
			for _, n := range c.next {
				names = append(names, n.String())
			}
			fmt.Fprintf(&b, " %v → %s |", c.do, strings.Join(names, ", "))
		}
		b.WriteString("\n")
	}
	b.WriteString("\n| state | epoll interest | deadline | memory beyond the slot |\n|---|---|---|---|\n")
	for s := range numStates {
		f := factsOf[s]
		fmt.Fprintf(&b, "| **%v** | %s | %s | %s |\n", s, f.interest, f.deadline, f.memory)
	}
	return b.String()
}
