//go:build linux

package server

import (
	"context"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"sync"

	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/upgrade"
)

// httpSide is a net/http server whose connections are exchanges: their sockets stay with the
// loops.
type httpSide struct {
	server    *http.Server
	exchanges chan *exchange
	closed    chan struct{}
	once      sync.Once

	// Those that are with net/http, and those that wait for that. One that is to read of its
	// client meanwhile has a turn of uploads first, of which there are half as many: those
	// whose clients have nothing more to say find a place, however slow others are.
	turns, uploads limiter.Turns[netip.Addr]
	lines          [2]*limiter.Turns[netip.Addr] // uploads, then turns
}

func newHTTPSide(s *Server) *httpSide {
	h := &httpSide{exchanges: make(chan *exchange), closed: make(chan struct{})}
	h.turns.Places = s.maxRequests()
	h.uploads.Places = max(1, s.maxRequests()/2)
	h.turns.Waiting, h.uploads.Waiting = math.MaxInt, math.MaxInt // MaxConns bounds them
	h.lines = [2]*limiter.Turns[netip.Addr]{&h.uploads, &h.turns}
	log := &LogRing{s.log.Ring, s.log.logger.Handler()}
	h.server = &http.Server{
		Handler:     told{s},
		ReadTimeout: s.messageTimeout(),
		ErrorLog:    slog.NewLogLogger(log, slog.LevelWarn),
		ConnState: func(c net.Conn, state http.ConnState) {
			if state == http.StateHijacked { // it is no request any more
				c.(*exchange).leaveTurns()
			}
		},
	}
	h.server.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		x := c.(*exchange)
		return context.WithValue(upgrade.ContextWithForwarded(ctx, x.forwarded), exchangeKey{}, x)
	}
	h.server.SetKeepAlivesEnabled(false) // the next request belongs to a loop
	go func() { _ = h.server.Serve(h) }()
	return h
}

// exchangeKey is where the context of a request has its exchange.
type exchangeKey struct{}

// told has a request answered by its Handler, and logs when that ends by runtime.Goexit, as
// net/http logs a panic.
type told struct{ srv *Server }

// ServeHTTP is http.Handler's.
func (h told) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := r.Context().Value(exchangeKey{}).(*exchange)
	r.TLS = x.tls // net/http knows only connections of crypto/tls
	handler := h.srv.Handler
	if x.route != nil {
		handler = x.route.plain(r)
	}
	returned := false
	defer func() {
		if returned {
			return
		}
		if p := recover(); p != nil {
			panic(p) // net/http's business
		}
		h.srv.log.error("server: panic in a handler", "panic", errExited, "stack", string(debug.Stack()))
	}()
	handler.ServeHTTP(w, r)
	returned = true
}

// serve gives net/http an exchange, without waiting for it.
func (h *httpSide) serve(x *exchange) {
	go func() {
		select {
		case h.exchanges <- x:
		case <-h.closed:
			x.Close()
		}
	}()
}

// Accept is net.Listener's.
func (h *httpSide) Accept() (net.Conn, error) {
	select {
	case x := <-h.exchanges:
		return x, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

// Close is net.Listener's.
func (h *httpSide) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

// Addr is net.Listener's; nobody asks for it.
func (h *httpSide) Addr() net.Addr { return &net.TCPAddr{} }

// inUse returns how many requests are with net/http, and how many wait for that.
func (h *httpSide) inUse() (inside, waiting int) {
	if h == nil {
		return 0, 0
	}
	inside, waiting = h.turns.InUse()
	_, uploads := h.uploads.InUse()
	return inside, waiting + uploads
}

// stop ends it when the loops have ended. Handlers that still run are not waited for: they
// can neither read nor write any more.
func (h *httpSide) stop() {
	if h == nil {
		return
	}
	_ = h.Close()
	_ = h.server.Close()
}
