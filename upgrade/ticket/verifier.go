package ticket

import (
	"context"
	"time"

	"github.com/usher-ws/usher/upgrade"
)

// purpose is what a ticket is shown for; a question to another node begins with it.
type purpose byte

const (
	spend purpose = 's'
	peek  purpose = 'p'
)

// verifier judges tickets as if they were tokens. It is an upgrade.SlowVerifier: those of other
// nodes take long.
type verifier struct {
	*Issuer
	purpose
}

// Verify is upgrade.Verifier's.
func (v verifier) Verify(text []byte, now time.Time) (*upgrade.Identity, error) {
	return v.Begin(text, now).Verify(now)
}

// Begin is upgrade.SlowVerifier's.
func (v verifier) Begin(text []byte, _ time.Time) upgrade.Verification {
	s := &shown{verifier: v}
	s.node, s.ticket, s.isTicket = parse(text)
	if s.nodes = v.joined(); s.nodes != nil && s.node == s.nodes.Name() {
		s.node = ""
	}
	if s.nodes == nil && s.node != "" {
		s.node, s.isTicket = "", false
	}
	return s
}

// shown is a ticket that is not judged yet: an upgrade.Verification.
type shown struct {
	verifier
	nodes    Nodes  // nil if this is the only one
	node     string // that knows it; "" is this one
	ticket   ticket
	isTicket bool // by its form
}

// IsSlow is upgrade.Verification's.
func (s *shown) IsSlow() bool { return s.isTicket && s.node != "" }

// Verify is upgrade.Verification's.
func (s *shown) Verify(now time.Time) (*upgrade.Identity, error) {
	switch {
	case !s.isTicket:
		return nil, errInvalid
	case s.IsSlow():
		return nil, upgrade.ErrSlow
	}
	return s.find(s.ticket, now, s.purpose)
}

// Wait is upgrade.Verification's.
func (s *shown) Wait(ctx context.Context, now time.Time) (*upgrade.Identity, error) {
	if s.IsSlow() {
		return s.ask(ctx)
	}
	return s.Verify(now)
}
