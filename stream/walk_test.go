//go:build linux

package stream

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/usher-ws/usher/poller"
	"golang.org/x/sys/unix"
)

// walker does at random what an owner, a peer and the kernel may do, on a few streams, and
// looks at everything after each step.
type walker struct {
	*rig
	next     func() byte // the choices, until there are none
	over     bool
	streams  []*walked
	listener int
	at       netip.AddrPort
	depth    int
	isTLS    bool
	steps    []string // of the walk, for when it fails
}

// walked is a stream on its way, and what is known of it.
type walked struct {
	s       link
	tok     uint64
	peer    int // -1 once it has hung up
	written int
	taken   int
	dialled bool
	far     *farEnd // of TLS
}

const mostWalked = 6

func newWalker(t testing.TB, cfg config, next func() byte) *walker {
	w := &walker{rig: newRig(t, cfg), next: next, isTLS: cfg.TLS != nil}
	w.listener, w.at = listenTCP(t)
	act := func(s link) {
		if w.depth < 3 && w.next()%2 == 0 {
			w.depth++
			w.verb(w.some(s))
			w.depth--
		}
	}
	w.o.resume, w.o.due, w.o.victim = act, act, act
	w.o.opened = func(s link) {
		if x := w.of(s); x != nil {
			w.secure(x)
		}
		act(s)
	}
	w.o.input = func(s link, b []byte, eof bool) {
		if x := w.of(s); x != nil && x.far != nil {
			w.heard(x, b)
		}
		if act(s); eof && w.next()%2 == 0 {
			s.Finish(nil)
		}
	}
	w.o.ended = func(s link, _ error) bool {
		keep := w.next()%4 == 0
		act(s)
		return keep
	}
	return w
}

// of returns what is known of a stream.
func (w *walker) of(s link) *walked {
	for _, x := range w.streams {
		if x.tok == s.Token() {
			return x
		}
	}
	return nil
}

// some chooses a stream, more often s than others.
func (w *walker) some(s link) *walked {
	n := w.next()
	for _, x := range w.streams {
		if n%3 > 0 && x.s == s {
			return x
		}
	}
	if len(w.streams) == 0 {
		return nil
	}
	return w.streams[int(n)%len(w.streams)]
}

func (w *walker) note(what string, x *walked) {
	w.steps = append(w.steps, fmt.Sprintf("%*s%s %d %v", 2*w.depth, "", what, x.s.Slot(), x.s.State()))
}

// counting is bytes of which each is its place, modulo 251: the same for all streams.
var counting = func() []byte {
	b := make([]byte, 251+256*5000)
	for k := range b {
		b[k] = byte(k % 251)
	}
	return b
}()

// verb has the owner do something with a stream that has not ended, or has been kept.
func (w *walker) verb(x *walked) {
	if x == nil || x.s.State() == Free || x.s.Token() != x.tok {
		return
	}
	s := x.s
	switch op := w.next() % 17; op {
	case 0, 1, 2:
		w.note("write", x)
		at, n := x.written%251, 1+int(w.next())*[]int{1, 200, 5000}[op]
		b := slices.Clone(counting[at : at+n])
		if st := s.State(); st == Flowing || st == Held {
			x.written += n
		}
		var parts []Part
		for from := 0; from < n && w.next()%2 == 0; {
			from += int(w.next()) * n / 512
			to := min(n, from+int(w.next())*n/128)
			if to > from {
				parts = append(parts, Part{from, counting[at+from : at+to]})
			}
			from = to
		}
		s.WriteParts(b, parts)
		clear(b) // which is not kept
	case 3:
		w.note("finish", x)
		s.Finish(nil)
	case 4:
		w.note("cut", x)
		s.Cut(errCut)
	case 5, 6:
		w.note("hold", x)
		s.Hold(Custom << (op - 5))
	case 7, 8:
		w.note("go", x)
		s.Go(Custom << (op - 7))
	case 9:
		w.note("yield", x)
		s.Yield()
	case 10:
		w.note("set due", x)
		s.SetDue(w.l.Tick() + uint32(w.next()%8))
	case 11:
		w.note("due at", x)
		s.DueAt(w.l.Now())
	case 12:
		if s.State() != Gone {
			w.note("extra", x)
			bag := s.NeedExtra()
			bag.b = w.l.Buffers.Append(bag.b, make([]byte, 1+int(w.next())*100))
		}
	case 13:
		if s.HasExtra() && s.State() != Gone {
			w.note("trim", x)
			bag := s.NeedExtra()
			w.l.Buffers.Put(bag.b)
			bag.b = nil
			s.TrimExtra()
		}
	case 14:
		w.note("read", x)
		s.Read()
	case 15:
		if s.State() == Flowing || s.State() == Held {
			w.note("claim", x)
			if isPlaced, _ := s.Claim(); isPlaced == s.Excess() {
				w.Fatalf("slot %d has a place: %v, and is beyond: %v", s.i, isPlaced, s.Excess())
			}
		}
	case 16:
		if s.State() == Gone || w.next()%4 > 0 {
			return
		}
		w.note("detach", x)
		if s.HasExtra() {
			bag := s.NeedExtra()
			w.l.Buffers.Put(bag.b)
			bag.b = nil
		}
		fd, discount, err := s.Detach()
		if s.IsSecure() {
			if err == nil {
				w.Error("a secure stream was detached")
			}
			return
		}
		if err != nil {
			w.Errorf("detach: %v", err)
			return
		}
		delete(w.o.lives, x.tok)
		discount()
		unix.Close(fd)
	}
}

