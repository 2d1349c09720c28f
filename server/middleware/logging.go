//go:build linux

package middleware

import (
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"github.com/usher-ws/usher/server"
	"github.com/usher-ws/usher/upgrade"
)

// Logging returns the middleware that logs, at level info, every attempt and every
// end: "accepted" or "refused", and "closed" with the duration, the messages and
// bytes the client sent that were within its limits, the close code and the reason.
//
// The log is a ring because no loop may wait for it: what a slow one has no room for is
// dropped and counted. Secrets of the request line are left out. Of Use, it also tells of
// refusals before a route is known; what goes to the Handler, or to a Relay's, is not its business. A
// connection costs some 150 bytes more with it.
func Logging(log *server.LogRing) server.Middleware {
	a := &accessLog{log: log}
	return server.Middleware{Name: "logging", OnLoop: true, Open: a.open, Message: a.message, Close: a.close, Refused: a.refused}
}

// accessLog is one Logging.
type accessLog struct {
	log   *server.LogRing
	stays server.Attachment[*stay]
}

// stay is what an access log remembers of a connection.
type stay struct {
	since    time.Time
	remote   netip.AddrPort // the kernel forgets it of a peer that resets the connection
	messages int64
	bytes    int64
}

func (a *accessLog) open(next server.OpenFunc) server.OpenFunc {
	return func(c server.Conn) error {
		v := &stay{since: time.Now(), remote: c.RemoteAddr()}
		a.stays.Set(c, v)
		a.write("accepted", a.about(c, v)...)
		return next(c)
	}
}

func (a *accessLog) message(next server.MessageFunc) server.MessageFunc {
	return func(c server.Conn, m server.Message) error {
		if v, ok := a.stays.Get(c); ok {
			v.messages++
			v.bytes += int64(len(m.Data))
		}
		return next(c, m)
	}
}

func (a *accessLog) close(next server.CloseFunc) server.CloseFunc {
	return func(c server.Conn, err error) {
		v, ok := a.stays.Get(c)
		if !ok { // an outer middleware did not let it in
			next(c, err)
			return
		}
		attrs := append(a.about(c, v),
			slog.Duration("duration", time.Since(v.since).Round(time.Millisecond)),
			slog.Int64("messages", v.messages),
			slog.Int64("bytes", v.bytes))
		if e, ok := err.(*server.CloseError); ok {
			attrs = append(attrs, slog.Int("code", int(e.Code)), slog.String("reason", e.Reason))
		}
		a.write("closed", attrs...)
		next(c, err)
	}
}

func (a *accessLog) refused(r *upgrade.Request, e *upgrade.Rejection) {
	attrs := make([]slog.Attr, 0, 5)
	if request := strings.TrimSpace(r.String()); request != "" { // it may have been no HTTP
		attrs = append(attrs, slog.String("request", request))
	}
	attrs = append(attrs, slog.String("remote", peer(r.RemoteAddr)), slog.Int("status", e.StatusCode()), slog.String("code", e.Word()))
	if r.Identity != nil {
		attrs = append(attrs, slog.String("user", r.Identity.Subject))
	}
	a.write("refused", attrs...)
}

// about are the attributes that accepted and closed have in common.
func (a *accessLog) about(c server.Conn, v *stay) []slog.Attr {
	attrs := make([]slog.Attr, 0, 8)
	attrs = append(attrs, slog.String("route", c.Route()), slog.String("remote", peer(v.remote)))
	if id := c.Identity(); id != nil {
		attrs = append(attrs, slog.String("user", id.Subject))
	}
	if upstream := c.Upstream(); upstream != "" {
		attrs = append(attrs, slog.String("upstream", upstream))
	}
	return attrs
}

// write leaves all that takes time to the ring's goroutine.
func (a *accessLog) write(msg string, attrs ...slog.Attr) {
	ctx := context.Background()
	if !a.log.Enabled(ctx, slog.LevelInfo) {
		return
	}
	r := slog.NewRecord(time.Now(), slog.LevelInfo, msg, 0)
	r.AddAttrs(attrs...)
	_ = a.log.Handle(ctx, r)
}

// peer returns an address as it is logged: that of a unix socket, or of a peer that has gone,
// is unknown.
func peer(addr netip.AddrPort) string {
	if !addr.IsValid() {
		return "unknown"
	}
	return addr.String()
}
