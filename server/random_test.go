//go:build linux

package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/upgrade"
	"golang.org/x/sys/unix"
)

// How long TestAtRandom takes, and its first seed; see make siege.
const (
	randomEnv     = "USHER_RANDOM"
	randomSeedEnv = "USHER_RANDOM_SEED"
)

// TestAtRandom: tens of clients do whatever there is to do, in an order that a seed decides,
// to servers whose settings it decides, too. Meanwhile each client hears the messages of each
// publisher once and in their order, and each connection's callbacks come in theirs. At the
// end nothing is left: of slots, buffers, quotas, files and goroutines.
func TestAtRandom(t *testing.T) {
	long, err := time.ParseDuration(os.Getenv(randomEnv))
	if err != nil {
		long = 4 * time.Second
	}
	seed, err := strconv.ParseUint(os.Getenv(randomSeedEnv), 10, 64)
	if err != nil {
		seed = rand.Uint64()
	}
	for end := time.Now().Add(long); ; seed++ {
		ok := t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { playAtRandom(t, seed) })
		if !ok || time.Now().After(end) {
			return
		}
	}
}

const (
	randomGroups = 6 // meddlers join the last two: to join again what was left is to miss something
	theirGroups  = 4
	randomPeople = 30
	randomTime   = 1500 * time.Millisecond // until all go, or the server does
)

func playAtRandom(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 0))
	files, goroutines := openFiles(), runtime.NumGoroutine()
	w := newWorld(t, rng)
	b := &siege{T: t, wire: w.s.TLS != nil, s: w.s, addr: start(t, w.s)}
	at := netip.MustParseAddrPort(b.addr)
	w.mirrored.at.Store(&at)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	shutdown := rng.IntN(2) == 0
	var all sync.WaitGroup
	for k := range randomPeople {
		p := &person{world: w, addr: b.addr, id: k, rng: rand.New(rand.NewPCG(seed, uint64(k)+1))}
		all.Go(func() { p.live(ctx) })
	}
	for k := range 3 {
		rng := rand.New(rand.NewPCG(seed, uint64(k)+1000))
		all.Go(func() { w.meddle(ctx, fmt.Sprint("meddler", k), rng) })
	}
	time.Sleep(randomTime)
	if shutdown { // while all go on
		if err := w.s.Shutdown(context.Background()); err != nil {
			t.Errorf("shutdown: %v", err)
		}
	}
	cancel()
	all.Wait()
	if !shutdown {
		b.settle()
		b.visit("/echo")
		b.settle()
	}
	w.check()
	st := w.s.Stats()
	t.Logf("opened %d, closed %v, refused %v, shed %d, slow %d, dropped %d, limits %v", st.Total.Opened, st.Total.Closes, st.Total.Refusals,
		st.Shed, st.Overflowed, st.Total.Dropped, st.Limits)
	if shutdown {
		if n := w.s.perIP.Len() + w.s.users.len() + w.s.asking.InUse(); n != 0 {
			t.Errorf("%d quotas are still held", n)
		}
		if called, ended := w.mirrored.called.Load(), w.mirrored.ended.Load(); called != ended {
			t.Errorf("of %d upstreams %d have ended", called, ended)
		}
		eventually(t, "goroutines are back", func() bool { return runtime.NumGoroutine() <= goroutines })
		eventually(t, "descriptors are back", func() bool { return openFiles() <= files })
	}
}

// world is a server, and what was seen of its connections.
type world struct {
	*testing.T
	s      *Server
	groups [randomGroups]*Group
	counts Attachment[int] // of messages

	mirrored mirrored

	mu    sync.Mutex
	seen  map[Conn]*biography
	conns []Conn // open ones, and some that were
}

// biography is what happened to a connection.
type biography struct {
	opened, closed int
	joined, left   [randomGroups]int
	to             map[Conn]int // how many messages were sent to each
	said           [randomGroups]struct{ epoch, n int }
	ran            int
	isRelayed      bool
}

