//go:build linux

package server

import (
	"cmp"
	"sync/atomic"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/stream"
	"github.com/usher-ws/usher/upgrade"
)

// loop is what the server has for each event loop: the sessions of its connections, and
// the memory they use in turn. All of it belongs to the loop's goroutine but mail, lines
// and busy.
type loop struct {
	*stream.Loop[session, extra]
	srv  *Server
	wall func() time.Time // time.Now, for what a token says of time
	door door

	// Connections.
	places     places
	identities identities
	lines      lines    // of those with jobs; any goroutine may look
	groups     []*Group // those with members here; index 0 is none
	freeGroups []uint32
	walking    *shard // the group that is being sent to
	walked     int    // how many of its places are done with

	// Memory every connection uses in turn.
	proto frame.Protocol
	bye   []byte            // a close frame
	fan   [encodings][]byte // messages that leave together
	reply reply

	// What other goroutines want, and what was taken from there and how much of it is done.
	mail      mailbox
	taken     lane
	nextTaken int

	drain  drainage
	tidied time.Duration // when the limits by address and user were
	inside bool          // the user's code is being called (guard.go)

	busy    atomic.Uint64 // entered and the callbacks' route + 1, until the pass ends (watch.go)
	entered uint64

	// Routes, and what is counted (tally.go).
	routes        []loopRoute
	unrouted      decisions // about requests that no route matches
	unroutedTally RouteStats
	published     atomic.Pointer[loopCopy]

	// The access log (logging.go).
	stays           map[stayKey]*stay
	unroutedRefused []func(*loop, *upgrade.Request, *upgrade.Rejection)
}

// newLoop returns the owner of the streams of a loop.
func newLoop(srv *Server, of *stream.Loop[session, extra]) *loop {
	l := &loop{Loop: of, srv: srv, wall: time.Now}
	l.door = door{loop: l, gate: upgrade.Upgrader{Origins: srv.Origins, MaxHeaderBytes: srv.MaxHead}}
	l.mail.loop = l
	l.mail.limit = max(or(srv.MaxBacklog, 1<<20), cmp.Or(srv.maxBuffered()/srv.loopCount()/8, 16<<20)) // whatever the settings, there is one
	l.unroutedRefused = refusedHooks(srv.middleware)
	l.routes = make([]loopRoute, len(srv.routes))
	for i, r := range srv.routes {
		l.prepare(&l.routes[i], i, r)
	}
	return l
}

// prepare composes a route's chains for this loop.
func (l *loop) prepare(lr *loopRoute, index int, r *route) {
	lr.route, lr.index = r, index
	lr.door = upgrade.Upgrader{
		Guards:       r.Guards,
		Subprotocols: r.Subprotocols,
		AcceptClose:  r.AcceptClose,
		Origins:      l.srv.Origins,
		Deflate:      l.srv.Deflate,
	}
	lr.limited = r.Limits.any() || l.srv.sharesMessages
	lr.frame = frame.Config{MaxMessage: l.srv.MaxMessage, Buffers: &l.Buffers, Fragments: true}
	mw := l.srv.around(r)
	lr.upgrade = compose(mw, l.door.judgeBy(lr), func(m *Middleware) func(UpgradeFunc) UpgradeFunc { return m.Upgrade })
	lr.open = compose(mw, orElse(r.Open, func(Conn) error { return nil }), func(m *Middleware) func(OpenFunc) OpenFunc { return m.Open })
	lr.message = compose(mw, orElse(r.Message, func(Conn, Message) error { return nil }), func(m *Middleware) func(Handler) Handler { return m.Message })
	lr.close = compose(mw, orElse(r.Close, func(Conn, error) {}), func(m *Middleware) func(CloseFunc) CloseFunc { return m.Close })
	lr.refused = refusedHooks(mw)
}

// conn returns the Conn of a link.
func (l *loop) conn(s link) Conn {
	return Conn{loop: l, slot: s.Slot(), gen: s.Generation() &^ closeAsked}
}

func (l *loop) routeOf(s link) *loopRoute { return l.places.all[s.Data().place].route }
