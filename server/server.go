//go:build linux

package server

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/usher-ws/usher/internal/pattern"
	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/server/internal/ring"
	"github.com/usher-ws/usher/stream"
	"github.com/usher-ws/usher/upgrade"
	"golang.org/x/sys/unix"
)

// MaxListeners is how many places a Server can listen at.
const MaxListeners = stream.MaxListeners

// Listener is a listening stream socket, TCP or unix: see Server.Listeners.
type Listener = stream.Listener

// Server is a WebSocket server. Set its fields, add routes, then ListenAndServe,
// or Start and Wait. The fields are not to be changed afterwards: what can change is in a
// Policy. Of all sizes and times, zero is the default and a negative value no limit. A Server
// is used once.
type Server struct {
	// Where to listen: "host:port", several separated by commas; nowhere if it is empty,
	// for connections that come by Adopt. Loops is the number of event loops, by default
	// GOMAXPROCS.
	Addr  string
	Loops int

	// Listeners are listening sockets that were opened elsewhere, besides those of Addr.
	// They are the server's once Start has returned nil. Connections of one that is not of
	// IP have no address: limits per address do not count them, and Conn.RemoteAddr is zero,
	// unless a proxy says where they come from.
	Listeners []Listener

	// TLS has the connections of Addr, and of Listeners that say so, begin with a handshake
	// of TLS 1.2 or 1.3, by crypto/tls; docs/TLS.md says what of the Config is used how. It
	// must have a certificate, and is not to be changed but by its own functions: with
	// GetConfigForClient or GetCertificate, what is new counts from the next handshake on.
	TLS *tls.Config

	// ProxyProtocol are proxies whose connections begin with a PROXY header, version 1 or 2,
	// of 536 bytes at most and within HandshakeTimeout. What begins otherwise is closed and
	// counted, Stats.ProxyHeaderErrors.
	//
	// TrustedProxies are proxies whose X-Forwarded-For and Forwarded are believed; see
	// upgrade.Upgrader.Trace. If a connection has a PROXY header, its peer is the one that the
	// header names.
	//
	// The address that a proxy names is the one that limits, logs, net/http and Conn.RemoteAddr
	// have. The connection counts for it from when it is known. By default there are no proxies.
	ProxyProtocol  upgrade.Proxies
	TrustedProxies upgrade.Proxies

	// How many. MaxConns is by default what the process's descriptor limit
	// allows, less the reserve for those that are told to go; Start fails with
	// ErrFiles if that is less than MaxConns. What comes beyond MaxConns or
	// MaxConnsPerIP has a second to send its request and be told so.
	MaxConns        int
	MaxConnsPerIP   int // at once, from when they are accepted; default none
	MaxConnsPerUser int // by Identity.Subject; default none

	// OtherFiles is how many descriptors the program may open besides, of what the limit allows:
	// listeners of its own and their connections, say. No connection takes them.
	OtherFiles int

	// ConnRate is how often an address may come, whatever becomes of it; default
	// unlimited. Per address means, for IPv6, per /64; an IPv4 address within IPv6 is that
	// address.
	ConnRate limiter.Rate

	// Messages of all connections of a user or an address together, on all routes.
	// The route's Limits say what happens above, and what a message costs; default
	// unlimited. MessagesPerIP costs each connection a map entry.
	MessagesPerUser limiter.Rate
	MessagesPerIP   limiter.Rate

	// LimitDryRun counts what is over a limit of messages, bytes or connections per
	// user or address, in LimitStats and once a second for a connection in the log,
	// and does nothing about it. MaxConns and a route's guards stay in force.
	LimitDryRun bool

	// MaxAuthorize is how many requests may wait for a Route's Authorize at one time;
	// beyond, a client is told to come back, 503; 1024.
	MaxAuthorize int

	// MaxRequests is how many requests Handler, and those of Relays, may have at one time; 256. Others wait, for
	// HandshakeTimeout at most, and the addresses take turns. Requests whose client has more
	// to send than a small body have half of that. A connection that Handler hijacks is no
	// request any more.
	MaxRequests int

	// How much, in bytes.
	MaxHead     int // of a request, up to its empty line; 16 KiB, upgrade.MaxHeaderLimit at most, never no limit
	MaxMessage  int // of one message; 64 KiB
	MaxBacklog  int // waiting for one peer, beside one message; 1 MiB
	MaxBuffered int // waiting in the process, and in tables of what connections have; 256 MiB

	// How long.
	HandshakeTimeout time.Duration // for the request head, for Authorize, and for a small body and the turn of a request to Handler; 10 s
	MessageTimeout   time.Duration // from a message's first byte to its last; 30 s
	WriteTimeout     time.Duration // that a peer takes nothing; 30 s
	PingInterval     time.Duration // that a peer says nothing until it is pinged, ±20 %; 25 s, or half of IdleTimeout if that is less or there is none
	IdleTimeout      time.Duration // that it gives no sign of life and does not answer; 2 min
	Drain            time.Duration // of Shutdown; 10 s

	// TrackConns keeps of each connection since when it is open and how many messages it has
	// sent, for Inspect: 16 bytes.
	TrackConns bool

	Deflate bool         // negotiate permessage-deflate, without context takeover
	Origins []string     // besides the same host and none, as upgrade.Upgrader has them
	Handler http.Handler // for requests that no route matches; default 404; on goroutines of net/http

	// Answer, if there is one, is asked before Handler: it may append a whole response, the
	// last of its connection, to dst, and otherwise returns it as it is. It is for what is
	// small and always the same, like an upgrade.Answer. It is called on the loop, and must
	// not block; dst and r are valid until it returns.
	Answer func(dst []byte, r *upgrade.Request) []byte

	Logger *slog.Logger // default slog.Default()

	routes     []*route
	middleware []Middleware

	// Set by Start.
	engine      *stream.Engine[session, extra]
	loops       []*loop
	listeners   []Listener       // of Addr
	ports       []Listener       // all of them, by the numbers that streams know them by
	addrs       []netip.AddrPort // of those that are of TCP
	files, room int              // that the process may open, and for connections
	reserve     int
	begun       time.Time
	nonce       uint64 // tells the IDs of its connections from those of other Servers
	relayPing   []byte // what a ping says to a client that is relayed (idle.go)
	http        *httpSide
	log         *logWriter
	watch       watchdog
	life        life
	fault       atomic.Pointer[error] // of ours, for which the server ends
	failed      chan error
	done        chan struct{}

	// What the loops go by, or are about to; changing is held by the one who changes it.
	policy   atomic.Pointer[policy]
	changing sync.Mutex

	// Shared by the loops.
	perIP        limiter.Keyed[network]
	arrivals     limiter.Keyed[network] // of ConnRate
	users        *users
	bans         bans
	charged      atomic.Int64 // bytes: see Charge
	limited      atomic.Int64 // bytes: see weighLimits
	ipMessages   limiter.Keyed[network]
	userMessages limiter.Keyed[string]
	asking       limiter.Quota // questions that are answered elsewhere; it only counts
	authorizing  limiter.Quota // those of authorizers
	drainWindow  time.Duration
	stats        stats
	headers      headers
	handshakes   handshakes
	isInspecting atomic.Bool
}

