package jwt

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// ParsePEM returns the public keys in PEM: those of PUBLIC KEY and RSA PUBLIC KEY blocks
// and of CERTIFICATE blocks, of which nothing but the key counts. All are for the
// algorithm; "" is AlgorithmOf each. It fails if there is no key, or if one is private:
// a private key has no business here.
func ParsePEM(text []byte, algorithm string) ([]Key, error) {
	var keys []Key
	whole := text
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			break
		}
		text = rest
		public, err := parseBlock(block)
		if err != nil {
			return nil, fmt.Errorf("jwt: %w", err)
		}
		key := Key{Algorithm: algorithm, Key: public}
		if algorithm == "" {
			key.Algorithm = AlgorithmOf(public)
		}
		keys = append(keys, key)
	}
	if keys == nil {
		return nil, errors.New("jwt: no public key in PEM")
	}
	if begun := bytes.Count(whole, []byte("-----BEGIN ")); begun != len(keys) { // pem.Decode skips what it cannot read
		return nil, fmt.Errorf("jwt: of %d keys that begin in PEM only %d can be read", begun, len(keys))
	}
	_, err := NewKeySet(keys...)
	return keys, err
}

func parseBlock(block *pem.Block) (any, error) {
	switch {
	case block.Type == "PUBLIC KEY":
		return x509.ParsePKIXPublicKey(block.Bytes)
	case block.Type == "RSA PUBLIC KEY":
		return x509.ParsePKCS1PublicKey(block.Bytes)
	case block.Type == "CERTIFICATE":
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		return cert.PublicKey, nil
	case strings.HasSuffix(block.Type, "PRIVATE KEY"):
		return nil, errors.New("a private key, where the public one is all that is needed")
	}
	return nil, fmt.Errorf("a %s is no public key", block.Type)
}
