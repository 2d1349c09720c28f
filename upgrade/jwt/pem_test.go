package jwt

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"testing"
)

func TestParsePEM(t *testing.T) {
	t.Parallel()
	block := func(kind string, der []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	}
	pkix := func(key any) []byte {
		der, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return block("PUBLIC KEY", der)
	}
	rs, es, ed := pairOf("RS256"), pairOf("ES384"), pairOf("EdDSA")
	private, err := x509.MarshalPKCS8PrivateKey(rs.private)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name      string
		text      []byte
		algorithm string
		want      []Key
	}{
		{"RSA", pkix(rs.public), "", []Key{{Algorithm: "RS256", Key: rs.public}}},
		{"RSA for PS512", pkix(rs.public), "PS512", []Key{{Algorithm: "PS512", Key: rs.public}}},
		{"PKCS #1", block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(rs.public.(*rsa.PublicKey))), "", []Key{{Algorithm: "RS256", Key: rs.public}}},
		{"three, and text around them", bytes.Join([][]byte{pkix(rs.public), pkix(es.public), pkix(ed.public)}, []byte("# next\n")), "",
			[]Key{{Algorithm: "RS256", Key: rs.public}, {Algorithm: "ES384", Key: es.public}, {Algorithm: "EdDSA", Key: ed.public}}},
		{"ECDSA for another curve", pkix(es.public), "ES256", nil},
		{"RSA for HS256", pkix(rs.public), "HS256", nil},
		{"a private key", block("PRIVATE KEY", private), "", nil},
		{"a private key after a public one", append(pkix(rs.public), block("PRIVATE KEY", private)...), "", nil},
		{"garbage in a block", block("PUBLIC KEY", []byte("garbage")), "", nil},
		{"a certificate of garbage", block("CERTIFICATE", []byte("garbage")), "", nil},
		{"something else", block("X509 CRL", nil), "", nil},
		{"a secret", []byte("0123456789abcdef0123456789abcdef"), "", nil},
		{"nothing", nil, "", nil},
	} {
		keys, err := ParsePEM(c.text, c.algorithm)
		if (err != nil) != (c.want == nil) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
			continue
		}
		if err == nil && !keySet(t, c.want...).Equal(keys) {
			t.Errorf("%s: got %v, want %v", c.name, keys, c.want)
		}
	}
}
