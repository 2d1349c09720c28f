//go:build linux

package server

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/upgrade"
)

// asUser is a door that believes who a client says it is.
var asUser = upgrade.Guard{OnBeforeUpgrade: func(r *upgrade.Request) (http.Header, error) {
	if name := string(r.RawQuery()); name != "" {
		r.Identity = &upgrade.Identity{Subject: name}
	}
	return nil, nil
}}

// playAddress lets a test come from an address for each port. It is called before
// the server starts.
func playAddress(t *testing.T, addr func(port uint16) netip.Addr) {
	was := peer
	peer = func(s link) netip.AddrPort {
		at := was(s)
		return netip.AddrPortFrom(addr(at.Port()), at.Port())
	}
	t.Cleanup(func() { peer = was })
}

// TestShared: all connections of a user, or of an address, have one bucket, on
// whatever route and loop they are; what others have is not touched.
func TestShared(t *testing.T) {
	for _, over := range []Action{Drop, Delay, Disconnect} {
		for _, by := range []string{"user", "ip"} {
			t.Run(fmt.Sprint(over, " ", by), func(t *testing.T) {
				const conns, each, burst, rate = 4, 30, 20, 100
				s := &Server{Loops: 2}
				shared := limiter.Rate{Limit: rate, Burst: burst}
				if by == "user" {
					s.MessagesPerUser = shared
				} else {
					s.MessagesPerIP = shared
				}
				r := Route{Guards: []upgrade.Guard{asUser}, Message: echo, Limits: Limits{Over: over}}
				s.Route("/one", r)
				s.Route("/two", r)
				var mu sync.Mutex
				strangers := map[uint16]bool{}
				playAddress(t, func(port uint16) netip.Addr {
					mu.Lock()
					defer mu.Unlock()
					if strangers[port] {
						return netip.AddrFrom4([4]byte{192, 0, 2, 2})
					}
					return netip.AddrFrom4([4]byte{192, 0, 2, 1})
				})
				addr := start(t, s)
				var loud []*talker
				for k := range conns {
					loud = append(loud, talk(t, addr, []string{"/one?alice", "/two?alice"}[k%2]))
				}
				quiet := func() *talker {
					c, err := net.Dial("tcp", addr)
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { c.Close() })
					c.SetDeadline(time.Now().Add(time.Hour))
					mu.Lock()
					strangers[uint16(c.LocalAddr().(*net.TCPAddr).Port)] = true
					mu.Unlock()
					fmt.Fprintf(c, upgradeHead, "/one?bob")
					in := bufio.NewReader(c)
					for line := ""; line != "\r\n"; {
						if line, err = in.ReadString('\n'); err != nil {
							t.Fatal(err)
						}
					}
					return &talker{t, c.(*net.TCPConn), in}
				}()
				begin := time.Now()
				got := make([][]string, conns)
				var all sync.WaitGroup
				for k, c := range loud {
					all.Go(func() {
						end := frame.OpPong
						if over == Disconnect {
							end = frame.OpClose
							go c.conn.Write(volley(0, 10*each))
						} else {
							c.conn.Write(append(volley(0, each), endPing...))
						}
						var last string
						got[k], last = c.upTo(end)
						if over == Disconnect && !strings.HasPrefix(last, "\x03\xf0"+by+"_limit; retry-after-ms=") {
							t.Errorf("close %q", last)
						}
					})
				}
				for k := range 10 {
					quiet.conn.Write(volley(k, k+1))
					if _, text, err := quiet.next(); text != fmt.Sprint(k) {
						t.Errorf("bob got %q (%v)", text, err)
					}
				}
				all.Wait()
				took := time.Since(begin)
				n := 0
				for _, texts := range got {
					n += len(texts)
				}
				most := burst + int(rate*took.Seconds())
				switch over {
				case Drop:
					if n < burst || n > most || countOf(s, "/one", by, "drop")+countOf(s, "/two", by, "drop") != conns*each-n {
						t.Errorf("%d passed in %v, want %d to %d; counted %v", n, took, burst, most, s.LimitStats())
					}
				case Disconnect:
					if n < burst-conns || n > most || countOf(s, "/one", by, "close")+countOf(s, "/two", by, "close") != conns {
						t.Errorf("%d passed in %v, want %d to %d; counted %v", n, took, burst, most, s.LimitStats())
					}
				case Delay:
					for k := range got {
						if !slices.Equal(got[k], numbers(each)) {
							t.Errorf("connection %d got %q", k, got[k])
						}
					}
					if least := time.Duration(conns*each-burst) * time.Second / rate; took < least-time.Millisecond {
						t.Errorf("took %v, want at least %v", took, least)
					}
				}
			})
		}
	}
}

// Who waits for a turn and leaves gives it back.
func TestTurnIsGivenBack(t *testing.T) {
	s := &Server{MessagesPerUser: limiter.Rate{Limit: limiter.Every(time.Hour), Burst: 1}}
	s.Route("/echo", Route{Guards: []upgrade.Guard{asUser}, Message: echo, Limits: Limits{Over: Delay}})
	begin := time.Now()
	addr := start(t, s)
	now := func() time.Duration { return time.Since(begin) }
	for range 5 {
		c := talk(t, addr, "/echo?alice")
		c.conn.Write(volley(0, 2))
		eventually(t, "the connection waits", func() bool {
			return s.userMessages.WaitN("alice", now(), 1) > 90*time.Minute
		})
		c.conn.SetLinger(0)
		c.conn.Close()
		eventually(t, "its turn is back", func() bool {
			return s.userMessages.WaitN("alice", now(), 1) < 61*time.Minute
		})
		s.userMessages.CancelN("alice", now(), 1) // as if the hour were over
	}
}