// newWorld is a server with settings at random, which has not started.
func newWorld(t *testing.T, rng *rand.Rand) *world {
	short := func() time.Duration { return time.Duration(100+rng.IntN(700)) * time.Millisecond }
	w := &world{T: t, seen: make(map[Conn]*biography)}
	w.s = &Server{
		Loops: 1 + rng.IntN(3), MaxConns: 15 + rng.IntN(60), MaxConnsPerIP: 4 + rng.IntN(30), MaxConnsPerUser: 3 + rng.IntN(10),
		MaxMessage: 64 << 10, MaxBacklog: 1 << (11 + rng.IntN(9)), MaxBuffered: 1 << (16 + rng.IntN(7)),
		HandshakeTimeout: short(), MessageTimeout: short(), WriteTimeout: short(), PingInterval: short() / 2, IdleTimeout: short(),
		Drain: short(), Deflate: rng.IntN(2) == 0, MaxAuthorize: 1 + rng.IntN(20),
	}
	if rng.IntN(2) == 0 {
		withTLS(w.s).MaxBuffered *= 4 // a handshake needs more than all else
	}
	if rng.IntN(2) == 0 {
		w.s.MessagesPerUser = limiter.Rate{Limit: 500, Burst: 100}
		w.s.MessagesPerIP = limiter.Rate{Limit: 2000, Burst: 100}
	}
	w.s.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err == nil {
			_, _ = rw.Write(make([]byte, r.ContentLength))
		}
	})
	for k := range w.groups {
		w.groups[k] = &Group{Left: func(c Conn) { w.leaves(c, k) }}
	}
	guard := []upgrade.Guard{{OnBeforeUpgrade: identify}}
	route := func(path string, r Route) {
		r.Open, r.Close = w.open, w.close
		if r.Message == nil {
			r.Message = w.message
		}
		w.s.Route(path, r)
	}
	few := limiter.Rate{Limit: 200, Burst: 20}
	route("/echo", Route{Message: echo})
	route("/room", Route{Guards: guard})
	route("/work", Route{Guards: guard, Middleware: []Middleware{Offload(3)}})
	route("/delay", Route{Guards: guard, Limits: Limits{Messages: few, Over: Delay}})
	route("/warn", Route{Guards: guard, Limits: Limits{Messages: few, Bytes: limiter.Rate{Limit: 100_000, Burst: 70_000}, CloseAfter: 200}})
	route("/drop", Route{Guards: guard, Overflow: DropNewest, Limits: Limits{Messages: few, Over: Drop}, Writable: func(c Conn) { w.alive(c, "Writable") }})
	route("/strict", Route{Guards: guard, Limits: Limits{Messages: few, Over: Disconnect}})
	w.mirrored.to = "/room"
	if w.s.TLS != nil {
		w.mirrored.tls = &tls.Config{InsecureSkipVerify: true}
	}
	w.s.Route("/relay", Route{Open: w.open, Close: w.close, Guards: guard, Relay: w.mirrored.relay(), Limits: Limits{Messages: few, Over: Delay}})
	route("/slow", Route{Guards: []upgrade.Guard{upgrade.Bearer(slowVerifier{&upgrade.Identity{Subject: "alice"}})}})
	route("/ask", Route{Authorize: func(ctx context.Context, r *upgrade.Request) error {
		switch query := string(r.RawQuery()); query[len(query)-1] {
		case '0':
			<-ctx.Done()
			return ctx.Err()
		case '1':
			return upgrade.Reject(403, upgrade.CodeForbidden, "No.")
		}
		_, err := identify(r)
		return err
	}})
	return w
}

// identify is a guard: the query is a user's name, and refused if it begins with x. Tokens
// are good for a moment if it ends in 5.
func identify(r *upgrade.Request) (http.Header, error) {
	name := string(r.RawQuery())
	if strings.HasPrefix(name, "x") {
		return nil, upgrade.Reject(401, upgrade.CodeTokenInvalid, "No.")
	}
	r.Identity = &upgrade.Identity{Subject: name}
	if strings.HasSuffix(name, "5") {
		r.Identity.ExpiresAt = time.Now().Add(700 * time.Millisecond)
	}
	return nil, nil
}

func (w *world) open(c Conn) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := w.seen[c]
	if l == nil {
		l = &biography{to: make(map[Conn]int), isRelayed: c.Route() == "/relay"}
		w.seen[c] = l
	}
	if l.opened++; l.opened != 1 || l.closed != 0 {
		w.Errorf("Open was called %d times, Close %d times", l.opened, l.closed)
	}
	w.conns = append(w.conns, c)
	return nil
}

