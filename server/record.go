//go:build linux

package server

import (
	"log/slog"
	"net/http"

	"github.com/usher-ws/usher/internal/text"
	"github.com/usher-ws/usher/upgrade"
)

// logRefusal tells of a refusal: at level debug, or error if it is our fault; and once
// a minute, at info, of an origin whose pages are refused. No credential of the request
// is in it.
func (s *Server) logRefusal(r *upgrade.Request, e *upgrade.Rejection, err error) {
	if e.Code == upgrade.CodeOriginNotAllowed && s.log.enabled(slog.LevelInfo) {
		if attrs := upgrade.NoteOrigin(s.logger(), r); attrs != nil {
			s.log.add(slog.LevelInfo, "server: pages of this origin may not connect", attrs...)
		}
	}
	level, what := slog.LevelDebug, "server: a request was refused"
	if e.StatusCode() == http.StatusInternalServerError {
		level, what = slog.LevelError, "server: a request was refused for an internal reason"
	}
	if !s.log.enabled(level) {
		return
	}
	s.log.add(level, what, "request", r.String(), "remote", text.Peer(r.RemoteAddr), "code", e.Word(), "err", upgrade.Redact(err.Error()))
}

// logDryRun tells of a request that would have been refused.
func (s *Server) logDryRun(r *upgrade.Request, over limit) {
	if level := s.limitLevel(); s.log.enabled(level) {
		s.log.add(level, "server: over a limit", "request", r.String(), "remote", text.Peer(r.RemoteAddr),
			"code", over.code(), "action", "refuse", "enforced", false)
	}
}

func (s *Server) logger() *slog.Logger {
	if s.Logger != nil {
		return s.Logger
	}
	return slog.Default()
}

// limitLevel is the level at which limits are logged: in a dry run the operator wants to see
// what they would do, and otherwise is not to be flooded.
func (s *Server) limitLevel() slog.Level {
	if s.policy.Load().LimitDryRun {
		return slog.LevelInfo
	}
	return slog.LevelDebug
}
