//go:build linux

package stream

import (
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/usher-ws/usher/poller"
	"golang.org/x/sys/unix"
)

// narrow connects a client whose kernel takes little ahead of it.
func narrow(t testing.TB, addr string) *net.TCPConn {
	t.Helper()
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 32<<10) })
	}}
	c, err := d.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

// What was written before Finish reaches a peer that keeps taking it, for longer than
// lingering lasts and whatever it says meanwhile.
func TestFinishDestroysNothing(t *testing.T) {
	const words, pieces = 1536 << 10, 20
	for name, say := range map[string][]byte{"quiet": nil, "talking": make([]byte, 32<<10)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, addr := serve(t, roomy(), func(o *owner) {
				o.opened = func(s link) {
					s.Write(make([]byte, words))
					s.Finish([]byte("bye"))
				}
			})
			c := narrow(t, addr)
			buf := make([]byte, words/pieces)
			got, last := 0, ""
			for {
				time.Sleep(2 * lingerTime / pieces) // a slow reader
				if len(say) > 0 {
					c.Write(say) // the server may have ended before us
				}
				n, err := io.ReadFull(c, buf)
				if got += n; n >= 3 {
					last = string(buf[n-3 : n])
				}
				if err == io.EOF || err == io.ErrUnexpectedEOF {
					break
				}
				if err != nil {
					t.Fatalf("behind %d bytes: %v", got, err)
				}
			}
			if got != words+3 || last != "bye" && last[2] != 'e' {
				t.Errorf("got %d bytes up to %q, want %d", got, last, words+3)
			}
		})
	}
}

// A peer that takes nothing of what was said last is waited for no longer than the
// write-timeout.
func TestTakesNothing(t *testing.T) {
	t.Parallel()
	cfg := roomy()
	cfg.WriteTimeout = time.Second
	e, owners, addr := serve(t, cfg, func(o *owner) {
		o.opened = func(s link) { s.Finish(plenty) }
	})
	narrow(t, addr)
	l := e.Loops()[0]
	eventually(t, "it has ended", func() (ended bool) {
		on(t, l, func() {
			for _, cause := range owners[0].causes {
				if ended = true; cause != ErrWriteTimeout {
					t.Errorf("ended with %v", cause)
				}
			}
		})
		return ended
	})
}

// Those that have yet to take what was said last do not make room for others that linger,
// as long as they may count as streams; then they count as such.
func TestTakersAreSpared(t *testing.T) {
	cfg := config{Loops: 1, MaxConns: 2, Reserve: 1, Weigh: weigh, WriteTimeout: time.Minute}
	r := newRig(t, cfg)
	takes := map[int]bool{}
	r.l.engine.cfg.Progress = func(fd int) poller.Outgoing {
		if takes[fd] {
			return poller.Outgoing{Unsent: 1}
		}
		return poller.Outgoing{Sent: time.Hour}
	}
	stats := func(live, reserved, evicted int) {
		t.Helper()
		if st := r.e.Stats(); st.Live != live || st.Reserved != reserved || int(st.Evicted) != evicted {
			t.Fatalf("got %+v, want %d live, %d reserved, %d evicted", st, live, reserved, evicted)
		}
	}
	taker, peer := r.adopt()
	takes[int(taker.slot.fd)] = true
	stats(1, 0, 0)
	taker.Finish([]byte("words"))
	stats(0, 1, 0)
	var others []link
	var first uint64
	for k := range 3 {
		s, _ := r.adopt()
		if k == 0 {
			first = s.Token()
		}
		s.Finish(nil)
		r.d.Wake()
		others = append(others, s)
	}
	// The taker was spared and counts as live; of the others the last is left.
	stats(1, 1, 2)
	if taker.State() != Lingering || others[2].State() != Lingering || r.o.causes[first] != ErrEvicted {
		t.Fatalf("they are %v, %v, and the first ended with %v", taker.State(), others[2].State(), r.o.causes[first])
	}
	if r.receive(peer) != "words" {
		t.Error("the words were destroyed")
	}
	delete(takes, int(taker.slot.fd))
	r.d.Due(taker) // it has taken all
	if taker.State() != Free {
		t.Errorf("it has taken all: it is %v", taker.State())
	}
	stats(0, 1, 2)
	// Without a seat for it, it is spared once, for others that have taken all.
	taker, _ = r.adopt()
	takes[int(taker.slot.fd)] = true
	a, _ := r.adopt()
	others[2].Cut(nil)
	taker.Finish([]byte("words"))
	b, _ := r.adopt()
	stats(2, 1, 2)
	c, _ := r.adopt() // beyond: Adopt does not ask
	c.Finish(nil)
	r.d.Wake()
	if taker.State() != Lingering || c.State() != Free {
		t.Errorf("beside one that has taken all: it is %v, the other %v", taker.State(), c.State())
	}
	c, _ = r.adopt()
	takes[int(c.slot.fd)] = true
	c.Finish([]byte("words"))
	r.d.Wake()
	if taker.State() != Free || c.State() != Lingering {
		t.Errorf("beside a later one that takes, too: it is %v, the other %v", taker.State(), c.State())
	}
	for _, s := range []link{a, b} {
		s.Cut(nil)
	}
}
