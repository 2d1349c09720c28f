//go:build linux

package main

import (
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/usher-ws/usher/chat"
	"github.com/usher-ws/usher/guard"
	"github.com/usher-ws/usher/hub/api"
	"github.com/usher-ws/usher/hub/events"
	"github.com/usher-ws/usher/server"
	"github.com/usher-ws/usher/server/middleware"
	"github.com/usher-ws/usher/upgrade"
)

// program is serve or guard, with its settings.
type program interface {
	common() common
	Validate() error

	// open returns what there is to run with these settings. before is what that takes the
	// place of in r, nil at the start.
	open(r *running, before *entrance) (*opened, error)

	// greet appends what the start says on standard output behind the addresses.
	greet(b []byte, endpoints *endpoints, e *entrance) ([]byte, error)

	// withoutSecret says where the secret is from if nothing was given.
	withoutSecret() string
}

// opened is what the settings of a program have led to.
type opened struct {
	entrance *entrance
	srv      *server.Server // with its routes; once another one runs only its Policy counts
	take     func()         // goes over to all else
}

// running is the server with all that it serves, and what of that can change: see reload.
type running struct {
	srv    *server.Server
	app    *chat.Chat  // of serve
	pool   *guard.Pool // of guard
	level  *slog.LevelVar
	log    *slog.Logger
	now    atomic.Pointer[entrance]
	member *membership // nil if there are no others
	node   *node
	certs  *certificates  // nil without TLS
	events *events.Sender // nil if no backend is told
	api    *api.API
	calls  *apiCalls

	mu       sync.Mutex     // of those that change something
	settings map[string]any // what the flags of these names are
	isClosed bool

	reloads reloads
}

// build returns the server with all that p serves. It reads what the settings name. close is
// to follow.
func build(p program, ring *server.LogRing, level *slog.LevelVar) (*running, error) {
	r := &running{level: level, log: slog.New(ring)}
	s := p.common()
	var err error
	if r.certs, err = s.openCertificates(r.log); err != nil {
		return nil, err
	}
	r.certs.warn(r.log, time.Now())
	keys, err := s.apiFlags.keys()
	if err != nil {
		return nil, err
	}
	if r.member, err = s.clusterFlags.read(time.Now()); err != nil {
		return nil, err
	}
	if r.events, err = s.sender(r.member, r.log); err != nil {
		return nil, err
	}
	o, err := p.open(r, nil)
	if err != nil {
		r.closeEvents()
		return nil, err
	}
	o.take()
	r.now.Store(o.entrance)
	r.srv = o.srv
	r.srv.TLS = r.certs.config()
	r.api, r.calls = newAPI(r.srv, r.app), newAPICalls(nil)
	if s.AccessLog {
		r.srv.Use(middleware.Logging(ring))
		r.calls.log = r.log
	}
	r.api.Done = r.calls.count
	r.api.SetKeys(keys...)
	if r.events != nil {
		r.srv.Use(r.events.Middleware())
	}
	return r, nil
}

// open implements program.
func (s *serveCmd) open(r *running, before *entrance) (*opened, error) {
	e, err := s.entrance(before, r.log)
	if err != nil {
		return nil, err
	}
	srv := s.server(r.log)
	guards := e.guards(r.bans(srv))
	config := s.chat(e, guards)
	if r.events != nil && (r.events.Tells(events.Joined) || r.events.Tells(events.Left)) {
		config.Note = r.events.Note
	}
	app, err := chat.New(config)
	if err != nil {
		e.close()
		return nil, err
	}
	if r.app != nil {
		app = r.app // whose rooms go on; what New takes it takes, too
	}
	e.leadTo(app)
	srv.Handler, srv.Answer = r, r.answer
	s.route(srv, app, guards, e)
	return &opened{e, srv, func() {
		r.app = app
		_ = app.SetConfig(config)
	}}, nil
}

// route adds what there is at each path.
func (s *serveCmd) route(srv *server.Server, app *chat.Chat, guards []upgrade.Guard, e *entrance) {
	room := app.Route()
	room.Guards, room.Limits = append(slices.Clone(guards), app.RoomGuard()), s.limits()
	srv.Route(chat.Pattern, room)
	s.routeEchoes(srv, guards, e.door)
}

// bans returns the server that knows who is banned: the one that runs, or next, which will. Of a
// server that is made for a reload only the Policy counts, and its guards ask the other.
func (r *running) bans(next *server.Server) *server.Server {
	if r.srv != nil {
		return r.srv
	}
	return next
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
	if r.pool != nil {
		r.pool.Close()
	}
	r.closeEvents()
}
