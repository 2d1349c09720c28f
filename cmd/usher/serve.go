//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/usher-ws/usher/chat"
	"github.com/usher-ws/usher/login"
	"github.com/usher-ws/usher/server"
	"github.com/usher-ws/usher/server/middleware"
	"github.com/usher-ws/usher/upgrade"
)

// Run serves until a signal ends it.
func (s *serveCmd) Run(stdout io.Writer) error {
	signals := catchSignals()
	secrets, given, err := s.secrets()
	if err != nil {
		return err
	}
	ring := server.NewLogRing(s.logHandler())
	defer ring.Close(time.Second)
	log := slog.New(ring)
	slog.SetDefault(log) // whatever else logs does not wait for standard error either
	if s.Loops == 0 {
		s.Loops = runtime.GOMAXPROCS(0)
	}
	// A loop that waits keeps its P as long as another P is idle. If none is, the runtime's
	// monitor wakes up every 20 µs to take it away: a tenth of a handshake.
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), s.Loops+1))
	}
	srv, closeKeys, err := s.build(secrets, given, ring)
	if err != nil {
		return err
	}
	defer closeKeys()
	if s.PrintRoutes {
		_, err := io.WriteString(stdout, upgrade.Redact(string(srv.AppendRoutes(nil))))
		return err
	}
	// Before anybody can know that we listen and tell us to stop.
	signal.Notify(signals.leave, syscall.SIGTERM, syscall.SIGINT)
	endpoints, err := openEndpoints(s.Listen, s.ReusePort)
	if err != nil {
		return fmt.Errorf("cannot listen: %w; choose other addresses with --listen", err)
	}
	defer endpoints.removeFiles()
	srv.Listeners = endpoints.all
	var desk *admin
	if s.Admin != "" {
		if desk, err = newAdmin(s.Admin, srv, log); err != nil {
			endpoints.close()
			return fmt.Errorf("cannot listen: %w; choose another address with --admin", err)
		}
		defer desk.close()
	}
	if err = srv.Start(); err != nil {
		endpoints.close()
	}
	if errors.Is(err, server.ErrFiles) {
		return usageError{fmt.Errorf("%w: raise that limit (ulimit -n), or lower --max-conns or --loops", err)}
	}
	if err != nil {
		return fmt.Errorf("cannot start: %w", err)
	}
	desk.start()
	greeting, err := s.greeting(endpoints, desk, secrets, given)
	if err != nil {
		return err
	}
	go func() { _, _ = stdout.Write(greeting) }() // it may have no reader
	// Collect the garbage of the start, and allocate what the collector needs, before the
	// first connection. Otherwise a third of the memory of 19,000 idle ones would be that.
	runtime.GC()
	done := make(chan struct{})
	defer close(done)
	go (&memory{budget: int(s.MaxBuffered), buffered: srv.Buffered, sockets: srv.Sockets}).keep(done)
	manager := newNotifier(log)
	manager.tell("READY=1")
	go manager.watchdog(srv, done)
	return signals.serveUntil(srv, s.Drain, log, manager)
}

// secrets returns what signs and verifies tokens with an HMAC, the one that signs first.
// given says that the operator brought a secret or keys; else there is a secret for this run.
func (s *serveCmd) secrets() (secrets []secret, given bool, err error) {
	if secrets, err = s.read(); err != nil {
		return nil, false, err
	}
	if secrets != nil || s.keysFlags.given() {
		return secrets, true, nil
	}
	if _, set := os.LookupEnv("USHER_SECRET"); set {
		return nil, false, usageError{errors.New("the secret in USHER_SECRET is empty: make one with `openssl rand -hex 32`, or unset it for one that is good for this run")}
	}
	return []secret{newSecret()}, false, nil
}

