//go:build linux

package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/usher-ws/usher/internal/websocket"
	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/upgrade"
	"golang.org/x/sys/unix"
)

// TestQuotasNeverLeak: after 100,000 connections that end in every way there is,
// at every moment, nobody holds a place any more. Most come over socketpairs,
// handed to the acceptor as accept would, from addresses that the test makes up;
// the rest over TCP, for its RST.
func TestQuotasNeverLeak(t *testing.T) {
	const total, overTCP, clients = 30_000, 600, 16
	peer = func(s link) netip.AddrPort {
		if at := s.RemoteAddr(); at.IsValid() {
			return at
		}
		n := s.Slot()
		if n%5 == 0 { // many addresses of one /64
			return netip.AddrPortFrom(netip.AddrFrom16([16]byte{0x20, 0x01, 15: byte(n)}), 1)
		}
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(n % 5)}), 1)
	}
	t.Cleanup(func() { peer = link.RemoteAddr })

	s := &Server{Loops: 2, Logger: slog.New(slog.DiscardHandler), MaxConnsPerIP: 6, MaxConnsPerUser: 3, ConnRate: limiter.Rate{Limit: 50_000, Burst: 50}}
	name := func(r *upgrade.Request) *upgrade.Identity {
		return &upgrade.Identity{Subject: "user" + string(r.RawQuery())}
	}
	s.Route("/guard", Route{Guards: []upgrade.Guard{{OnBeforeUpgrade: func(r *upgrade.Request) (http.Header, error) {
		if r.Identity = name(r); string(r.RawQuery()) == "0" {
			return nil, upgrade.Reject(403, upgrade.CodeForbidden, "No.")
		}
		return nil, nil
	}}}, Message: echo})
	var asked [6]atomic.Int64
	s.Route("/ask", Route{AcceptClose: true, Message: echo, Authorize: func(ctx context.Context, r *upgrade.Request) error {
		r.Identity = name(r)
		way := (r.RawQuery()[0] - '0') % 6
		asked[way].Add(1)
		switch way {
		case 0:
			<-ctx.Done() // it waits for the client to hang up
			return ctx.Err()
		case 1:
			return upgrade.Reject(404, upgrade.CodeNotFound, "No.")
		case 2:
			return errors.New("internal")
		case 3:
			panic("in the authorizer")
		}
		return nil
	}})
	addr := start(t, s)

	var tally [numOutcomes]atomic.Int64
	var all sync.WaitGroup
	for k := range clients {
		rng := rand.New(rand.NewPCG(1, uint64(k)))
		all.Go(func() {
			for n := range total / clients {
				if n%(total/overTCP) == 0 {
					c, err := net.Dial("tcp", addr)
					if err != nil {
						t.Error(err)
						return
					}
					tally[visit(rng, c)].Add(1)
					continue
				}
				pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
				if err != nil {
					t.Error(err)
					return
				}
				if err := unix.SetNonblock(pair[1], false); err != nil {
					t.Error(err)
				}
				var known netip.Addr // when it is accepted; of others it is with the head
				if n%2 == 0 {
					known = netip.AddrFrom4([4]byte{10, 0, 0, byte(n % 5)})
				}
				if err := s.loops[0].Post(func() { s.loops[0].Drive().Place(pair[0], known) }); err != nil {
					t.Error(err)
					return
				}
				tally[visit(rng, &pairConn{fd: pair[1]})].Add(1)
			}
		})
	}
	changed := changeUntil(t, s, &all)
	eventually(t, "all connections end", func() bool { return s.total() == 0 && s.asking.InUse() == 0 })
	for last := range byte(6) {
		for _, a := range []netip.Addr{
			netip.AddrFrom4([4]byte{10, 0, 0, last}), netip.AddrFrom4([4]byte{127, 0, 0, 1}),
			netip.AddrFrom16([16]byte{0x20, 0x01}),
		} {
			if n := s.perIP.InUse(networkOf(a)); n != 0 {
				t.Errorf("%v holds %d places", a, n)
			}
		}
	}
	for q := range 10 {
		if n := s.users.placesOf(fmt.Sprint("user", q)); n != 0 {
			t.Errorf("user%d holds %d places", q, n)
		}
	}
	for range 64 {
		s.perIP.Sweep(time.Hour)
		s.arrivals.Sweep(time.Hour)
	}
	if n := s.perIP.Len() + s.users.len() + s.arrivals.Len(); n != 0 {
		t.Errorf("%d keys are still remembered", n)
	}
	for i := range asked {
		if asked[i].Load() == 0 {
			t.Errorf("no authorizer went way %d", i)
		}
	}
	t.Logf("%d policies; let in %d, refused %d, hung up %d", changed, tally[letIn].Load(), tally[refused].Load(), tally[hungUp].Load())
	for _, o := range []outcome{letIn, refused, hungUp} {
		if n := tally[o].Load(); n < total/10 {
			t.Errorf("outcome %d came %d times of %d: the mix is not one", o, n, total)
		}
	}
	if n := tally[unanswered].Load(); n != 0 {
		t.Errorf("%d waited for an answer and got none", n)
	}
}

// changeUntil changes how connections are counted until all are done, and returns how often.
func changeUntil(t *testing.T, s *Server, all *sync.WaitGroup) (changes int) {
	t.Helper()
	first, done := s.Policy(), make(chan struct{})
	go func() { defer close(done); all.Wait() }()
	for ; !isClosed(done); changes++ {
		p := first
		switch changes % 4 {
		case 1:
			p.MaxConnsPerIP, p.MaxConnsPerUser, p.ConnRate = 0, 0, limiter.Rate{}
		case 2:
			p.MessagesPerIP = limiter.Rate{Limit: 1, Burst: 1}
		case 3:
			p.MaxConnsPerIP, p.LimitDryRun = 1, true
		}
		if err := s.SetPolicy(p); err != nil {
			t.Fatal(err)
		}
	}
	return changes
}