// peerDoes has a peer do something.
func (w *walker) peerDoes(x *walked) {
	if x == nil || x.peer < 0 || w.isTLS && x.s.State() == Dialing {
		return
	}
	if x.far != nil {
		w.farDoes(x)
		return
	}
	switch w.next() % 6 {
	case 0, 1:
		w.note("peer says", x)
		unix.Write(x.peer, make([]byte, 1+int(w.next())*300))
	case 2, 3, 4:
		w.note("peer takes", x)
		buf := make([]byte, 1+int(w.next())*4096)
		n, _ := unix.Read(x.peer, buf)
		for k := range max(n, 0) {
			if want := byte((x.taken + k) % 251); buf[k] != want {
				w.Fatalf("byte %d is %d, want %d", x.taken+k, buf[k], want)
			}
		}
		if x.taken += max(n, 0); x.taken > x.written {
			w.Fatalf("%d bytes were taken of %d", x.taken, x.written)
		}
	case 5:
		switch w.next() % 4 {
		case 0:
			w.note("peer ends", x)
			unix.Shutdown(x.peer, unix.SHUT_WR)
		case 1:
			w.note("peer hangs up", x)
			w.hangUp(x.peer)
			x.peer = -1
		case 2:
			w.note("peer resets", x)
			w.reset(x.peer)
			x.peer = -1
		}
	}
}

// kernelDoes has the loop hear of something, late or not.
func (w *walker) kernelDoes(x *walked) {
	switch w.next() % 10 {
	case 8:
		if x != nil && x.s.Token() == x.tok {
			w.note("due", x)
			w.d.Due(x.s)
		}
	case 9:
		if w.next()%8 == 0 {
			w.d.Advance(Ticks(w.l.engine.cfg.WriteTimeout))
		}
		w.advance()
	case 0:
		w.d.Wake()
	case 1:
		w.d.Timer()
	case 2:
		w.d.After()
	case 3:
		w.advance()
	default:
		if x == nil || x.s.State() == Free {
			return
		}
		s := link{w.l, x.s.slot, x.s.i}
		fds := []unix.PollFd{{Fd: s.slot.fd, Events: unix.POLLIN | unix.POLLOUT | unix.POLLRDHUP}}
		unix.Poll(fds, 0)
		w.note(fmt.Sprintf("ready %x", fds[0].Revents), x)
		events[mark, bag]{w.l}.Ready(x.tok, poller.Event(fds[0].Revents))
	}
}

// begin has a new stream come, or dials one.
func (w *walker) begin() {
	if len(w.streams) >= mostWalked {
		return
	}
	x := &walked{dialled: w.next()%3 == 0}
	if x.dialled {
		s, err := w.l.Dial(w.at, netip.Addr{}, mark{})
		if err != nil {
			w.Fatal(err)
		}
		w.o.born(s)
		await(w, w.listener, unix.POLLIN)
		peer, _, errno := poller.Accept(w.listener)
		if errno != 0 {
			w.Fatal(errno)
		}
		w.peers = append(w.peers, peer)
		x.s, x.peer = s, peer
		x.tok = s.Token()
		w.streams = append(w.streams, x)
		return
	}
	mine, peer := w.pair()
	x.peer = peer
	w.streams = append(w.streams, x)
	opened := w.o.opened
	w.o.opened = func(s link) { // it may have ended when adopting returns
		x.s, x.tok = s, s.Token()
		w.secure(x)
		w.o.opened = opened
		opened(s)
	}
	w.e.acceptor.assign(adoption{fd: mine, peer: netip.AddrFrom4([4]byte{10, 0, 0, w.next() % 3})})
	if w.o.opened = opened; x.s.IsZero() { // it was turned away
		w.streams = slices.DeleteFunc(w.streams, func(y *walked) bool { return x == y })
		w.hangUp(peer)
	}
}

