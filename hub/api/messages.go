//go:build linux

package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"time"
	"unicode/utf8"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/hub"
	"github.com/usher-ws/usher/server"
	"github.com/usher-ws/usher/upgrade"
)

// Sent is the answer to a message.
type Sent struct {
	Connections int  `json:"connections"`         // that it was queued to
	Duplicate   bool `json:"duplicate,omitempty"` // a message of this id was said before, and this is what was answered then
	Reach
}

// Verbatim makes messages where clients have no dialect of ours: a text is said as it is, and a JSON
// value as its text, without space between its parts. Nothing says whom it is from. It may be an
// API's Encode, or that of a Broker, and is safe for any goroutine.
func Verbatim(_, text string, value []byte) (hub.Encoder, error) {
	said := []byte(text)
	if value != nil {
		var b bytes.Buffer
		if err := json.Compact(&b, value); err != nil {
			return nil, err
		}
		said = b.Bytes()
	}
	if !utf8.Valid(said) {
		return nil, errors.New("the message is not UTF-8")
	}
	return func(int) []byte { return said }, nil
}

// encoder returns what makes a message.
func (a *API) encoder(from, text string, json []byte) (hub.Encoder, error) {
	say := a.Encode
	if say == nil {
		say = Verbatim
	}
	encode, err := say(from, text, json)
	if no := (*upgrade.Rejection)(nil); err != nil && !errors.As(err, &no) {
		err = badRequest("%v", err)
	}
	return encode, err
}

// tellRoom says something to a room: through the hub, whose Broker takes it to the other nodes.
func (a *API) tellRoom(q *question) (any, error) {
	m, err := q.message("text", "json", "from", "id", "retain")
	if err != nil {
		return nil, err
	}
	encode, err := a.encoder(m.from, m.text, m.json)
	if err != nil {
		return nil, err
	}
	c := call{Op: "tellRoom", Room: q.names[0], From: m.from, Text: m.text, JSON: m.json, ID: m.id}
	reach := Reach{Nodes: 1}
	p, err := a.once(q.ctx, &c, c.Room, func() (p part, err error) {
		others, err := a.others(q.ctx, c)
		if err != nil {
			return p, err
		}
		reach = Reach{others.Nodes + 1, others.Silent}
		if p, err = a.firstOf(others.of); err != nil || p.Again {
			return p, err
		}
		n, err := a.publish(q.ctx, &c, m.retain, encode)
		p.N = n + others.sum()
		return p, err
	})
	return Sent{p.N, p.Again, reach}, err
}

// firstOf returns the part of a node where the message was said before, if there is one. Of two
// that begin to say it at once, the one whose name comes first does.
func (a *API) firstOf(others []part) (p part, err error) {
	for _, other := range others {
		switch {
		case other.No != nil:
			return p, other.No.err()
		case other.Again:
			return other, nil
		case other.Now && other.Node < a.name():
			return p, errUnderWay
		}
	}
	return p, nil
}

// publish says something to a room, and returns how many connections of this node hear it. What is
// retained, all nodes keep, those too where nobody is in the room.
func (a *API) publish(ctx context.Context, c *call, retain bool, encode hub.Encoder) (n int, err error) {
	_, n = a.Hub.Count(c.Room)
	if !retain {
		return n, a.Hub.RecordFunc(c.Room, frame.OpText, encode)
	}
	return n, a.Hub.Retain(c.Room, frame.OpText, encode)
}

// beforeRoom is what a node says of a message to a room that another one is about to publish.
func (a *API) beforeRoom(_ context.Context, c *call) (p part, err error) {
	if a.Hub == nil {
		return p, nil
	}
	if c.ID != "" {
		switch s := a.recent.look(idOf(c.Op, c.Room, c.ID), time.Now()); {
		case s == nil:
		case !s.isOver():
			p.Now = true
		case s.ok:
			return part{N: s.conns, Again: true}, nil
		}
	}
	_, p.N = a.Hub.Count(c.Room)
	return p, nil
}

