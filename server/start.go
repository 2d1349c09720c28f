//go:build linux

package server

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/internal/proxyheader"
	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/poller"
	"github.com/usher-ws/usher/record/handshake"
	"github.com/usher-ws/usher/stream"
	"golang.org/x/sys/unix"
)

// newLoop returns the owner of the streams of a loop.
func newLoop(srv *Server, of *stream.Loop[session, extra]) *loop {
	l := &loop{Loop: of, srv: srv, wall: time.Now}
	l.policy = srv.policy.Load()
	l.before = l.policy
	l.door = door{loop: l}
	l.relay.down = frame.Config{Client: true, MaxMessage: -1, Buffers: &l.Buffers, AnyText: true}
	l.relay.up = frame.Config{Client: true}
	l.meter.loop, l.jobs.loop, l.groups.loop, l.drain.loop = l, l, l, l
	l.mail.loop = l
	l.data = make(perConn[any])
	l.tenures.isTracked = srv.TrackConns
	l.mail.limit = max(or(srv.MaxBacklog, 1<<20), cmp.Or(srv.maxBuffered()/srv.loopCount()/8, 16<<20)) // whatever the settings, there is one
	l.unroutedRefused = refusedHooks(srv.middleware)
	l.routes = make([]loopRoute, len(srv.routes))
	for i, r := range srv.routes {
		l.prepare(&l.routes[i], i, r)
	}
	l.obey()
	return l
}

// prepare composes a route's chains for this loop.
func (l *loop) prepare(lr *loopRoute, index int, r *route) {
	lr.route, lr.index = r, index
	lr.frame = frame.Config{Buffers: &l.Buffers, Fragments: true, AnyText: r.Relay != nil && !r.Relay.CheckText}
	mw := l.srv.around(r)
	lr.upgrade = compose(mw, l.door.judgeBy(), func(m *Middleware) func(UpgradeFunc) UpgradeFunc { return m.Upgrade })
	lr.open = compose(mw, orElse(r.Open, func(Conn) error { return nil }), func(m *Middleware) func(OpenFunc) OpenFunc { return m.Open })
	lr.message = compose(mw, orElse(r.Message, func(Conn, Message) error { return nil }), func(m *Middleware) func(MessageFunc) MessageFunc { return m.Message })
	lr.close = compose(mw, orElse(r.Close, func(Conn, error) {}), func(m *Middleware) func(CloseFunc) CloseFunc { return m.Close })
	lr.refused = refusedHooks(mw)
}

// validate looks for what can never work.
func (s *Server) validate() error {
	for _, r := range s.routes {
		offloaded := false
		for _, m := range slices.Concat(s.middleware, r.Middleware) {
			if offloaded && (m.offloads || m.OnLoop) {
				return fmt.Errorf("server: route %s: %s has no place behind an Offload", r.pattern, m.Name)
			}
			offloaded = offloaded || m.offloads
		}
	}
	return nil
}

// open makes the sockets and the loops.
func (s *Server) open() error {
	if err := s.newEngine(); err != nil {
		return err
	}
	if s.Addr != "" {
		for addr := range strings.SplitSeq(s.Addr, ",") {
			fd, err := poller.Listen(strings.TrimSpace(addr))
			if err != nil {
				return err
			}
			s.listeners = append(s.listeners, Listener{FD: fd, TLS: s.TLS != nil})
		}
	}
	s.ports = slices.Concat(s.listeners, s.Listeners)
	if len(s.ports) > MaxListeners {
		return fmt.Errorf("server: %d places to listen at: want %d or fewer", len(s.ports), MaxListeners)
	}
	for _, l := range s.ports {
		bound, err := poller.Local(l.FD)
		if err != nil {
			return err
		}
		if bound.IsValid() {
			s.addrs = append(s.addrs, bound)
		}
	}
	return s.engine.Start()
}

// notTLS is what a client is told, in the clear, that speaks HTTP where TLS is spoken.
var notTLS = fmt.Appendf(nil, "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n"+
	"Cache-Control: no-store\r\nConnection: close\r\n\r\n%s", len(askForTLS), askForTLS)

const askForTLS = "This port speaks TLS: ask for https:// or wss://\n"

// newEngine makes the loops, which do not run yet.
func (s *Server) newEngine() (err error) {
	first, err := s.begin()
	if err != nil {
		return err
	}
	var isProxy func(netip.Addr) bool
	if !s.ProxyProtocol.IsZero() {
		isProxy = s.ProxyProtocol.Has
	}
	var shaker *handshake.Server
	if s.TLS != nil {
		if shaker, err = handshake.NewServer(s.TLS); err != nil {
			return err
		}
	}
	s.users = newUsers(s, s.loopCount())
	s.engine, err = stream.New(stream.Config[extra]{
		Loops:        s.loopCount(),
		MaxConns:     first.connLimit,
		Reserve:      s.reserve,
		Source:       limiter.Network,
		Admit:        s.admitAddr,
		IsProxy:      isProxy,
		ReadHeader:   proxyheader.Read,
		TLS:          shaker,
		NotTLS:       notTLS,
		MaxBuffered:  s.maxBuffered(),
		WriteTimeout: s.writeTimeout(),
		Weigh:        weigh,
		LogError:     s.log.error,
	}, func(of *stream.Loop[session, extra]) stream.Handler[session, extra] {
		l := newLoop(s, of)
		s.loops = append(s.loops, l)
		return owner{l}
	})
	if err == nil {
		s.engine.SetLimits(first.connLimit, first.asksAtAccept())
	}
	return err
}

func (s *Server) closeAll() {
	for _, l := range s.listeners {
		unix.Close(l.FD)
	}
	if s.engine != nil {
		s.engine.Close()
	}
}
