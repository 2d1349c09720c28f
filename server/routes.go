//go:build linux

package server

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/usher-ws/usher/upgrade"
)

// AppendRoutes appends, for people, what there is at each path, in the order in
// which the routes are tried: its guards, in the order in which they answer, the
// limits, and the middleware with its hooks, the outermost first. Send hooks run for
// the groups that have them. It may be called before Start.
func (s *Server) AppendRoutes(dst []byte) []byte {
	now := s.Policy()
	for _, r := range s.routes {
		of := now.Routes[r.pattern.String()]
		dst = append(append(dst, r.pattern.String()...), '\n')
		dst = appendFacts(dst, "guards", now.guardsOf(r, of.Guards))
		dst = appendFacts(dst, "limits", now.limitsOf(of.Limits))
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
func (p *Policy) guardsOf(r *route, guards []upgrade.Guard) []string {
	facts := []string{"origin: " + strings.Join(append([]string{"same host"}, p.Origins...), ", ")}
	for _, g := range guards {
		facts = append(facts, cmp.Or(g.Name, unnamed))
	}
	if p.MaxConnsPerUser > 0 {
		facts = append(facts, fmt.Sprintf("connections of a user: %d", p.MaxConnsPerUser))
	}
	if r.Authorize != nil {
		facts = append(facts, "authorize")
	}
	return facts
}

// unnamed is what guards and middleware without a name are called.
const unnamed = "(unnamed)"

func (p *Policy) limitsOf(of Limits) (facts []string) {
	say := func(unlimited bool, format string, args ...any) {
		if !unlimited {
			facts = append(facts, fmt.Sprintf(format, args...))
		}
	}
	m, b, user, ip := of.Messages, of.Bytes, p.MessagesPerUser, p.MessagesPerIP
	say(m.Unlimited(), "messages: %v, burst %d", m.Limit, m.Burst)
	say(b.Unlimited(), "bytes: %v, burst %d", b.Limit, b.Burst)
	say(user.Unlimited(), "messages of a user: %v, burst %d", user.Limit, user.Burst)
	say(ip.Unlimited(), "messages of an address: %v, burst %d", ip.Limit, ip.Burst)
	if len(facts) == 0 {
		return nil
	}
	say(p.LimitDryRun, "over: %v", of.Over)
	say(p.LimitDryRun || of.CloseAfter <= 0, "close after %d in a minute", of.CloseAfter)
	say(!p.LimitDryRun, "over: let it pass, and count")
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
