//go:build linux

package main

import (
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/usher-ws/usher/chat"
	"github.com/usher-ws/usher/server"
	"github.com/usher-ws/usher/server/middleware"
	"github.com/usher-ws/usher/upgrade"
)

// running is the server with all that it serves, and what of that can change: see reload.
type running struct {
	srv   *server.Server
	app   *chat.Chat
	level *slog.LevelVar
	log   *slog.Logger
	now   atomic.Pointer[entrance]
	certs *certificates // nil without TLS

	mu       sync.Mutex     // of those that change something
	settings map[string]any // what the flags of these names are
	isClosed bool

	reloads reloads
}

// build returns the server with all that it serves. It reads what the settings name. close is
// to follow.
func (s *serveCmd) build(ring *server.LogRing, level *slog.LevelVar) (*running, error) {
	r := &running{level: level, log: slog.New(ring)}
	var err error
	if r.certs, err = s.openCertificates(); err != nil {
		return nil, err
	}
	r.certs.warn(r.log, time.Now())
	e, err := s.entrance(nil, r.log)
	if err != nil {
		return nil, err
	}
	if r.app, err = chat.New(s.chat(e)); err != nil {
		e.close()
		return nil, err
	}
	r.enter(e)
	r.srv = s.server(r.log)
	r.srv.Handler, r.srv.Answer, r.srv.TLS = r, r.answer, r.certs.config()
	s.route(r.srv, r.app, e)
	if s.AccessLog {
		r.srv.Use(middleware.Logging(ring))
	}
	return r, nil
}

// route adds what there is at each path.
func (s *serveCmd) route(srv *server.Server, app *chat.Chat, e *entrance) {
	room := app.Route()
	room.Guards, room.Limits = append(e.guards(), app.RoomGuard()), s.limits()
	srv.Route(chat.Pattern, room)
	s.routeEchoes(srv, e.door)
}

// enter makes e what says who may come in, over HTTP.
func (r *running) enter(e *entrance) {
	e.leadTo(r.app)
	r.now.Store(e)
}

// ServeHTTP implements http.Handler.
func (r *running) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.now.Load().handler.ServeHTTP(w, req)
}

// answer is for server.Server.Answer.
func (r *running) answer(dst []byte, req *upgrade.Request) []byte {
	return r.now.Load().answer(dst, req)
}

// close ends what runs in the background besides the server.
func (r *running) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.isClosed = true
	e := r.now.Load()
	e.close()
	e.door.close()
}
