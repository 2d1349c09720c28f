//go:build linux

package main_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/gorilla/websocket"
)

// knock returns the status of an upgrade with the token.
func (p *program) knock(t testing.TB, path, token string) int {
	t.Helper()
	conn, resp, err := websocket.DefaultDialer.Dial("ws://"+p.addr+path, http.Header{"Authorization": {"Bearer " + token}})
	if err == nil {
		conn.Close()
		return http.StatusSwitchingProtocols
	}
	if resp == nil {
		t.Fatalf("no answer: %v", err)
	}
	return resp.StatusCode
}

// TestEveryAlgorithm: usher serve accepts what usher token signs, with keys from PEM files
// and from a key set, and under no other algorithm.
func TestEveryAlgorithm(t *testing.T) {
	t.Parallel()
	pairs := newKeyPairs(t)
	set := filepath.Join(t.TempDir(), "jwks.json")
	writeSet(t, set, pairs)
	args := []string{"--echo-auth", "/auth", "--jwks", set, "--issuer", "https://id.example", "--audience", "usher"}
	p := serve(t, args...)
	for _, k := range pairs {
		token := func(extra ...string) string {
			args := append([]string{"token", "--sub", "alice", "--kid", k.algorithm, "--issuer", "https://id.example", "--audience", "usher"}, extra...)
			if k.isSecret() {
				args = append(args, "--secret-file", k.algorithm+":"+k.privateFile)
			} else {
				args = append(args, "--key", k.algorithm+":"+k.privateFile)
			}
			got := finish(t, nil, args...)
			if got.code != 0 {
				t.Fatalf("usher %q: %+v", args, got)
			}
			return strings.TrimSpace(got.stdout)
		}
		if status := p.knock(t, "/auth", token()); status != 101 {
			t.Errorf("%s: got %d, want 101", k.algorithm, status)
		}
		if k.algorithm != "ES256" {
			continue
		}
		for _, wrong := range [][]string{{"--kid", "other"}, {"--issuer", "https://evil.example"}, {"--audience", "others"}, {"--kid", "../" + k.algorithm}} {
			if status := p.knock(t, "/auth", token(wrong...)); status != 401 {
				t.Errorf("%s with %q: got %d, want 401", k.algorithm, wrong, status)
			}
		}
	}
	// The same by PEM files, four of them for the key of RSA, and without kid.
	p = serve(t, publicKeys(pairs)...)
	for _, k := range pairs {
		if k.isSecret() {
			continue
		}
		signed, err := jwt.NewWithClaims(jwt.GetSigningMethod(k.algorithm), jwt.MapClaims{"sub": "a", "exp": time.Now().Add(time.Hour).Unix()}).SignedString(k.signer)
		if err != nil {
			t.Fatal(err)
		}
		if status := p.knock(t, "/auth", signed); status != 101 {
			t.Errorf("%s by its PEM file: got %d, want 101", k.algorithm, status)
		}
	}
	if status := p.knock(t, "/auth", token("alice")); status != 101 {
		t.Errorf("the secret beside public keys: got %d, want 101", status)
	}
	for _, k := range pairs {
		if k.algorithm != "RS256" {
			continue
		}
		confused, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"sub": "a", "exp": time.Now().Add(time.Hour).Unix()}).SignedString([]byte(k.public))
		if err != nil {
			t.Fatal(err)
		}
		if status := p.knock(t, "/auth", confused); status != 401 {
			t.Errorf("HS256 signed with the RSA public key: got %d, want 401", status)
		}
	}
}

// publicKeys are serve's flags for all public keys.
func publicKeys(pairs []keyPair) []string {
	args := []string{"--echo-auth", "/auth"}
	for _, k := range pairs {
		if !k.isSecret() {
			args = append(args, "--public-key", k.algorithm+":"+k.publicFile)
		}
	}
	return args
}

