//go:build linux

package main

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// certificates are the settings of handshakes as they are now: a handshake takes those that it
// finds, so a change touches no connection that is there.
type certificates struct {
	now    atomic.Pointer[tls.Config]
	issuer *issuer // of --acme, or nil

	OK     atomic.Int64 // how often files that had changed were taken, and what a CA has signed
	Failed atomic.Int64 // and were not, or a CA has signed nothing

	// Of running.mu.
	flags tlsFlags
	read  []fileState // of the files that now is made of, or that were no good
	last  []fileState // when they were last looked at
}

// lookEvery is how often the files are looked at. What has changed is read when it has not
// changed again by the next look: a certificate and its key come one after the other.
const lookEvery = 2 * time.Second

// fileState tells a file from one that took its place, or was written anew.
type fileState struct {
	dev, ino uint64
	size     int64
	changed  time.Time
}

// states looks at the files of f.
func (f *tlsFlags) states() []fileState {
	var all []fileState
	for _, path := range slices.Concat(f.TLSCert, f.TLSKey, []string{f.TLSClientCA}) {
		var s fileState
		if info, err := os.Stat(path); err == nil {
			s.size, s.changed = info.Size(), info.ModTime()
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				s.dev, s.ino = st.Dev, st.Ino
			}
		}
		all = append(all, s)
	}
	return all
}

// openCertificates reads what the flags name; without a listener for TLS there is nothing.
func (f *listenFlags) openCertificates(log *slog.Logger) (*certificates, error) {
	seen := f.states()
	config, err := f.tlsFlags.config(f.listensTLS(), time.Now())
	if config == nil {
		return nil, err
	}
	c := new(certificates)
	if len(f.ACME) > 0 {
		if err := f.checkDir(); err != nil {
			return nil, usageError{err}
		}
		c.issuer = newIssuer(&f.acmeFlags, c, log)
	}
	c.take(config, f.tlsFlags, seen)
	return c, nil
}

// take uses config from now on. seen are the files as they were before they
// were read.
func (c *certificates) take(config *tls.Config, flags tlsFlags, seen []fileState) {
	c.use(config)
	c.flags, c.read, c.last = flags, seen, seen
}

// use makes config what handshakes are done with.
func (c *certificates) use(config *tls.Config) {
	if c.issuer != nil {
		config.GetCertificate = c.issuer.choose(config.Certificates)
	}
	c.now.Store(config)
}

// config is for server.Server.TLS. Its tickets live as long as it does.
func (c *certificates) config() *tls.Config {
	if c == nil {
		return nil
	}
	return &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if c.issuer.isChallenge(hello) {
			return c.issuer.challenges, nil
		}
		return c.now.Load(), nil
	}}
}

// notAfter is when the first of the certificates expires. It is zero if one of --acme is yet to be
// got.
func (c *certificates) notAfter() (first time.Time) {
	pairs := c.now.Load().Certificates
	if c.issuer != nil {
		for _, d := range c.issuer.domains {
			cert := d.cert.Load()
			if cert == nil {
				return time.Time{}
			}
			pairs = append(slices.Clip(pairs), *cert)
		}
	}
	for _, p := range pairs {
		if first.IsZero() || p.Leaf.NotAfter.Before(first) {
			first = p.Leaf.NotAfter
		}
	}
	return first
}

// renewBy is how long before its end a certificate should have been renewed: two weeks, but no
// more than a fifth of its time, of which some have six days.
func renewBy(leaf *x509.Certificate) time.Time {
	return leaf.NotAfter.Add(-min(14*24*time.Hour, leaf.NotAfter.Sub(leaf.NotBefore)/5))
}

// warn says which certificates expire soon.
func (c *certificates) warn(log *slog.Logger, now time.Time) {
	if c == nil {
		return
	}
	pairs := c.now.Load().Certificates
	for k, path := range c.flags.TLSCert {
		if leaf := pairs[k].Leaf; now.After(renewBy(leaf)) {
			log.Warn("a certificate expires soon: renew it", "tls_cert", path, "not_after", leaf.NotAfter.UTC())
		}
	}
}

// watchCertificates reads the files when they have changed, until done is closed.
func (r *running) watchCertificates(done <-chan struct{}) {
	if r.certs == nil {
		return
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			r.lookAtCertificates()
		}
	}
}

// lookAtCertificates is one look.
func (r *running) lookAtCertificates() {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.certs
	seen := c.flags.states()
	isCalm := slices.Equal(seen, c.last)
	c.last = seen
	if !isCalm || slices.Equal(seen, c.read) {
		return
	}
	c.read = seen
	config, err := c.flags.config(true, time.Now())
	if err != nil {
		c.Failed.Add(1)
		r.log.Error("the certificates stay as they were: the files have changed, and cannot be taken", "err", err)
		return
	}
	c.use(config)
	c.OK.Add(1)
	r.log.Info("the certificates were read again, since the files have changed", "not_after", c.notAfter())
	c.warn(r.log, time.Now())
}

// collectors are the metrics.
func (c *certificates) collectors() []prometheus.Collector {
	if c == nil {
		return nil
	}
	counter := func(result string, n *atomic.Int64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "usher_tls_certificate_reloads_total", Help: "How often the files of --tls-cert, --tls-key and --tls-client-ca had changed, or a certificate of --acme was got or due, by what became of it; failed changed nothing.",
			ConstLabels: prometheus.Labels{"result": result},
		}, func() float64 { return float64(n.Load()) })
	}
	expiry := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "usher_tls_certificate_expiry_timestamp_seconds", Help: "When the first of the certificates expires; 0 while one of --acme has yet to be got.",
	}, func() float64 {
		if t := c.notAfter(); !t.IsZero() {
			return float64(t.Unix())
		}
		return 0
	})
	return []prometheus.Collector{counter("ok", &c.OK), counter("failed", &c.Failed), expiry}
}
