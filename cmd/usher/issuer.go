//go:build linux

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
	"golang.org/x/sys/unix"
)

// issuer has a CA sign certificates: autocert gets and renews them, and answers when the CA checks
// that the domains are ours. Handshakes take what is there, at once: no client makes us ask the CA
// for anything, or waits for what it says.
type issuer struct {
	log     *slog.Logger
	counts  *certificates
	dir     string
	domains []*domain
	manager *autocert.Manager
	heard   *witness

	// challenges is what a handshake of the CA is done with. It needs no certificate of its own,
	// whatever other clients need, since it can ask for nothing.
	challenges *tls.Config
}

// domain is a name that a certificate is got for.
type domain struct {
	name string
	cert atomic.Pointer[tls.Certificate] // nil until there is one

	// Of the goroutine that keeps it.
	pause time.Duration // since the last failure
	told  time.Time     // when it was last said that the certificate was not renewed
}

const (
	// A CA that has refused is asked again after firstPause, and twice as long each time. Let's
	// Encrypt gives five chances an hour. autocert forgets what has failed after a minute.
	firstPause   = 2 * time.Minute
	longestPause = time.Hour

	// tellEvery is how often it is said that a certificate has not been renewed, which autocert
	// tries as often.
	tellEvery = time.Hour
)

// newIssuer returns an issuer for the domains of f. It counts in c.
func newIssuer(f *acmeFlags, c *certificates, log *slog.Logger) *issuer {
	i := &issuer{log: log, counts: c, dir: f.ACMEDir, heard: new(witness)}
	var names []string
	for _, name := range f.ACME {
		if name = strings.ToLower(name); !slices.Contains(names, name) {
			names = append(names, name)
			i.domains = append(i.domains, &domain{name: name})
		}
	}
	i.manager = &autocert.Manager{
		Prompt:     i.agree,
		Cache:      shelf{autocert.DirCache(f.ACMEDir), i},
		HostPolicy: autocert.HostWhitelist(names...),
		Client:     &acme.Client{DirectoryURL: f.ACMEServer, HTTPClient: &http.Client{Transport: i.heard}, UserAgent: "usher"},
	}
	i.challenges = &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{acme.ALPNProto}, SessionTicketsDisabled: true,
		GetCertificate: i.answer,
	}
	return i
}

// agree is autocert's question before it makes an account.
func (i *issuer) agree(terms string) bool {
	i.log.Info("--acme agrees to the terms of service of --acme-server", "terms", terms)
	return true
}

// shelf is where certificates are kept. It tells of failures, as autocert does not.
type shelf struct {
	autocert.DirCache
	of *issuer
}

// Put implements autocert.Cache.
func (s shelf) Put(ctx context.Context, key string, data []byte) error {
	err := s.DirCache.Put(ctx, key, data)
	if err != nil {
		s.of.fail("what the CA has signed cannot be kept: mend that, or each start asks it again", "key", key, "err", err)
	}
	return err
}

// fail counts and logs a failure.
func (i *issuer) fail(what string, args ...any) {
	i.counts.Failed.Add(1)
	i.log.Error(what, args...)
}

// find returns the domain of that name, or nil.
func (i *issuer) find(name string) *domain {
	for _, d := range i.domains {
		if strings.EqualFold(d.name, name) {
			return d
		}
	}
	return nil
}

// isChallenge reports whether hello is that of a CA which checks a domain: it offers this protocol
// and no other, RFC 8737 §3.
func (i *issuer) isChallenge(hello *tls.ClientHelloInfo) bool {
	return i != nil && slices.Equal(hello.SupportedProtos, []string{acme.ALPNProto})
}

// answer is the GetCertificate of a challenge, which may be for a server that shares the directory:
// autocert looks there. It does not for other names than ours.
func (i *issuer) answer(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if i.find(hello.ServerName) == nil {
		return nil, nil // crypto/tls says unrecognized_name
	}
	return i.manager.GetCertificate(hello)
}

