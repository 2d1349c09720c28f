//go:build linux

package stream

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// With too little room for all, on several loops, whatever comes from many addresses, every
// other of them through one proxy, is served or told, or goes; there are never more than there
// may be, and none is left.
func TestTooLittleRoom(t *testing.T) {
	const clients, visits, addresses = 24, 60, 5
	cfg := proxied()
	proxy := netip.MustParseAddr("127.0.2.1")
	cfg.IsProxy = func(peer netip.Addr) bool { return peer == proxy }
	cfg.Loops, cfg.MaxConns, cfg.Reserve = 3, 8, 16
	cfg.Admit = func(_ netip.Addr, newcomers int, _ time.Duration) bool { return newcomers < 2 }
	e, _, addr := serve(t, cfg, func(o *owner) {
		o.input = func(s link, b []byte, eof bool) {
			isPlaced, _ := s.Claim()
			switch {
			case eof:
				s.Finish(nil)
			case b[0] == '?': // it only asks
				s.Finish([]byte("told"))
			case !isPlaced:
				s.Finish([]byte("full"))
			default:
				s.Write([]byte("here"))
			}
			most := int64(cfg.MaxConns + cfg.Reserve + 2*cfg.Loops) // as it is counted before it is looked at
			if n := int64(o.loop.engine.Sockets()); n > most {
				t.Errorf("%d sockets, want at most %d", n, most)
			}
		}
	})
	var words [3]atomic.Int32
	var all sync.WaitGroup
	for k := range clients {
		rng := rand.New(rand.NewPCG(3, uint64(k)))
		all.Go(func() {
			var silent []net.Conn
			from, header := net.IPv4(127, 0, 1, byte(1+k%addresses)), ""
			if k%2 == 1 {
				from, header = proxy.AsSlice(), fmt.Sprintf("from %v:1\n", from)
			}
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: from}}
			for range visits {
				c, err := d.Dial("tcp", addr)
				if err != nil {
					t.Error(err)
					return
				}
				way := rng.IntN(4)
				if way > 0 {
					io.WriteString(c, header)
				}
				switch way {
				case 0, 1: // says nothing for a while
					silent = append(silent, c)
					if len(silent) > 3 {
						silent[0].Close()
						silent = silent[1:]
					}
					continue
				default:
					io.WriteString(c, []string{"?", "!"}[way-2])
					word := make([]byte, 4)
					if _, err := io.ReadFull(c, word); err == nil {
						words[indexOf(t, string(word))].Add(1)
					}
					c.Close()
				}
			}
			for _, c := range silent {
				c.Close()
			}
		})
	}
	all.Wait()
	for k, word := range theWords {
		t.Logf("%q was said %d times", word, words[k].Load())
	}
	if words[0].Load() == 0 || words[2].Load() == 0 {
		t.Error("nobody was served")
	}
	t.Logf("%+v", e.Stats())
	eventually(t, "all streams have ended", func() bool { return e.Sockets() == 0 })
}

var theWords = []string{"told", "full", "here"}

func indexOf(t *testing.T, word string) int {
	k := slices.Index(theWords, word)
	if k < 0 {
		t.Errorf("got %q", word)
		return 0
	}
	return k
}

// However many streams a loop is asked to evict, it looks at so many in a turn, and wakes up
// A stream that is to make room while it is on its way to its loop is waited for, also by that
// loop, which evicts it when it has adopted it.
func TestRoomOfThoseOnTheirWay(t *testing.T) {
	r := newRig(t, roomy())
	r.e.calm = 0
	fd, _ := r.pair()
	r.e.reserved.Add(1)
	r.l.conns.Add(1)
	k := r.e.sources.add(netip.Addr{}, member{standing: surplus, loop: int32(r.l.id)})
	r.l.inbox.put(adoption{fd: fd, member: k, excess: true})
	r.l.makeRoom(netip.Addr{}, true)
	if n := r.e.owed.Load(); n != 1 {
		t.Errorf("%d are owed, want 1", n)
	}
	r.d.Wake()
	if st := r.e.Stats(); r.e.owed.Load() != 0 || st.Reserved != 0 || st.TurnedAway != 1 {
		t.Errorf("%d are owed, %+v", r.e.owed.Load(), st)
	}
}

// for the rest.
func TestEvictionsPerTurn(t *testing.T) {
	r := newRig(t, roomy())
	s, _ := r.adopt()
	stale := s.Token()
	s.Cut(nil)
	const asked = 2*evictionsPerTurn + 10
	for range asked {
		r.e.owed.Add(1)
		r.l.ask(stale)
	}
	for left := asked; left > 0; {
		r.d.Wake()
		left = max(0, left-evictionsPerTurn)
		if n := len(r.l.inbox.leaving); n != left {
			t.Fatalf("after a turn %d are left, want %d", n, left)
		}
	}
	if n := r.e.owed.Load(); n != 0 {
		t.Errorf("%d are still owed", n)
	}
}
