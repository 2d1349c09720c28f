//go:build linux

package guard

import (
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/usher-ws/usher/server"
	"github.com/usher-ws/usher/upgrade"
	"golang.org/x/sys/unix"
)

// inquiry is an asking as a server sees it.
type inquiry struct {
	*asking
	call    server.Call
	isOpen  bool // a connection that is relayed
	isReady bool
}

// world is a Pool without goroutines, and all that is asked of it.
type world struct {
	*testing.T
	p   *Pool
	g   *Guard
	r   upgrade.Request
	all []*inquiry
}

func newWorld(t *testing.T, upstreams int, hold time.Duration) *world {
	w := &world{T: t, p: &Pool{timeout: time.Hour, hold: hold, log: slog.New(slog.DiscardHandler), start: time.Now(), counts: make([]counts, upstreams)}}
	for k := range upstreams {
		u := &upstream{name: string(rune('a' + k)), unix: string(rune('a' + k))}
		w.p.upstreams = append(w.p.upstreams, u)
		w.p.keepers = append(w.p.keepers, newKeeper(w.p, k, resolver{}))
		w.p.roster.list(k, u.known())
	}
	w.g = &Guard{Upstream: w.p}
	const head = "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	if _, err := new(upgrade.Upgrader).Read([]byte(head), 0, &w.r); err != nil {
		t.Fatal(err)
	}
	return w
}

// next has one ask on; it is over if it is refused.
func (w *world) next(a *inquiry, cause error) (over bool) {
	c, err := a.Next(cause)
	if a.call = c; err != nil {
		a.Done()
		return true
	}
	if a.isReady = false; c.Wait > 0 {
		a.Await(func() { a.isReady = true })
	}
	return false
}

// goOn has something happen to one, and reports whether it is over.
func (w *world) goOn(a *inquiry, what int) (over bool) {
	switch {
	case a.isOpen:
		w.p.ended(a.call.Upstream)
		return true
	case a.call.Wait > 0 && a.isReady:
		return w.next(a, nil)
	case a.call.Wait > 0 && !a.isHeld: // a backlog was full
		return w.next(a, context.DeadlineExceeded)
	case a.call.Wait > 0 && what == 0: // its client has had enough
		a.Done()
		return true
	case a.call.Wait > 0 && what == 1:
		return w.next(a, context.DeadlineExceeded)
	case a.call.Wait > 0:
		return false
	case what < 2:
		w.p.ended(a.call.Upstream)
		return w.next(a, []error{unix.ECONNREFUSED, unix.EAGAIN}[what])
	case what == 2:
		if a.Lost(io.EOF) == nil {
			w.Error("no refusal")
		}
		w.p.ended(a.call.Upstream)
		a.Done()
		return true
	case what == 3: // its client has gone
		w.p.ended(a.call.Upstream)
		a.Done()
		return true
	}
	a.finish(isWell)
	a.Done()
	a.isOpen = true
	return false
}

// check holds the counts against what there is.
func (w *world) check() {
	w.Helper()
	conns, waiting, let := 0, 0, 0
	for _, a := range w.all {
		if a.isOpen || a.call.Wait == 0 {
			conns++
		}
		if a.place != nil {
			waiting++
		}
		if a.isLet {
			let++
		}
	}
	n := 0
	for _, t := range w.p.roster.targets {
		if n += t.conns; t.asked < 0 || t.asked > t.conns {
			w.Fatalf("%d are asked for of %d", t.asked, t.conns)
		}
	}
	if l := &w.p.line; n != conns || l.waiting.Len() != waiting || l.out != let || l.out > mostOut {
		w.Fatalf("%d connections, want %d; %d wait, want %d; %d are let on, want %d", n, conns, l.waiting.Len(), waiting, l.out, let)
	}
}

// TestAskingAtRandom: whatever happens in whatever order, the counts are right, and when upstreams
// are there again nobody is left waiting.
func TestAskingAtRandom(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		w := newWorld(t, 1+rnd.IntN(3), time.Duration(rnd.IntN(2))*time.Hour)
		begin := func() {
			a := &inquiry{asking: &asking{pool: w.p, guard: w.g, r: &w.r}}
			if !w.next(a, nil) {
				w.all = append(w.all, a)
			}
		}
		goOn := func(what int) {
			if len(w.all) == 0 {
				return
			}
			k := rnd.IntN(len(w.all))
			if a := w.all[k]; w.goOn(a, what) {
				w.all[k] = w.all[len(w.all)-1]
				w.all = w.all[:len(w.all)-1]
			}
		}
		probe := func(why trouble) {
			n := rnd.IntN(len(w.p.roster.targets))
			w.p.probed(n, w.p.roster.targets[n].address, w.p.now(), why)
		}
		for range 300 {
			switch rnd.IntN(6) {
			case 0, 1:
				begin()
			case 2:
				probe(isWell)
			case 3:
				probe(refused)
			default:
				goOn(rnd.IntN(5))
			}
			w.check()
		}
		for k := range w.p.roster.targets {
			w.p.probed(k, w.p.roster.targets[k].address, w.p.now(), isWell)
		}
		for step := 0; len(w.all) > 0; step++ {
			if step > 100_000 {
				t.Fatalf("seed %d: %d are left", seed, len(w.all))
			}
			goOn(4)
			w.check()
		}
		for _, x := range w.p.roster.targets {
			if x.conns != 0 || x.asked != 0 {
				t.Errorf("seed %d: %+v", seed, x)
			}
		}
	}
}