func (w *walker) step() {
	switch w.next() % 8 {
	case 0:
		w.begin()
	case 1, 2, 3:
		w.verb(w.some(link{}))
	case 4, 5:
		w.peerDoes(w.some(link{}))
	default:
		w.kernelDoes(w.some(link{}))
	}
	w.check()
	// Those that have ended go, now and then.
	kept := w.streams[:0]
	for _, x := range w.streams {
		switch {
		case x.s.Token() == x.tok && x.s.State() == Gone:
			if w.next()%4 == 0 {
				x.s.Free()
			}
			fallthrough
		case x.s.Token() == x.tok && x.s.State() != Free:
			kept = append(kept, x)
		case x.peer >= 0:
			w.hangUp(x.peer)
		}
	}
	w.streams = kept
	w.check()
}

// check holds all there is against what must be so between two events.
func (w *walker) check() {
	w.Helper()
	alive, counted, reserves, listed, lent := 0, 0, 0, 0, 0
	shared, ranked := map[*piece]int32{}, 0
	for s := range w.l.All() {
		if s.slot.ext != 0 {
			x := w.l.exts.get(s.slot.ext)
			held, waits := 0, len(x.sealed.out)-x.outbox.sent
			for _, p := range x.outbox.pieces[x.outbox.first:] {
				if waits += len(p.b); p.refs == 0 {
					lent += cap(p.b)
				} else if shared[p]++; shared[p] == 1 {
					lent += len(p.b) + pieceCost
				}
				held += w.l.weighPiece(p)
			}
			held += cap(x.outbox.pieces) * refCost
			lent += cap(x.owner.b) + cap(x.outbox.pieces)*refCost + x.sealed.size()
			if held != x.outbox.held || waits != x.outbox.waiting {
				w.Fatalf("slot %d holds %d bytes and %d wait, want %d and %d", s.i, x.outbox.held, x.outbox.waiting, held, waits)
			}
			if x.place.rank != 0 {
				ranked++
			}
			if x.slot != s.i {
				w.Fatalf("the extension of slot %d says %d", s.i, x.slot)
			}
		}
		waiting, why := s.Waiting() > 0, s.Why()
		st := s.State()
		if st != Gone {
			alive++
			if w.o.lives[s.Token()] == 0 {
				w.Fatalf("the owner does not know slot %d, which is %v", s.i, st)
			}
		}
		if s.slot.flags&uncounted == 0 {
			counted++
			if w.isReserved(s) {
				reserves++
			}
		}
		if _, ok := w.l.members[s.i]; ok {
			listed++
		}
		read, write := w.d.Armed(s)
		var wantRead, wantWrite, isHeld bool
		always := w.l.engine.cfg.ReadAlways
		switch st {
		case Dialing:
			wantWrite = true
		case Flowing, Held:
			wantWrite = waiting
			if isHeld = why != 0 || waiting; always {
				isHeld = why&^Backlog != 0
			}
			if x := w.l.exts.get(s.slot.ext); w.l.isTellable(s.slot) {
				w.Fatalf("slot %d has not been told of %v, and is not going to be", s.i, x.sealed.end)
			}
			wantRead = !isHeld
			if waiting != (why&Backlog != 0) && !always {
				w.Fatalf("slot %d: waiting %v, why %b", s.i, waiting, why)
			}
			if isHeld != (st == Held) {
				w.Fatalf("slot %d is %v, waiting %v, why %b", s.i, st, waiting, why)
			}
		case Finishing:
			wantWrite = true
			if !waiting || why != 0 {
				w.Fatalf("slot %d is finishing, waiting %v, why %b", s.i, waiting, why)
			}
		case Lingering:
			wantRead = w.l.exts.get(s.slot.ext).discarded <= lingerBytes
			if waiting || why != 0 {
				w.Fatalf("slot %d lingers, waiting %v, why %b", s.i, waiting, why)
			}
		case Gone:
			if s.slot.fd >= 0 || waiting {
				w.Fatalf("slot %d is gone, with the descriptor %d, waiting %v", s.i, s.slot.fd, waiting)
			}
			continue
		}
		if read != wantRead || write != wantWrite {
			w.Fatalf("slot %d is %v, waiting %v, why %b: armed for reading %v and writing %v", s.i, st, waiting, why, read, write)
		}
		if at := *w.l.slab.due(s.i); waiting && at == 0 {
			w.Fatalf("slot %d: bytes wait without a deadline", s.i)
		}
	}
	if len(w.o.lives) != alive {
		w.Fatalf("the owner knows %d streams of %d", len(w.o.lives), alive)
	}
	if st := w.e.Stats(); st.Live < 0 || st.Live > w.l.engine.cfg.MaxConns || st.Reserved < 0 {
		w.Fatalf("counted: %+v", st)
	}
	if got := w.e.Sockets(); got != counted {
		w.Fatalf("%d sockets are counted, want %d", got, counted)
	}
	if got := w.e.Stats().Reserved; got != reserves {
		w.Fatalf("%d are counted in the reserve, want %d", got, reserves)
	}
	checkSources(w, &w.e.sources, listed)
	for p, n := range shared {
		if p.refs != n {
			w.Fatalf("a piece counts %d outboxes, want %d", p.refs, n)
		}
	}
	for r, k := range w.l.exts.ranks {
		for ; k != 0; k = w.l.exts.all[k].place.next {
			if ranked--; w.l.exts.all[k].place.rank != uint8(r) {
				w.Fatalf("extension %d is in list %d", k, r)
			}
		}
	}
	if ranked != 0 {
		w.Fatalf("%d extensions are in no list", ranked)
	}
	if got := w.l.Buffers.InUse(); got != lent {
		w.Fatalf("%d bytes are lent, want %d", got, lent)
	}
	if w.l.current != 0 {
		w.Fatalf("the callback of slot %d has not ended", w.l.current)
	}
}