// once calls say, unless the message of the call's id was said before to the same.
func (a *API) once(ctx context.Context, c *call, to string, say func() (part, error)) (p part, err error) {
	if c.ID == "" {
		return say()
	}
	key := idOf(c.Op, to, c.ID)
	for {
		s, isMine, err := a.recent.begin(key, time.Now())
		switch {
		case err != nil:
			return part{}, err
		case isMine:
			defer func() {
				a.recent.end(s, p.N, err == nil)
				a.Server.Charge(a.recent.grown())
			}()
			p, err = say()
			return p, err
		}
		select {
		case <-s.done:
			if s.ok {
				return part{N: s.conns, Again: true, Found: true}, nil
			} // else it is still to be said
		case <-ctx.Done():
			return part{}, errUnderWay
		}
	}
}

// tellUser says something to all connections of a user.
func (a *API) tellUser(q *question) (any, error) {
	c, err := a.messageTo(q, call{Op: "tellUser", User: q.names[0]})
	if err != nil {
		return nil, err
	}
	p, err := a.all(q.ctx, c)
	return p.sent(), err
}

// messageTo completes a call by the message of the body.
func (a *API) messageTo(q *question, c call) (call, error) {
	m, err := q.message("text", "json", "from", "id")
	if err != nil {
		return c, err
	}
	c.From, c.Text, c.JSON, c.ID = m.from, m.text, m.json, m.id
	_, err = a.encoder(c.From, c.Text, c.JSON) // before anybody is asked
	return c, err
}

func (p *parts) sent() Sent {
	s := Sent{Connections: p.sum(), Reach: p.Reach}
	for k := range p.of {
		s.Duplicate = s.Duplicate || p.of[k].Again
	}
	return s
}

func (a *API) tellUserHere(ctx context.Context, c *call) (part, error) {
	return a.once(ctx, c, c.User, func() (part, error) { return a.tell(c, a.Server.UserConns(c.User)) })
}

// tellConnection says something to one connection.
func (a *API) tellConnection(q *question) (any, error) {
	c, err := a.messageTo(q, call{Op: "tellConn", Conn: q.names[0]})
	if err != nil {
		return nil, err
	}
	p, err := a.findConn(q.ctx, c)
	return p.sent(), err
}

func (a *API) tellConnHere(ctx context.Context, c *call) (part, error) {
	return a.once(ctx, c, c.Conn, func() (part, error) {
		conn, ok := a.Server.Conn(c.Conn)
		if !ok {
			return part{}, errConnUnknown
		}
		p, err := a.tell(c, []server.Conn{conn})
		if err == nil && p.N == 0 {
			return part{}, errConnUnknown
		}
		p.Found = true
		return p, err
	})
}

// tell says something to connections, each in its dialect. Those that have just ended do not count.
func (a *API) tell(c *call, conns []server.Conn) (p part, err error) {
	encode, err := a.encoder(c.From, c.Text, c.JSON)
	if err != nil {
		return p, err
	}
	return a.send(encode, conns)
}

// TellUser says something to all connections that a user has at this node, and returns how many
// they are. The error is that of those that could not be told, where none could.
func (a *API) TellUser(user string, encode hub.Encoder) (n int, err error) {
	p, err := a.send(encode, a.Server.UserConns(user))
	return p.N, err
}

// send is tell for what is ready.
func (a *API) send(encode hub.Encoder, conns []server.Conn) (p part, err error) {
	all := a.prepare(encode)
	for _, conn := range conns {
		sent := conn.Run(func(conn server.Conn) {
			if conn.SendPrepared(all[a.dialectOf(conn)]) != nil {
				_ = conn.Close(frame.StatusTryAgainLater, "backlog")
			}
		})
		if sent == nil {
			p.N++
		} else if !errors.Is(sent, net.ErrClosed) {
			err = sent
		}
	}
	if p.N > 0 {
		err = nil // it is told how many have it
	}
	return p, err
}

// prepare makes a message in all dialects.
func (a *API) prepare(encode hub.Encoder) []*frame.Prepared {
	n := 1
	if a.Hub != nil {
		n = max(n, a.Hub.Dialects)
	}
	all := make([]*frame.Prepared, n)
	for d := range all {
		all[d] = frame.Prepare(frame.OpText, encode(d))
	}
	return all
}

// dialectOf returns which dialect a connection hears. It is called on the connection's loop.
func (a *API) dialectOf(c server.Conn) int {
	if a.Hub == nil || a.Hub.DialectOf == nil {
		return 0
	}
	if d, ok := a.Hub.DialectOf(c); ok {
		return d
	}
	return 0 // one that can be in no room
}
