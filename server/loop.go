//go:build linux

package server

import (
	"cmp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/poller"
	"github.com/usher-ws/usher/upgrade"
)

// loop is one event loop with its connections. It is a poller.Handler; all of it
// belongs to the loop's goroutine but mail, lines, conns, self, busy and failed.
type loop struct {
	srv  *Server
	id   int
	poll *poller.Loop
	tick uint32           // the clock of the deadlines, read for every event
	wall func() time.Time // time.Now, for what a token says of time

	// Connections.
	slab       *slab
	exts       exts
	places     places
	identities identities
	lines      lines    // of those with jobs; any goroutine may look
	groups     []*Group // those with members here; index 0 is none
	freeGroups []uint32
	walking    *shard       // the group that is being sent to
	walked     int          // how many of its places are done with
	conns      atomic.Int32 // for the acceptor's choice

	// Memory every connection uses in turn.
	buf     []byte
	left    bool // the last read may have left something
	proto   frame.Protocol
	bye     []byte            // a close frame
	fan     [encodings][]byte // messages that leave together
	buffers buffers

	// The door.
	routes   []loopRoute
	gate     upgrade.Upgrader // for what comes before a route is known
	unrouted decisions        // about requests that no route matches
	req      upgrade.Request
	resp     []byte
	said     error // what the route's door answered
	values   []string

	// Time.
	delays     timers // the ends of delays
	lingerers  lingerers
	turns      []uint64 // held byTurn
	going      []uint64 // those of them that are going on now
	ripe       int      // of which so many may go on: the pass in which they were held is over
	spareTurns []uint64
	sweepAt    uint32        // the tick in which the deadlines are looked at next
	sweeping   uint32        // the slot that is next, while they are; else 0
	excused    bool          // the last look came late and was left out: what came in time is read first
	tidied     time.Duration // when the limits by address and user were
	drain      drainage
	cutNext    uint32        // the slot that was cut last
	acceptAt   time.Duration // when paused listeners are tried again; 0: they are not paused

	self  atomic.Uintptr // of the loop's goroutine; 0: it cannot be told
	reply reply
	mail  mailbox

	// What was taken from the mailbox, and how much of it is done.
	taken                  lane
	adopted                []adoption
	nextTaken, nextAdopted int

	// What goes wrong (fault.go).
	at       uint32 // the connection that is dealt with; 0: none
	underWay bool   // a call of the poller's
	inside   bool   // the user's code
	exited   bool   // which has ended the goroutine

	failed     chan struct{} // closed when the kernel has refused to wait
	failedOnce sync.Once

	busy    atomic.Uint64 // entered and the callbacks' route + 1, until the pass ends (watch.go)
	entered uint64

	// The counters (tally.go).
	unroutedTally RouteStats
	late          int64 // ticks that came late
	published     atomic.Pointer[loopCopy]

	// The access log (logging.go).
	stays           map[stayKey]*stay
	unroutedRefused []func(*loop, *upgrade.Request, *upgrade.Rejection)
}

// readSize is the shared read buffer: one recv of a busy connection.
const readSize = 64 << 10