// TestKeyServer: during an outage of the key server, tokens of known keys are good, and
// clients with tokens of unknown keys are told when to come back.
func TestKeyServer(t *testing.T) {
	t.Parallel()
	pairs := newKeyPairs(t)
	at := func(a string) keyPair {
		return pairs[slices.IndexFunc(pairs, func(k keyPair) bool { return k.algorithm == a })]
	}
	mint := func(k keyPair) string {
		got := finish(t, nil, "token", "--sub", "alice", "--key", k.privateFile, "--kid", k.algorithm)
		return strings.TrimSpace(got.stdout)
	}
	var down atomic.Bool
	var hang atomic.Pointer[chan struct{}]
	var listed atomic.Pointer[[]map[string]string]
	listed.Store(&[]map[string]string{at("ES256").jwk(t)})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if c := hang.Load(); c != nil {
			<-*c
		}
		if down.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": *listed.Load()})
	}))
	defer server.Close()
	es, ed := mint(at("ES256")), mint(at("EdDSA"))
	cmd := usher(t, "serve", "--listen", "127.0.0.1:0", "--echo-auth", "/auth", "--jwks", server.URL, "--jwks-refresh", "100ms")
	cmd.Env = nil
	p := start(t, cmd)
	if strings.Contains(p.stdout.String(), "?token=") {
		t.Error("there are keys, and a secret was made up")
	}
	if resp, err := http.PostForm("http://"+p.addr+"/token", url.Values{"username": {"alice"}, "password": {"wonderland"}}); err != nil || resp.StatusCode != 404 {
		t.Errorf("log-in without a secret: got %v, %v, want 404", resp, err)
	} else {
		resp.Body.Close()
	}
	if status := p.knock(t, "/auth", es); status != 101 {
		t.Errorf("a listed key's: got %d, want 101", status)
	}
	down.Store(true)
	eventually(t, "503", func() bool { return p.knock(t, "/auth", ed) == http.StatusServiceUnavailable })
	_, resp, _ := websocket.DefaultDialer.Dial("ws://"+p.addr+"/auth?token="+ed, nil)
	if resp == nil || resp.Header.Get("Retry-After") == "" {
		t.Errorf("got %v, want a Retry-After", resp)
	}
	if status := p.knock(t, "/auth", es); status != 101 {
		t.Errorf("in the outage, a known key's: got %d, want 101", status)
	}
	if status := p.knock(t, "/auth", mint(at("RS256"))); status != http.StatusServiceUnavailable {
		t.Errorf("in the outage, one of a key that nobody lists: got %d, want 503", status)
	}
	listed.Store(&[]map[string]string{at("ES256").jwk(t), at("EdDSA").jwk(t)})
	down.Store(false)
	eventually(t, "101", func() bool { return p.knock(t, "/auth", ed) == http.StatusSwitchingProtocols })

	// While the key server is silent, only the client that needs it waits.
	silence := make(chan struct{})
	hang.Store(&silence)
	defer close(silence)
	time.Sleep(200 * time.Millisecond) // a reading or two, so that the next is under way
	conn, _, err := websocket.DefaultDialer.Dial("ws://"+p.addr+"/auth?token="+es, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	unknown := mint(at("RS256"))
	statuses := make(chan int, 4)
	for range cap(statuses) {
		go func() {
			_, resp, _ := websocket.DefaultDialer.Dial("ws://"+p.addr+"/auth?token="+unknown, nil)
			statuses <- resp.StatusCode
		}()
	}
	for range 50 {
		if err := conn.WriteMessage(websocket.TextMessage, []byte("hi")); err != nil {
			t.Fatal(err)
		}
		if _, _, err := conn.ReadMessage(); err != nil {
			t.Fatal(err)
		}
	}
	for range cap(statuses) {
		if status := <-statuses; status != http.StatusServiceUnavailable {
			t.Errorf("of a silent server: got %d, want 503", status)
		}
	}
}

// TestTicketReplay: a ticket opens one connection, even if others try it on other loops.
func TestTicketReplay(t *testing.T) {
	t.Parallel()
	p := serve(t, "--echo-auth", "/auth", "--loops", "2")
	for round := range 10 {
		req, err := http.NewRequest("POST", "http://"+p.addr+"/ticket", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token("alice"))
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var granted struct {
			Ticket    string `json:"ticket"`
			ExpiresIn int    `json:"expires_in"`
		}
		err = json.NewDecoder(resp.Body).Decode(&granted)
		resp.Body.Close()
		if err != nil || granted.Ticket == "" || granted.ExpiresIn != 30 {
			t.Fatalf("POST /ticket: got %+v, %v", granted, err)
		}
		paths := []string{"/auth", "/ws/lobby"}
		if a := ask(t, p.addr, strings.Join(get(paths[round%2]+"?ticket="+granted.Ticket, probe), "\r\n")+"\r\n\r\n"); a.status != 200 {
			t.Errorf("a probe: got %s", a)
		}
		var statuses sync.Map
		var wg sync.WaitGroup
		for k := range 8 {
			wg.Go(func() {
				conn, resp, err := websocket.DefaultDialer.Dial("ws://"+p.addr+paths[k%2]+"?ticket="+granted.Ticket, nil)
				if err == nil {
					defer conn.Close()
				}
				n, _ := statuses.LoadOrStore(resp.StatusCode, new(atomic.Int32))
				n.(*atomic.Int32).Add(1)
			})
		}
		wg.Wait()
		for status, want := range map[int]int32{101: 1, 401: 7} {
			n, _ := statuses.LoadOrStore(status, new(atomic.Int32))
			if got := n.(*atomic.Int32).Load(); got != want {
				t.Errorf("%d: got %d of them, want %d", status, got, want)
			}
		}
	}
}

// TestTokenExpires: the program closes a connection at its token's exp.
func TestTokenExpires(t *testing.T) {
	t.Parallel()
	p := serve(t, "--echo-auth", "/auth")
	w, exp := joinBriefly(t, p, "alice", "/auth")
	if reason := w.wantClose(4401); reason != "token_expired" {
		t.Errorf("got %q, want token_expired", reason)
	}
	if time.Now().Before(exp) {
		t.Error("closed before exp")
	}
}
