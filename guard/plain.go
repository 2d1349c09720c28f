//go:build linux

package guard

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"
)

// This file is a Pool as the Transport of plain requests.

// idleConns is how many connections without a request are kept to each address.
const idleConns = 64

// connectError is that of a connection that there is not; nothing was said.
type connectError struct{ error }

func (e *connectError) Unwrap() error { return e.error }

func (p *Pool) prepareTransport() {
	dial := func(ctx context.Context, _, key string) (net.Conn, error) {
		u, a, err := p.parseKey(key)
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(ctx, p.timeout)
		defer cancel()
		c, err := u.dial(ctx, a)
		if err != nil {
			return nil, &connectError{timeoutOf(ctx, err)}
		}
		return c, nil
	}
	p.transport = http.Transport{
		DialContext: dial, DialTLSContext: dial,
		ResponseHeaderTimeout: p.timeout, ExpectContinueTimeout: time.Second,
		MaxIdleConnsPerHost: idleConns, IdleConnTimeout: 4 * time.Second, // less than servers have: Node 5 s, uvicorn 5 s
		DisableCompression: true, // what is asked for is the client's business
	}
}

// keyOf is what stands for an address in a URL, so that the Transport keeps connections apart.
func keyOf(upstream int, a address) string {
	return strconv.Itoa(upstream) + "." + hex.EncodeToString([]byte(a.String()))
}

// parseKey is the inverse of keyOf, with a port behind it.
func (p *Pool) parseKey(key string) (u *upstream, a address, err error) {
	host, _, _ := net.SplitHostPort(key)
	number, text, _ := strings.Cut(host, ".")
	n, err := strconv.Atoi(number)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil || n < 0 || n >= len(p.upstreams) {
		return nil, a, fmt.Errorf("guard: no upstream is called %q", key)
	}
	b, err := hex.DecodeString(text)
	if path, isUnix := strings.CutPrefix(string(b), "unix:"); isUnix {
		a.unix = path
	} else if err == nil {
		a.tcp, err = netip.ParseAddrPort(string(b))
	}
	return p.upstreams[n], a, err
}

// RoundTrip is http.RoundTripper's, for an httputil.ReverseProxy: the upstream is chosen as for
// a WebSocket, whatever the scheme and the host of the URL, and another one is asked where there
// is no connection. Its errors that say so wrap an *upgrade.Rejection, with status and code. A 101
// is one, too: only an upgrade that was judged is tunnelled. Requests do not wait for a restart.
func (p *Pool) RoundTrip(r *http.Request) (*http.Response, error) {
	sent := keepBody(r)
	defer sent.letGo()
	a := &asking{pool: p, isPlain: true}
	defer a.Done()
	for cause := error(nil); ; {
		c, err := a.Next(cause)
		if err != nil {
			return nil, err
		}
		if c.Wait > 0 {
			select {
			case <-r.Context().Done():
				return nil, r.Context().Err()
			case <-time.After(c.Wait):
				cause = context.DeadlineExceeded
			}
			continue
		}
		resp, err := p.transport.RoundTrip(p.aimed(r, sent, c.Upstream))
		var e *connectError
		switch {
		case err == nil:
			return p.received(a, resp)
		case errors.As(err, &e):
			p.ended(c.Upstream)
			cause = e.error
		default:
			p.ended(c.Upstream)
			return nil, a.failed(r, err)
		}
	}
}

// aimed returns r as the Transport needs it to reach a target.
func (p *Pool) aimed(r *http.Request, sent *keptBody, n uint32) *http.Request {
	p.mu.Lock()
	t := &p.roster.targets[n]
	u := p.upstreams[t.upstream]
	host, isSecure := keyOf(t.upstream, t.address), u.tls != nil
	if of, ok := r.Context().Value(plainKey{}).(*plain); ok {
		of.upstream = u.called(t.address)
	}
	p.mu.Unlock()
	to := new(http.Request)
	*to = *r
	at := *r.URL
	at.Scheme, at.Host = "http", host
	if isSecure {
		at.Scheme = "https"
	}
	if to.URL = &at; to.Host == "" {
		to.Host = r.URL.Host
	}
	if sent != nil {
		to.Body = sent
	}
	return to
}

// received returns an answer, whose connection counts until its body is closed.
func (p *Pool) received(a *asking, resp *http.Response) (*http.Response, error) {
	a.finish(isWell)
	ended := sync.OnceFunc(func() { p.ended(a.at) })
	if resp.StatusCode == http.StatusSwitchingProtocols {
		resp.Body.Close()
		ended()
		return nil, invalid("a 101 to what is no upgrade")
	}
	resp.Body = &countedBody{resp.Body, ended}
	return resp, nil
}

// failed returns the refusal of a request that an upstream has got and not answered, or the
// error of its context.
func (a *asking) failed(r *http.Request, err error) error {
	if ended := r.Context().Err(); ended != nil {
		return ended
	}
	var e net.Error
	if errors.As(err, &e) && e.Timeout() {
		err = context.DeadlineExceeded
	}
	return a.Lost(err)
}

// countedBody is an answer's body.
type countedBody struct {
	io.ReadCloser
	ended func()
}

func (b *countedBody) Close() error {
	defer b.ended()
	return b.ReadCloser.Close()
}

// keptBody is a request's body that outlives attempts to connect, for which a Transport closes
// what it has not read.
type keptBody struct {
	io.ReadCloser
	mu       sync.Mutex
	isFree   bool // a Close is the last one
	isClosed bool // there was one before
}

// keepBody returns nil if r has no body.
func keepBody(r *http.Request) *keptBody {
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	return &keptBody{ReadCloser: r.Body}
}

func (b *keptBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.isClosed = true; !b.isFree {
		return nil
	}
	return b.ReadCloser.Close()
}

// letGo ends the attempts.
func (b *keptBody) letGo() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.isFree = true; b.isClosed {
		b.ReadCloser.Close()
	}
}
