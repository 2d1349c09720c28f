//go:build linux

package server

import (
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/usher-ws/usher/internal/text"
	"github.com/usher-ws/usher/record"
	"github.com/usher-ws/usher/record/handshake"
	"github.com/usher-ws/usher/stream"
	"golang.org/x/sys/unix"
)

// This file counts what becomes of TLS.

// TLSStats counts handshakes of TLS, and what peers did wrong afterwards. Reasons are the
// registered names of alerts, as "bad_record_mac", with "peer_" before those that the peer has
// sent; and for what has no alert the words below.
type TLSStats struct {
	Handshakes int64 `json:"handshakes"` // that were completed
	Resumed    int64 `json:"resumed"`    // of these, by a ticket

	// Failed are handshakes that were not completed, besides by alerts for not_tls (another
	// protocol, as HTTP in the clear), timeout (HandshakeTimeout), hangup, evicted (there were too
	// many at once), long_hello, memory (ran out) and other.
	Failed map[string]int64 `json:"failed"`

	// Faults are what has ended connections after their handshake, besides alerts truncated: the
	// peer has ended its side without a close_notify.
	Faults map[string]int64 `json:"faults"`
}

// handshakes counts for all loops.
type handshakes struct {
	done, resumed atomic.Int64

	mu             sync.Mutex
	failed, faults map[string]int64 // by words that are few
}

// challengeProtocol is what a CA asks for by ALPN to check that a name is ours, before it signs a
// certificate for it: RFC 8737 §4. The handshake is all it wants.
const challengeProtocol = "acme-tls/1"

// Secured is stream.Handler's: guards will ask, and net/http. What is not kept refers to all of
// the handshake.
func (o owner) Secured(s link, state *tls.ConnectionState) {
	if s.Data().facts.state() == called {
		o.request(s)
		return
	}
	o.srv.handshakes.done.Add(1)
	if state.DidResume {
		o.srv.handshakes.resumed.Add(1)
	}
	if state.NegotiatedProtocol == challengeProtocol {
		s.Data().facts.become(over)
		s.Finish(nil)
		return
	}
	s.NeedExtra().tls = &tls.ConnectionState{
		Version: state.Version, HandshakeComplete: true, DidResume: state.DidResume, CipherSuite: state.CipherSuite,
		NegotiatedProtocol: state.NegotiatedProtocol, ServerName: state.ServerName,
		PeerCertificates: state.PeerCertificates, VerifiedChains: state.VerifiedChains,
	}
}

// speaksTLS reports whether a client's connection begins with a handshake.
func (s *Server) speaksTLS(c link) bool {
	if c.IsDialled() {
		return false
	}
	if k := c.Listener(); k >= 0 {
		return s.ports[k].TLS
	}
	return s.TLS != nil
}

// noteTLS counts the end of a connection with TLS, if that is to blame.
func (o owner) noteTLS(s link, cause error) {
	h := &o.srv.handshakes
	if s.IsSecure() {
		if fault := s.Fault(); fault != nil {
			h.count(&h.faults, tlsReason(fault))
		}
		return
	}
	reason := tlsReason(cause)
	h.count(&h.failed, reason)
	if o.srv.log.enabled(slog.LevelDebug) {
		o.srv.log.add(slog.LevelDebug, "server: a TLS handshake has failed", "remote", text.Peer(s.RemoteAddr()), "reason", reason, "err", cause)
	}
}

func (h *handshakes) count(in *map[string]int64, reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if *in == nil {
		*in = make(map[string]int64)
	}
	(*in)[reason]++
}

// snapshot returns the counts.
func (h *handshakes) snapshot() *TLSStats {
	h.mu.Lock()
	defer h.mu.Unlock()
	st := &TLSStats{h.done.Load(), h.resumed.Load(), make(map[string]int64), make(map[string]int64)}
	maps.Copy(st.Failed, h.failed)
	maps.Copy(st.Faults, h.faults)
	return st
}

// tlsReason is the word for an error of a handshake, or of a record.
func tlsReason(err error) string {
	var errno unix.Errno
	if e, ok := errors.AsType[*handshake.Error](err); ok && e.Alert != record.NoAlert {
		return alertWord(e.Alert, e.ByPeer)
	}
	if e, ok := errors.AsType[*record.Error](err); ok && e.Alert != record.NoAlert {
		return alertWord(e.Alert, false)
	}
	if a, ok := errors.AsType[record.PeerAlert](err); ok {
		return alertWord(record.Alert(a), true)
	}
	switch {
	case errors.Is(err, record.ErrTruncated):
		return "truncated"
	case errors.Is(err, handshake.ErrNotTLS):
		return "not_tls"
	case errors.Is(err, stream.ErrNotSecured):
		return "timeout"
	case errors.Is(err, stream.ErrEvicted):
		return "evicted"
	case errors.Is(err, stream.ErrLongHello):
		return "long_hello"
	case errors.Is(err, stream.ErrShed):
		return "memory"
	case errors.Is(err, stream.ErrHangup), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &errno):
		return "hangup"
	}
	return "other"
}

// alertWord is the name of an alert. One without a name is the peer's invention.
func alertWord(a record.Alert, byPeer bool) string {
	name := a.String()
	switch {
	case strings.HasPrefix(name, "alert "):
		return "other"
	case byPeer:
		return "peer_" + name
	}
	return name
}