// outcome is what came of a visit.
type outcome int

const (
	letIn outcome = iota
	refused
	hungUp     // by the visitor, without waiting for an answer
	unanswered // by the server
	numOutcomes
)

// client is what visit needs of a connection.
type client interface {
	Read(b []byte) (int, error)
	Write(b []byte) (int, error)
	Close() error
}

// visit knocks in one of many ways, and tells what came of it.
func visit(rng *rand.Rand, c client) outcome {
	defer c.Close()
	if tcp, ok := c.(*net.TCPConn); ok {
		tcp.SetDeadline(time.Now().Add(time.Hour))
		if rng.IntN(2) == 0 {
			tcp.SetLinger(0) // Close sends RST
		}
	}
	path := [...]string{"/guard", "/guard", "/ask", "/nowhere"}[rng.IntN(4)]
	head := fmt.Sprintf(upgradeHead, fmt.Sprint(path, "?", rng.IntN(10)))
	switch rng.IntN(8) {
	case 0: // a probe
		head = fmt.Sprintf("GET %s?%d HTTP/1.1\r\nHost: h\r\nAccept: application/problem+json\r\n\r\n", path, rng.IntN(10))
	case 1: // half a head
		head = head[:rng.IntN(len(head))]
	case 2:
		head = strings.Replace(head, ": ", " : ", 1)
	}
	if _, err := c.Write([]byte(head)); err != nil || rng.IntN(4) == 0 || !strings.HasSuffix(head, "\r\n\r\n") {
		return hungUp // while the server is at it
	}
	if path == "/ask" && strings.ContainsAny(head[:len("GET /ask?0")], "06") {
		return hungUp // nobody would answer
	}
	var b [512]byte
	n, err := c.Read(b[:])
	switch {
	case err != nil || n == 0:
		return unanswered
	case strings.HasPrefix(string(b[:n]), "HTTP/1.1 101"):
		return letIn
	}
	return refused
}

// pairConn is one end of a socketpair, without the runtime's poller.
type pairConn struct{ fd int }

// Read implements io.Reader.
func (c *pairConn) Read(b []byte) (int, error) { return unix.Read(c.fd, b) }

// Write implements io.Writer.
func (c *pairConn) Write(b []byte) (int, error) { return unix.Write(c.fd, b) }

// Close implements io.Closer.
func (c *pairConn) Close() error { return unix.Close(c.fd) }

// eventually waits for ok.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Hour); !ok(); time.Sleep(time.Millisecond) { // the test binary's timeout is sooner
		if time.Now().After(end) {
			t.Fatalf("%s: still not so", what)
		}
	}
}

// TestConnRate: an address that comes too often is told when to come back, a
// probe too, which costs nothing; what became of the others has no say.
func TestConnRate(t *testing.T) {
	s := &Server{ConnRate: limiter.Rate{Limit: limiter.Every(time.Hour), Burst: 3}}
	s.Route("/echo", Route{Message: echo})
	addr := start(t, s)
	ask := func(path, accept string) *http.Response {
		t.Helper()
		req, err := http.NewRequest("GET", "http://"+addr+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", accept)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp
	}
	const probe = "application/problem+json"
	for range 5 {
		if resp := ask("/echo", probe); resp.StatusCode != 200 {
			t.Fatalf("a probe got %v", resp)
		}
	}
	dial(t, addr, "/echo")
	if n := s.perIP.InUse(networkOf(netip.MustParseAddr("127.0.0.1"))); n != 0 {
		t.Errorf("a rate keeps %d places for connections that are in", n)
	}
	for path, want := range map[string]int{"/echo": 426, "/nowhere": 404} {
		if resp := ask(path, "*/*"); resp.StatusCode != want {
			t.Errorf("%s: got %v, want %d", path, resp, want)
		}
	}
	for _, accept := range []string{"*/*", probe} {
		resp := ask("/echo", accept)
		wait, err := strconv.Atoi(resp.Header.Get("Retry-After"))
		if resp.StatusCode != 429 || err != nil || wait < 3590 || wait > 7201 {
			t.Errorf("got %v, want 429 and an hour or two", resp)
		}
	}
}

// TestAuthorizeNames: who the authorizer recognises is whom the connection, and
// the limit per user, knows.
func TestAuthorizeNames(t *testing.T) {
	s := &Server{MaxConnsPerUser: 1}
	names := make(chan string, 1)
	s.Route("/ask", Route{
		Guards: []upgrade.Guard{{OnBeforeUpgrade: func(r *upgrade.Request) (http.Header, error) {
			r.Identity = &upgrade.Identity{Subject: "from the token"}
			return nil, nil
		}}},
		Authorize: func(_ context.Context, r *upgrade.Request) error {
			r.Identity = &upgrade.Identity{Subject: string(r.RawQuery())}
			return nil
		},
		Open:    func(c Conn) error { names <- c.Identity().Subject; return nil },
		Message: echo,
	})
	addr := start(t, s)
	for _, name := range []string{"alice", "bob"} {
		dial(t, addr, "/ask?"+name)
		if got := <-names; got != name {
			t.Errorf("got %q, want %q", got, name)
		}
	}
	_, resp, err := websocket.DefaultDialer.Dial("ws://"+addr+"/ask?alice", nil)
	if err == nil || resp == nil || resp.StatusCode != 429 {
		t.Errorf("alice again: got %v %v, want 429", resp, err)
	}
	for name, want := range map[string]int{"alice": 1, "bob": 1, "from the token": 0} {
		if n := s.users.placesOf(name); n != want {
			t.Errorf("%s holds %d places, want %d", name, n, want)
		}
	}
}
