//go:build linux

package guard

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Upstreams says where an application answers, for Open. Zero values are the defaults.
type Upstreams struct {
	// URLs are one or more of http://host:port, https://host:port and unix:/path; unix:@name is
	// of the abstract namespace. Without a port it is 80 or 443. A host that is a name is looked
	// up again every 30 s, and each of its addresses is a server of its own.
	URLs []string

	// Timeout is for connecting together with the answer; 10 s.
	Timeout time.Duration

	// HoldRestart is for how long new clients wait at the door while no upstream answers, as it
	// is restarted perhaps, instead of being refused; 0: they do not.
	HoldRestart time.Duration

	// TLS is for https; nil: the system's roots. ServerName is each URL's host.
	TLS *tls.Config

	// Logger is told of upstreams that fail and come back; slog.Default(). It may be slow.
	Logger *slog.Logger
}

const (
	defaultTimeout = 10 * time.Second
	maxUnixPath    = 107 // unix(7): sun_path has 108 bytes, with a NUL behind them
)

// upstream is one of the URLs, as it was read.
type upstream struct {
	name string // as the metrics and the log have it: the URL
	unix string // the path; or else
	host string // a name or an address
	port uint16
	tls  *tls.Config // nil: in the clear

	isLeft bool // it is asked no more: see Change. Under the lock of the Pool
}

// parseUpstream reads a URL, whose error is for a person.
func parseUpstream(s string, config *tls.Config) (u upstream, err error) {
	const want = "want http://host:port, https://host:port or unix:/path"
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		switch {
		case !strings.HasPrefix(path, "/") && (len(path) < 2 || path[0] != '@'):
			return u, fmt.Errorf("upstream %q: %s", s, want)
		case len(path) > maxUnixPath:
			return u, fmt.Errorf("upstream %q: the path of a unix socket has %d bytes at most", s, maxUnixPath)
		case strings.IndexByte(path, 0) >= 0:
			return u, fmt.Errorf("upstream %q: a path has no NUL", s)
		}
		return upstream{name: s, unix: path}, nil
	}
	at, err := url.Parse(s)
	if err != nil || at.Scheme != "http" && at.Scheme != "https" || at.Hostname() == "" {
		return u, fmt.Errorf("upstream %q: %s", s, want)
	}
	if at.User != nil || at.RawQuery != "" || at.ForceQuery || at.Fragment != "" || strings.Trim(at.Path, "/") != "" {
		return u, fmt.Errorf("upstream %q: nothing may follow the port: requests keep their own paths", s)
	}
	u = upstream{name: at.Scheme + "://" + at.Host, host: at.Hostname(), port: 80}
	if at.Scheme == "https" {
		u.port, u.tls = 443, secured(config, u.host)
	}
	if p := at.Port(); p != "" || strings.HasSuffix(at.Host, ":") {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return u, fmt.Errorf("upstream %q: the port is 1 to 65535", s)
		}
		u.port = uint16(n)
	}
	return u, nil
}

// secured returns the Config for a host.
func secured(config *tls.Config, host string) *tls.Config {
	if config == nil {
		config = new(tls.Config)
	}
	config = config.Clone()
	config.ServerName = host
	config.NextProtos = []string{"http/1.1"} // RFC 6455 is an upgrade of it
	return config
}

// parseUpstreams reads all.
func parseUpstreams(of Upstreams) (all []*upstream, err error) {
	for _, s := range of.URLs {
		u, err := parseUpstream(s, of.TLS)
		if err != nil {
			return nil, err
		}
		if indexOf(all, u.name) >= 0 {
			return nil, fmt.Errorf("upstream %q is there twice", s)
		}
		all = append(all, &u)
	}
	if len(all) == 0 {
		return nil, errors.New("there is no upstream")
	}
	return all, nil
}

// known returns the addresses that an upstream has without a look-up; nil if its host is a name.
func (u *upstream) known() []address {
	if u.unix != "" {
		return []address{{unix: u.unix}}
	}
	if ip, err := netip.ParseAddr(u.host); err == nil {
		return []address{{tcp: netip.AddrPortFrom(ip.Unmap(), u.port)}}
	}
	return nil
}

// address is one that an upstream has.
type address struct {
	unix string // the path of a socket; or else
	tcp  netip.AddrPort
}

// String returns it as the log has it.
func (a address) String() string {
	if a.unix != "" {
		return "unix:" + a.unix
	}
	return a.tcp.String()
}
