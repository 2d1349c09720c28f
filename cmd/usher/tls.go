//go:build linux

package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"
)

// tlsPrefix begins a value of --listen whose connections speak TLS.
const tlsPrefix = "tls://"

// tlsFlags are what TLS is spoken with.
type tlsFlags struct {
	TLSCert     []string `name:"tls-cert" placeholder:"FILE" live:"" help:"Certificates in PEM, each with those that it was signed by behind it, for --listen tls://. The name that a client asks for chooses among several; the first is for all others. When the files change, they are read again."`
	TLSKey      []string `name:"tls-key" placeholder:"FILE" live:"" help:"The private keys of --tls-cert in PEM, in the same order."`
	TLSMin      string   `name:"tls-min" enum:"1.2,1.3" default:"1.2" live:"" help:"The oldest version of TLS that is spoken: 1.2 or 1.3."`
	TLSClientCA string   `name:"tls-client-ca" placeholder:"FILE" live:"" help:"Let in only clients with a certificate that one of these has signed, in PEM."`

	acmeFlags
}

// config returns the settings of a handshake, or nil if nothing listens for one. Whatever is
// wrong with them or their files can be mended there only.
func (f *tlsFlags) config(listens bool, now time.Time) (*tls.Config, error) {
	given := len(f.TLSCert) + len(f.TLSKey)
	switch {
	case len(f.ACME) > 0 && f.ACMEDir == "":
		return nil, usageError{errors.New("--acme needs a directory to keep certificates in: name one with --acme-dir")}
	case len(f.ACME) == 0 && f.ACMEDir != "":
		return nil, usageError{errors.New("--acme-dir keeps the certificates of --acme: name the domains, or leave it out")}
	case !listens && (given > 0 || f.TLSClientCA != "" || len(f.ACME) > 0):
		return nil, usageError{errors.New("nothing listens with TLS: name a --listen tls://HOST:PORT, or leave --tls-cert, --tls-key, --tls-client-ca and --acme out")}
	case !listens:
		return nil, nil
	case given == 0 && len(f.ACME) == 0:
		return nil, usageError{errors.New("--listen tls:// needs a certificate: name one with --tls-cert and its key with --tls-key, or get one with --acme")}
	case len(f.TLSCert) != len(f.TLSKey):
		return nil, usageError{fmt.Errorf("there are %d of --tls-cert and %d of --tls-key: give each certificate its key, in the same order", len(f.TLSCert), len(f.TLSKey))}
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	if f.TLSMin == "1.3" {
		config.MinVersion = tls.VersionTLS13
	}
	for k, cert := range f.TLSCert {
		pair, err := readPair("--tls-", cert, f.TLSKey[k], now)
		if err != nil {
			return nil, usageError{err}
		}
		config.Certificates = append(config.Certificates, pair)
	}
	if f.TLSClientCA == "" {
		return config, nil
	}
	text, err := readLines("--tls-client-ca", f.TLSClientCA)
	if err != nil {
		return nil, usageError{err}
	}
	config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
	if !config.ClientCAs.AppendCertsFromPEM(text) {
		return nil, usageError{fmt.Errorf("--tls-client-ca: %s has no certificate in PEM: name the right file", f.TLSClientCA)}
	}
	return config, nil
}

// readPair reads a certificate and its key, which have to fit and to be good now. The flags that
// name them begin with prefix.
func readPair(prefix, cert, key string, now time.Time) (pair tls.Certificate, err error) {
	certText, err := readLines(prefix+"cert", cert)
	if err != nil {
		return pair, err
	}
	keyText, err := readLines(prefix+"key", key)
	if err != nil {
		return pair, err
	}
	if bytes.Contains(keyText, []byte("ENCRYPTED")) {
		return pair, fmt.Errorf("%skey: %s is encrypted: store it without a password, readable for the server only", prefix, key)
	}
	if pair, err = tls.X509KeyPair(certText, keyText); err != nil {
		return pair, fmt.Errorf("%scert %s with %skey %s: %s; name a certificate and its key, in PEM", prefix, cert, prefix, key, strings.TrimPrefix(err.Error(), "tls: "))
	}
	switch leaf := pair.Leaf; {
	case now.After(leaf.NotAfter):
		return pair, fmt.Errorf("%scert: %s has expired on %s: renew it", prefix, cert, leaf.NotAfter.UTC().Format(time.DateTime))
	case now.Before(leaf.NotBefore):
		return pair, fmt.Errorf("%scert: %s counts from %s only: look at the clock, or take another", prefix, cert, leaf.NotBefore.UTC().Format(time.DateTime))
	}
	return pair, nil
}

// listensTLS reports whether any value of --listen is for TLS.
func (f *listenFlags) listensTLS() bool {
	for _, text := range f.Listen {
		if strings.HasPrefix(text, tlsPrefix) {
			return true
		}
	}
	return false
}
