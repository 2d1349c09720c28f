//go:build linux

package server

import (
	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/stream"
	"github.com/usher-ws/usher/upgrade"
)

// letIn opens a connection with what the route wants to keep of its request.
func (d *door) letIn(s link, place uint32, q quota, r *upgrade.Request, response, early []byte) {
	lr := d.places.At(place).route
	if lr.Keep == nil {
		d.seat(s, place, q, r, nil, response, early)
		return
	}
	kept, err := any(nil), errExited // unless it returns
	defer func() {
		if err != nil {
			q.release(d.srv)
			d.places.Drop(place)
			d.refuse(s, lr, r, err)
			return
		}
		d.seat(s, place, q, r, kept, response, early)
	}()
	d.enter(lr)
	err = d.try(func() error { kept = lr.Keep(r); return nil })
}

// seat opens a connection: response, what Open says and the answers to early leave
// together. kept is the connection's Data.
func (l *loop) seat(s link, place uint32, q quota, r *upgrade.Request, kept any, response, early []byte) {
	d := s.Data()
	if w := frame.Window(r.Deflate()); w != 0 && l.places.At(place).route.Relay == nil { // else the other server has agreed
		d.frame = frame.NewState(w)
		s.Mark(uint32(w) << stream.MarkShift)
	}
	if r.Identity != nil {
		l.introduce(s, r.Identity, q.name != "")
		if err := l.srv.bans.judge(r.Identity); err != nil {
			l.turnOut(s, place, q, r, err)
			return
		}
	}
	d.facts.become(open)
	if l.policy.isOdd {
		d.facts |= odd
	}
	d.place, d.last = place, stream.StartClock(l.Tick())
	t := &l.routeOf(s).tally
	l.tenures.begin(s.Slot(), l.Now())
	t.Opened++
	t.Conns++
	if q.network == 0 && l.policy.countsByIP { // nothing did when it came
		q.network = l.srv.countAddr(r.RemoteAddr.Addr())
	}
	l.networks.set(s.Slot(), q.network)
	if kept != nil {
		l.data[s.Slot()] = kept
	}
	// The head's buffer holds early, which is read before the buffer goes back.
	var buffer []byte
	if s.HasExtra() {
		x := s.Extra()
		buffer, x.head, x.tls = x.head, nil, nil
		s.TrimExtra()
	}
	l.openDeadline(s)
	defer l.Buffers.Put(buffer)
	l.run(s, response, early)
}

// turnOut refuses a connection whose user has been banned since its guards were asked. It has
// been introduced: whoever bans a user and closes its connections then has either found it, or
// banned the user before it was asked about here.
func (l *loop) turnOut(s link, place uint32, q quota, r *upgrade.Request, err error) {
	d, lr := s.Data(), l.places.At(place).route
	l.srv.users.remove(d.ident)
	d.ident, q.name = 0, "" // with it went the user's place
	q.release(l.srv)
	l.places.Drop(place)
	l.weighTables()
	l.door.refuse(s, lr, r, err)
}

// introduce puts a connection among those of its user. From here on others find it.
func (l *loop) introduce(s link, id *upgrade.Identity, hasPlace bool) {
	d, all := s.Data(), l.srv.users
	d.ident = all.add(l.conn(s), id, hasPlace, &l.about)
	l.known = lastIdentity{all.get(d.ident), id} // its callbacks will ask
	l.weighTables()
}
