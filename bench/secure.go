//go:build linux

package bench

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/usher-ws/usher/bench/internal/load"
	"golang.org/x/sys/unix"
)

// TLS is how servers of wss:// are verified. The zero TLS: they need a certificate for the name
// in the URL, by an authority that the machine trusts.
type TLS struct {
	CA       []byte // the authorities to trust in place of those, as PEM
	Insecure bool   // take any certificate
}

// config returns what connections are secured with, but for the name.
func (t TLS) config() (*tls.Config, error) {
	config := &tls.Config{InsecureSkipVerify: t.Insecure}
	switch {
	case t.CA == nil:
		return config, nil
	case t.Insecure:
		return nil, usagef("an authority for certificates that are not verified: give one of --ca and --insecure")
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(t.CA) {
		return nil, usagef("no certificate for --ca: want a file in PEM, with BEGIN CERTIFICATE")
	}
	return config, nil
}

// isSecure reports whether connections begin with TLS.
func (s *session) isSecure() bool {
	return slices.ContainsFunc(s.doors, func(d load.Target) bool { return d.Name != "" })
}

// certify makes a certificate for servers that are started with one, and trusts it.
func (s *session) certify() (err error) {
	if !strings.Contains(s.c.Spawn, "{cert}") {
		return nil
	}
	if !s.isSecure() {
		return usagef("spawn: a certificate for a server of ws://: want a URL of wss://")
	}
	s.own, err = newPair(s.doors)
	if !s.c.TLS.Insecure {
		s.c.TLS.CA = append(s.c.TLS.CA[:len(s.c.TLS.CA):len(s.c.TLS.CA)], s.own.pem...)
	}
	return err
}

// secure tries the handshake of TLS with a door before anything is measured: what a certificate
// has to do with is found out once, not by each connection. What else goes wrong is a finding.
func (s *session) secure(ctx context.Context) error {
	config, err := s.c.TLS.config()
	if err != nil || !s.isSecure() {
		return err
	}
	door := s.doors[slices.IndexFunc(s.doors, func(d load.Target) bool { return d.Name != "" })]
	config.ServerName = door.Name
	ctx, cancel := context.WithTimeout(ctx, s.c.Timeout)
	defer cancel()
	conn, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", door.Addr.String())
	if err != nil {
		return refusedBy(s.c.URL, err)
	}
	defer conn.Close()
	state := conn.(*tls.Conn).ConnectionState()
	verified := "certificate verified"
	if s.c.TLS.Insecure {
		verified = "certificate not verified"
	}
	s.report.set("TLS", tls.VersionName(state.Version)+", "+tls.CipherSuiteName(state.CipherSuite)+", "+verified)
	return nil
}

// refusedBy says what to do about a handshake that failed, if another command line would help.
func refusedBy(url string, err error) error {
	if wrong := new(tls.CertificateVerificationError); errors.As(err, &wrong) {
		return usagef("%s: the certificate does not verify: %v: name the authority with --ca FILE, or give --insecure", url, wrong.Err)
	}
	if plain := new(tls.RecordHeaderError); errors.As(err, plain) {
		return usagef("%s: the server does not speak TLS there: want ws://", url)
	}
	return nil
}

// included is added to what an event is called of which a handshake of TLS is a part.
func (s *session) included() string {
	if s.isSecure() {
		return ", TLS included"
	}
	return ""
}

// processCPU is what this process has used so far.
func processCPU() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
