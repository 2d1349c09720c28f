//go:build linux

package events

import (
	"errors"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/internal/pattern"
	"github.com/usher-ws/usher/server"
)

// Middleware returns what tells of connections: how they begin and end, and with the type
// Message what clients say within their limits. It has no hook for a type that is not told. A
// relay's messages pass by without being read, so there is nothing to tell of them. The room is
// what a wildcard of that name in the route's pattern has matched.
func (s *Sender) Middleware() server.Middleware {
	m := server.Middleware{Name: "events"}
	if s.Tells(Connected) {
		m.Open = s.open
	}
	if s.Tells(Message) {
		m.Message = s.message
	}
	if s.Tells(Disconnected) {
		m.Close = s.close
	}
	return m
}

func (s *Sender) open(next server.OpenFunc) server.OpenFunc {
	return func(c server.Conn) error {
		e := about(Connected, c)
		e.Remote, e.Subprotocol = c.RemoteAddr(), c.Subprotocol()
		s.Add(e)
		return next(c)
	}
}

func (s *Sender) message(next server.MessageFunc) server.MessageFunc {
	return func(c server.Conn, m server.Message) error {
		e := about(Message, c)
		e.IsText, e.Data = m.Opcode == frame.OpText, m.Data
		s.Add(e)
		return next(c, m)
	}
}

func (s *Sender) close(next server.CloseFunc) server.CloseFunc {
	return func(c server.Conn, err error) {
		e := about(Disconnected, c)
		e.Code = int(frame.StatusAbnormalClosure)
		var end *server.CloseError
		if errors.As(err, &end) {
			e.Code, e.Reason = int(end.Code), end.Reason
		}
		s.Add(e)
		next(c, err)
	}
}

// about returns an event with what all events of a connection have.
func about(t Type, c server.Conn) Event {
	e := Event{Type: t, Connection: c.ID(), Route: c.Route(), Room: c.PathValue("room")}
	e.Path = pattern.Expand(e.Route, c.PathValue)
	if id := c.Identity(); id != nil {
		e.User = id.Subject
	}
	return e
}