func (w *world) close(c Conn, _ error) {
	l := w.alive(c, "Close")
	w.mu.Lock()
	defer w.mu.Unlock()
	l.closed++
}

// join counts the Joins that were accepted, or will be.
func (w *world) join(c Conn, k int) error {
	count := func(n int) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if l := w.seen[c]; l != nil {
			l.joined[k] += n
		}
	}
	count(1)
	err := w.groups[k].Join(c)
	if err != nil {
		count(-1)
	}
	return err
}

// leaves is Group.Left, which comes behind Close: once, or for each Join that came too late.
func (w *world) leaves(c Conn, k int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := w.seen[c]
	if l.left[k]++; l.closed != 1 || l.left[k] > l.joined[k] {
		w.Errorf("Left was called %d times, Close %d times before, Join %d times", l.left[k], l.closed, l.joined[k])
	}
}

// alive is called in every callback.
func (w *world) alive(c Conn, where string) *biography {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := w.seen[c]
	if l == nil || l.opened != 1 || l.closed != 0 {
		w.Errorf("%s was called out of Open and Close: %+v", where, l)
		return &biography{to: make(map[Conn]int)}
	}
	return l
}

// some returns a connection that was open once, the zero Conn if there was none.
func (w *world) some(n int) (c Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.conns) == 0 {
		return c
	}
	return w.conns[max(len(w.conns)-1-n%60, 0)]
}

// check is done when all have gone.
func (w *world) check() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c, l := range w.seen {
		if l.opened != 1 || l.closed != 1 {
			w.Errorf("%v: Open was called %d times, Close %d times", c.ID(), l.opened, l.closed)
		}
	}
	for k, g := range w.groups {
		if n := g.Len(); n != 0 {
			w.Errorf("group %d has %d members", k, n)
		}
	}
}

// message does what a client asks for: a word, numbers, and padding.
func (w *world) message(c Conn, m Message) error {
	l := w.alive(c, "Message")
	if c.Route() != "/work" {
		n, _ := w.counts.Get(c)
		w.counts.Set(c, n+1)
		c.SetData(n)
	}
	var word string
	var a, b int
	_, _ = fmt.Sscan(string(m.Data[:min(len(m.Data), 40)]), &word, &a, &b)
	switch word {
	case "echo":
		return c.Send(m.Opcode, m.Data)
	case "join":
		return w.join(c, a%theirGroups)
	case "leave":
		return w.groups[a%theirGroups].Leave(c)
	case "publish":
		w.publish(c.ID(), a%randomGroups, &l.said[a%randomGroups], b)
	case "tell":
		w.tell(c, l, w.some(a), b)
	case "run":
		return w.run(c, l)
	case "renew":
		if id := c.Identity(); id != nil && c.Route() != "/work" {
			_ = c.Renew(&upgrade.Identity{Subject: id.Subject, ExpiresAt: time.Now().Add(time.Second)})
		}
	case "close":
		return c.Close(4000, "as asked")
	case "fail":
		return errors.New("as asked")
	case "panic":
		panic("as asked")
	}
	return nil
}

// publish says something to a group. What a full mailbox has not taken some members may have
// heard all the same: they begin to count anew.
func (w *world) publish(who string, k int, said *struct{ epoch, n int }, size int) {
	text := fmt.Sprint("group ", k, " ", who, " ", said.epoch, " ", said.n, " ", strings.Repeat("x", size))
	if err := w.groups[k].Send(frame.OpText, []byte(text)); err != nil {
		said.epoch, said.n = said.epoch+1, 0
		return
	}
	said.n++
}

// tell says something to another connection.
func (w *world) tell(c Conn, l *biography, to Conn, size int) {
	w.mu.Lock()
	n := l.to[to]
	w.mu.Unlock()
	text := fmt.Sprint("from ", c.ID(), ">", to.ID(), " ", n, " ", strings.Repeat("x", size))
	err := to.Send(frame.OpText, []byte(text))
	if size%2 == 1 {
		err = errors.Join(err, to.SendPrepared(frame.Prepare(frame.OpText, []byte(text)))) // it is told once more
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		l.to[to]++
	}
}

