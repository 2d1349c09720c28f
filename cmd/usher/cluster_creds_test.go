//go:build linux

package main_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// operator is one of NATS's that knows one account, and lets in those to whom it gives credentials.
type operator struct {
	t       *testing.T
	account nkeys.KeyPair
	config  string // of a nats-server
}

func newOperator(t *testing.T) *operator {
	t.Helper()
	own, public := newKeys(t, nkeys.PrefixByteOperator)
	signed, err := jwt.NewOperatorClaims(public).Encode(own)
	if err != nil {
		t.Fatal(err)
	}
	account, name := newKeys(t, nkeys.PrefixByteAccount)
	known, err := jwt.NewAccountClaims(name).Encode(own)
	if err != nil {
		t.Fatal(err)
	}
	config := writeFile(t, filepath.Join(t.TempDir(), "nats.conf"), fmt.Sprintf("operator: %s\nresolver: MEMORY\nresolver_preload: { %s: %s }\n", signed, name, known))
	return &operator{t, account, config}
}

// newKeys returns a new pair, and the public key as text.
func newKeys(t *testing.T, of nkeys.PrefixByte) (pair nkeys.KeyPair, public string) {
	t.Helper()
	pair, err := nkeys.CreatePair(of)
	if err != nil {
		t.Fatal(err)
	}
	if public, err = pair.PublicKey(); err != nil {
		t.Fatal(err)
	}
	return pair, public
}

// credentials returns those of a new user, which end after that time; 0 is never.
func (o *operator) credentials(life time.Duration) string {
	o.t.Helper()
	user, public := newKeys(o.t, nkeys.PrefixByteUser)
	claims := jwt.NewUserClaims(public)
	if life != 0 {
		claims.Expires = time.Now().Add(life).Unix()
	}
	token, err := claims.Encode(o.account)
	if err != nil {
		o.t.Fatal(err)
	}
	seed, err := user.Seed()
	if err != nil {
		o.t.Fatal(err)
	}
	text, err := jwt.FormatUserConfig(token, seed)
	if err != nil {
		o.t.Fatal(err)
	}
	return string(text)
}

// isDegraded waits until /readyz says so, and why.
func (n *clusterNode) isDegraded(t *testing.T, why string) {
	t.Helper()
	eventually(t, "node "+n.name+" is degraded: "+why, func() bool {
		status, text := fetchPage(t, n.admin+"/readyz")
		return status == http.StatusOK && strings.HasPrefix(text, "degraded: ") && strings.Contains(strings.ToLower(text), why)
	})
}

// TestClusterCreds: a server that knows nobody but those with credentials of its operator lets in
// nodes that have some, and no others.
func TestClusterCreds(t *testing.T) {
	t.Parallel()
	o := newOperator(t)
	s := serveNATS(t, "-c", o.config)
	creds := func(text string) string { return writeFile(t, filepath.Join(t.TempDir(), "creds"), text) }
	a := serveNode(t, serve, "a", "--cluster", s.url, "--cluster-creds", creds(o.credentials(0)))
	b := serveNode(t, serve, "b", "--cluster", s.url, "--cluster-creds", creds(o.credentials(time.Hour)))
	meet(t, a, b)
	alice, bob := seat(t, a, "alice", "lobby"), seat(t, b, "bob", "lobby")
	together("alice, bob", alice, bob)
	alice.say("with credentials")
	bob.until("alice: with credentials")

	t.Run("of another operator", func(t *testing.T) {
		t.Parallel()
		file := creds(newOperator(t).credentials(0))
		n := serveNode(t, serve, "c", "--cluster", s.url, "--cluster-creds", file)
		n.says(t, "do not let this node in", "uthorization")
		n.isDegraded(t, "authorization violation")
		writeFile(t, file, o.credentials(0)) // which somebody has to do
		eventually(t, "it is let in", func() bool { return scrape(t, n.admin)["usher_cluster_nodes"] >= 3 })
	})
	t.Run("none", func(t *testing.T) {
		t.Parallel()
		n := serveNode(t, serve, "d", "--cluster", s.url)
		n.says(t, "do not let this node in")
		n.isDegraded(t, "authorization violation")
	})
	t.Run("that end", func(t *testing.T) {
		t.Parallel()
		n, file := (*clusterNode)(nil), ""
		for life := 8 * time.Second; n == nil; life *= 2 { // on a busy machine they end before they are shown
			file = creds(o.credentials(life))
			p := serveNode(t, serve, "e", "--cluster", s.url, "--cluster-creds", file)
			eventually(t, "it is let in, or not any more", func() bool {
				said := p.stderr.String()
				if strings.Contains(said, "connected to the cluster") {
					n = p
				}
				return n != nil || strings.Contains(said, "do not let this node in")
			})
			if n == nil {
				p.kill(t)
			}
		}
		n.says(t, "do not let this node in", "xpired")
		n.isDegraded(t, "auth")
		writeFile(t, file, o.credentials(0))
		eventually(t, "it is let in again", func() bool {
			status, text := fetchPage(t, n.admin+"/readyz")
			return status == http.StatusOK && strings.TrimSpace(text) == "ok"
		})
	})
}

