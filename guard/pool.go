//go:build linux

package guard

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/usher-ws/usher/stream"
	"golang.org/x/sys/unix"
)

// Pool is the upstreams of an application, and what is known of their health: which is asked
// next, which rest, and who waits for one. Nobody asks them whether they are well; it shows when
// they are asked for clients. One that has failed rests, twice as long each time, and is then
// connected to, until it is there again.
//
// A Pool is for any number of Guards, and as http.RoundTripper for an httputil.ReverseProxy. It
// is safe for any goroutine. All that a connection costs it is a lock when it is asked for, when
// it is answered and when it ends.
type Pool struct {
	timeout   time.Duration
	hold      time.Duration
	tls       *tls.Config
	log       *slog.Logger
	start     time.Time
	names     resolver
	open      context.Context // until Close
	quit      context.CancelFunc
	running   sync.WaitGroup
	transport http.Transport // of plain requests

	mu        sync.Mutex
	roster    roster
	line      line
	upstreams []*upstream // also those that are left
	keepers   []*keeper   // by upstream
	counts    []counts    // by upstream
}

// counts are what has happened with an upstream.
type counts struct {
	ended [numTroubles]int64 // calls, by what became of them: isWell are those that were answered
}

// Open begins with upstreams. An error is of the settings; that a name leads nowhere yet, or that
// nobody answers, is logged and may change. Close ends what it begins.
func Open(of Upstreams) (*Pool, error) {
	return openBy(of, resolver{net.DefaultResolver.LookupNetIP, lookUpEvery, lookUpAgain})
}

// openBy is Open in a world of other names.
func openBy(of Upstreams, by resolver) (*Pool, error) {
	upstreams, err := parseUpstreams(of)
	if err != nil {
		return nil, err
	}
	p := &Pool{
		timeout: cmp.Or(of.Timeout, defaultTimeout), hold: of.HoldRestart, tls: of.TLS, log: cmp.Or(of.Logger, slog.Default()),
		start: time.Now(), names: by,
	}
	p.prepareTransport()
	p.open, p.quit = context.WithCancel(context.Background())
	p.goOver(upstreams)
	return p, nil
}

// Close ends the goroutines of the Pool. What it is asked for afterwards it does by what it
// knows; but those that wait are not told of anything any more.
func (p *Pool) Close() {
	p.quit()
	p.running.Wait()
	p.transport.CloseIdleConnections()
}

// now is the time since Open.
func (p *Pool) now() time.Duration { return time.Since(p.start) }

// take begins a call to a target.
func (p *Pool) take(n uint32) {
	t := &p.roster.targets[n]
	t.conns++
	t.asked++
}

// note ends a call that began at a time, with an answer or without, and has the upstream's keeper
// look if that changes anything.
func (p *Pool) note(n uint32, began time.Duration, why trouble) {
	t := &p.roster.targets[n]
	t.asked--
	p.count(n, why)
	before := t.state
	if why == isWell {
		t.wasThere = true
		t.answered(p.now())
	} else {
		t.failed(began, p.now(), why)
	}
	if t.state != before {
		p.keepers[t.upstream].look()
	}
}

// count counts what became of a call.
func (p *Pool) count(n uint32, why trouble) { p.counts[p.roster.targets[n].upstream].ended[why]++ }

// drop ends a call of which nothing is known, as its client has gone.
func (p *Pool) drop(n uint32) { p.roster.targets[n].asked-- }

// ended is server.Relay's: a connection has ended that was dialled.
func (p *Pool) ended(n uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.roster.targets[n].conns--
}

// nameOf is server.Relay's: what the log calls an upstream.
func (p *Pool) nameOf(n uint32) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := &p.roster.targets[n]
	return p.upstreams[t.upstream].called(t.address)
}

// troubleOf says what an error means of a call to a target that was not connected.
func (p *Pool) troubleOf(n uint32, cause error) trouble {
	t := &p.roster.targets[n]
	u := p.upstreams[t.upstream]
	why := troubleOf(cause, u.tls, u.unix != "")
	if why == noPorts && !t.wasThere { // so it is where IPv6 is off
		return refused
	}
	return why
}

// called returns the name of an upstream at one of its addresses.
func (u *upstream) called(a address) string {
	if u.known() != nil {
		return u.name
	}
	return u.name + " at " + a.String()
}

// troubleOf says what an error means of a connection to an address that was not there yet.
func troubleOf(cause error, config *tls.Config, isUnix bool) trouble {
	switch {
	case cause == nil:
		return isWell
	case errors.Is(cause, context.DeadlineExceeded):
		return unconnected
	case errors.Is(cause, unix.EAGAIN) && isUnix:
		return busy
	case errors.Is(cause, unix.EADDRNOTAVAIL), errors.Is(cause, unix.EAGAIN): // connect(2)
		return noPorts
	case isOurs(cause):
		return noResources
	case config != nil && !errors.Is(cause, unix.ECONNREFUSED) && !errors.Is(cause, unix.EHOSTUNREACH) && !errors.Is(cause, unix.ENETUNREACH):
		return unsecured
	}
	return refused
}

// troubleBehind says what an error means of a connection over which a request has left.
func troubleBehind(cause error) trouble {
	switch {
	case errors.Is(cause, context.DeadlineExceeded):
		return unanswered
	case isOurs(cause):
		return noResources
	}
	return hungUp
}

// isOurs reports whether it is this process that cannot have more connections.
func isOurs(cause error) bool {
	for _, e := range []error{unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, stream.ErrShed} {
		if errors.Is(cause, e) {
			return true
		}
	}
	return false
}

// UpstreamStats is what there is to know of one upstream.
type UpstreamStats struct {
	Name      string           // its URL
	Addresses int              // that it has
	Up        int              // of those, how many are asked
	Conns     int              // connections of clients to it now, plain requests included
	IsLeft    bool             // it is asked no more, and is forgotten with the last of them: see Change
	Answered  int64            // calls that it has answered, whatever it said
	Failed    map[string]int64 // calls that it has not, by reasons
}

// PoolStats is what a Pool has counted.
type PoolStats struct {
	Upstreams []UpstreamStats
	Waiting   int // clients that wait until one answers
}

// Stats returns what was counted.
func (p *Pool) Stats() PoolStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := PoolStats{Upstreams: make([]UpstreamStats, len(p.upstreams)), Waiting: p.line.waiting.Len()}
	for k := range s.Upstreams {
		u, c := &s.Upstreams[k], &p.counts[k]
		u.Name, u.IsLeft = p.upstreams[k].name, p.upstreams[k].isLeft
		u.Answered, u.Failed = c.ended[isWell], make(map[string]int64, numTroubles-1)
		for why := isWell + 1; why < numTroubles; why++ {
			u.Failed[why.String()] = c.ended[why]
		}
	}
	for k := range p.roster.targets {
		t := &p.roster.targets[k]
		u := &s.Upstreams[t.upstream]
		u.Conns += t.conns
		if t.isListed {
			u.Addresses++
			if t.state != resting {
				u.Up++
			}
		}
	}
	s.Upstreams = slices.DeleteFunc(s.Upstreams, func(u UpstreamStats) bool { return u.IsLeft && u.Conns == 0 })
	return s
}

// errDown is what Ready says.
var errDown = errors.New("guard: no upstream answers")

// Ready returns an error, in one line, unless there is an upstream that may answer.
func (p *Pool) Ready() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.roster.isUp() {
		return errDown
	}
	return nil
}
