//go:build linux

package bench

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/usher-ws/usher/bench/internal/load"
)

// pair is a certificate that signs itself and its key, made for the servers of one run. The zero
// pair is none.
type pair struct {
	dir       string
	cert, key string // paths
	pem       []byte // of the certificate
}

// newPair makes the pair for the names of doors.
func newPair(doors []load.Target) (p pair, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return p, err
	}
	now := time.Now()
	of := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "usher bench"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(tokenTTL),
		IsCA: true, BasicConstraintsValid: true,
	}
	for k, d := range doors {
		switch ip := net.ParseIP(d.Name); {
		case k > 0 && d.Name == doors[k-1].Name:
		case ip != nil:
			of.IPAddresses = append(of.IPAddresses, ip)
		default:
			of.DNSNames = append(of.DNSNames, d.Name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, of, of, key.Public(), key)
	if err != nil {
		return p, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return p, err
	}
	if p.dir, err = os.MkdirTemp("", "usher-cert-"); err != nil {
		return p, err
	}
	p.cert, p.key = filepath.Join(p.dir, "cert.pem"), filepath.Join(p.dir, "key.pem")
	p.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return p, errors.Join(
		os.WriteFile(p.cert, p.pem, 0o600),
		os.WriteFile(p.key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600),
	)
}

// remove removes the files.
func (p pair) remove() {
	if p.dir != "" {
		_ = os.RemoveAll(p.dir)
	}
}