// Route serves the WebSockets of a path, in the pattern syntax of net/http without
// method and host: "/echo", "/ws/{room}", "/files/{path...}". Of several that
// match, the more special one wins. Route panics if the pattern is malformed or
// was registered before, and after Start.
func (s *Server) Route(path string, r Route) {
	s.life.mustBeFresh("Route")
	p, err := pattern.Parse(path)
	if err != nil {
		panic(fmt.Errorf("server: %w", err))
	}
	for _, old := range s.routes {
		if p.Same(old.pattern) {
			panic(fmt.Errorf("server: patterns %q and %q match the same paths", p, old.pattern))
		}
	}
	at := slices.IndexFunc(s.routes, func(old *route) bool { return p.Before(old.pattern) })
	if at < 0 {
		at = len(s.routes)
	}
	if r.Relay != nil {
		r.Writable = nil // it is the other server that is held meanwhile
	}
	s.routes = slices.Insert(s.routes, at, &route{Route: r, pattern: p})
}

// Use puts middleware around all routes, outside their own. The first is the
// outermost. After Start it panics.
func (s *Server) Use(mw ...Middleware) {
	s.life.mustBeFresh("Use")
	s.middleware = append(s.middleware, mw...)
}

// Start listens and starts the loops. After an error nothing is left behind, and the
// Server cannot be started again.
func (s *Server) Start() error {
	if err := s.life.goOn(fresh, starting); err != nil {
		return err
	}
	if err := s.start(); err != nil {
		_ = s.life.goOn(starting, failed)
		s.fail(err)
		return err
	}
	return nil
}

