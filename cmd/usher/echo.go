//go:build linux

package main

import (
	"github.com/usher-ws/usher/chat"
	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/server"
	"github.com/usher-ws/usher/upgrade"
)

// routeEchoes adds the echoes that the flags ask for: an open one without limits unless a
// rate was given, and one behind the door, with its guards, and the limits.
func (s *serveCmd) routeEchoes(srv *server.Server, guards []upgrade.Guard, by door) {
	if s.Echo != "" {
		r := server.Route{Limits: s.limits(), OnLimit: slowDown, Message: echo}
		if s.Rate == nil {
			r.Limits.Messages, r.Limits.Bytes = limiter.Rate{}, limiter.Rate{}
		}
		srv.Route(s.Echo, r)
	}
	if s.EchoAuth != "" {
		srv.Route(s.EchoAuth, server.Route{
			Guards:    guards,
			Authorize: by.authorize(),
			Limits:    s.limits(),
			OnLimit:   slowDown,
			Message:   echo,
		})
	}
}

// echo sends a message back. A client that does not take its echoes is closed rather
// than left with gaps in them.
func echo(c server.Conn, m server.Message) error { return c.Send(m.Opcode, m.Data) }

// slowDown warns in the chat's words.
func slowDown(c server.Conn, _ server.Violation) { _ = c.Send(frame.OpText, []byte(chat.SlowDown)) }
