//go:build linux

package main

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/usher-ws/usher/upgrade"
	"github.com/usher-ws/usher/upgrade/jwks"
	"github.com/usher-ws/usher/upgrade/jwt"
)

// keysFlags are the keys that may sign tokens, besides the secret.
type keysFlags struct {
	JWKS        string        `name:"jwks" placeholder:"URL|FILE" help:"A JSON Web Key Set whose keys may sign tokens, besides the secret."`
	JWKSRefresh time.Duration `name:"jwks-refresh" default:"5m" help:"How often --jwks is read."`
	JWKSGrace   time.Duration `name:"jwks-grace" default:"10m" help:"How long a key still counts that is no longer in --jwks. A set that cannot be read changes nothing."`
	PublicKey   []keyFile     `placeholder:"[ALG:]FILE" help:"Public keys in PEM that verify tokens, besides the secret. RSA means RS256 unless ALG names another algorithm, as in PS256:key.pem."`
	Leeway      time.Duration `default:"0" help:"How far the exp and nbf of a token may be off."`
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

// verifier returns the judge of tokens, which knows the secrets and all other keys. close
// ends its work in the background.
func (f *keysFlags) verifier(secrets []secret, log *slog.Logger) (v upgrade.Verifier, close func(), err error) {
	var local []jwt.Key
	for _, s := range secrets {
		local = append(local, jwt.Key{Algorithm: s.algorithm, Key: s.text})
	}
	for _, file := range f.PublicKey {
		text, err := readLines("--public-key", file.path)
		if err != nil {
			return nil, nil, err
		}
		keys, err := jwt.ParsePEM(text, file.algorithm)
		if err != nil {
			return nil, nil, usageError{fmt.Errorf("--public-key %s: %w", file.path, err)}
		}
		local = append(local, keys...)
	}
	door := &jwt.Verifier{Issuer: f.Issuer, Audience: f.Audience, Leeway: f.Leeway}
	if f.JWKS == "" {
		door.Keys, err = jwt.NewKeySet(local...)
		return door, func() {}, err
	}
	keys, err := jwks.Open(jwks.Source{
		Location: f.JWKS, Local: local, Refresh: orNone(f.JWKSRefresh), Grace: orNone(f.JWKSGrace), Logger: log,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read the key set: %w; name a URL or a file with --jwks", err)
	}
	door.Keys = keys
	return door, keys.Close, nil
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
