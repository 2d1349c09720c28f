//go:build linux

package main_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// signWith returns a token with exactly this header and these claims.
func signWith(t *testing.T, method jwt.SigningMethod, key any, header, claims string) string {
	t.Helper()
	enc := base64.RawURLEncoding.EncodeToString
	text := enc([]byte(header)) + "." + enc([]byte(claims))
	signature, err := method.Sign(text, key)
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + enc(signature)
}

// TestContractSpellings: row 9 of docs/CODES.md: a token in another spelling, with a name
// that is there twice, or with a time out of range is token_invalid, at the door and at
// POST /ticket.
func TestContractSpellings(t *testing.T) {
	t.Parallel()
	p := serve(t, "--echo-auth", "/auth")
	soon := time.Now().Add(time.Hour).Unix()
	mint := func(header, claims string) string {
		return signWith(t, jwt.SigningMethodHS256, []byte(secret), header, claims)
	}
	good := mint(`{"alg":"HS256"}`, fmt.Sprintf(`{"sub":"alice","exp":%d}`, soon))
	upgrade := func(query string, lines ...string) string {
		a := ask(t, p.addr, head(get("/auth"+query, append(lines, "Upgrade: websocket", "Connection: Upgrade",
			"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")...)...))
		return fmt.Sprint(a.status, " ", a.code())
	}
	ticket := func(token string) string {
		a := ask(t, p.addr, "POST /ticket HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer "+token+"\r\nContent-Length: 0\r\n\r\n")
		return fmt.Sprint(a.status, " ", a.code())
	}
	if got := ticket(good); !strings.HasPrefix(got, "200") {
		t.Fatalf("the good token: got %s", got)
	}
	const refused = "401 token_invalid"
	for _, junk := range []string{"%0A", "%0D%0A", "%0d", "%20", "%3D", "=", "%00", "."} {
		if got := upgrade("?token=" + good + junk); got != refused {
			t.Errorf("?token=T%s: got %s", junk, got)
		}
		if got := upgrade("?token=" + good[:9] + junk + good[9:]); got != refused {
			t.Errorf("%s within: got %s", junk, got)
		}
	}
	for name, token := range map[string]string{
		"an exp of 1e19":     mint(`{"alg":"HS256"}`, `{"sub":"alice","exp":1e19}`),
		"an exp of -1":       mint(`{"alg":"HS256"}`, `{"sub":"alice","exp":-1}`),
		"an exp of 1e400":    mint(`{"alg":"HS256"}`, `{"sub":"alice","exp":1e400}`),
		"an nbf of 1e19":     mint(`{"alg":"HS256"}`, fmt.Sprintf(`{"sub":"alice","exp":%d,"nbf":1e19}`, soon)),
		"an iat in words":    mint(`{"alg":"HS256"}`, fmt.Sprintf(`{"sub":"alice","exp":%d,"iat":"now"}`, soon)),
		"two subjects":       mint(`{"alg":"HS256"}`, fmt.Sprintf(`{"sub":"root","exp":%d,"sub":"alice"}`, soon)),
		"sub and Sub":        mint(`{"alg":"HS256"}`, fmt.Sprintf(`{"Sub":"root","exp":%d,"sub":"alice"}`, soon)),
		"alg and Alg":        mint(`{"alg":"HS256","Alg":"ES512"}`, fmt.Sprintf(`{"sub":"alice","exp":%d}`, soon)),
		"alg, escaped":       mint(`{"\u0061lg":"none","alg":"HS256"}`, fmt.Sprintf(`{"sub":"alice","exp":%d}`, soon)),
		"a number for a kid": mint(`{"alg":"HS256","kid":1}`, fmt.Sprintf(`{"sub":"alice","exp":%d}`, soon)),
		"an = behind it":     good + "=",
		"a fourth segment":   good + ".",
	} {
		if got := upgrade("?token=" + url.QueryEscape(token)); got != refused {
			t.Errorf("%s, in the query: got %s", name, got)
		}
		if got := upgrade("", "Authorization: Bearer "+token); got != refused {
			t.Errorf("%s, in the header: got %s", name, got)
		}
		if got := ticket(token); got != refused {
			t.Errorf("%s, at POST /ticket: got %s", name, got)
		}
	}
	for _, kid := range []string{`null`, `""`} { // count as absent
		token := mint(`{"alg":"HS256","kid":`+kid+`}`, fmt.Sprintf(`{"sub":"alice","exp":%d}`, soon))
		if got := upgrade("", "Authorization: Bearer "+token); got != "101 " {
			t.Errorf("a kid of %s: got %s, want 101", kid, got)
		}
	}
	for _, junk := range []string{"%0A", "%20", "="} {
		if got := upgrade("?ticket=" + strings.Repeat("A", 22) + junk); got != "401 ticket_invalid" {
			t.Errorf("?ticket=T%s: got %s", junk, got)
		}
	}
}

// TestContractForgedHeader: a header that two parsers read in two ways does not lead to a key
// server, which is silent for as long as the test runs.
func TestContractForgedHeader(t *testing.T) {
	t.Parallel()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	pair := keyPair{algorithm: "EdDSA", signer: key}
	jwk := pair.jwk(t)
	jwk["kid"] = "k1"
	silence, first := make(chan struct{}), true
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if first {
			first = false
			fmt.Fprintf(w, `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k1","x":%q}]}`, jwk["x"])
			return
		}
		select {
		case <-silence:
		case <-r.Context().Done():
		}
	}))
	defer server.Close()
	defer close(silence)
	p := serve(t, "--echo-auth", "/auth", "--loops", "1", "--jwks", server.URL)
	claims := fmt.Sprintf(`{"sub":"alice","exp":%d}`, time.Now().Add(time.Hour).Unix())
	for header, want := range map[string]int{
		`{"alg":"EdDSA","kid":"k1"}`:               101,
		`{"alg":"Ed25519","kid":"k1"}`:             101,
		`{"alg":"EdDSA","kid":"nope","Kid":"k1"}`:  401,
		`{"alg":"EdDSA","Kid":"nope","kid":"k1"}`:  401,
		`{"alg":"EdDSA","kid":"k1","kid":"nope"}`:  401,
		`{"alg":"EdDSA","\u006bid":"x","KID":"y"}`: 401,
		`{"alg":"EdDSA","kid":"k1","crit":["x"]}`:  401,
		`{"alg":"none","kid":"nope"}`:              401,
		`{"alg":"HS256","kid":"nope"}`:             401,
	} {
		if got := p.knock(t, "/auth", signWith(t, jwt.SigningMethodEdDSA, key, header, claims)); got != want {
			t.Errorf("%s: got %d, want %d", header, got, want)
		}
	}
}
