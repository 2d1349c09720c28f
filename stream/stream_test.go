//go:build linux

package stream

import (
	"strings"
	"testing"
	"unsafe"

	"github.com/usher-ws/usher/poller"
	"golang.org/x/sys/unix"
)

func TestSizes(t *testing.T) {
	for _, c := range []struct {
		name      string
		got, want uintptr
	}{
		{"slot", unsafe.Sizeof(slot[struct{}]{}), 20}, // a last field of no size is padded
		{"slot with 4 bytes", unsafe.Sizeof(slot[uint32]{}), 16 + 4},
		{"slot with 40 bytes", unsafe.Sizeof(slot[[10]uint32]{}), 16 + 40},
		{"chunk", unsafe.Sizeof(chunk[[10]uint32]{}) / chunkSlots, 16 + 40 + 4},
		{"S", unsafe.Sizeof(link{}), 24},
	} {
		if c.got != c.want {
			t.Errorf("%s: %d bytes, want %d", c.name, c.got, c.want)
		}
	}
}

// An idle stream owns nothing beyond its slot, and the path of bytes from the kernel and
// back allocates nothing, whether all is taken or some of it waits.
func TestEchoAllocatesNothing(t *testing.T) {
	r := newRig(t, roomy())
	r.o.input = func(s link, b []byte, _ bool) { s.Write(b) }
	s, peer := r.adopt()
	buf := make([]byte, 1<<20)
	for _, size := range []int{1, 512, 16 << 10} {
		message := []byte(strings.Repeat("x", size))
		round := func() {
			r.o.log = r.o.log[:0]
			if _, err := unix.Write(peer, message); err != nil {
				t.Fatal(err)
			}
			r.d.Ready(s, poller.Readable)
			r.d.After()
			if n, _ := unix.Read(peer, buf); n != size {
				t.Fatalf("echo of %d bytes, want %d", n, size)
			}
		}
		if n := testing.AllocsPerRun(200, round); n != 0 {
			t.Errorf("%v allocations per echo of %d bytes, want 0", n, size)
		}
	}
	waits := func() {
		r.o.log = r.o.log[:0]
		for s.Waiting() == 0 {
			s.Write(buf[:64<<10])
		}
		for s.Waiting() > 0 {
			for n := 1; n > 0; {
				n, _ = unix.Read(peer, buf)
			}
			r.d.Ready(s, poller.Writable)
		}
		r.d.After()
	}
	if n := testing.AllocsPerRun(100, waits); n != 0 {
		t.Errorf("%v allocations for what waits, want 0", n)
	}
	if s.HasExtra() || r.l.Buffers.InUse() != 0 {
		t.Errorf("an idle stream has an extension (%v), %d bytes are lent", s.HasExtra(), r.l.Buffers.InUse())
	}
}

// What is asked of a stream that has ended, or is ending, changes nothing for the one that
// has its slot next.
func TestEndedStreams(t *testing.T) {
	r := newRig(t, roomy())
	poke := func(s link) {
		s.Hold(Custom)
		s.Yield()
		s.SetDue(r.l.Tick() + 1)
		s.DueBy(r.l.Tick() + 1)
		s.Write([]byte("x"))
		s.Finish([]byte("x"))
		s.DueAt(r.l.Now())
		s.Go(Custom)
		if s.Read() {
			t.Errorf("a stream that is %v was read", s.State())
		}
	}
	for _, from := range []State{Free, Finishing, Lingering, Gone} {
		c := &cellRig{rig: r}
		r.o.ended = nil
		c.bring(from)
		poke(c.s)
		if got := c.s.State(); got != from {
			t.Errorf("it was %v, and is %v", from, got)
		}
		if from == Free {
			if c.s.RemoteAddr().IsValid() || c.s.Waiting() != 0 {
				t.Error("a stream that has ended has a peer")
			}
			if _, _, err := c.s.Detach(); err == nil {
				t.Error("a stream that has ended was detached")
			}
			c.s.Reset(nil)
		}
		c.s.Cut(nil)
		c.s.Free()
		r.o.log = r.o.log[:0]
		next, peer := r.adopt()
		if next.Slot() != c.s.Slot() || next.State() != Flowing || next.Why() != 0 || next.Due() != 0 {
			t.Errorf("behind one that was %v: slot %d, %v, why %d, due %d", from, next.Slot(), next.State(), next.Why(), next.Due())
		}
		r.d.Timer()
		r.d.Wake()
		r.send(peer, "hello")
		r.d.Ready(next, poller.Readable)
		if !r.o.has("input") || r.o.has("due") || r.o.has("resume") {
			t.Errorf("behind one that was %v: told %q", from, r.o.log)
		}
		next.Cut(nil)
		next.Free()
	}
	defer func() {
		if p, _ := recover().(string); !strings.Contains(p, "Free") || !strings.Contains(p, "false") {
			t.Errorf("Free in Ended: got %q", p)
		}
	}()
	r.o.ended = func(s link, _ error) bool { s.Free(); return false }
	s, _ := r.adopt()
	s.Cut(nil)
}

