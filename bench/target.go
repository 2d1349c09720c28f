//go:build linux

package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/usher-ws/usher/bench/internal/load"
)

// maxTargets bounds what a range in a URL may stand for.
const maxTargets = 10_000

// expand returns the URLs that one with ranges like {9001..9053} stands for.
func expand(pattern string) ([]string, error) {
	before, rest, found := strings.Cut(pattern, "{")
	if !found {
		return []string{pattern}, nil
	}
	span, after, closed := strings.Cut(rest, "}")
	low, high, isRange := strings.Cut(span, "..")
	from, err1 := strconv.Atoi(low)
	to, err2 := strconv.Atoi(high)
	switch {
	case !closed || !isRange || err1 != nil || err2 != nil || from < 0:
		return nil, usagef("URL %q: {%s is no range: want one like {9001..9053}", pattern, rest)
	case to < from:
		return nil, usagef("URL %q: the range {%s} ends before it begins", pattern, span)
	case to-from >= maxTargets:
		return nil, usagef("URL %q: the range {%s} stands for more than %d", pattern, span, maxTargets)
	}
	tails, err := expand(after)
	if err != nil {
		return nil, err
	}
	if (to-from+1)*len(tails) > maxTargets {
		return nil, usagef("URL %q: its ranges stand for more than %d", pattern, maxTargets)
	}
	var urls []string
	for n := from; n <= to; n++ {
		for _, tail := range tails {
			urls = append(urls, before+strconv.Itoa(n)+tail)
		}
	}
	return urls, nil
}

// doorsOf resolves a URL, or a range of them, to what a client dials.
func doorsOf(ctx context.Context, pattern string) ([]load.Target, error) {
	urls, err := expand(pattern)
	if err != nil {
		return nil, err
	}
	doors := make([]load.Target, len(urls))
	known := make(map[string]netip.Addr)
	for i, u := range urls {
		if doors[i], err = doorOf(ctx, u, known); err != nil {
			return nil, err
		}
	}
	return doors, nil
}

func doorOf(ctx context.Context, raw string, known map[string]netip.Addr) (d load.Target, err error) {
	const wanted = "want one like ws://127.0.0.1:8080/echo"
	scheme, _, found := strings.Cut(raw, "://")
	if !found {
		return d, usagef("URL %q has no scheme: %s", raw, wanted)
	}
	u, err := url.Parse(raw)
	if err != nil {
		return d, usagef("%v: %s", err, wanted)
	}
	port, name := cmp.Or(u.Port(), "80"), ""
	if u.Scheme == "wss" {
		port, name = cmp.Or(u.Port(), "443"), u.Hostname()
	}
	n, err := strconv.ParseUint(port, 10, 16)
	switch {
	case u.Scheme != "ws" && u.Scheme != "wss":
		return d, usagef("URL %q has the scheme %s: %s", raw, scheme, wanted)
	case u.Hostname() == "":
		return d, usagef("URL %q has no host: %s", raw, wanted)
	case u.User != nil:
		return d, usagef("a URL with a user's name in it: give a --token or a --header in its place, and %s", wanted)
	case strings.ContainsAny(raw, " #"): // RFC 6455 §3: no fragment
		return d, usagef("URL %q has a space or a # in it: %s", raw, wanted)
	case strings.HasSuffix(u.Host, ":") || err != nil || n == 0:
		return d, usagef("URL %q: %q is no port: %s", raw, u.Port(), wanted)
	}
	addr, found := known[u.Hostname()]
	if !found {
		if addr, err = lookUp(ctx, u.Hostname()); err != nil {
			return d, fmt.Errorf("URL %q: %w", raw, err)
		}
		known[u.Hostname()] = addr
	}
	return load.Target{
		Addr: netip.AddrPortFrom(addr, uint16(n)),
		Host: u.Host,
		Path: u.RequestURI(),
		Name: name,
	}, nil
}

// lookUp prefers IPv4, where the servers of this machine usually are.
func lookUp(ctx context.Context, host string) (netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap(), nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for _, network := range []string{"ip4", "ip6"} {
		addrs, err := net.DefaultResolver.LookupNetIP(ctx, network, host)
		if err == nil && len(addrs) > 0 {
			return addrs[0].Unmap(), nil
		}
	}
	return netip.Addr{}, errors.New("no address of this name")
}

// ports returns the ports of the doors, each once.
func ports(doors []load.Target) (list []uint16) {
	seen := make(map[uint16]bool)
	for _, d := range doors {
		if p := d.Addr.Port(); !seen[p] {
			seen[p] = true
			list = append(list, p)
		}
	}
	return list
}

// local reports whether all doors are on this machine.
func local(doors []load.Target) bool {
	for _, d := range doors {
		if !d.Addr.Addr().IsLoopback() {
			return false
		}
	}
	return true
}
