//go:build linux

package server

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/stream"
	"github.com/usher-ws/usher/upgrade"
	"golang.org/x/sys/unix"
)

// relay leads to the bench's upstream, whose answers are passed on as they are.
func (b *bench) relay() *Relay {
	return &Relay{
		Ask:      func(r *upgrade.Request) Caller { return &asker{b: b, isProbe: r.IsProbe()} },
		Ended:    func(upstream uint32) { b.ended = append(b.ended, upstream) },
		WarnText: "slower",
	}
}

// asker asks the bench's upstream, or has a request wait while the bench says so.
type asker struct {
	b       *bench
	calls   uint32
	isProbe bool
}

func (c *asker) Next(cause error) (Call, error) {
	c.b.causes = append(c.b.causes, cause)
	if c.b.waits {
		return Call{Wait: time.Hour}, nil
	}
	switch c.calls++; {
	case cause != nil && c.b.others == 0:
		return Call{}, upgrade.Reject(502, "gone", cause.Error())
	case cause != nil:
		c.b.others--
	}
	call := Call{Unix: c.b.upstream, Request: []byte("GET / HTTP/1.1\r\n\r\n"), Timeout: time.Hour, Upstream: c.calls}
	if c.isProbe {
		call.Request = nil
	}
	return call, nil
}

func (c *asker) Await(ready func()) { c.b.ready = ready }

func (c *asker) Answer(dst []byte, _ bool, in []byte, _ bool) (a Answer, _ error) {
	if c.isProbe {
		return Answer{Status: 200}, nil
	}
	head, _, found := bytes.Cut(in, []byte("\r\n\r\n"))
	if !found {
		return a, nil
	}
	_, _ = fmt.Sscanf(string(head), "HTTP/1.1 %d ", &a.Status)
	a.Size = len(head) + len("\r\n\r\n")
	a.Response = append(dst, in[:a.Size]...)
	return a, nil
}

func (c *asker) Lost(cause error) error { return upgrade.Reject(502, "gone", cause.Error()) }

func (c *asker) Done() { c.b.done++ }

// accept makes what was dialled for the connection that there is now the bench's, connected and
// asked.
func (b *bench) accept() {
	b.Helper()
	caller := b.peer
	b.caller = caller
	b.Cleanup(func() { unix.Close(caller) })
	up, ok := b.l.pairs.of(b.l, b.s)
	if !ok {
		b.Fatalf("nothing was dialled: %q", b.receive())
	}
	fd, _, err := unix.Accept4(b.listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	if err != nil {
		b.Fatal(err)
	}
	b.client, b.s, b.peer = b.s, up, fd
	b.calling, b.far = b.far, nil
	writable(b)
	if got := b.receive(); got != "GET / HTTP/1.1\r\n\r\n" {
		b.Fatalf("asked: %q", got)
	}
}

// told returns what the client of a relay can read now.
func (b *bench) told() string {
	if b.calling == nil {
		return b.receiveFrom(b.caller)
	}
	return b.calling.open(b, []byte(b.receiveFrom(b.caller)))
}

// listen makes the bench's upstream.
func (b *bench) listen() {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		b.Fatal(err)
	}
	b.listener, b.upstream = fd, fmt.Sprintf("@usher %d %p", os.Getpid(), b)
	b.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: b.upstream}); err != nil {
		b.Fatal(err)
	}
	if err := unix.Listen(fd, 8); err != nil {
		b.Fatal(err)
	}
}

// awaited is do, for a client that waits for its Caller to be ready.
func awaited(do func(*bench)) func(*bench) {
	return func(b *bench) {
		b.listen()
		b.waits = true
		b.again("/relay")
		if got := b.at(); got != isAsked || b.s.Due() == 0 {
			b.Fatalf("it is %v, due at %d, want %v and a deadline", got, b.s.Due(), isAsked)
		}
		do(b)
	}
}

// goesOn has the Caller be ready.
func (b *bench) goesOn() {
	b.ready()
	b.drive.Wake()
}

// checkCauses holds what the Caller was told against what it was to be told.
func (b *bench) checkCauses(want ...error) {
	b.Helper()
	if !slices.Equal(b.causes, want) {
		b.Errorf("the Caller was told %v, want %v", b.causes, want)
	}
}

