//go:build linux

package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// natsNode starts the embedded server that the flags describe.
func natsNode(t *testing.T, f clusterFlags) *natsServer {
	t.Helper()
	f.Cluster = []string{embedded}
	if err := f.validate(); err != nil {
		t.Fatal(err)
	}
	m, err := f.read(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	n, err := startNATS(&f, m, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.close)
	return n
}

// tokenFile returns the name of a file with a token.
func tokenFile(t *testing.T, token string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(name, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// newCredentials returns some for NATS, which nobody has to take.
func newCredentials() string {
	account, err := nkeys.CreateAccount()
	if err != nil {
		panic(err)
	}
	user, err := nkeys.CreateUser()
	if err != nil {
		panic(err)
	}
	name, _ := user.PublicKey() // of a pair that is there nothing can fail
	seed, _ := user.Seed()
	token, err := jwt.NewUserClaims(name).Encode(account)
	if err != nil {
		panic(err)
	}
	text, err := jwt.FormatUserConfig(token, seed)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// TestEmbeddedNATS: two nodes pass on what is published at one to clients of the other, with a
// token and without; and let in nobody who lacks it.
func TestEmbeddedNATS(t *testing.T) {
	const token = "0123456789abcdef0123456789abcdef"
	for name, file := range map[string]string{"open": "", "token": tokenFile(t, token)} {
		t.Run(name, func(t *testing.T) {
			a := natsNode(t, clusterFlags{Node: "a", ClusterListen: "127.0.0.1:0", ClusterClientListen: "127.0.0.1:0", ClusterTokenFile: file})
			b := natsNode(t, clusterFlags{Node: "b", ClusterListen: "127.0.0.1:0", ClusterPeers: []string{a.ClusterAddr().String()}, ClusterTokenFile: file})
			var credential []nats.Option
			if file != "" {
				credential = append(credential, nats.Token(token))
				if c, err := nats.Connect(a.ClientURL()); err == nil {
					c.Close()
					t.Error("a client without the token is let in")
				}
				if c, err := nats.Connect("", nats.InProcessServer(a), nats.Token("another")); err == nil {
					c.Close()
					t.Error("a client with another token is let in")
				}
			}
			outside, err := nats.Connect(a.ClientURL(), credential...)
			if err != nil {
				t.Fatal(err)
			}
			defer outside.Close()
			inside, err := nats.Connect("", append(credential, nats.InProcessServer(b), nats.Token(b.token))...)
			if err != nil {
				t.Fatal(err)
			}
			defer inside.Close()
			heard, err := inside.SubscribeSync("usher.room.>")
			if err != nil {
				t.Fatal(err)
			}
			for { // until the nodes have found each other
				if err := errors.Join(outside.Publish("usher.room.lobby", []byte("hi")), outside.Flush()); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
				m, err := heard.NextMsgWithContext(ctx)
				cancel()
				if err == nil && string(m.Data) == "hi" {
					return
				}
			}
		})
	}
}

// TestEmbeddedNATSFails: a server that cannot listen says so, and does not run.
func TestEmbeddedNATSFails(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	for _, f := range []clusterFlags{
		{Node: "a", Cluster: []string{embedded}, ClusterListen: busy.Addr().String()},
		{Node: "a", Cluster: []string{embedded}, ClusterListen: "127.0.0.1:0", ClusterClientListen: busy.Addr().String()},
	} {
		n, err := startNATS(&f, &membership{node: "a"}, slog.New(slog.DiscardHandler))
		if err == nil {
			n.close()
		}
		if err == nil || !strings.Contains(err.Error(), "in use") {
			t.Errorf("%+v: got %v", f, err)
		}
	}
}

// TestClusterFlags: what does not go together is refused by name, and so is a cluster that others
// could join.
func TestClusterFlags(t *testing.T) {
	serve := []string{"nats://127.0.0.1:4222"}
	own := []string{embedded}
	for _, tt := range []struct {
		clusterFlags
		says string // "" if it is right
	}{
		{clusterFlags{}, ""},
		{clusterFlags{Cluster: serve}, ""},
		{clusterFlags{Cluster: []string{"nats://[::1]:4222", "nats://localhost"}}, ""},
		{clusterFlags{Cluster: own, ClusterListen: "127.0.0.1:6222"}, ""},
		{clusterFlags{Cluster: own, ClusterClientListen: "127.0.0.1:4222"}, ""},
		{clusterFlags{Cluster: []string{"nats://10.0.0.1"}, ClusterTokenFile: "f"}, ""},
		{clusterFlags{Cluster: []string{"nats://10.0.0.1"}, ClusterCreds: "f"}, ""},
		{clusterFlags{Cluster: []string{"nats://10.0.0.1"}, ClusterTLSCA: "f"}, ""},
		{clusterFlags{Cluster: []string{"tls://10.0.0.1"}}, ""},
		{clusterFlags{Cluster: own, ClusterListen: ":6222", ClusterTokenFile: "f"}, ""},
		{clusterFlags{Cluster: own, ClusterListen: ":6222", ClusterTLSCert: "f", ClusterTLSKey: "f", ClusterTLSCA: "f"}, ""},
		{clusterFlags{Node: "a"}, "--node"},
		{clusterFlags{ClusterListen: "127.0.0.1:1"}, "--cluster-listen"},
		{clusterFlags{Cluster: own}, "--cluster-listen"},
		{clusterFlags{Cluster: []string{embedded, "nats://127.0.0.1"}, ClusterListen: "127.0.0.1:1"}, "either"},
		{clusterFlags{Cluster: own, ClusterClientListen: "127.0.0.1:1", ClusterPeers: []string{"127.0.0.1:2"}}, "--cluster-listen"},
		{clusterFlags{Cluster: own, ClusterListen: "127.0.0.1:1", ClusterCreds: "f"}, "--cluster-creds"},
		{clusterFlags{Cluster: own, ClusterListen: "127.0.0.1:1", ClusterTLSCert: "f", ClusterTLSKey: "f"}, "--cluster-tls-ca"},
		{clusterFlags{Cluster: own, ClusterListen: "127.0.0.1:1", ClusterTLSCert: "f"}, "--cluster-tls-key"},
		{clusterFlags{Cluster: own, ClusterListen: "127.0.0.1"}, "HOST:PORT"},
		{clusterFlags{Cluster: own, ClusterListen: "127.0.0.1:1", ClusterPeers: []string{"here"}}, "--cluster-peers"},
		{clusterFlags{Cluster: own, ClusterListen: "127.0.0.1:1", Node: "a.b"}, "--node"},
		{clusterFlags{Cluster: serve, ClusterListen: "127.0.0.1:1"}, "--cluster embedded"},
		{clusterFlags{Cluster: serve, ClusterTokenFile: "f", ClusterCreds: "f"}, "--cluster-creds"},
		{clusterFlags{Cluster: []string{"redis://127.0.0.1"}}, "nats://HOST:PORT"},
		{clusterFlags{Cluster: []string{"nats://me:letmein@127.0.0.1"}}, "--cluster-token-file"},
		{clusterFlags{Cluster: []string{"nats://10.0.0.1"}}, "open to whoever"},
		{clusterFlags{Cluster: []string{"nats://127.0.0.1", "nats://example"}}, "open to whoever"},
		{clusterFlags{Cluster: own, ClusterListen: ":6222"}, "open to whoever"},
		{clusterFlags{Cluster: own, ClusterListen: "0.0.0.0:6222"}, "open to whoever"},
		{clusterFlags{Cluster: own, ClusterListen: "127.0.0.1:6222", ClusterPeers: []string{"10.0.0.2:6222"}}, "open to whoever"},
		{clusterFlags{Cluster: own, ClusterListen: "127.0.0.1:6222", ClusterClientListen: "10.0.0.2:6222"}, "open to whoever"},
	} {
		err := tt.validate()
		if err == nil {
			err = tt.fit()
		}
		if (err == nil) != (tt.says == "") || err != nil && (!strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "letmein")) {
			t.Errorf("%+v: got %v, want %q", tt.clusterFlags, err, tt.says)
		}
	}
}

// TestReadyNode: a node that starts waits for the cluster, and then goes on without it.
func TestReadyNode(t *testing.T) {
	r := runHere(t, "serve", "--listen", "127.0.0.1:0", "--cluster", "nats://127.0.0.1:1", "--node", "a")
	n, err := r.join(&clusterFlags{})
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	n.began = n.began.Add(time.Hour) // as long as this takes
	if status, text := n.ready(); status != http.StatusServiceUnavailable {
		t.Errorf("at the start: got %d %s", status, text)
	}
	n.began = time.Now().Add(-joinTime)
	if status, text := n.ready(); status != http.StatusOK || !strings.HasPrefix(text, "degraded") {
		t.Errorf("later: got %d %s", status, text)
	}
}
