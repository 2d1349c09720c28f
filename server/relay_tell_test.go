//go:build linux

package server

import (
	"strings"
	"testing"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/stream"
	"golang.org/x/sys/unix"
)

// opens has the client of a relay let in, whose other server then says more.
func (b *bench) opens(more string) {
	b.Helper()
	b.bring(isCalled)
	b.send("HTTP/1.1 101 X\r\n\r\n" + more)
	relays(isOpen, readable)(b)
	if got := b.told(); got != "HTTP/1.1 101 X\r\n\r\n"+more {
		b.Fatalf("the client heard %q", got)
	}
}

// says has another goroutine send text to the client of a relay, and the loop hear of it.
func (b *bench) says(text string) {
	b.Helper()
	if err := b.l.conn(b.client).Send(frame.OpText, []byte(text)); err != nil {
		b.Fatalf("%q: %v", text, err)
	}
	b.drive.Wake()
}

// hears checks what the client of a relay heard since it was asked last.
func (b *bench) hears(when, want string) {
	b.Helper()
	if got := b.told(); got != want {
		b.Fatalf("%s: the client heard %q, want %q", when, got, want)
	}
}

// passes has the other server say something.
func (b *bench) passes(text string) {
	b.Helper()
	b.send(text)
	readable(b)
}

func textFrame(s string) string { return string(frame.AppendFrame(nil, frame.OpText, []byte(s))) }

// What is said to the client of a relay goes at once between two messages of the other server's, and
// else behind the one that is under way, whole and in order; control frames go their way.
func TestToldBetween(t *testing.T) {
	b := newBench(t, &Server{})
	b.opens("")
	b.says("a")
	b.hears("at once", textFrame("a"))
	b.passes("\x01\x02x")
	b.says("b")
	b.hears("in a frame", "\x01\x02x")
	b.passes("y")
	b.says("c")
	b.hears("in a message", "y")
	b.passes("\x89\x01p\x00\x01z")
	b.hears("further on", "\x89\x01p\x00\x01z")
	b.passes("\x80\x00\x82\x01q\x02\x01r")
	b.hears("at its end", "\x80\x00"+textFrame("b")+textFrame("c")+"\x82\x01q\x02\x01r")
	b.says("d")
	b.passes("\x80\x01s")
	b.hears("in the next", "\x80\x01s"+textFrame("d"))
	if n := b.l.routes[b.l.routeOf(b.client).index].tally; n.MessagesOut != 7 || n.BytesOut == 0 {
		t.Errorf("counted %d messages and %d bytes, want 7 messages", n.MessagesOut, n.BytesOut)
	}
	if b.s.HasExtra() || b.client.HasExtra() {
		t.Error("something is kept of what was said")
	}
	b.client.Cut(unix.ECONNRESET)
}

// What is said to many, and in a call on the loop, goes by the same way; and nothing of it is
// compressed where the two sides compress, whatever the server would.
func TestToldToGroups(t *testing.T) {
	b := newBench(t, &Server{Deflate: true})
	b.opens("")
	b.client.Data().frame, b.s.Data().frame = frame.NewState(frame.MaxWindow), frame.NewState(frame.MaxWindow)
	var g Group
	if err := g.Join(b.l.conn(b.client)); err != nil {
		t.Fatal(err)
	}
	b.drive.Wake()
	long := strings.Repeat("a", 4000)
	all := func() {
		if err := g.Send(frame.OpText, []byte(long)); err != nil {
			t.Fatal(err)
		}
		b.says("b")
		if err := b.l.conn(b.client).Run(func(c Conn) {
			if err := c.SendPrepared(frame.Prepare(frame.OpText, []byte("c"+long))); err != nil {
				t.Error(err)
			}
		}); err != nil {
			t.Fatal(err)
		}
		b.drive.Wake()
	}
	want := textFrame(long) + textFrame("b") + textFrame("c"+long)
	all()
	b.hears("between", want)
	b.passes("\x41\x01x")
	b.hears("a compressed one begins", "\x41\x01x")
	all()
	b.hears("in its middle", "")
	b.passes("\x80\x01y")
	b.hears("at its end", "\x80\x01y"+want)
	b.client.Cut(unix.ECONNRESET)
}

