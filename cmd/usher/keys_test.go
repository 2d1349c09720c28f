//go:build linux

package main_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// keyPair is a key in files, for one algorithm.
type keyPair struct {
	algorithm       string
	private, public string // in PEM, or a secret twice
	signer          crypto.Signer
	privateFile     string
	publicFile      string
}

// newKeyPairs makes a key for every algorithm there is.
func newKeyPairs(t *testing.T) (all []keyPair) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for algorithm, size := range map[string]int{"HS256": 32, "HS384": 48, "HS512": 64} {
		text := strings.Repeat("s", size)
		file := write(algorithm, text)
		all = append(all, keyPair{algorithm, text, text, nil, file, file})
	}
	add := func(key crypto.Signer, algorithms ...string) {
		private, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		public, err := x509.MarshalPKIXPublicKey(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range algorithms {
			k := keyPair{algorithm: a, signer: key}
			k.private = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
			k.public = string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))
			k.privateFile, k.publicFile = write(a+".pem", k.private), write(a+".pub", k.public)
			all = append(all, k)
		}
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	add(rsaKey, "RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
	for algorithm, curve := range map[string]elliptic.Curve{"ES256": elliptic.P256(), "ES384": elliptic.P384(), "ES512": elliptic.P521()} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		add(key, algorithm)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	add(edKey, "EdDSA")
	slices.SortFunc(all, func(a, b keyPair) int { return strings.Compare(a.algorithm, b.algorithm) })
	return all
}

// isSecret reports whether the key is one for an HMAC.
func (k keyPair) isSecret() bool { return k.signer == nil }

// writeSet writes a key set with every key, named after its algorithm.
func writeSet(t *testing.T, path string, pairs []keyPair) {
	t.Helper()
	var keys []map[string]string
	for _, k := range pairs {
		keys = append(keys, k.jwk(t))
	}
	text, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (k keyPair) jwk(t *testing.T) map[string]string {
	t.Helper()
	enc := base64.RawURLEncoding.EncodeToString
	j := map[string]string{"kid": k.algorithm, "alg": k.algorithm}
	if k.isSecret() {
		j["kty"], j["k"] = "oct", enc([]byte(k.private))
		return j
	}
	switch key := k.signer.Public().(type) {
	case *rsa.PublicKey:
		j["kty"], j["n"], j["e"] = "RSA", enc(key.N.Bytes()), enc(big.NewInt(int64(key.E)).Bytes())
	case *ecdsa.PublicKey:
		point, err := key.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		half := len(point) / 2
		j["kty"], j["crv"], j["x"], j["y"] = "EC", key.Params().Name, enc(point[1:1+half]), enc(point[1+half:])
	case ed25519.PublicKey:
		j["kty"], j["crv"], j["x"] = "OKP", "Ed25519", enc(key)
	}
	return j
}
