//go:build linux

package server

import (
	"fmt"
)

// Offload moves what is behind it off the loop: the middleware listed after it and
// the route's Message run on one of at most n goroutines, and may block. What comes
// before it runs on the loop. A route has at most one Offload, behind all
// middleware that is OnLoop; several routes may share one, and its n.
//
// Messages of one connection are handled one after the other, in their order; those
// of several at the same time. Data is a copy, valid until the handler returns. When
// 16 messages of a connection wait, or 128 KiB of them, it is not read from until
// half of them are done.
//
// In such a handler Send, SendPrepared, Close, Run, Extend, ID, a Group's methods, Identity, Route,
// PathValue, Subprotocol and RemoteAddr may be called; all else belongs to the loop. Errors and
// panics end the connection as they do on the loop.
//
// What a connection has said is handled before it ends, whichever side ends it, and Close
// comes after the last message; only after Conn.Close, after an error, and when memory
// runs out, the messages that have not begun are dropped. If the peer is gone, Send
// answers net.ErrClosed meanwhile. A handler that has not returned when a drain cuts
// the last connections is not waited for.
func Offload(n int) Middleware {
	p := &pool{most: max(n, 1)}
	return Middleware{
		Name:     fmt.Sprintf("offload(%d)", p.most),
		offloads: true,
		Message: func(next MessageFunc) MessageFunc {
			return func(c Conn, m Message) error {
				c.loop.jobs.submit(c, p, next, m)
				return nil
			}
		},
	}
}