// isReserved reports whether a stream has a place in the reserve.
func (w *walker) isReserved(s link) bool {
	k, isListed := w.l.members[s.i]
	if isListed {
		return w.e.sources.members[k].standing != placed
	}
	return s.slot.flags&reserved != 0
}

// walk goes on until there are no more choices.
func (w *walker) walk() {
	defer func() {
		p := recover()
		if p != nil || w.Failed() {
			from := max(0, len(w.steps)-40)
			for _, step := range w.steps[from:] {
				w.Log(step)
			}
		}
		if p != nil {
			panic(p)
		}
	}()
	for !w.over {
		w.step()
	}
}

// TestWalk: whatever is done, by whom and in whatever order, the table of streams, epoll,
// the buffers, the counts and the owner agree after every step.
func TestWalk(t *testing.T) {
	for kind := range 4 {
		for seed := range uint64(8) {
			always, isTLS := kind&1 != 0, kind&2 != 0
			t.Run(fmt.Sprintf("always %v, TLS %v, %d", always, isTLS, seed), func(t *testing.T) {
				rng := rand.New(rand.NewPCG(1, seed))
				left := 3000
				cfg := roomy()
				if cfg.ReadAlways = always; isTLS {
					cfg = withTLS(t, cfg)
				}
				cfg.MaxBuffered, cfg.MaxConns, cfg.Reserve = 4<<20, 3, 2
				var w *walker
				w = newWalker(t, cfg, func() byte {
					if left--; left < 0 {
						w.over = true
						return 1
					}
					return byte(rng.IntN(256))
				})
				w.walk()
			})
		}
	}
}

func FuzzWalk(f *testing.F) {
	f.Add(false, false, []byte("stream"))
	f.Add(true, false, []byte("a walk of a few steps on a few streams, which nobody has planned"))
	f.Add(true, true, []byte("a walk of a few steps on a few streams, which nobody has planned"))
	f.Fuzz(func(t *testing.T, always, isTLS bool, choices []byte) {
		cfg := roomy()
		if cfg.ReadAlways = always; isTLS {
			cfg = withTLS(t, cfg)
		}
		cfg.MaxBuffered, cfg.MaxConns, cfg.Reserve = 4<<20, 3, 2
		var w *walker
		w = newWalker(t, cfg, func() byte {
			if len(choices) == 0 {
				w.over = true
				return 1
			}
			c := choices[0]
			choices = choices[1:]
			return c
		})
		w.walk()
	})
}
