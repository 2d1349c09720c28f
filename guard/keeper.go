//go:build linux

package guard

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"sync"
	"time"
)

// resolver is how names are looked up.
type resolver struct {
	lookUp func(ctx context.Context, network, host string) ([]netip.Addr, error)
	every  time.Duration
	again  time.Duration // while there is no address, and at most when one fails
}

const (
	lookUpEvery   = 30 * time.Second // a resolver does not tell for how long an answer counts
	lookUpAgain   = 2 * time.Second
	lookUpTimeout = 5 * time.Second
	probeTimeout  = 3 * time.Second

	// restOfAwaited is how long an upstream rests at most while clients wait for one.
	restOfAwaited = 500 * time.Millisecond
)

// keeper is the goroutine that looks after one upstream, and does all that may wait: it looks up
// its name, connects to addresses whose rest is over, and tells the log what has changed.
type keeper struct {
	pool     *Pool
	upstream int       // its number
	of       *upstream // and what that is
	stop     context.CancelFunc
	names    resolver
	woken    chan struct{}
	lookUpAt time.Duration
	lookedUp time.Duration

	told     map[address]trouble // what the log has been told
	isLosing bool                // it has been told that the name leads nowhere
}

func newKeeper(p *Pool, upstream int, by resolver) *keeper {
	return &keeper{pool: p, upstream: upstream, of: p.upstreams[upstream], woken: make(chan struct{}, 1), names: by, told: make(map[address]trouble)}
}

// look has the keeper see what has changed. It does not wait.
func (k *keeper) look() {
	select {
	case k.woken <- struct{}{}:
	default:
	}
}

// run is the goroutine. It begins with a look at each address, so that operators know.
func (k *keeper) run(ctx context.Context) {
	defer k.pool.running.Done()
	timer := time.NewTimer(0)
	defer timer.Stop()
	isFirst := true
	for {
		k.resolve(ctx)
		k.probe(ctx, isFirst)
		k.tell()
		isFirst = false
		timer.Reset(k.next() - k.pool.now())
		select {
		case <-ctx.Done():
			return
		case <-k.woken:
		case <-timer.C:
		}
	}
}

// resolve looks up the name if it is time.
func (k *keeper) resolve(ctx context.Context) {
	p, u := k.pool, k.of
	if now := p.now(); u.known() != nil || now < k.lookUpAt && (!k.isFailing() || now < k.lookedUp+k.names.again) {
		return
	}
	within, cancel := context.WithTimeout(ctx, lookUpTimeout)
	defer cancel()
	found, err := k.names.lookUp(within, "ip", u.host)
	if ctx.Err() != nil {
		return
	}
	k.lookedUp = p.now()
	k.lookUpAt = k.lookedUp + k.names.every
	if err != nil || len(found) == 0 { // what is known may still be true
		k.lookUpAt = k.lookedUp + k.names.again
		if !k.isLosing {
			k.isLosing = true
			p.log.Warn("guard: an upstream's name leads nowhere; it is looked up again", "upstream", u.name, "err", err)
		}
		return
	}
	k.isLosing = false
	all := make([]address, len(found))
	for n, ip := range found {
		all[n].tcp = netip.AddrPortFrom(ip.Unmap(), u.port)
	}
	p.mu.Lock()
	if ctx.Err() != nil { // it was left meanwhile
		p.mu.Unlock()
		return
	}
	added := p.roster.list(k.upstream, all)
	ready := p.letOn()
	p.mu.Unlock()
	callAll(ready)
	if added > 0 {
		p.log.Info("guard: an upstream's addresses", "upstream", u.name, "addresses", found)
	}
}

// isFailing reports whether an address has failed: it may have moved.
func (k *keeper) isFailing() (is bool) {
	k.mine(func(_ int, t *target) { is = is || t.state != well })
	return is
}