func (s *Server) start() error {
	s.authorizing.Max = or(s.MaxAuthorize, askedAtOnce)
	s.arrivals.Rate = s.ConnRate
	s.userMessages.Rate, s.ipMessages.Rate = s.MessagesPerUser, s.MessagesPerIP
	s.begun, s.nonce, s.relayPing = time.Now(), rand.Uint64(), binary.BigEndian.AppendUint64(nil, rand.Uint64())
	s.failed, s.done = make(chan error, 1), make(chan struct{})
	if err := s.validate(); err != nil {
		return err
	}
	s.log = newLogWriter(s.logger())
	if err := s.open(); err != nil {
		s.closeAll()
		s.log.stop(time.Now().Add(ring.Patience))
		return err
	}
	if s.Handler != nil || slices.ContainsFunc(s.routes, func(r *route) bool { return r.Relay != nil && r.Relay.Handler != nil }) {
		s.http = newHTTPSide(s)
	}
	s.watch.start(s)
	_ = s.life.goOn(starting, running)
	_ = s.engine.Listen(s.ports, s.fail)
	return nil
}

// Addrs returns the addresses that are listened on, once Start has returned, and nil before
// or if it has failed: with the port the kernel chose where port 0 was asked for.
func (s *Server) Addrs() []netip.AddrPort {
	if !s.life.hasRun() {
		return nil
	}
	return slices.Clone(s.addrs)
}

// Adopt serves a connected stream socket, TCP or unix, that was accepted or made elsewhere,
// by another process say, as if it had come to Addr. If it returns nil, the descriptor is
// the server's; otherwise it is still the caller's. A connection that is not of IP has no
// address: limits per address do not count it, and Conn.RemoteAddr is zero.
//
// It may be called from Start on until Shutdown is done, on any goroutine.
func (s *Server) Adopt(fd int) error {
	if p := s.life.phase(); p != running && p != draining {
		return s.life.not(running)
	}
	if err := s.engine.Adopt(fd, s.TLS != nil); err != nil {
		return fmt.Errorf("server: cannot adopt: %w", err)
	}
	return nil
}

// Wait returns nil when Shutdown is done, or the error of a Start or a loop that failed.
// Before Start, and in a callback, it does not wait: that is an error.
func (s *Server) Wait() error {
	switch {
	case s.life.phase() <= starting:
		return s.life.not(running)
	case s.here() != nil:
		return ErrOnLoop
	}
	select {
	case <-s.done:
		if e := s.fault.Load(); e != nil {
			return *e
		}
		return nil
	case err := <-s.failed:
		s.failed <- err
		return err
	}
}

// ListenAndServe is Start and Wait. It wants an Addr.
func (s *Server) ListenAndServe() error {
	if s.Addr == "" {
		return errors.New("server: ListenAndServe needs an Addr")
	}
	if err := s.Start(); err != nil {
		return err
	}
	return s.Wait()
}

// ErrMemory is what Start returns, in words of its own, if MaxBuffered is too little for TLS:
// nobody could come in.
var ErrMemory = stream.ErrMemory

// ErrFiles is what Start returns, in words of its own, if the process may not open as
// many files as its loops and MaxConns connections need.
var ErrFiles = errors.New("server: too few open files")

const (
	// spareFiles is what the process needs besides connections: listeners, up to
	// eight loops, logs, key files.
	spareFiles = 64
	// filesPerLoop is two epoll instances, an eventfd and a timerfd.
	filesPerLoop = 4
	// authorizeFiles is what authorizers need, which mostly ask somebody: as many as
	// a forwardauth.Service has connections.
	authorizeFiles = 64
)

// setRoom divides the descriptor limit: a part of it is the reserve for connections that have
// been told to go.
func (s *Server) setRoom() {
	var limit unix.Rlimit
	files := 1024
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err == nil {
		files = int(min(limit.Cur, 1<<30))
	}
	s.reserve = min(max(files/32, 16), 1024)
	s.files = files
	s.room = files - s.reserve - max(spareFiles, spareFiles/2+filesPerLoop*s.loopCount())
	s.room -= s.OtherFiles
	if slices.ContainsFunc(s.routes, func(r *route) bool { return r.Authorize != nil }) {
		s.room -= authorizeFiles
	}
	if slices.ContainsFunc(s.routes, func(r *route) bool { return r.Relay != nil }) {
		s.room /= 2 // to each connection comes the one that it is paired with
	}
}

// errFiles says that there is no room for so many connections: MaxConns is a promise, and what
// cannot be kept is an error.
func (s *Server) errFiles(want int) error {
	return fmt.Errorf("%w: with %d and %d loops there is room for %d connections, not for %d",
		ErrFiles, s.files, s.loopCount(), max(0, s.room), want)
}