// TestClusterCredsMistakes: what cannot let anybody in is told at the start, and none of it is shown.
func TestClusterCredsMistakes(t *testing.T) {
	t.Parallel()
	o := newOperator(t)
	good := o.credentials(0)
	token, seed, _ := strings.Cut(good, "************************* IMPORTANT")
	for name, tt := range map[string]struct{ text, says string }{
		"ended":      {o.credentials(-time.Minute), "have expired on "},
		"no JWT":     {strings.Repeat("secret", 8), "is no credentials file"},
		"no seed":    {token, "is no credentials file"},
		"seed alone": {seed, "is no credentials file"},
		"broken JWT": {replaced(t, good, "-----BEGIN NATS USER JWT-----\n", "-----BEGIN NATS USER JWT-----\nsecret.secret."), "is no credentials file"},
	} {
		file := writeFile(t, filepath.Join(t.TempDir(), "creds"), tt.text)
		for _, command := range []string{"serve", "check"} {
			got := finish(t, append(os.Environ(), "USHER_SECRET="+secret), command, "--listen", "127.0.0.1:0", "--cluster", "nats://127.0.0.1:1", "--cluster-creds", file)
			if got.code != 2 || strings.Count(got.stderr, "\n") != 1 || !strings.Contains(got.stderr, "--cluster-creds: ") || !strings.Contains(got.stderr, tt.says) ||
				strings.Contains(got.stderr, "secret") || strings.Contains(got.stderr, "SU") {
				t.Errorf("%s of %s: got %+v", command, name, got)
			}
		}
	}
}

// TestClusterRefused: servers that want another token, or a certificate, are named as the reason in
// the log and by /readyz.
func TestClusterRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca := issue(t, dir, "ca", nil, "CA")
	server, member := issue(t, dir, "server", ca, "localhost"), issue(t, dir, "member", ca, "member")
	s := serveNATS(t, "--tls", "--tlsverify", "--tlscert", server.cert, "--tlskey", server.key, "--tlscacert", ca.cert, "--auth", clusterToken)
	tls := func(id *identity) []string {
		return []string{"--cluster-tls-cert", id.cert, "--cluster-tls-key", id.key}
	}
	stranger := issue(t, dir, "stranger", nil, "stranger")
	for name, tt := range map[string]struct {
		token string
		with  []string
		why   string // "" if it is let in
	}{
		"member":              {clusterToken, tls(member), ""},
		"wrong-token":         {strings.Repeat("wrong", 8), tls(member), "authorization violation"},
		"without-certificate": {clusterToken, nil, "tls"},
		"strange-certificate": {clusterToken, tls(stranger), "tls"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := serveNode(t, serve, name, append(tt.with, "--cluster", s.url, "--cluster-tls-ca", ca.cert, clusterTokenFile(t, tt.token))...)
			if tt.why == "" {
				n.says(t, "connected to the cluster")
				return
			}
			n.isDegraded(t, tt.why)
			n.says(t, "do not let this node in")
			if said := n.stderr.String(); strings.Contains(said, tt.token) {
				t.Errorf("the token is in the log\n%s", said)
			}
		})
	}
}