// restEnds returns when an address is connected to.
func (p *Pool) restEnds(t *target) time.Duration {
	if p.line.waiting.Len() > 0 {
		return min(t.until, t.since+restOfAwaited)
	}
	return t.until
}

// mine calls f for each address of the upstream.
func (k *keeper) mine(f func(n int, t *target)) {
	k.pool.mu.Lock()
	defer k.pool.mu.Unlock()
	for n := range k.pool.roster.targets {
		if t := &k.pool.roster.targets[n]; t.isListed && t.upstream == k.upstream {
			f(n, t)
		}
	}
}

// probe connects to addresses whose rest is over, or to all.
func (k *keeper) probe(ctx context.Context, all bool) {
	var asked sync.WaitGroup
	now := k.pool.now()
	k.mine(func(n int, t *target) {
		if all || t.state == resting && k.pool.restEnds(t) <= now {
			asked.Add(1)
			go func(a address) {
				defer asked.Done()
				why := k.connect(ctx, a)
				if ctx.Err() == nil {
					k.pool.probed(n, a, now, why)
				}
			}(t.address)
		}
	})
	asked.Wait()
}

// connect finds out whether somebody listens at an address.
func (k *keeper) connect(ctx context.Context, a address) trouble {
	u := k.of
	ctx, cancel := context.WithTimeout(ctx, min(probeTimeout, k.pool.timeout))
	defer cancel()
	c, err := u.dial(ctx, a)
	if err != nil {
		return troubleOf(timeoutOf(ctx, err), u.tls, u.unix != "")
	}
	c.Close()
	return isWell
}

// timeoutOf returns the context's error if that has ended, and else err.
func timeoutOf(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// dial connects to an address of u, with TLS if it has that.
func (u *upstream) dial(ctx context.Context, a address) (net.Conn, error) {
	var d net.Dialer
	switch {
	case a.unix != "":
		return d.DialContext(ctx, "unix", a.unix)
	case u.tls != nil:
		return (&tls.Dialer{NetDialer: &d, Config: u.tls}).DialContext(ctx, "tcp", a.tcp.String())
	}
	return d.DialContext(ctx, "tcp", a.tcp.String())
}

// probed notes what an attempt has shown that began at a time; the number may be another's now.
func (p *Pool) probed(n int, a address, began time.Duration, why trouble) {
	p.mu.Lock()
	if t := &p.roster.targets[n]; t.address == a && t.isListed {
		t.wasThere = t.wasThere || why == isWell
		if t.state == resting {
			t.health.probed(p.now(), why)
		} else if why != isWell {
			t.failed(began, p.now(), why)
		}
	}
	ready := p.letOn()
	p.mu.Unlock()
	callAll(ready)
}

// tell tells the log what has changed.
func (k *keeper) tell() {
	type news struct {
		address address
		before  trouble
		why     trouble
	}
	var all []news
	seen, down := make(map[address]trouble), 0
	k.mine(func(_ int, t *target) {
		why := t.why
		if seen[t.address] = why; why != isWell {
			down++
		}
		if before := k.told[t.address]; (before != isWell) != (why != isWell) {
			all = append(all, news{t.address, before, why})
		}
	})
	isDown := down == len(seen)
	k.told = seen
	for _, n := range all {
		name := k.of.called(n.address)
		switch {
		case n.why == isWell:
			k.pool.log.Info("guard: an upstream answers again", "upstream", name)
		case isDown:
			k.pool.log.Warn("guard: an upstream does not answer; it is tried again", "upstream", name, "why", n.why.String())
		default:
			k.pool.log.Info("guard: one address of an upstream does not answer; it is tried again", "upstream", name, "why", n.why.String())
		}
	}
}

// next returns when there is something to do.
func (k *keeper) next() time.Duration {
	at := k.pool.now() + lookUpEvery
	if k.of.known() == nil {
		at = k.lookUpAt
	}
	k.mine(func(_ int, t *target) {
		if t.state == resting {
			at = min(at, k.pool.restEnds(t))
		}
	})
	return at
}
