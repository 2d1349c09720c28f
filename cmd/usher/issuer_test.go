//go:build linux

package main

import (
	"crypto/tls"
	"crypto/x509"
	"testing"
	"time"
)

// TestOverdue: a renewal is missed when autocert has had time for it.
func TestOverdue(t *testing.T) {
	begin := time.Now()
	const day = 24 * time.Hour
	for _, tt := range []struct {
		lives, after time.Duration
		want         bool
	}{
		{90 * day, 60*day + time.Hour, false}, {90 * day, 60*day + 3*time.Hour, true},
		{6 * day, 4*day + time.Hour, false}, {6 * day, 4*day + 3*time.Hour, true},
		{365 * day, 335*day + time.Hour, false}, {365 * day, 335*day + 3*time.Hour, true},
		{3 * time.Hour, 2*time.Hour + 11*time.Minute, false}, {3 * time.Hour, 2*time.Hour + 13*time.Minute, true},
		{time.Hour, 2 * time.Hour, true},
	} {
		cert := &tls.Certificate{Leaf: &x509.Certificate{NotBefore: begin, NotAfter: begin.Add(tt.lives)}}
		if got := isOverdue(cert, begin.Add(tt.after)); got != tt.want {
			t.Errorf("%v of %v: got %t", tt.after, tt.lives, got)
		}
	}
}

// TestWitness: of what a CA says it is the last problem that counts, of this domain or of all.
func TestWitness(t *testing.T) {
	w := new(witness)
	for _, tt := range []struct{ says, want string }{
		{`{"status":"pending","identifier":{"type":"dns","value":"a.example"},"challenges":[{"type":"tls-alpn-01","status":"pending"}]}`, ""},
		{`{"type":"urn:ietf:params:acme:error:badNonce","detail":"again"}`, ""},
		{`{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many"}`, "too many"},
		{`{"status":"invalid","identifier":{"type":"dns","value":"a.example"},"challenges":[{"status":"invalid","error":{"type":"urn:ietf:params:acme:error:connection","detail":"refused"}}]}`, "refused"},
		{`{"status":"invalid","identifier":{"type":"dns","value":"b.example"},"challenges":[{"status":"invalid","error":{"detail":"of b"}}]}`, "refused"},
		{`{"status":"invalid","error":{"detail":"the order"}}`, "the order"},
		{`no JSON`, "the order"},
	} {
		if w.hear([]byte(tt.says)); w.last("a.example") != tt.want {
			t.Errorf("%s: got %q, want %q", tt.says, w.last("a.example"), tt.want)
		}
	}
}
