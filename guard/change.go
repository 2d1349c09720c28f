//go:build linux

package guard

import (
	"context"
	"slices"
)

// Change reads other URLs, and returns what has the Pool go over to them: until take is called
// nothing changes, so that a caller can read its other settings first. What is known of an upstream that stays
// stays. One that is left out is asked for no newcomer, its connections go on, and it is forgotten
// with the last of them. Timeout, HoldRestart and TLS are what they were. take is called once, by
// any goroutine, and not after Close.
func (p *Pool) Change(urls []string) (take func(), err error) {
	next, err := parseUpstreams(Upstreams{URLs: urls, TLS: p.tls})
	if err != nil {
		return nil, err
	}
	return func() { p.goOver(next) }, nil
}

// goOver makes the upstreams what they are to be. Each keeps its number, which stands in the names
// of connections that are kept for plain requests, also if it is left and comes back.
func (p *Pool) goOver(next []*upstream) {
	p.mu.Lock()
	for k, u := range p.upstreams {
		if !u.isLeft && indexOf(next, u.name) < 0 {
			u.isLeft = true
			p.keepers[k].stop()
			p.roster.list(k, nil)
		}
	}
	for _, u := range next {
		k := indexOf(p.upstreams, u.name)
		if k < 0 {
			k = len(p.upstreams)
			p.upstreams, p.keepers, p.counts = append(p.upstreams, u), append(p.keepers, nil), append(p.counts, counts{})
		} else if !p.upstreams[k].isLeft {
			continue
		}
		p.upstreams[k].isLeft = false
		p.keep(k)
	}
	ready := p.letOn()
	p.mu.Unlock()
	callAll(ready)
}

func indexOf(all []*upstream, name string) int {
	return slices.IndexFunc(all, func(u *upstream) bool { return u.name == name })
}

// keep begins to look after an upstream.
func (p *Pool) keep(n int) {
	k := newKeeper(p, n, p.names)
	p.keepers[n] = k
	p.roster.list(n, k.of.known())
	var ctx context.Context
	ctx, k.stop = context.WithCancel(p.open)
	p.running.Add(1)
	go k.run(ctx)
}