// A token finds its stream as long as that lives, and no other.
func TestTokens(t *testing.T) {
	r := newRig(t, roomy())
	for _, tok := range []uint64{0, 1, Token(1, 0), Token(1<<30, 3), 1<<64 - 1} {
		if _, ok := r.l.Find(tok); ok {
			t.Errorf("token %x finds a stream where there is none", tok)
		}
	}
	s, _ := r.adopt()
	tok := s.Token()
	if found, ok := r.l.Find(tok); !ok || found != s || Token(s.Slot(), s.Generation()) != tok {
		t.Errorf("token %x finds %v", tok, ok)
	}
	if before := s.Mark(1 << MarkShift); before&Marks != 0 {
		t.Errorf("a new stream is marked: %x", before)
	}
	s.Mark(genBits) // no mark
	if s.Token() != tok || s.Generation()&Marks != 1<<MarkShift {
		t.Errorf("marked: token %x, want %x; generation %x", s.Token(), tok, s.Generation())
	}
	if r.l.Mark(s.Slot(), uint32(tok>>32), 2<<MarkShift) {
		t.Error("marked by a generation without its marks")
	}
	if !r.l.Mark(s.Slot(), s.Generation(), 2<<MarkShift) || r.l.Generation(s.Slot())&Marks != 3<<MarkShift {
		t.Errorf("not marked: generation %x", r.l.Generation(s.Slot()))
	}
	s.Cut(nil)
	if _, ok := r.l.Find(tok); ok {
		t.Error("a stream that has ended is found")
	}
	next, _ := r.adopt()
	if next.Slot() != s.Slot() || next.Token() == tok || next.Generation()&Marks != 0 {
		t.Errorf("the next one in slot %d has the token %x and the generation %x", next.Slot(), next.Token(), next.Generation())
	}
	r.d.Ready(link{r.l, s.slot, s.i}, poller.Readable) // of the next: harmless
	events[mark, bag]{r.l}.Ready(tok, poller.Readable) // of the one before: late
	if r.o.has("input") {
		t.Error("an event of another reached it")
	}
}

// Detach takes a stream out of the loop without Ended, with what waits in its socket; it
// counts until it is discounted.
func TestDetach(t *testing.T) {
	r := newRig(t, roomy())
	s, peer := r.adopt()
	r.send(peer, "unread")
	tok := s.Token()
	s.NeedExtra()
	fd, discount, err := s.Detach()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	delete(r.o.lives, tok)
	if r.o.has("ended") || s.State() != Free || s.Token() == tok || r.l.Streams() != 0 {
		t.Errorf("detached: told %q, %v, %d streams", r.o.log, s.State(), r.l.Streams())
	}
	if n := r.e.Sockets(); n != 1 {
		t.Errorf("%d sockets are counted, want 1", n)
	}
	discount()
	if n := r.e.Sockets(); n != 0 {
		t.Errorf("%d sockets are counted, want none", n)
	}
	if got := r.receive(fd); got != "unread" {
		t.Errorf("in the socket: %q", got)
	}
	r.d.Ready(s, poller.Readable)
	// In a callback of its own.
	s, peer = r.adopt()
	r.o.input = func(s link, _ []byte, _ bool) {
		delete(r.o.lives, s.Token())
		if fd, discount, err = s.Detach(); err != nil {
			t.Fatal(err)
		}
	}
	r.send(peer, "x")
	r.d.Ready(s, poller.Readable|poller.PeerClosed)
	discount()
	unix.Close(fd)
}

// Reset is heard as RST.
func TestReset(t *testing.T) {
	r := newRig(t, roomy())
	s, peer := r.dial()
	r.d.Writable(s)
	s.Reset(errCut)
	await(t, peer, unix.POLLHUP)
	if _, err := unix.Read(peer, make([]byte, 1)); err != unix.ECONNRESET {
		t.Errorf("the peer reads %v, want ECONNRESET", err)
	}
}

// Of many extensions at once nothing stays but a few for the next.
func TestExtrasGo(t *testing.T) {
	r := newRig(t, roomy())
	many := func(each func(s link)) {
		for s := range r.l.All() {
			each(s)
		}
	}
	for range 4 * spareExts {
		r.d.Seat()
	}
	for round := range 2 {
		many(func(s link) { s.NeedExtra().b = make([]byte, 1) })
		kept := 0
		many(func(s link) {
			if kept++; kept == 1 {
				return
			}
			s.NeedExtra().b = nil
			s.TrimExtra()
		})
		alive := 0
		for _, x := range r.l.exts.all {
			if x != nil && x != &r.l.exts.none {
				alive++
			}
		}
		if alive != 1 || len(r.l.exts.spare) > spareExts {
			t.Errorf("round %d: %d extensions are there for one stream, and %d for the next", round, alive, len(r.l.exts.spare))
		}
		many(func(s link) {
			s.NeedExtra().b = nil
			s.TrimExtra()
		})
		if cap(r.l.exts.all) > spareExts || cap(r.l.exts.free) > spareExts {
			t.Errorf("round %d: a table of %d is left without an extension", round, cap(r.l.exts.all))
		}
	}
	many(func(s link) { r.d.Unseat(s) })
}

// An extension belongs to one stream, is found with it, and goes when it is zero.
func TestExtras(t *testing.T) {
	r := newRig(t, roomy())
	var all []link
	for k := range 5 {
		s, _ := r.adopt()
		s.NeedExtra().b = r.l.Buffers.Get(100)[:k]
		all = append(all, s)
	}
	for k, s := range all {
		if n := len(s.Extra().b); n != k || !s.HasExtra() {
			t.Errorf("stream %d has %d bytes", k, n)
		}
	}
	x := all[2].NeedExtra()
	all[2].TrimExtra()
	if !all[2].HasExtra() {
		t.Error("an extra that is not zero was dropped")
	}
	r.l.Buffers.Put(x.b)
	x.b = nil
	if all[2].TrimExtra(); all[2].HasExtra() || all[2].Extra().b != nil {
		t.Error("an extra that is zero was kept")
	}
	seen := 0
	for s := range r.l.All() {
		if seen++; s == all[3] {
			break
		}
	}
	if seen != 4 {
		t.Errorf("saw %d streams up to the fourth", seen)
	}
}
