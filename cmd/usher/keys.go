//go:build linux

package main

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/usher-ws/usher/upgrade/jwks"
	"github.com/usher-ws/usher/upgrade/jwt"
)

// keysFlags are the keys that may sign tokens, besides the secret.
type keysFlags struct {
	JWKS        string        `name:"jwks" placeholder:"URL|FILE" live:"" help:"A JSON Web Key Set whose keys may sign tokens, besides the secret."`
	JWKSRefresh time.Duration `name:"jwks-refresh" default:"5m" live:"" help:"How often --jwks is read."`
	JWKSGrace   time.Duration `name:"jwks-grace" default:"10m" live:"" help:"How long a key still counts that is no longer in --jwks, and a secret or public key that is no longer there after SIGHUP. A set that cannot be read changes nothing."`
	PublicKey   []keyFile     `placeholder:"[ALG:]FILE" live:"" help:"Public keys in PEM that verify tokens, besides the secret. RSA means RS256 unless ALG names another algorithm, as in PS256:key.pem."`
	Leeway      time.Duration `default:"0" live:"" help:"How far the exp and nbf of a token may be off."`
	claimFlags
}

// given reports whether any key was given.
func (f *keysFlags) given() bool { return f.JWKS != "" || len(f.PublicKey) > 0 }

func (f *keysFlags) validate() error {
	for name, d := range map[string]time.Duration{
		"--jwks-refresh": f.JWKSRefresh, "--jwks-grace": f.JWKSGrace, "--leeway": f.Leeway,
	} {
		if err := validTime(name, d); err != nil {
			return err
		}
	}
	if err := jwks.CheckLocation(f.JWKS); err != nil {
		return fmt.Errorf("--jwks: %w", err)
	}
	return nil
}

// privateKey reads the key that signs a token, and returns the algorithm that it is for.
func privateKey(file keyFile) (key crypto.Signer, algorithm string, err error) {
	text, err := readLines("--key", file.path)
	if err != nil {
		return nil, "", err
	}
	if key, err = parsePrivate(text); err != nil {
		return nil, "", usageError{fmt.Errorf("--key %s: %w", file.path, err)}
	}
	if algorithm = file.algorithm; algorithm == "" {
		algorithm = jwt.AlgorithmOf(key.Public())
	}
	if _, err := jwt.NewKeySet(jwt.Key{Algorithm: algorithm, Key: key.Public()}); err != nil {
		return nil, "", usageError{fmt.Errorf("--key %s: %w", file.path, err)}
	}
	return key, algorithm, nil
}

// parsePrivate returns the first private key in PEM.
func parsePrivate(text []byte) (crypto.Signer, error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		var key any
		var err error
		switch block.Type {
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		default:
			continue // parameters of a curve, perhaps
		}
		if err != nil {
			return nil, err
		}
		if signer, ok := key.(crypto.Signer); ok {
			return signer, nil
		}
		return nil, fmt.Errorf("a %T cannot sign", key)
	}
	return nil, errors.New("no private key in PEM: make one with `openssl genpkey -algorithm ed25519`")
}
