//go:build linux

package server

import (
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/upgrade"
)

// Relay has a route's connections passed on: each is paired with one that is dialled, on the
// same loop, when everything else has let it in. The functions are called on the loop and must
// not block.
type Relay struct {
	// Ask begins to ask about a request that may come in, which stays as it is.
	Ask func(r *upgrade.Request) Caller

	// Ended is told of the end of each connection that a Caller has wanted, by Call.Upstream: of
	// one that was not there at all, too. It may be nil.
	Ended func(upstream uint32)

	// Name returns what is logged of a server, by Call.Upstream. It may be nil.
	Name func(upstream uint32) string

	// Handler gets the requests to the route's path that are no upgrades, and no probes alone
	// (upgrade.Request.IsOnlyProbe), whatever their method: nothing but the limits per address
	// is asked. It is called as Server.Handler is, and the request has the path values. nil has
	// them judged as upgrades, which refuses them.
	Handler http.Handler

	// CheckText refuses text of clients that is not UTF-8, unless it is compressed.
	CheckText bool

	// WarnText is what clients are told that are over a limit whose action is Warn, at most
	// once a second, between two messages of the other server's. Without it Warn is an error.
	WarnText string

	// MaxLifetime is for how long a connection is relayed: then it is closed with 1001, up to
	// a tenth earlier, so that those that came at once do not come back at once. 0 is for any
	// time.
	MaxLifetime time.Duration
}

// hearUpstream reads what a server says that was dialled: its answer, then frames.
func (o owner) hearUpstream(up link, b []byte) {
	if up.Extra().call == nil {
		o.passDown(up, b)
		return
	}
	if head := up.Extra().head; head != nil {
		b = o.Buffers.Append(head, b)
		up.NeedExtra().head = b
	}
	if !o.door.readAnswer(up, b, false) && up.Extra().head == nil {
		up.NeedExtra().head = o.Buffers.Append(nil, b)
	}
}

// readAnswer carries out what a server has answered, and reports whether it has.
func (d *door) readAnswer(up link, b []byte, eof bool) bool {
	s, _ := d.pairs.of(d.loop, up)
	a := s.Extra().question
	lr := d.places.At(a.place).route
	d.enter(lr)
	var got Answer
	err := d.try(func() (err error) { got, err = a.caller.Answer(d.resp[:0], lr.drops(), b, eof); return sane(err) })
	switch {
	case err == nil && got.Status == 0 && !eof:
		return false
	case err == nil && got.Status == 0:
		err = d.lost(a, io.EOF)
	case err == nil && d.srv.life.isDraining():
		err = errDraining.WithRetryAfter(jitter(5 * time.Second))
	case err == nil && got.Status == http.StatusSwitchingProtocols:
		d.connect(s, up, &got, b[got.Size:])
		return true
	}
	d.hangUpOn(up)
	switch {
	case err != nil:
		d.turnAway(s, err)
	case a.response != nil: // a probe may come in
		d.takeAnswered(s)
		d.abandon(a)
		s.Data().facts.become(over)
		s.Finish(a.response)
	default:
		d.takeAnswered(s)
		d.resp = got.Response
		d.answer(s, lr, a.request, got.Response, &upgrade.Rejection{Status: got.Status, Code: "upstream"})
		d.abandon(a)
	}
	return true
}

// connect begins to relay: the client hears that it is let in, and both what the other has said
// since.
func (d *door) connect(s, up link, got *Answer, rest []byte) {
	a := d.takeAnswered(s)
	var w frame.Window
	if got.Deflate {
		w = frame.MaxWindow
	}
	s.Data().frame, up.Data().frame = frame.NewState(w), frame.NewState(w)
	x := up.Extra()
	head := x.head // rest may be in it
	x.head, x.call = nil, nil
	up.TrimExtra()
	if got.Takeover {
		up.Data().facts |= needsAll
	}
	most := d.places.At(a.place).route.Relay.MaxLifetime
	up.SetDue(d.Deadline(most - rand.N(most/10+1)))
	d.resp = got.Response
	defer d.Buffers.Put(head)
	defer d.Buffers.Put(a.early)
	d.upstreams.set(s.Slot(), up.Data().ident+1)
	d.letIn(s, a.place, a.quota, a.request, got.Response, a.early)
	if !s.Data().facts.isUsers() {
		d.upstreams.set(s.Slot(), 0)
	}
	switch _, ok := d.pairs.of(d.loop, up); {
	case !ok: // it was let in, and has ended
	case !s.Data().facts.isUsers(): // it was refused after all
		d.pairs.part(up)
		d.leaveUpstream(up)
	case len(rest) > 0:
		owner{d.loop}.passDown(up, rest)
	}
}
