//go:build linux

package guard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/usher-ws/usher/internal/pattern"
	"github.com/usher-ws/usher/upgrade"
)

// This file is what becomes of plain requests: they go to the application whatever they ask
// for, with the headers that upgrades have, and without anything that could make a tunnel of one.

// handler returns what answers them. Whatever an application answers with a 101 is an error of
// the Transport's.
func (g *Guard) handler() http.Handler {
	proxy := &httputil.ReverseProxy{
		Rewrite:       g.rewrite,
		Transport:     g.Upstream,
		FlushInterval: -1, // as it comes
		BufferPool:    buffers{},
		ErrorHandler:  refusePlain,
		ErrorLog:      slog.NewLogLogger(slog.Default().Handler(), slog.LevelDebug),
	}
	recognize := g.Recognize
	if recognize == nil {
		recognize = recognizeNobody
	}
	serve := func(w http.ResponseWriter, req *http.Request, p *plain) {
		var err error
		if p.r, err = recognize(req); err != nil {
			p.code = codeOf(err)
			upgrade.RefuseHTTP(w, req, err)
			return
		}
		req = req.WithContext(context.WithValue(req.Context(), plainKey{}, p))
		if req.Body != nil && req.Body != http.NoBody {
			req.Body = p
		}
		proxy.ServeHTTP(w, req)
	}
	if g.Answered == nil {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { serve(w, req, &plain{body: req.Body}) })
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		a, p, began := &answering{ResponseWriter: w}, &plain{body: req.Body}, time.Now()
		defer func() { g.Answered(a.of(req, p, began)) }()
		serve(a, req, p)
		a.isWhole = true
	})
}

// recognizeNobody is Guard.Recognize where there are no tokens.
func recognizeNobody(req *http.Request) (*upgrade.Request, error) {
	return (&upgrade.Upgrader{MaxHeaderBytes: upgrade.MaxHeaderLimit}).Recognize(req, nil)
}

// plain is a request that is passed on, and its body.
type plain struct {
	r      *upgrade.Request
	body   io.ReadCloser
	failed atomic.Bool // the client has not sent all of it

	// For Guard.Answered.
	upstream string // that was asked last
	code     string // of its refusal
}

type plainKey struct{}

// Read implements io.Reader.
func (p *plain) Read(b []byte) (int, error) {
	n, err := p.body.Read(b)
	if err != nil && err != io.EOF {
		p.failed.Store(true)
	}
	return n, err
}

// Close implements io.Closer.
func (p *plain) Close() error { return p.body.Close() }

// rewrite makes Out what the application gets. Headers for one hop have gone already, but for
// Upgrade.
func (g *Guard) rewrite(pr *httputil.ProxyRequest) {
	r, out := pr.In.Context().Value(plainKey{}).(*plain).r, pr.Out
	out.URL.Scheme, out.URL.Host, out.Host = "http", "upstream", pr.In.Host
	out.Trailer = nil // applications may read it as headers
	if g.Path != "" {
		raw := pattern.Expand(g.Path, pr.In.PathValue)
		if path, err := url.PathUnescape(raw); err == nil {
			out.URL.Path, out.URL.RawPath = path, raw
		}
	}
	query := string(g.Forward.appendQuery(nil, r.RawQuery()))
	out.URL.RawQuery, out.URL.ForceQuery = strings.TrimPrefix(query, "?"), false
	for name, values := range out.Header {
		kept := g.Forward.keep(name, values)
		if kept == nil {
			delete(out.Header, name)
			continue
		}
		out.Header[name] = kept
	}
	for name, value := range g.Forward.facts(r, newID()) {
		out.Header.Set(name, value)
	}
}

// keep returns what of a header of the client's goes on: nil for nothing. A plain request may
// name another method in it, as no method was judged.
func (f *Forward) keep(name string, values []string) (kept []string) {
	if isWritten([]byte(name)) && !isMethod([]byte(name)) {
		return nil
	}
	for _, value := range values {
		if line := f.appendField(nil, []byte(name), []byte(value)); len(line) > 0 {
			_, value, _ := strings.Cut(string(line), ": ")
			kept = append(kept, strings.TrimSuffix(value, "\r\n"))
		}
	}
	return kept
}

// refusePlain answers a request that the application has not answered.
func refusePlain(w http.ResponseWriter, req *http.Request, err error) {
	var e *upgrade.Rejection
	p := req.Context().Value(plainKey{}).(*plain)
	switch {
	case p.failed.Load():
		e = upgrade.ErrTimeout
	case req.Context().Err() != nil:
		panic(http.ErrAbortHandler) // nobody waits for it
	case !errors.As(err, &e):
		e = errUnreachable
	}
	p.code = e.Word()
	e.ServeHTTP(w, req)
}

// codeOf is the code of a refusal, as upgrade.RefuseHTTP has it.
func codeOf(err error) string {
	var e *upgrade.Rejection
	if errors.As(err, &e) {
		return e.Word()
	}
	return upgrade.CodeInternal
}

// newID returns an X-Request-Id.
func newID() string { return fmt.Sprintf("%016x%016x", rand.Uint64(), rand.Uint64()) }

// buffers is the httputil.BufferPool of all Guards.
type buffers struct{}

const bufferSize = 16 << 10

var spare = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// Get implements httputil.BufferPool.
func (buffers) Get() []byte { return spare.Get().(*[bufferSize]byte)[:] }

// Put implements httputil.BufferPool.
func (buffers) Put(b []byte) { spare.Put((*[bufferSize]byte)(b)) }
