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

	"github.com/alecthomas/kong"
	"github.com/usher-ws/usher/login"
	"github.com/usher-ws/usher/server"
	"github.com/usher-ws/usher/upgrade"
)

// Run serves until a signal ends it.
func (s *serveCmd) Run(stdout io.Writer, ctx *kong.Context) error { return serveBy(s, stdout, ctx) }

// serveBy runs p until a signal ends it.
func serveBy(p program, stdout io.Writer, ctx *kong.Context) error {
	s := p.common()
	signals := catchSignals()
	settings, level := valuesOf(ctx.Selected().Flags), new(slog.LevelVar)
	level.Set(s.level())
	ring := server.NewLogRing(s.logHandler(level))
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
	r, err := build(p, ring, level)
	if err != nil {
		return err
	}
	r.settings = settings
	defer r.close()
	srv := r.srv
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
	if r.node, err = r.join(s.clusterFlags); err != nil {
		endpoints.close()
		return fmt.Errorf("cannot be a node: %w", err)
	}
	defer r.node.close()
	var desk *admin
	if s.Admin != "" {
		if desk, err = newAdmin(s.Admin, r); err != nil {
			endpoints.close()
			return fmt.Errorf("cannot listen: %w; choose another address with --admin", err)
		}
		defer desk.close()
	}
	var backends *apiDesk
	if s.API != "" {
		if backends, err = newAPIDesk(&s.apiFlags, r); err != nil {
			endpoints.close()
			return fmt.Errorf("cannot listen: %w; choose another address with --api", err)
		}
		defer backends.close()
	}
	if err = srv.Start(); err != nil {
		endpoints.close()
	}
	if err != nil {
		return fmt.Errorf("cannot start: %w", explainStart(err))
	}
	desk.start()
	backends.start()
	greeting, err := greet(p, endpoints, desk, backends, r.now.Load())
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
	go r.watchCertificates(done)
	if r.certs != nil && r.certs.issuer != nil {
		r.certs.issuer.start(endpoints, done)
	}
	manager := newNotifier(log)
	manager.tell("READY=1")
	go manager.watchdog(srv, done)
	reload := func() {
		manager.reloading()
		r.reload(ctx.Args)
		manager.tell("READY=1")
	}
	end, err := signals.serveUntil(srv, s.Drain, log, manager, reload)
	r.tellLast(end)
	return err
}

// explainStart says what to do about server.ErrFiles and server.ErrMemory.
func explainStart(err error) error {
	switch {
	case errors.Is(err, server.ErrFiles):
		return usageError{fmt.Errorf("%w: raise that limit (ulimit -n), or lower --max-conns or --loops", err)}
	case errors.Is(err, server.ErrMemory):
		return usageError{fmt.Errorf("%w: raise --max-buffered, or lower --loops", err)}
	}
	return err
}

// secrets returns what signs and verifies tokens with an HMAC, the one that signs first.
// given says that the operator brought a secret, keys or a service.
func (f *credentialFlags) secrets() (secrets []secret, given bool, err error) {
	if secrets, err = f.read(); err != nil {
		return nil, false, err
	}
	if secrets != nil || f.keysFlags.given() || f.AuthURL != "" {
		return secrets, true, nil
	}
	if _, set := os.LookupEnv("USHER_SECRET"); set {
		return nil, false, usageError{errors.New("the secret in USHER_SECRET is empty: make one with `openssl rand -hex 32`, or unset it")}
	}
	return nil, false, nil
}

// server returns the server that the flags describe, without what it serves.
func (s common) server(log *slog.Logger) *server.Server {
	headers, _ := upgrade.ParseProxies(s.ProxyProtocol) // Validate has read them
	trusted, _ := upgrade.ParseProxies(s.TrustedProxy)
	return &server.Server{
		Loops:      s.Loops,
		OtherFiles: s.otherFiles(),

		ProxyProtocol:  headers,
		TrustedProxies: trusted,

		MaxConns:        s.MaxConns,
		MaxConnsPerIP:   s.MaxConnsPerIP,
		MaxConnsPerUser: s.MaxConnsPerUser,

		MessagesPerUser: s.together(s.UserRate),
		MessagesPerIP:   s.together(s.IPRate),
		LimitDryRun:     s.LimitDryRun,

		MaxRequests: orNone(s.MaxRequests),
		MaxHead:     int(s.MaxHead),
		MaxMessage:  orNone(int(s.MaxMessage)),
		MaxBuffered: orNone(s.buffered()),

		HandshakeTimeout: orNone(s.HandshakeTimeout),
		MessageTimeout:   orNone(s.MessageTimeout),
		WriteTimeout:     orNone(s.WriteTimeout),
		PingInterval:     orNone(s.PingInterval),
		IdleTimeout:      orNone(s.IdleTimeout),
		Drain:            orNone(s.Drain),

		Origins: s.Origin,

		TrackConns: s.Admin != "",

		Logger: log,
	}
}

// otherFiles returns how many descriptors there may be of what clients do not open.
func (s common) otherFiles() (n int) {
	if s.API != "" {
		n += apiConns
	}
	if s.isEmbedded() {
		n += natsRoutes
	}
	if s.ClusterClientListen != "" {
		n += natsConns
	}
	return n
}

// orNone turns the 0 of the command line, which is no limit, into the server's -1.
func orNone[N int | time.Duration](n N) N {
	if n == 0 {
		return -1
	}
	return n
}

func (f *operatorFlags) level() (level slog.Level) {
	_ = level.UnmarshalText([]byte(f.LogLevel)) // which is one of four
	return level
}

func (f *operatorFlags) logHandler(level slog.Leveler) slog.Handler {
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: redact}
	if f.LogFormat == "json" {
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

// limits returns the limits of one connection in the chat.
func (s *serveCmd) limits() server.Limits { return s.common().limits(50) }

// server returns the server that the flags describe.
func (s *serveCmd) server(log *slog.Logger) *server.Server {
	srv := s.common().server(log)
	srv.Deflate = s.Deflate
	srv.MaxBuffered = orNone(s.common().buffered() - s.historyBytes())
	return srv
}

// greet returns what the start says on standard output.
func greet(p program, endpoints *endpoints, desk *admin, backends *apiDesk, e *entrance) ([]byte, error) {
	var b []byte
	for _, name := range endpoints.names {
		b = fmt.Appendf(b, "listening on %s\n", name)
	}
	if desk != nil {
		b = fmt.Appendf(b, "admin on http://%s\n", desk.addr())
	}
	if backends != nil {
		b = fmt.Appendf(b, "api on %s\n", backends.name())
	}
	return p.greet(b, endpoints, e)
}

// withoutSecret implements program.
func (*serveCmd) withoutSecret() string { return "made for this run" }

// greet adds a URL that works at once if nobody knows this run's secret.
func (s *serveCmd) greet(b []byte, endpoints *endpoints, e *entrance) ([]byte, error) {
	if e.given {
		return b, nil
	}
	token, err := login.Token{
		Subject: "alice", Issuer: s.Issuer, Audience: s.Audience, Issued: time.Now(), TTL: time.Hour,
	}.Sign(e.secrets[0].text)
	if err != nil {
		return nil, fmt.Errorf("cannot sign the demo token: %w", err)
	}
	room := "lobby"
	if len(s.Rooms) > 0 {
		room = s.Rooms[0]
	}
	return fmt.Appendf(b, "no secret given, so this run has its own; for an hour this gets in:\n  %s\n",
		endpoints.reachable("/ws/"+room+"?token="+token)), nil
}