// The end of a client waits for what was said before it, and so for the message in whose middle that
// was; what comes later is not said.
func TestToldBeforeTheEnd(t *testing.T) {
	begin := func(t *testing.T) *bench {
		b := newBench(t, &Server{})
		b.opens("\x01\x01x")
		b.says("a")
		_ = b.l.conn(b.client).Close(4000, "bye")
		b.drive.Wake()
		_ = b.l.conn(b.client).Send(frame.OpText, []byte("late"))
		b.drive.Wake()
		b.hears("before its end", "")
		return b
	}
	at := func(b *bench, want stage) {
		b.Helper()
		if got := stageOf(b.client); got != want {
			b.Errorf("the client is %v, want %v", got, want)
		}
	}
	t.Run("in time", func(t *testing.T) {
		b := begin(t)
		b.passes("\x00\x02y")
		b.hears("still in the message", "\x00\x02y")
		b.passes("z\x80\x00\x82\x01q")
		b.hears("behind it", "z\x80\x00"+textFrame("a")+bye4000)
		at(b, isLingering)
	})
	t.Run("never", func(t *testing.T) {
		b := begin(t)
		b.passes("\x00\x01y")
		b.hears("still in the message", "\x00\x01y")
		dueNow(b)
		b.hears("in vain", bye4000)
		at(b, isLingering)
	})
	t.Run("never, in a frame", func(t *testing.T) {
		b := begin(t)
		b.passes("\x00\x02y")
		dueNow(b)
		b.hears("in vain", "\x00\x02y")
		at(b, isFree)
	})
	t.Run("the other server ends", func(t *testing.T) {
		b := begin(t)
		after(hangUp, readable)(b)
		b.hears("in vain", bye4000)
		at(b, isLingering)
	})
	t.Run("the other server closes", func(t *testing.T) {
		b := begin(t)
		b.passes("\x88\x02\x03\xe8")
		b.hears("in vain", bye4000)
		at(b, isLingering)
	})
	t.Run("the other server breaks the protocol", func(t *testing.T) {
		b := begin(t)
		b.passes("\x82\x00")
		b.hears("in vain", bye4000)
		at(b, isLingering)
	})
	t.Run("the client ends", func(t *testing.T) {
		b := begin(t)
		unix.Shutdown(b.caller, unix.SHUT_RDWR)
		b.drive.Hangup(b.client)
		at(b, isFree)
	})
	t.Run("memory is short", func(t *testing.T) {
		b := begin(t)
		b.drive.Budget(1)
		b.drive.After()
		at(b, isLingering)
	})
}

// Without an end of its own a client that was to be told something hears how the other side ended.
func TestToldInVain(t *testing.T) {
	b := newBench(t, &Server{})
	b.opens("\x01\x01x")
	b.says("a")
	after(hangUp, readable)(b)
	if got := b.told(); !strings.HasPrefix(got, "\x88") || !strings.HasSuffix(got, "upstream_lost") {
		t.Errorf("the client heard %q", got)
	}
}

// What waits for the end of a message is bounded as what waits for the peer is, and both together.
func TestToldTooMuch(t *testing.T) {
	const room = 1000
	for _, overflow := range []Overflow{CloseFull, DropNewest} {
		b := newBench(t, &Server{MaxBacklog: room})
		for k := range b.l.routes {
			b.l.routes[k].route.Overflow = overflow
		}
		b.opens("\x01\x01x")
		large := strings.Repeat("a", 2*room) // one may be, however large
		b.says(large)
		if n := b.l.conn(b.client).Buffered(); n != len(textFrame(large)) {
			t.Errorf("%d bytes wait, want %d", n, len(textFrame(large)))
		}
		if used, held := b.l.Buffers.InUse(), 2*room; used < held {
			t.Errorf("%d bytes are counted, and at least %d are held", used, held)
		}
		if err := b.l.conn(b.client).Run(func(c Conn) {
			if err := c.Send(frame.OpText, []byte("b")); err != ErrBacklog {
				t.Errorf("in a callback: got %v, want ErrBacklog", err)
			}
		}); err != nil {
			t.Fatal(err)
		}
		if overflow == DropNewest {
			b.drive.Wake()
		}
		b.says("b")
		b.passes("\x80\x01y")
		want := "\x80\x01y" + textFrame(large)
		if overflow == CloseFull {
			b.hears("closed", want+"\x88\x09\x03\xf5backlog")
			continue
		}
		b.hears("dropped", want)
		if n := b.l.routeOf(b.client).tally.Dropped; n != 2 {
			t.Errorf("%d were dropped, want 2", n)
		}
		b.says("c")
		b.hears("again", textFrame("c"))
		b.client.Cut(unix.ECONNRESET)
	}
}

// While what we said waits for a client to take it, the other server is not read from.
func TestToldHolds(t *testing.T) {
	b := newBench(t, &Server{MaxBacklog: 4 << 20})
	b.opens("")
	b.says(strings.Repeat("a", 1<<20))
	if b.client.Waiting() == 0 || b.client.State() != stream.Flowing || b.s.State() != stream.Held {
		t.Errorf("%d bytes wait for the client, which is %v; the other is %v", b.client.Waiting(), stageOf(b.client), b.at())
	}
	b.checkInterest(false)
	var got strings.Builder
	for b.client.Waiting() > 0 {
		got.WriteString(b.told())
		b.drive.Writable(b.client)
	}
	got.WriteString(b.told())
	if got.String() != textFrame(strings.Repeat("a", 1<<20)) || b.s.State() != stream.Flowing {
		t.Errorf("the client heard %d bytes; the other is %v", got.Len(), b.at())
	}
	b.client.Cut(unix.ECONNRESET)
}

// A warning is what we say, too.
func TestToldWarning(t *testing.T) {
	b := newBench(t, &Server{})
	b.bring(isCalled)
	lr := b.l.routeOf(b.s)
	lr.Limits, lr.limited = Limits{Bytes: limiter.Rate{Limit: 1, Burst: 100}, Over: Warn}, true
	b.send("HTTP/1.1 101 X\r\n\r\n\x01\x01x")
	relays(isOpen, readable)(b)
	b.told()
	speaks := func(size int) {
		_, _ = unix.Write(b.caller, masked(frame.OpBinary, make([]byte, size)))
		b.drive.Readable(b.client)
	}
	speaks(1000)
	b.says("a")
	speaks(1000) // it was warned
	b.passes("\x80\x00")
	b.hears("behind the message", "\x80\x00"+textFrame("slower")+textFrame("a"))
	b.client.Data().told = 0 // a second has passed
	speaks(1000)
	b.hears("between", textFrame("slower"))
	b.client.Cut(unix.ECONNRESET)
}