// A server that cannot be connected to, or not in time, is left for another, to which alone
// anything is said; and the relay is told of the end of each connection, once.
func TestCallsAnother(t *testing.T) {
	for name, c := range map[string]struct {
		fails func(b *bench, up link)
		cause error
	}{
		"late":  {func(b *bench, up link) { b.drive.Due(up) }, context.DeadlineExceeded},
		"fails": {func(_ *bench, up link) { up.Cut(unix.ECONNRESET) }, unix.ECONNRESET},
		"short": {func(b *bench, up link) { owner{b.l}.Victim(up) }, stream.ErrShed},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, &Server{})
			b.others = 2
			b.listen()
			b.connect()
			b.ask("/relay", "early")
			for range 2 {
				up, ok := b.l.pairs.of(b.l, b.s)
				if !ok {
					t.Fatal("nobody was called")
				}
				c.fails(b, up)
				fd, _, err := unix.Accept4(b.listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
				if err != nil {
					t.Fatal(err)
				}
				if got := b.receiveFrom(fd); got != "" {
					t.Errorf("the one that was left was told %q", got)
				}
				unix.Close(fd)
			}
			b.checkCauses(nil, c.cause, c.cause)
			b.accept()
			b.send("HTTP/1.1 101 X\r\n\r\n")
			relays(isLingering, readable)(b) // early is no frame
			if b.done != 1 {
				t.Errorf("Done was called %d times", b.done)
			}
			hangUp(b)
			readable(b)
			if want := []uint32{1, 2, 3}; !slices.Equal(b.ended, want) {
				t.Errorf("told of the ends of %v, want %v", b.ended, want)
			}
		})
	}
}

// A client that nobody is left for is refused, and what its Call has taken comes back.
func TestCallsInVain(t *testing.T) {
	b := newBench(t, &Server{})
	b.upstream = "@nobody listens here"
	b.others = 3
	b.connect()
	answers(502, func(b *bench) { b.ask("/relay") })(b)
	b.checkCauses(nil, unix.ECONNREFUSED, unix.ECONNREFUSED, unix.ECONNREFUSED, unix.ECONNREFUSED)
	if want := []uint32{1, 2, 3, 4}; !slices.Equal(b.ended, want) || b.done != 1 {
		t.Errorf("told of the ends of %v, want %v; Done was called %d times", b.ended, want, b.done)
	}
}

// A probe is told what connecting shows, and says nothing to the server.
func TestProbeOfRelay(t *testing.T) {
	const probe = "GET /relay HTTP/1.1\r\nHost: h\r\nAccept: application/problem+json\r\n\r\n"
	b := newBench(t, &Server{})
	b.listen()
	b.connect()
	b.send(probe)
	readable(b)
	up, ok := b.l.pairs.of(b.l, b.s)
	if !ok {
		t.Fatal("nobody was called")
	}
	answers(200, func(b *bench) { b.drive.Writable(up) })(b)
	if got := b.at(); got != isLingering || b.done != 1 || len(b.ended) != 1 {
		t.Errorf("it is %v; Done was called %d times, Ended %d times", got, b.done, len(b.ended))
	}
	b.s.Cut(stream.ErrHangup)
	unix.Close(b.peer)
	b.upstream = "@nobody listens here"
	b.connect()
	answers(502, func(b *bench) { b.send(probe); readable(b) })(b)
}

// A client that is refused after the other server has let it in leaves nothing behind there.
func TestRefusedAfterAnswer(t *testing.T) {
	b := newBench(t, &Server{})
	for k := range b.l.routes {
		b.l.routes[k].route.Keep = func(*upgrade.Request) any { panic("no") }
	}
	b.bring(isCalled)
	b.send("HTTP/1.1 101 X\r\n\r\n\x82\x01x")
	relays(isLingering, readable)(b)
	got := []byte(b.receive())
	if h, n, err := frame.ParseHeader(got); err != nil || n+2 != len(got) || h.Opcode != frame.OpClose || !h.Masked || b.at() != isLingering {
		t.Errorf("the other server heard %x, and is %v", got, b.at())
	} else if frame.Mask(got[n:], h.Mask, 0); string(got[n:]) != "\x03\xe9" {
		t.Errorf("the other server heard the code %x, want 1001", got[n:])
	}
}

// Each side is held while bytes wait on the other, and heard again when they have left.
func TestRelayHolds(t *testing.T) {
	b := newBench(t, &Server{MaxMessage: -1})
	b.bring(isCalled)
	b.send("HTTP/1.1 101 X\r\n\r\n")
	relays(isOpen, readable)(b)
	header := frame.AppendHeader(nil, frame.Header{Fin: true, Opcode: frame.OpBinary, Length: 1 << 20})
	b.send(string(header))
	for sent := 0; b.s.State() != stream.Held; sent += 4096 {
		if sent > 1<<20-4096 {
			t.Fatal("it was not held")
		}
		b.send(string(make([]byte, 4096)))
		readable(b)
	}
	if waiting := b.client.Waiting(); waiting == 0 || waiting > 64<<10 || b.client.State() != stream.Flowing {
		t.Errorf("%d bytes wait for the client, which is %v", waiting, stageOf(b.client))
	}
	b.checkInterest(false)
	for b.client.Waiting() > 0 {
		if b.receiveFrom(b.caller) == "" {
			t.Fatal("there is nothing to take")
		}
		b.drive.Writable(b.client)
	}
	if b.s.State() != stream.Flowing {
		t.Errorf("after all has left it is %v", b.at())
	}
	b.client.Cut(unix.ECONNRESET)
}