// choose is the GetCertificate of all others, behind the files, whose names come first. A client
// that asks for no name, which crypto/tls passes on if there are no files, gets the first domain.
func (i *issuer) choose(files []tls.Certificate) func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		d := i.domains[0]
		if hello.ServerName != "" {
			d = i.find(hello.ServerName)
		}
		if d == nil || slices.ContainsFunc(files, func(c tls.Certificate) bool { return hello.SupportsCertificate(&c) == nil }) {
			return nil, nil // the files', or unrecognized_name
		}
		if cert := d.cert.Load(); cert != nil {
			return cert, nil
		}
		return nil, fmt.Errorf("there is no certificate for %s yet", d.name)
	}
}

// start begins to get the certificates, until done is closed.
func (i *issuer) start(at *endpoints, done <-chan struct{}) {
	if !slices.ContainsFunc(at.names, func(name string) bool { return strings.HasPrefix(name, "https://") && strings.HasSuffix(name, ":443") }) {
		i.log.Info("the CA of --acme connects to port 443 of each domain, which is none of ours: have it passed on to one of --listen tls://, as it is", "listens", strings.Join(at.names, " "))
	}
	for _, d := range i.domains {
		go i.keep(d, done)
	}
}

// keep gets the certificate of d, and notices when autocert has renewed it.
func (i *issuer) keep(d *domain, done <-chan struct{}) {
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-done:
			return
		case <-next.C:
			next.Reset(i.look(d))
		}
	}
}

// errBusy: another server gets the same certificate.
var errBusy = errors.New("another server is asking")

// look asks autocert for the certificate of d, and so the CA if there is none. It returns when to
// look again.
func (i *issuer) look(d *domain) time.Duration {
	before := d.cert.Load()
	cert, err := i.ask(d.name, before != nil)
	switch {
	case err == errBusy:
	case err != nil:
		d.pause = min(max(2*d.pause, firstPause), longestPause)
		again := d.pause + rand.N(d.pause/2) // others may have failed at the same time
		i.fail("no certificate could be got", "domain", d.name, "err", err, "heard", i.heard.last(d.name), "again_at", time.Now().Add(again).Round(time.Second))
		return again
	case before == nil || !cert.Leaf.Equal(before.Leaf):
		d.cert.Store(cert)
		d.pause, d.told = 0, time.Time{}
		i.counts.OK.Add(1)
		i.log.Info("there is a certificate of --acme", "domain", d.name, "not_after", cert.Leaf.NotAfter)
	default:
		if now := time.Now(); isOverdue(cert, now) && now.Sub(d.told) > tellEvery {
			d.told = now
			i.fail("a certificate was to be renewed by now, and is not", "domain", d.name, "not_after", cert.Leaf.NotAfter, "heard", i.heard.last(d.name))
		}
	}
	return lookEvery
}

// ask asks autocert. If it may have to ask the CA, no other server that shares the directory does
// so at the same time: the CA would ask one of them back for what the other knows.
func (i *issuer) ask(name string, isThere bool) (*tls.Certificate, error) {
	if !isThere {
		unlock, err := i.lock(name)
		if err != nil {
			return nil, err
		}
		defer unlock()
	}
	return i.manager.GetCertificate(&tls.ClientHelloInfo{ServerName: name, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}})
}

// lock makes the directory, if need be, and locks a name in it.
func (i *issuer) lock(name string) (unlock func(), err error) {
	if err := os.MkdirAll(i.dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(i.dir, name+"+lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if err == unix.EWOULDBLOCK {
			return nil, errBusy
		}
		return nil, os.NewSyscallError("flock", err)
	}
	return func() { f.Close() }, nil // which unlocks
}

// isOverdue reports whether autocert has had time enough to renew a certificate. It begins when a
// third of its time is left, but 30 days before its end at the earliest, and up to a tenth of
// that later, but an hour at most.
func isOverdue(cert *tls.Certificate, now time.Time) bool {
	left := min(cert.Leaf.NotAfter.Sub(cert.Leaf.NotBefore)/3, 30*24*time.Hour)
	return now.After(cert.Leaf.NotAfter.Add(2*min(left/10, time.Hour) - left))
}