// run is Conn.Run, whose calls come in their order.
func (w *world) run(c Conn, l *biography) error {
	n := l.ran
	err := c.Run(func(c Conn) {
		w.alive(c, "Run")
		_ = c.Send(frame.OpText, fmt.Append(nil, "ran ", n, " "))
	})
	if err == nil {
		l.ran++
	}
	return nil
}

// meddle does what programs do from their own goroutines.
func (w *world) meddle(ctx context.Context, name string, rng *rand.Rand) {
	var said [randomGroups]struct{ epoch, n int }
	for ctx.Err() == nil {
		time.Sleep(time.Duration(rng.IntN(5)) * time.Millisecond)
		c := w.some(rng.IntN(100))
		switch rng.IntN(60) {
		case 0:
			_, _ = w.s.CloseUser(fmt.Sprint("user", rng.IntN(20)), 4003, "kicked")
		case 1:
			_ = w.s.Each(func(c Conn) { w.alive(c, "Each") })
		case 2:
			if st := w.s.Stats(); st.Total.Conns < 0 || st.Buffered < 0 {
				w.Errorf("counts below zero: %+v", st)
			}
		case 3:
			_ = c.Close(4002, "meddled with")
		case 4:
			if found, ok := w.s.Conn(c.ID()); ok && found != c {
				w.Errorf("found %v for %v", found.ID(), c.ID())
			}
		case 5, 6:
			_ = c.Run(func(c Conn) { w.alive(c, "Run") })
		case 7:
			_ = w.join(c, w.meddlersGroup(c)) // it may have ended
		case 8:
			if rng.IntN(10) == 0 {
				_ = w.groups[rng.IntN(randomGroups)].Close(4004, "disbanded")
			}
		case 9:
			w.adopt(ctx, rng)
		default:
			k := rng.IntN(randomGroups)
			w.publish(name, k, &said[k], 1<<rng.IntN(16))
		}
	}
}

// meddlersGroup is which group meddlers have a connection join: the client of a relay hears what
// those are told that it is passed on to, too, and nothing is to come to it by both ways.
func (w *world) meddlersGroup(c Conn) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if l := w.seen[c]; l != nil && l.isRelayed {
		return theirGroups
	}
	return theirGroups + 1
}

// adopt gives the server one end of a pair of sockets, whose other end says half a head, a
// whole one, or nothing, and goes.
func (w *world) adopt(ctx context.Context, rng *rand.Rand) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		w.Error(err)
		return
	}
	if err := w.s.Adopt(pair[0]); err != nil {
		unix.Close(pair[0])
	}
	head := fmt.Sprintf(upgradeHead, "/room?user1") + string(masked(frame.OpText, []byte("echo 0 ")))
	_, _ = unix.Write(pair[1], []byte(head[:rng.IntN(len(head)+1)]))
	select {
	case <-ctx.Done():
	case <-time.After(time.Duration(rng.IntN(20)) * time.Millisecond):
	}
	unix.Close(pair[1])
}

// heard is what one client has heard of each publisher.
type heard struct {
	*world
	route string
	last  map[string]int // by publisher, or kind
	gaps  bool           // may be: of what finds a backlog full
}

// hear checks that nothing comes twice, or out of order, or is missing.
func (h *heard) hear(text string) {
	fields := strings.Fields(text[:min(len(text), 200)])
	var key string
	var number string
	switch {
	case len(fields) >= 2 && (fields[0] == "echo" || fields[0] == "ran"):
		key, number = fields[0], fields[1]
	case len(fields) >= 5 && fields[0] == "group":
		key, number = strings.Join(fields[:4], " "), fields[4]
	case len(fields) >= 3 && fields[0] == "from":
		key, number = "from "+fields[1], fields[2]
	default:
		h.Errorf("%s: heard %.100q", h.route, text)
		return
	}
	n, err := strconv.Atoi(number)
	if err != nil {
		h.Errorf("%s: heard %.100q", h.route, text)
		return
	}
	last, known := h.last[key]
	h.last[key] = n
	switch {
	case !known && (fields[0] == "group" || h.gaps):
	case !known:
		if n != 0 {
			h.Errorf("%s: the first of %q is number %d", h.route, key, n)
		}
	case n == last+1, h.gaps && n > last, fields[0] == "from" && n == last:
	default:
		h.Errorf("%s: after number %d of %q came %d", h.route, last, key, n)
	}
}