// A ping that comes due in the middle of a frame follows it at once, between two of one message; and
// one that is not answered ends the connection.
func TestPingBehindFrame(t *testing.T) {
	b := newBench(t, &Server{PingInterval: 20 * time.Second, IdleTimeout: time.Minute})
	b.bring(isCalled)
	b.send("HTTP/1.1 101 X\r\n\r\n\x02\x02x")
	relays(isOpen, readable)(b)
	b.told()
	b.advanceToDueOf(b.client)
	if got := b.told(); got != "" {
		t.Fatalf("in the middle of a frame it was told %q", got)
	}
	b.send("y\x80\x01z")
	readable(b)
	ping := string(frame.AppendFrame(nil, frame.OpPing, b.l.srv.relayPing))
	if got, want := b.told(), "y"+ping+"\x80\x01z"; got != want {
		t.Fatalf("behind the frame: got %q, want %q", got, want)
	}
	b.advanceToDueOf(b.client)
	if got := b.told(); !strings.HasSuffix(got, "idle_timeout") {
		t.Errorf("without a pong: got %q", got)
	}
}

// Messages are counted when they begin, whether each has to be looked at or not.
func TestRelayCounts(t *testing.T) {
	for _, limits := range []Limits{{}, {Messages: limiter.Rate{Limit: 1e9, Burst: 1 << 20}, Over: Drop}} {
		b := newBench(t, &Server{TrackConns: true})
		b.bring(isCalled)
		lr := b.l.routeOf(b.s)
		lr.Limits, lr.limited = limits, limits.any()
		b.send("HTTP/1.1 101 X\r\n\r\n")
		relays(isOpen, readable)(b)
		b.told()
		before := lr.tally
		const down = "\x82\x01a\x82\x01b\x89\x00\x02\x01c\x00\x01d\x80\x01e\x82\x00\x82\x02f"
		masking := strings.NewReplacer("\x00", "\x80\x00\x00\x00\x00", "\x01", "\x81\x00\x00\x00\x00", "\x02", "\x82\x00\x00\x00\x00")
		var heard []byte
		for k := 0; k < len(down); { // opcode, length and payload
			n := min(2+int(down[k+1]), len(down)-k)
			heard = append(append(heard, down[k]), masking.Replace(down[k+1:k+2])...)
			heard = append(heard, down[k+2:k+n]...)
			k += n
		}
		_, _ = unix.Write(b.caller, heard)
		b.drive.Readable(b.client)
		b.send(down)
		readable(b)
		in, out := lr.tally.MessagesIn-before.MessagesIn, lr.tally.MessagesOut-before.MessagesOut
		said := b.l.tenures.at(b.client.Slot()).messages
		if in != 5 || out != 5 || said != 5 {
			t.Errorf("limits %v: %d messages in, %d out, %d of the connection, want 5 of each", limits.any(), in, out, said)
		}
		if got := b.receive(); got != string(heard) {
			t.Errorf("limits %v: the other server heard %x, want %x", limits.any(), got, heard)
		}
		if got := b.told(); got != down {
			t.Errorf("limits %v: the client heard %x, want %x", limits.any(), got, down)
		}
		b.client.Cut(unix.ECONNRESET)
	}
}

// What is passed on allocates nothing, in either direction, limited or not.
func TestRelayAllocatesNothing(t *testing.T) {
	for _, limits := range []Limits{{}, {Bytes: limiter.Rate{Limit: 1e12, Burst: 1 << 30}, Messages: limiter.Rate{Limit: 1e9, Burst: 1 << 20}, Over: Drop}} {
		b := newBench(t, &Server{})
		b.bring(isCalled)
		lr := b.l.routeOf(b.s)
		lr.Limits, lr.limited = limits, limits.any()
		b.send("HTTP/1.1 101 X\r\n\r\n")
		relays(isOpen, readable)(b)
		b.told()
		buf := make([]byte, 32<<10)
		for _, size := range []int{0, 20, 16 << 10} {
			up := masked(frame.OpBinary, make([]byte, size))
			down := frame.AppendFrame(nil, frame.OpBinary, make([]byte, size))
			round := func() {
				_, _ = unix.Write(b.caller, up)
				b.drive.Readable(b.client)
				_, _ = unix.Write(b.peer, down)
				b.drive.Readable(b.s)
				b.drive.After()
				n, _ := unix.Read(b.peer, buf)
				m, _ := unix.Read(b.caller, buf)
				if n != len(up) || m != len(down) {
					t.Fatalf("%d and %d bytes passed, want %d and %d", n, m, len(up), len(down))
				}
			}
			if n := testing.AllocsPerRun(200, round); n != 0 {
				t.Errorf("%v allocations to pass %d bytes both ways, with %+v, want 0", n, size, limits)
			}
		}
	}
}

// inFrame is do, in the middle of a frame of the other server's.
func inFrame(do func(*bench)) func(*bench) {
	return func(b *bench) {
		b.send("HTTP/1.1 101 X\r\n\r\n\x82\x02x")
		readable(b)
		do(b)
	}
}

// relays is do, after which the client is where it is to be.
func relays(want stage, do func(*bench)) func(*bench) {
	return func(b *bench) {
		do(b)
		if got := stageOf(b.client); got != want {
			b.Errorf("the client is %v, want %v", got, want)
		}
	}
}