func newLoop(srv *Server, id int, origin time.Time) (*loop, error) {
	l := &loop{srv: srv, id: id, wall: time.Now, slab: newSlab(), buf: make([]byte, readSize), failed: make(chan struct{})}
	l.gate = upgrade.Upgrader{Origins: srv.Origins, MaxHeaderBytes: srv.MaxHead}
	l.buffers.budget = srv.share(srv.maxBuffered())
	poll, err := poller.New(l, origin)
	if err != nil {
		return nil, err
	}
	l.poll = poll
	l.mail.slab = l.slab
	l.mail.wake = poll.Wake
	l.mail.limit = max(or(srv.MaxBacklog, 1<<20), cmp.Or(l.buffers.budget/8, 16<<20)) // whatever the settings, there is one
	l.unroutedRefused = refusedHooks(srv.middleware)
	l.routes = make([]loopRoute, len(srv.routes))
	for i, r := range srv.routes {
		l.prepare(&l.routes[i], i, r)
	}
	return l, nil
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
	lr.frame = frame.Config{MaxMessage: l.srv.MaxMessage, Buffers: &l.buffers, Fragments: true}
	mw := l.srv.around(r)
	judge := UpgradeFunc(func(req *upgrade.Request) error {
		l.resp, l.said = lr.door.Respond(l.resp[:0], req)
		return l.said
	})
	lr.upgrade = compose(mw, judge, func(m *Middleware) func(UpgradeFunc) UpgradeFunc { return m.Upgrade })
	lr.open = compose(mw, orElse(r.Open, func(Conn) error { return nil }), func(m *Middleware) func(OpenFunc) OpenFunc { return m.Open })
	lr.message = compose(mw, orElse(r.Message, func(Conn, Message) error { return nil }), func(m *Middleware) func(Handler) Handler { return m.Message })
	lr.close = compose(mw, orElse(r.Close, func(Conn, error) {}), func(m *Middleware) func(CloseFunc) CloseFunc { return m.Close })
	lr.refused = refusedHooks(mw)
}

// begin is the first that is run on the loop's goroutine.
func (l *loop) begin() {
	l.self.Store(self())
	l.sweepAt = l.tick + sweepEvery
	l.schedule()
}

// Ready dispatches a readiness event. It comes once: if more may be there than was read,
// epoll has to look again.
func (l *loop) Ready(data uint64, ev poller.Event) {
	defer l.survive()
	l.underWay = true
	l.ready(data, ev)
	l.underWay = false
}

func (l *loop) ready(data uint64, ev poller.Event) {
	i, s := l.slab.find(data)
	if s == nil {
		return // an earlier event of the same pass closed it
	}
	l.left = false
	l.readClock()
	switch {
	case ev&poller.Hangup != 0:
		l.handle(i, s, hangup)
	case ev&poller.Readable != 0:
		l.handle(i, s, readable)
	case ev&poller.Writable != 0:
		l.handle(i, s, writable)
	}
	if l.left || ev&(poller.PeerClosed|poller.Hangup) != 0 {
		if i, s := l.slab.find(data); s != nil && s.flags&armedRead != 0 {
			l.watch(i, s)
		}
	}
}

// handle does what the table says about an event that needs no more than the
// connection. Posts and verdicts carry something, and are dispatched in Wake.
func (l *loop) handle(i uint32, s *slot, ev event) {
	l.at = i
	switch table[s.state][ev].do {
	case readInput:
		l.readInput(i, s)
	case readHead:
		l.readHead(i, s)
	case readEarly:
		l.readEarly(i, s)
	case flush:
		l.flush(i, s)
	case discard:
		l.discard(i, s)
	case expire:
		l.expire(i, s)
	case goodbye:
		l.goodbye(i, s)
	case release:
		l.release(i, s, errHangup)
	case ignore:
	default:
		l.srv.log.error("server: no such action", "state", s.state.String(), "event", ev.String())
	}
}

// After ends a pass: connections that had their share go on, memory over the
// budget is freed, and the timer is set.
func (l *loop) After() {
	defer l.survive()
	l.underWay, l.at = true, 0
	l.busy.Store(0)
	if l.ripe = len(l.turns); l.ripe > 0 {
		l.poll.Wake() // come back after the others
	}
	if l.buffers.over() {
		l.shed()
	}
	l.schedule()
	l.underWay = false
}

// Failed says that the loop cannot go on.
func (l *loop) Failed(err error) {
	l.failedOnce.Do(func() { close(l.failed) })
	l.srv.fail(err)
}

// conn returns the Conn of a slot.
func (l *loop) conn(i uint32, s *slot) Conn {
	return Conn{loop: l, slot: i, gen: s.gen.Load() &^ closeAsked}
}

func (l *loop) routeOf(s *slot) *loopRoute { return l.places.all[s.place].route }

func (l *loop) logPanic(e *panicError) {
	l.srv.log.error("server: panic in a handler", "panic", e.value, "stack", string(e.stack))
}
