package handshake

import (
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/usher-ws/usher/record"
)

// Result is a connection whose handshake is complete.
type Result struct {
	// Conn goes on with the records of both directions. It may be copied to where it is to
	// stay, once, and this one is cleared then: what two of them sealed would have the same
	// nonces.
	Conn record.Conn

	// Rest is what was read behind the handshake: the first records of the peer, or the first
	// part of one. It is at most 2 KiB, or a part of what Server.Handshake was given.
	Rest []byte

	// State tells of the version, the suite, ALPN, SNI and the certificates. It refers to
	// crypto/tls's own copies of the secrets: keep what is needed of it, not all of it.
	State tls.ConnectionState
}

var (
	errSecrets = errors.New("handshake: crypto/tls did not tell the secrets")
	errHalf    = errors.New("handshake: crypto/tls stopped within a record")
	errBehind  = errors.New("handshake: peer sent more in the record of its Finished message")
)

// finish makes r of a handshake that crypto/tls has completed.
func (r *Result) finish(t *tap, c *tls.Conn, role record.Role) error {
	r.State = c.ConnectionState()
	if err := r.start(t, role); err != nil {
		return err
	}
	if !t.in.between() || !t.out.between() {
		return errHalf
	}
	_, heard, err := r.Conn.In.Skip(t.in.kept)
	if err != nil {
		return fmt.Errorf("handshake: records that were read: %w", err)
	}
	if _, _, err := r.Conn.Out.Skip(t.out.kept); err != nil {
		return fmt.Errorf("handshake: records that were written: %w", err)
	}
	// What follows a Finished message in its record stays with crypto/tls, which tells only
	// if it is asked to read on. In TLS 1.3 it refuses it, for the key changes there.
	const finished = 4 + 12 // RFC 5246 §7.4.9
	if r.State.Version == tls.VersionTLS12 && heard != finished {
		return errBehind
	}
	r.Rest = t.ahead
	return nil
}

// start starts the Conn with the secrets.
func (r *Result) start(t *tap, role record.Role) error {
	defer t.forget()
	switch {
	case r.State.Version == tls.VersionTLS13 && t.client.n > 0 && t.server.n > 0:
		return r.Conn.Init13(role, r.State.CipherSuite, t.client.bytes(), t.server.bytes())
	case r.State.Version == tls.VersionTLS12 && t.master.n > 0:
		hello := &t.out
		if role == record.Client {
			hello = &t.in
		}
		return r.Conn.Init12(role, r.State.CipherSuite, t.master.bytes(), t.clear, hello.random())
	}
	return errSecrets
}
