//go:build linux

package bench

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/usher-ws/usher/bench/internal/load"
	"github.com/usher-ws/usher/bench/internal/play"
)

// behindTLS is a door with TLS before the fake, and the authority that is to be trusted.
func (f *fake) behindTLS(t *testing.T, change func(*tls.Config)) (url string, ca []byte) {
	t.Helper()
	srv := httptest.NewTLSServer(http.NotFoundHandler())
	srv.Close()
	config := &tls.Config{Certificates: srv.TLS.Certificates}
	if change != nil {
		change(config)
	}
	ln, err := tls.Listen("tcp4", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	inside := strings.TrimSuffix(strings.TrimPrefix(f.url, "ws://"), "/")
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			all.Go(func() { relay(c.(*tls.Conn), inside) })
		}
	})
	t.Cleanup(func() { ln.Close(); all.Wait() })
	return "wss://" + ln.Addr().String() + "/", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
}

// relay passes on what either side says, until both have ended.
func relay(c *tls.Conn, to string) {
	defer c.Close()
	if c.Handshake() != nil {
		return
	}
	inner, err := net.Dial("tcp4", to)
	if err != nil {
		return
	}
	defer inner.Close()
	var both sync.WaitGroup
	both.Go(func() {
		_, _ = io.Copy(inner, c)
		_ = inner.(*net.TCPConn).CloseWrite()
	})
	_, _ = io.Copy(c, inner)
	_ = c.CloseWrite()
	both.Wait()
}

// TestSecureScenarios: each scenario measures over TLS, and says so.
func TestSecureScenarios(t *testing.T) {
	f := new(fake).serve(t)
	url, ca := f.behindTLS(t, nil)
	refusing := &fake{door: func(c *fakeConn, _ *http.Request) bool { c.answer(401, "no"); return true }}
	refusing.serve(t)
	closed, authority := refusing.behindTLS(t, nil)
	common := func(url string, ca []byte) Common {
		c := f.short(5)
		c.URL, c.TLS.CA, c.Timeout = url, ca, patience
		return c
	}
	in := common(url, ca)
	for name, run := range map[string]func(ctx context.Context) (*Report, error){
		"echo":      Echo{Common: in, Size: 20_000}.Run,
		"open loop": Echo{Common: in, Rate: 200}.Run,
		"idle":      Idle{Common: in, Steps: 2, Hold: -1}.Run,
		"handshake": Handshake{in}.Run,
		"refuse":    Refuse{Common: common(closed, authority)}.Run,
		"flood":     Flood{Neighbours: Neighbours{Common: in}}.Run,
		"hostile":   Hostile{Neighbours: Neighbours{Common: in}, Attackers: 2, Attacks: []Attack{play.SlowHead, play.ResetStorm, play.Fragments}}.Run,
	} {
		t.Run(name, func(t *testing.T) {
			r, err := run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if !r.OK || !has(r.Text(), "TLS 1.3", "certificate verified") {
				t.Errorf("got %s", r.Text())
			}
			if door := name == "handshake" || name == "refuse"; door != has(r.Text(), ", TLS included") {
				t.Errorf("TLS included: got %v; %s", !door, r.Text())
			}
		})
	}
}

// TestSecureFaults: a handshake that fails counts as that, and what another command line
// would mend is said at once.
func TestSecureFaults(t *testing.T) {
	f := new(fake).serve(t)
	url, ca := f.behindTLS(t, nil)
	picky, trusted := f.behindTLS(t, func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert })
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	elsewhere := strings.Replace(url, "127.0.0.1", "localhost", 1)
	for _, tt := range []struct {
		name, url string
		tls       TLS
		says      string // of the UsageError; "" is none
		faulty    bool
	}{
		{"trusted", url, TLS{CA: ca}, "", false},
		{"not looked at", url, TLS{Insecure: true}, "", false},
		{"unknown authority", url, TLS{}, "the certificate does not verify: x509: certificate signed by unknown authority: name the authority with --ca FILE, or give --insecure", false},
		{"other name", elsewhere, TLS{CA: ca}, "not localhost: name the authority", false},
		{"no PEM", url, TLS{CA: []byte("x")}, "no certificate for --ca", false},
		{"both", url, TLS{CA: ca, Insecure: true}, "give one of --ca and --insecure", false},
		{"no TLS", strings.Replace(plain.URL, "http:", "wss:", 1) + "/", TLS{}, "does not speak TLS there: want ws://", false},
		{"refused by TLS", picky, TLS{CA: trusted}, "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := f.short(3)
			c.URL, c.TLS, c.Timeout = tt.url, tt.tls, patience
			r, err := Handshake{c}.Run(t.Context())
			usage := new(UsageError)
			switch {
			case tt.says != "":
				if !errors.As(err, &usage) || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "\n") {
					t.Errorf("got %v, want %q", err, tt.says)
				}
			case err != nil:
				t.Error(err)
			case r.OK == tt.faulty || r.Faults.Total() != r.Faults.Of(load.TLSFailed):
				t.Errorf("got %s", r.Text())
			case tt.faulty && !has(r.Text(), "certificate_required"):
				t.Errorf("it does not say why: %s", r.Text())
			}
		})
	}
}

// TestPair: the certificate is good for the names of all doors, and gone with the session.
func TestPair(t *testing.T) {
	p, err := newPair([]load.Target{{Name: "127.0.0.1"}, {Name: "127.0.0.1"}, {Name: "localhost"}, {Name: "::1"}})
	defer p.remove()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.LoadX509KeyPair(p.cert, p.key)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"127.0.0.1", "localhost", "::1"} {
		if err := cert.Leaf.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	if life := time.Until(cert.Leaf.NotAfter); life > tokenTTL {
		t.Errorf("it is good for %v", life)
	}
}
