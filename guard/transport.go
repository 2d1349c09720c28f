//go:build linux

package guard

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"

	"github.com/usher-ws/usher/upgrade"
)

func (g *Guard) transport() http.RoundTripper {
	timeout := cmp.Or(g.Timeout, defaultTimeout)
	t := &http.Transport{ResponseHeaderTimeout: timeout, TLSClientConfig: g.TLS, DisableCompression: true, MaxIdleConnsPerHost: 64}
	t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		d := net.Dialer{Timeout: timeout}
		if g.Unix != "" {
			return d.DialContext(ctx, "unix", g.Unix)
		}
		return d.DialContext(ctx, "tcp", g.Upstream.String())
	}
	return withRefusals{t}
}

type withRefusals struct{ http.RoundTripper }

func (t withRefusals) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.RoundTripper.RoundTrip(r)
	var timeout net.Error
	var rej *upgrade.Rejection
	switch {
	case err == nil || errors.As(err, &rej):
		return resp, err
	case errors.As(err, &timeout) && timeout.Timeout():
		return nil, errTimeout
	}
	return nil, errUnreachable
}