// build returns the server with all that it serves. It reads what the settings name.
// closeKeys ends what the keys do in the background.
func (s *serveCmd) build(secrets []secret, given bool, ring *server.LogRing) (srv *server.Server, closeKeys func(), err error) {
	log := slog.New(ring)
	provider, app, closeKeys, err := s.apps(secrets, given, log)
	if err != nil {
		return nil, nil, err
	}
	srv = s.server(log)
	srv.Handler, srv.Answer = provider.Handler(app.Handler()), provider.Answer(app.Answer)
	srv.Route(chat.Pattern, app.Route())
	s.routeEchoes(srv, provider.Bearer())
	if s.AccessLog {
		srv.Use(middleware.Logging(ring))
	}
	return srv, closeKeys, nil
}

// server returns the server that the flags describe.
func (s *serveCmd) server(log *slog.Logger) *server.Server {
	headers, _ := upgrade.ParseProxies(s.ProxyProtocol) // Validate has read them
	trusted, _ := upgrade.ParseProxies(s.TrustedProxy)
	return &server.Server{
		Loops: s.Loops,

		ProxyProtocol:  headers,
		TrustedProxies: trusted,

		MaxConns:        s.MaxConns,
		MaxConnsPerIP:   s.MaxConnsPerIP,
		MaxConnsPerUser: s.MaxConnsPerUser,

		MessagesPerUser: s.shared(s.UserRate),
		MessagesPerIP:   s.shared(s.IPRate),
		LimitDryRun:     s.LimitDryRun,

		MaxRequests: orNone(s.MaxRequests),
		MaxHead:     int(s.MaxHead),
		MaxMessage:  orNone(int(s.MaxMessage)),
		MaxBuffered: orNone(int(s.MaxBuffered) - s.historyBytes()),

		HandshakeTimeout: orNone(s.HandshakeTimeout),
		MessageTimeout:   orNone(s.MessageTimeout),
		WriteTimeout:     orNone(s.WriteTimeout),
		PingInterval:     orNone(s.PingInterval),
		IdleTimeout:      orNone(s.IdleTimeout),
		Drain:            orNone(s.Drain),

		Origins: s.Origin,
		Deflate: s.Deflate,
		Logger:  log,
	}
}

// orNone turns the 0 of the command line, which is no limit, into the server's -1.
func orNone[N int | time.Duration](n N) N {
	if n == 0 {
		return -1
	}
	return n
}

func (s *serveCmd) logHandler() slog.Handler {
	var level slog.Level
	_ = level.UnmarshalText([]byte(s.LogLevel)) // which is one of four
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: redact}
	if s.LogFormat == "json" {
		return slog.NewJSONHandler(os.Stderr, options)
	}
	return slog.NewTextHandler(os.Stderr, options)
}

// redact keeps credentials out of the log, whatever code writes to it.
func redact(_ []string, a slog.Attr) slog.Attr {
	switch a.Value.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(upgrade.Redact(a.Value.String()))
	case slog.KindAny:
		if err, ok := a.Value.Any().(error); ok {
			a.Value = slog.StringValue(upgrade.Redact(err.Error()))
		}
	}
	return a
}

// greeting returns what the start says on standard output: the addresses, and a URL that
// works at once if nobody knows this run's secret.
func (s *serveCmd) greeting(endpoints *endpoints, desk *admin, secrets []secret, given bool) ([]byte, error) {
	var b []byte
	for _, name := range endpoints.names {
		b = fmt.Appendf(b, "listening on %s\n", name)
	}
	if desk != nil {
		b = fmt.Appendf(b, "admin on http://%s\n", desk.addr())
	}
	if given {
		return b, nil
	}
	token, err := login.Token{
		Subject: "alice", Issuer: s.Issuer, Audience: s.Audience, Issued: time.Now(), TTL: time.Hour,
	}.Sign(secrets[0].text)
	if err != nil {
		return nil, fmt.Errorf("cannot sign the demo token: %w", err)
	}
	room := "lobby"
	if len(s.Rooms) > 0 {
		room = s.Rooms[0]
	}
	return fmt.Appendf(b, "no secret given, so this run has its own; for an hour this gets in:\n  %s\n",
		endpoints.reachable("ws", "/ws/"+room+"?token="+token)), nil
}
