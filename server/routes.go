//go:build linux

package server

import (
	"cmp"
	"fmt"
	"strings"
)

// AppendRoutes appends, for people, what there is at each path, in the order in
// which the routes are tried: its guards, in the order in which they answer, the
// limits, and the middleware with its hooks, the outermost first. Send hooks run for
// the groups that have them. It may be called before Start.
func (s *Server) AppendRoutes(dst []byte) []byte {
	for _, r := range s.routes {
		dst = append(append(dst, r.pattern.String()...), '\n')
		dst = appendFacts(dst, "guards", s.guardsOf(r))
		dst = appendFacts(dst, "limits", s.limitsOf(r))
		dst = appendFacts(dst, "middleware", s.middlewareOf(r))
	}
	if s.Handler != nil {
		dst = append(dst, "anything else\n  http.Handler\n"...)
	}
	return dst
}

// appendFacts appends one fact a line, under their name.
func appendFacts(dst []byte, name string, facts []string) []byte {
	if len(facts) == 0 {
		facts = []string{"none"}
	}
	for _, f := range facts {
		dst = fmt.Appendf(dst, "  %-12s%s\n", name, f)
		name = ""
	}
	return dst
}

// guardsOf are those of rows 8 to 13 of docs/CODES.md.
func (s *Server) guardsOf(r *route) []string {
	facts := []string{"origin: " + strings.Join(append([]string{"same host"}, s.Origins...), ", ")}
	for _, g := range r.Guards {
		facts = append(facts, cmp.Or(g.Name, unnamed))
	}
	if s.MaxConnsPerUser > 0 {
		facts = append(facts, fmt.Sprintf("connections of a user: %d", s.MaxConnsPerUser))
	}
	if r.Authorize != nil {
		facts = append(facts, "authorize")
	}
	return facts
}

// unnamed is what guards and middleware without a name are called.
const unnamed = "(unnamed)"

func (s *Server) limitsOf(r *route) (facts []string) {
	say := func(unlimited bool, format string, args ...any) {
		if !unlimited {
			facts = append(facts, fmt.Sprintf(format, args...))
		}
	}
	m, b, user, ip := r.Limits.Messages, r.Limits.Bytes, s.MessagesPerUser, s.MessagesPerIP
	say(m.Unlimited(), "messages: %v, burst %d", m.Limit, m.Burst)
	say(b.Unlimited(), "bytes: %v, burst %d", b.Limit, b.Burst)
	say(user.Unlimited(), "messages of a user: %v, burst %d", user.Limit, user.Burst)
	say(ip.Unlimited(), "messages of an address: %v, burst %d", ip.Limit, ip.Burst)
	if len(facts) == 0 {
		return nil
	}
	say(s.LimitDryRun, "over: %v", r.Limits.Over)
	say(s.LimitDryRun || r.Limits.CloseAfter <= 0, "close after %d in a minute", r.Limits.CloseAfter)
	say(!s.LimitDryRun, "over: let it pass, and count")
	return facts
}

func (s *Server) middlewareOf(r *route) (facts []string) {
	for _, m := range s.around(r) {
		facts = append(facts, fmt.Sprintf("%s (%s)", cmp.Or(m.Name, unnamed), strings.Join(m.hooks(), ", ")))
	}
	return facts
}

// around returns the middleware of r, that of Use first.
func (s *Server) around(r *route) []Middleware {
	return append(s.middleware[:len(s.middleware):len(s.middleware)], r.Middleware...)
}

// hooks returns the names of what m wraps.
func (m *Middleware) hooks() (names []string) {
	for _, h := range []struct {
		name string
		set  bool
	}{
		{"upgrade", m.Upgrade != nil}, {"refused", m.Refused != nil}, {"open", m.Open != nil},
		{"message", m.Message != nil}, {"send", m.Send != nil}, {"close", m.Close != nil},
	} {
		if h.set {
			names = append(names, h.name)
		}
	}
	return names
}
