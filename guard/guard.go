//go:build linux

package guard

import (
	"net/http"
	"time"

	"github.com/usher-ws/usher/server"
	"github.com/usher-ws/usher/upgrade"
)

// Guard leads the connections of a route to an application:
//
//	pool, err := guard.Open(guard.Upstreams{URLs: []string{"http://127.0.0.1:8000"}})
//	…
//	g := &guard.Guard{Upstream: pool}
//	srv.Route("/ws", server.Route{Guards: guards, Relay: g.Relay()})
//
// It is read only once in use.
type Guard struct {
	Upstream *Pool   // where the application answers
	Forward  Forward // what it is told

	// Path is what is asked for there, {name} in it being what the route's wildcard of that name
	// has matched, and {name...} what one for the rest has; "" is what the client asks for.
	Path string

	// Recognize says what is known of a plain request, which needs no token, and whose it is if
	// it has a good one all the same: an upgrade.Upgrader's Recognize with a Verifier. nil looks
	// for no token. Its error refuses the request. It may block, and is called by many
	// goroutines.
	Recognize func(req *http.Request) (*upgrade.Request, error)

	// Answered is told of each plain request at its end, for a log. It is called by many
	// goroutines, and nothing waits for it but the goroutine of that request. It may be nil.
	Answered func(Answered)

	// CheckText refuses text of clients that is not UTF-8 with 1007, unless it is compressed.
	CheckText bool

	// WarnText and MaxLifetime are server.Relay's.
	WarnText    string
	MaxLifetime time.Duration
}

// Relay returns what a server.Route needs.
func (g *Guard) Relay() *server.Relay {
	return &server.Relay{
		Ask: func(r *upgrade.Request) server.Caller {
			return &asking{pool: g.Upstream, guard: g, r: r, isProbe: r.IsProbe()}
		},
		Ended: g.Upstream.ended, Name: g.Upstream.nameOf, Handler: g.handler(),
		CheckText: g.CheckText, WarnText: g.WarnText, MaxLifetime: g.MaxLifetime,
	}
}
