package jwt

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
	"time"

	gojwt "github.com/golang-jwt/jwt/v5"
)

// TestForgeries: what attackers try is refused, and takes less than a millisecond.
func TestForgeries(t *testing.T) {
	t.Parallel()
	rs, es, hs := pairOf("RS256"), pairOf("ES256"), pairOf("HS256")
	der, err := x509.MarshalPKIXPublicKey(rs.public)
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	v := &Verifier{Keys: keySet(t,
		Key{ID: "rs", Key: rs.public}, Key{ID: "es", Key: es.public}, Key{ID: "hs", Key: hs.public}, Key{Key: hs.public})}
	good := string(rs.mint(t, map[string]any{"kid": "rs"}, nil))
	if _, err := v.Verify([]byte(good), testNow); err != nil {
		t.Fatalf("the good token: %v", err)
	}
	kid := func(id any) []byte { return rs.mint(t, map[string]any{"kid": id}, nil) }
	confused := func(secret []byte, id string) []byte {
		return pair{"HS256", secret, nil}.mint(t, map[string]any{"kid": id}, nil)
	}
	raw := func(header, claims string) []byte {
		enc := base64.RawURLEncoding.EncodeToString
		return []byte(enc([]byte(header)) + "." + enc([]byte(claims)) + "." + enc(make([]byte, 256)))
	}
	fine := fmt.Sprintf(`{"sub":"alice","exp":%d}`, testNow.Add(time.Hour).Unix())
	for name, token := range map[string][]byte{
		"HS256 with the RSA key in PEM":       confused(public, "rs"),
		"HS256 with the RSA key in DER":       confused(der, "rs"),
		"HS256 with the RSA modulus":          confused(rs.public.(*rsa.PublicKey).N.Bytes(), "rs"),
		"HS256 with the RSA key, no kid":      confused(public, ""),
		"HS256 with the secret, the RSA's id": confused(hs.public.([]byte), "rs"),
		"RS256 with the id of the secret":     kid("hs"),
		"a path for a kid":                    kid("../../../../dev/null"),
		"an absolute path":                    kid("/dev/null"),
		"SQL for a kid":                       kid("x' UNION SELECT 'k"),
		"a URL for a kid":                     kid("http://127.0.0.1:1/jwks.json"),
		"a NUL in a kid":                      kid("rs\x00"),
		"a number for a kid":                  kid(7),
		"a list for a kid":                    kid([]string{"rs"}),
		"a long kid":                          kid(strings.Repeat("k", 4000)),
		"its own key in the header":           pair{"HS256", []byte("k"), nil}.mint(t, map[string]any{"jwk": map[string]string{"kty": "oct", "k": "aw"}}, nil),
		"a URL to its own keys":               rs.mint(t, map[string]any{"jku": "http://127.0.0.1:1/", "x5u": "http://127.0.0.1:1/", "kid": "own"}, nil),
		"crit":                                rs.mint(t, map[string]any{"kid": "rs", "crit": []string{"b64"}, "b64": false}, nil),
		"none":                                raw(`{"alg":"none"}`, fine),
		"None":                                raw(`{"alg":"None","kid":"rs"}`, fine),
		"none, unsigned":                      unsigned(),
		"no alg":                              raw(`{"kid":"rs"}`, fine),
		"alg is a list":                       raw(`{"alg":["RS256"],"kid":"rs"}`, fine),
		"an unknown alg":                      raw(`{"alg":"RS257","kid":"rs"}`, fine),
		"an encrypted token":                  raw(`{"alg":"RSA-OAEP","enc":"A256GCM","kid":"rs"}`, fine),
		"five parts":                          []byte(good + ".a.b"),
		"four parts":                          []byte(good + "."),
		"nothing but dots":                    []byte(".."),
		"7 KiB of dots":                       bytes.Repeat([]byte("."), 7<<10),
		"7 KiB of a":                          bytes.Repeat([]byte("a"), 7<<10),
		"7 KiB of claims":                     raw(`{"alg":"RS256","kid":"rs"}`, `{"a":"`+strings.Repeat("b", 5<<10)+`"}`),
		"7 KiB of brackets":                   raw(`{"alg":"RS256","kid":"rs"}`, strings.Repeat("[", 5<<10)),
		"7 KiB of objects":                    raw(`{"alg":"RS256","kid":"rs"}`, strings.Repeat(`{"a":`, 1000)+"1"+strings.Repeat("}", 1000)),
		"7 KiB of header":                     raw(`{"alg":"RS256","kid":"rs","a":`+strings.Repeat("[", 2000)+strings.Repeat("]", 2000)+`}`, fine),
		"7 KiB of good claims, forged":        raw(`{"alg":"ES256","kid":"es"}`, fine[:len(fine)-1]+`,"a":"`+strings.Repeat("b", 5<<10)+`"}`),
		"a token in a token":                  raw(`{"alg":"RS256","kid":"rs","cty":"JWT"}`, good),
		"a token in a token, signed":          nested(t, rs, good),
		"an exp beyond all clocks":            rs.mint(t, map[string]any{"kid": "rs"}, map[string]any{"exp": json.Number("1e300")}),
		"an exp of the year 10000":            rs.mint(t, map[string]any{"kid": "rs"}, map[string]any{"exp": lastDate + 1}),
		"a changed signature":                 []byte(good[:len(good)-8] + "AAAAAAAA"),
		"another's claims":                    swapClaims(good, string(es.mint(t, nil, map[string]any{"sub": "root"}))),
	} {
		if id, err := v.Verify(token, testNow); err == nil || id != nil {
			t.Errorf("%s: got %+v, want an error", name, id)
		}
		said, err := knock(doorOf(v), up("Authorization: Bearer "+string(token)))
		if said != "401 token_invalid" {
			t.Errorf("%s: got %s, want 401 token_invalid", name, said)
		}
		for part := range strings.SplitSeq(string(token), ".") {
			if len(part) > 24 && strings.Contains(err.Error(), part) {
				t.Errorf("%s: the error tells the token: %v", name, err)
			}
		}
		if v.Begin(token, testNow).IsSlow() {
			t.Errorf("%s: a fixed set of quick keys is slow", name)
		}
		limit := time.Millisecond
		if raceEnabled {
			limit *= 10
		}
		if took := fastest(20, func() { _, _ = v.Verify(token, testNow) }); took > limit {
			t.Errorf("%s: took %v, want less than %v", name, took, limit)
		} else {
			t.Logf("%s: %v", name, took)
		}
	}
}

// fastest returns the shortest of n runs.
func fastest(n int, f func()) time.Duration {
	least := time.Duration(1 << 62)
	for range n {
		begin := time.Now()
		f()
		least = min(least, time.Since(begin))
	}
	return least
}

// nested signs a token as the payload of another.
func nested(t *testing.T, p pair, inner string) []byte {
	enc := base64.RawURLEncoding.EncodeToString
	s := enc([]byte(`{"alg":"RS256","kid":"rs","cty":"JWT"}`)) + "." + enc([]byte(inner))
	sig, err := gojwt.GetSigningMethod(p.algorithm).Sign(s, p.private)
	if err != nil {
		t.Fatal(err)
	}
	return []byte(s + "." + enc(sig))
}

func swapClaims(good, other string) []byte {
	g, o := strings.Split(good, "."), strings.Split(other, ".")
	return []byte(g[0] + "." + o[1] + "." + g[2])
}
