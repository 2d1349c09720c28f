//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/usher-ws/usher/chat"
	"github.com/usher-ws/usher/server"
	"github.com/usher-ws/usher/upgrade"
)

// Run serves until a signal ends it.
func (s *serveCmd) Run(stdout io.Writer) error {
	signals := catchSignals()
	secrets, err := s.read()
	if err != nil {
		return err
	}
	given := secrets != nil || s.keysFlags.given()
	if !given {
		if _, set := os.LookupEnv("USHER_SECRET"); set {
			return usageError{errors.New("the secret in USHER_SECRET is empty: make one with `openssl rand -hex 32`, or unset it for one that is good for this run")}
		}
		secrets = []secret{newSecret()}
	}
	check, demo, err := s.logIn(secrets != nil, given)
	if err != nil {
		return err
	}
	ring := server.NewLogRing(s.logHandler())
	defer ring.Close(time.Second)
	log := slog.New(ring)
	slog.SetDefault(log) // whatever else logs does not wait for standard error either
	door, closeKeys, err := s.verifier(secrets, log)
	if err != nil {
		return err
	}
	defer closeKeys()
	var signs secret // none if there are only keys
	if secrets != nil {
		signs = secrets[0]
	}
	app, err := chat.New(chat.Config{
		Secret: signs.text, Algorithm: signs.algorithm, Verifier: door, Issuer: s.Issuer, Audience: s.Audience,
		CheckPassword: check, DemoUsers: demo, Logger: log,
		Rooms: s.Rooms, MaxRoomsPerUser: orNone(s.MaxRoomsPerUser), Limits: s.limits(), Origins: s.Origin,
		LeaveGrace: orNone(s.LeaveGrace), AnnounceMax: orNone(s.AnnounceMax),
		History: orNone(s.History), HistoryBytes: s.historyBytes(),
	})
	if err != nil {
		return err
	}
	if s.Loops == 0 {
		s.Loops = runtime.GOMAXPROCS(0)
	}
	// A loop that waits keeps its P as long as another P is idle. If none is, the runtime's
	// monitor wakes up every 20 µs to take it away: a tenth of a handshake.
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), s.Loops+1))
	}
	srv := s.server(log)
	srv.Handler = app.Handler()
	srv.Route(chat.Pattern, app.Route())
	s.routeEchoes(srv, app.Bearer())
	if s.AccessLog {
		srv.Use(server.Logging(nil))
	}
	if s.PrintRoutes {
		_, err := io.WriteString(stdout, upgrade.Redact(string(srv.AppendRoutes(nil))))
		return err
	}
	// Before anybody can know that we listen and tell us to stop.
	signal.Notify(signals.leave, syscall.SIGTERM, syscall.SIGINT)
	var desk *admin
	if s.Admin != "" {
		if desk, err = newAdmin(s.Admin, srv, log); err != nil {
			return fmt.Errorf("cannot listen: %w; choose another address with --admin", err)
		}
		defer desk.close()
	}
	err = srv.Start()
	if errors.Is(err, server.ErrFiles) {
		return usageError{fmt.Errorf("%w: raise that limit (ulimit -n), or lower --max-conns or --loops", err)}
	}
	if err != nil {
		return fmt.Errorf("cannot listen: %w; choose other addresses with --listen", err)
	}
	desk.start()
	var said bytes.Buffer
	for _, addr := range srv.Addrs() {
		fmt.Fprintf(&said, "listening on http://%s\n", addr)
	}
	if desk != nil {
		fmt.Fprintf(&said, "admin on http://%s\n", desk.addr())
	}
	if !given {
		if err := s.invite(&said, srv, signs.text); err != nil {
			return err
		}
	}
	go func() { _, _ = stdout.Write(said.Bytes()) }() // it may have no reader
	// Collect the garbage of the start, and allocate what the collector needs, before the
	// first connection. Otherwise a third of the memory of 19,000 idle ones would be that.
	runtime.GC()
	return signals.serveUntil(srv, s.Drain, log)
}

// server returns the server that the flags describe.
func (s *serveCmd) server(log *slog.Logger) *server.Server {
	return &server.Server{
		Addr:  strings.Join(s.Listen, ","),
		Loops: s.Loops,

		MaxConns:        s.MaxConns,
		MaxConnsPerIP:   s.MaxConnsPerIP,
		MaxConnsPerUser: s.MaxConnsPerUser,

		MessagesPerUser: s.shared(s.UserRate),
		MessagesPerIP:   s.shared(s.IPRate),
		LimitDryRun:     s.LimitDryRun,

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

// invite prints a URL that works at once, since nobody knows the secret of this run.
func (s *serveCmd) invite(stdout io.Writer, srv *server.Server, secret []byte) error {
	token, err := chat.Token{
		Subject: "alice", Issuer: s.Issuer, Audience: s.Audience, Issued: time.Now(), TTL: time.Hour,
	}.Sign(secret)
	if err != nil {
		return fmt.Errorf("cannot sign the demo token: %w", err)
	}
	room := "lobby"
	if len(s.Rooms) > 0 {
		room = s.Rooms[0]
	}
	_, err = fmt.Fprintf(stdout, "no secret given, so this run has its own; for an hour this gets in:\n  ws://%s/ws/%s?token=%s\n",
		reachable(srv.Addrs()[0]), room, token)
	return err
}
