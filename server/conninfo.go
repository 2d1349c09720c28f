//go:build linux

package server

import (
	"fmt"
	"strings"
	"time"

	"github.com/usher-ws/usher/internal/text"
	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/stream"
	"github.com/usher-ws/usher/upgrade"
)

// ConnInfo is an open connection at one moment, for people that want to know what it is and why
// it is slow. There is no credential in it: what wildcards have matched is redacted.
type ConnInfo struct {
	// What it is.
	ID          string            `json:"id"` // as Conn.ID
	Route       string            `json:"route"`
	Path        map[string]string `json:"path,omitempty"` // what the wildcards of the route have matched
	Remote      string            `json:"remote"`         // its address as it is logged
	User        string            `json:"user,omitempty"`
	Expires     time.Time         `json:"expires,omitzero"` // the token
	Subprotocol string            `json:"subprotocol,omitempty"`
	Compressed  bool              `json:"compressed,omitempty"` // messages to it may be
	Groups      int               `json:"groups"`               // that it is a member of

	// What it has done; Opened and Messages are known with Server.TrackConns.
	Opened   time.Time     `json:"opened,omitzero"`
	Messages int64         `json:"messages_in"`
	BytesIn  int64         `json:"bytes_in"`  // as the kernel counts them, the request included
	BytesOut int64         `json:"bytes_out"` // that the peer has acknowledged
	Silent   time.Duration `json:"silent_ns"` // since it last gave a sign of life

	// What waits, in bytes.
	Buffered int `json:"buffered"` // for the peer, here
	Unsent   int `json:"unsent"`   // for the peer, in the kernel
	Unread   int `json:"unread"`   // for us, in the kernel
	Partial  int `json:"partial"`  // half a message, or messages that are held

	// What the network does.
	RoundTrip time.Duration `json:"round_trip_ns"`
	Resent    int           `json:"resent"` // packets

	Limits []ConnLimit  `json:"limits,omitempty"`
	Slow   []ConnReason `json:"slow,omitempty"` // why it may be
}

// ConnLimit is a limit of one connection.
type ConnLimit struct {
	Limit string        `json:"limit"` // "messages" or "bytes"
	Rate  string        `json:"rate"`
	Burst int           `json:"burst"`
	Over  string        `json:"over"`    // the action
	Wait  time.Duration `json:"wait_ns"` // until it has room for one more
}

// ConnReason is why a connection may be slow: a word for programs, and a sentence.
type ConnReason struct {
	Code string `json:"code"`
	Text string `json:"text"`
}

// inspect returns what there is to know of an open connection.
func (l *loop) inspect(s link) ConnInfo {
	c, d := l.conn(s), s.Data()
	place := l.places.At(d.place)
	id := l.srv.users.get(d.ident)
	i := ConnInfo{
		ID: c.ID(), Route: place.route.pattern.String(), Remote: text.Peer(c.RemoteAddr()), User: upgrade.Redact(string(id.name)),
		Subprotocol: place.proto, Compressed: c.window() != 0, Groups: l.groups.count(d.group),
		Silent: time.Duration(d.last.Elapsed(l.Tick())) * stream.TickLength, Buffered: l.waiting(s), Partial: s.Extra().partial.Size(),
	}
	for _, name := range place.route.pattern.Names() {
		if i.Path == nil {
			i.Path = make(map[string]string)
		}
		i.Path[name] = redacted(name, place.route.pattern.Value(place.values, name))
	}
	if id.details != nil {
		i.Expires = readDetails(id.details).expiresAt
	}
	if l.tenures.isTracked {
		tenure := l.tenures.at(s.Slot())
		i.Opened, i.Messages = l.srv.engine.Origin().Add(tenure.opened).UTC(), tenure.messages
	}
	i.Limits = l.limitsOf(s, place.route)
	i.Slow = l.slowness(s)
	f, ok := s.Figures()
	if !ok {
		return i
	}
	i.BytesIn, i.BytesOut, i.Unsent, i.Unread, i.RoundTrip, i.Resent = f.Received, f.Acked, f.Unsent, f.Unread, f.RoundTrip, f.Resent
	say := func(when bool, code, format string, args ...any) {
		if when {
			i.Slow = append(i.Slow, ConnReason{code, fmt.Sprintf(format, args...)})
		}
	}
	say(f.NoRoom > f.Sending/2 && f.NoRoom > time.Second, "window", "The peer had no room for what it was sent in %v of the %v in which there was something to send: its program reads slowly.",
		f.NoRoom.Round(time.Millisecond), f.Sending.Round(time.Millisecond))
	say(f.Unsent > 0 || s.Waiting() > 0 && f.Flying > 0, "unsent", "%d bytes wait in the kernel, and %d packets are on their way and not acknowledged.", f.Unsent, f.Flying)
	say(f.Resent > 0, "loss", "%d packets had to leave again: the network loses some.", f.Resent)
	return i
}

// redacted returns what a wildcard has matched, unless its name or its value says that it may be
// a credential.
func redacted(name, value string) string {
	return strings.TrimPrefix(upgrade.Redact(name+"="+value), name+"=")
}

// limitsOf returns the limits of a connection, and when there is room in them.
func (l *loop) limitsOf(s link, r *loopRoute) (all []ConnLimit) {
	add := func(which limit, rate limiter.Rate, b *limiter.Bucket) {
		if !rate.Unlimited() {
			all = append(all, ConnLimit{which.String(), rate.Limit.String(), rate.Burst, r.Limits.Over.String(), b.WaitN(rate, l.Now(), 1)})
		}
	}
	add(messagesLimit, r.Limits.Messages, &s.Data().messages)
	add(bytesLimit, r.Limits.Bytes, &s.Data().bytes)
	return all
}

// slowness says what of ours makes a connection wait, or what it has us wait for.
func (l *loop) slowness(s link) (all []ConnReason) {
	say := func(when bool, code, format string, args ...any) {
		if when {
			all = append(all, ConnReason{code, fmt.Sprintf(format, args...)})
		}
	}
	d, x, why := s.Data(), s.Extra(), s.Why()
	silent := (time.Duration(d.last.Elapsed(l.Tick())) * stream.TickLength).Round(time.Second)
	say(s.Waiting() > 0, "backlog", "%d bytes wait here, as the peer does not take them; meanwhile it is not read from. If it takes nothing for %v it is cut.", s.Waiting(), l.srv.writeTimeout())
	say(why&byDelay != 0, "limit", "It is over a limit, and is read from again in %v.", max(0, x.resume-l.Now()).Round(time.Millisecond))
	say(x.line != nil, "jobs", "Its handlers have work under way elsewhere (Offload).")
	say(why&byMail != 0, "mailbox", "Its handlers have asked other connections for so much that this is to be done first.")
	say(x.strikes > 0, "strikes", "It was over a limit %d times within a minute.", x.strikes)
	say(x.partial != nil && why&byDelay == 0, "message", "A message has begun and not ended for %v.", (time.Duration(x.begun.Elapsed(l.Ran())) * stream.TickLength).Round(time.Millisecond))
	say(d.pinged != 0, "ping", "It has been silent for %v, and has not answered a ping yet.", silent)
	say(d.facts.state() == winding, "ending", "It is being closed.")
	say(l.drain.active, "draining", "The server is shutting down.")
	return all
}
