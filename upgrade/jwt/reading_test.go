package jwt

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	gojwt "github.com/golang-jwt/jwt/v5"
	"github.com/usher-ws/usher/upgrade"
)

// signed returns a token of p with just this header and these claims.
func (p pair) signed(t testing.TB, header, claims string) []byte {
	t.Helper()
	enc := base64.RawURLEncoding.EncodeToString
	text := enc([]byte(header)) + "." + enc([]byte(claims))
	signature, err := gojwt.GetSigningMethod(p.algorithm).Sign(text, p.private)
	if err != nil {
		t.Fatal(err)
	}
	return []byte(text + "." + enc(signature))
}

// claimsWith returns good claims and more.
func claimsWith(more string) string {
	return fmt.Sprintf(`{"sub":"alice","exp":%d%s}`, testNow.Add(time.Hour).Unix(), more)
}

// silentKeys are those of a key server that must not be asked.
type silentKeys struct {
	*KeySet
	t *testing.T
}

func (s silentKeys) Ask(context.Context, string) (*KeySet, error) {
	s.t.Error("the key server was asked")
	return s.KeySet, nil
}

// TestOneReading: where a token is verified, and with which key, follows from one reading of
// its header; a header that can be read in two ways is refused before either.
func TestOneReading(t *testing.T) {
	t.Parallel()
	hs, es, slow, ed := pairOf("HS256"), pairOf("ES256"), pairOf("ES512"), pairOf("EdDSA")
	v := &Verifier{Keys: silentKeys{keySet(t, Key{ID: "k1", Key: es.public}, Key{ID: "big", Key: slow.public}, Key{ID: "hs", Key: hs.public}, Key{ID: "ed", Key: ed.public}), t}}
	fine := claimsWith("")
	for _, c := range []struct {
		name   string
		p      pair
		header string
	}{
		{"kid and Kid", ed, `{"alg":"EdDSA","kid":"nope","Kid":"k1"}`},
		{"Kid and kid", ed, `{"alg":"EdDSA","Kid":"k1","kid":"nope"}`},
		{"kid and KID of a good token", es, `{"alg":"ES256","kid":"k1","KID":"nope"}`},
		{"alg and Alg", slow, `{"alg":"ES512","Alg":"HS256"}`},
		{"Alg and alg", slow, `{"Alg":"HS256","alg":"ES512","kid":"big"}`},
		{"alg twice", slow, `{"alg":"HS256","alg":"ES512","kid":"big"}`},
		{"kid twice", es, `{"alg":"ES256","kid":"nope","kid":"k1"}`},
		{"the same kid twice", es, `{"alg":"ES256","kid":"k1","kid":"k1"}`},
		{"an escaped alg", slow, `{"\u0061lg":"HS256","alg":"ES512","kid":"big"}`},
		{"an escaped Kid", es, `{"alg":"ES256","kid":"k1","\u004bid":"nope"}`},
		{"a Kelvin sign", es, `{"alg":"ES256","kid":"k1","\u212aid":"nope"}`},
		{"no alg but Alg", es, `{"Alg":"ES256","kid":"k1"}`},
		{"typ twice", es, `{"alg":"ES256","kid":"k1","typ":"JWT","Typ":"x"}`},
		{"twice deep within", es, `{"alg":"ES256","kid":"k1","x":[{"y":{"z":1,"z":2}}]}`},
		{"crit", es, `{"alg":"ES256","kid":"k1","crit":[]}`},
		{"crit null", es, `{"alg":"ES256","kid":"k1","crit":null}`},
		{"false for a kid", es, `{"alg":"ES256","kid":false}`},
		{"a list for a kid", es, `{"alg":"ES256","kid":["k1"]}`},
		{"not UTF-8", es, "{\"alg\":\"ES256\",\"kid\":\"k1\",\"x\":\"\xff\"}"},
		{"something behind it", es, `{"alg":"ES256","kid":"k1"}{}`},
		{"a list", es, `[{"alg":"ES256","kid":"k1"}]`},
		{"null", es, `null`},
	} {
		token := c.p.signed(t, c.header, fine)
		if v.Begin(token, testNow).IsSlow() {
			t.Errorf("%s: slow", c.name)
		}
		if id, err := v.Verify(token, testNow); err == nil || err == upgrade.ErrSlow || id != nil {
			t.Errorf("%s: got %+v, %v, want it refused", c.name, id, err)
		}
		if _, err := wait(v, token); err == nil {
			t.Errorf("%s: good, elsewhere", c.name)
		}
	}
	// All others are verified where they belong.
	for header, isSlow := range map[string]bool{
		`{"alg":"ES256","kid":"k1"}`: false, `{"alg":"ES512","kid":"big"}`: true,
		`{"kid":"k1","alg":"ES256","typ":"at+jwt","x":{"kid":1,"k":{"kid":2}}}`: false,
	} {
		p := es
		if isSlow {
			p = slow
		}
		want := error(nil)
		if isSlow {
			want = upgrade.ErrSlow
		}
		if _, err := v.Verify(p.signed(t, header, fine), testNow); err != want {
			t.Errorf("%s: got %v, want %v", header, err, want)
		}
		if _, err := wait(v, p.signed(t, header, fine)); err != nil {
			t.Errorf("%s: got %v", header, err)
		}
	}
	// Tokens that do not name their key, in three ways.
	for _, header := range []string{`{"alg":"ES256"}`, `{"alg":"ES256","kid":null}`, `{"alg":"ES256","kid":""}`} {
		if _, err := wait(v, es.signed(t, header, fine)); err != nil {
			t.Errorf("%s: got %v", header, err)
		}
	}
}

// TestNamesOfClaims: claims that two parsers would read in two ways are refused, though they
// are signed.
func TestNamesOfClaims(t *testing.T) {
	t.Parallel()
	p := pairOf("HS256")
	v := &Verifier{Keys: keySet(t, Key{Key: p.public})}
	for more, good := range map[string]bool{
		``: true, `,"x":{"sub":"a"},"y":[{"sub":"b"}]`: true, `,"rooms":["a:b","c"]`: true,
		`,"sub":"bob"`: false, `,"Sub":"bob"`: false, `,"\u0073ub":"bob"`: false, `,"EXP":1`: false, `,"exp":1`: false,
		`,"rooms":[],"Rooms":["a"]`: false, `,"x":{"y":1,"y":2}`: false, `,"x":[[{"y":1,"Y":2}]]`: false,
		",\"name\":\"\xff\"": false, `,"":1,"":2`: false,
	} {
		if _, err := v.Verify(p.signed(t, `{"alg":"HS256"}`, claimsWith(more)), testNow); (err == nil) != good {
			t.Errorf("%q: got %v, want good: %t", more, err, good)
		}
	}
}

// TestSpellings: a token has one spelling, and all others are token_invalid wherever they
// come from.
func TestSpellings(t *testing.T) {
	t.Parallel()
	good := goodToken("alice")
	v := mustHS256(testSecret)
	for at := range len(good) + 1 {
		for c := range 256 {
			if c != '.' && isBase64URL(byte(c)) && at%7 != 0 {
				continue // another token: some will do
			}
			for _, token := range []string{good[:at] + string([]byte{byte(c)}) + good[at:], good[:max(at-1, 0)] + string([]byte{byte(c)}) + good[at:]} {
				if _, err := v.Verify([]byte(token), testNow); err == nil && token != good {
					t.Fatalf("%q is good", token)
				}
			}
		}
	}
	parts := strings.Split(good, ".")
	for _, token := range []string{
		good + "=", good + "==", good + ".", good + ".x", "." + good, good + "..", parts[0] + "." + parts[1], parts[0] + "..",
		"." + parts[1] + "." + parts[2], parts[0] + "=." + parts[1] + "." + parts[2], parts[0] + ".." + parts[2], parts[0] + "." + parts[1] + ".",
		good + "\x00", good + "\u2028", "Bearer " + good, `"` + good + `"`, strings.ReplaceAll(good, ".", "。"), otherBits(good),
	} {
		if _, err := v.Verify([]byte(token), testNow); err == nil || errors.Is(err, upgrade.ErrTokenExpired) {
			t.Errorf("%q: got %v", token, err)
		}
	}
	for _, junk := range []string{"%0A", "%0D%0A", "%20", "%3D", "%00", "+", "%2B", "%C3%A9", "="} {
		if got, _ := knock(authDoor, up("GET /ws?token="+good+junk+" HTTP/1.1")); got != "401 token_invalid" {
			t.Errorf("%s behind a token: got %s", junk, got)
		}
		if got, _ := knock(authDoor, up("GET /ws?token="+junk+good+" HTTP/1.1")); got != "401 token_invalid" {
			t.Errorf("%s before a token: got %s", junk, got)
		}
	}
	const home = "Origin: https://chat.example"
	for line, want := range map[string]string{
		"Authorization: Bearer " + good + "=":                      "401 token_invalid",
		"Authorization: Bearer " + good + " x":                     "401 token_invalid",
		"Authorization: Bearer " + good + ",":                      "401 token_invalid",
		"Authorization: Bearer " + good + "\xe9":                   "401 token_invalid",
		"Authorization: Bearer  \t" + good + " ":                   "101",
		"Sec-WebSocket-Protocol: bearer, " + good + "~":            "401 token_invalid",
		"Sec-WebSocket-Protocol: bearer, " + good + "+":            "401 token_invalid",
		"Cookie: token=" + good + "%0A":                            "401 token_invalid",
		"Cookie: token=" + good + "=":                              "401 token_invalid",
		"Cookie: token=" + good + "\\":                             "401 token_invalid",
		"Cookie: token=" + good + "\xe9":                           "401 token_invalid",
		"Cookie: token=" + good + "; token=x\\":                    "400 token_ambiguous",
		"Cookie: a=b; token=x y":                                   "401 token_invalid",
		"Cookie: token=" + good + "; token=" + good + "; other=\\": "101",
	} {
		if got, _ := knock(authDoor, up(line, home)); got != want {
			t.Errorf("%.40s…%q: got %s, want %s", line, line[len(line)-8:], got, want)
		}
	}
}

// otherBits returns the token with other bits behind the end of its signature, which some
// decoders ignore.
func otherBits(token string) string {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := len(token) - 1
	return token[:last] + string(digits[strings.IndexByte(digits, token[last])+1])
}

// TestDates: a time out of range is neither early nor late: it is invalid.
func TestDates(t *testing.T) {
	t.Parallel()
	p := pairOf("HS256")
	v := &Verifier{Keys: keySet(t, Key{Key: p.public})}
	now := testNow.Unix()
	for _, c := range []struct {
		claims string
		want   error // nil, upgrade.ErrTokenExpired or any
	}{
		{`"exp":%d`, nil},
		{`"exp":%d.5`, nil},
		{`"exp":%d.999999999`, nil},
		{`"exp":253402300799`, nil},
		{`"exp":253402300800`, errAny},
		{`"exp":1e19`, errAny},
		{`"exp":-1e19`, errAny},
		{`"exp":9223372036854775808`, errAny},
		{`"exp":18446744073709551617`, errAny},
		{`"exp":1e300`, errAny},
		{`"exp":1e400`, errAny},
		{`"exp":NaN`, errAny},
		{`"exp":-1`, errAny},
		{`"exp":0`, upgrade.ErrTokenExpired},
		{`"exp":1`, upgrade.ErrTokenExpired},
		{`"exp":1e-400`, upgrade.ErrTokenExpired},
		{`"exp":"%d"`, errAny},
		{`"exp":[%d]`, errAny},
		{`"exp":null`, errAny},
		{`"exp":true`, errAny},
		{`"exp":{}`, errAny},
		{`"nbf":0,"exp":%d`, nil},
		{`"nbf":1.5,"exp":%d`, nil},
		{`"nbf":1e19,"exp":%d`, errAny},
		{`"nbf":-1,"exp":%d`, errAny},
		{`"nbf":9223372036854775808,"exp":%d`, errAny},
		{`"nbf":253402300799,"exp":%d`, errAny},
		{`"nbf":"0","exp":%d`, errAny},
		{`"nbf":null,"exp":%d`, errAny},
		{`"nbf":1e400,"exp":%d`, errAny},
		{`"iat":0,"exp":%d`, nil},
		{`"iat":1e19,"exp":%d`, errAny},
		{`"iat":-1e19,"exp":%d`, errAny},
		{`"iat":"now","exp":%d`, errAny},
		{`"iat":[],"exp":%d`, errAny},
	} {
		claims := c.claims
		if strings.Contains(claims, "%d") {
			claims = fmt.Sprintf(claims, now+60)
		}
		id, err := v.Verify(p.signed(t, `{"alg":"HS256"}`, `{"sub":"alice",`+claims+`}`), testNow)
		if (err == nil) != (c.want == nil) || errors.Is(err, upgrade.ErrTokenExpired) != (c.want == upgrade.ErrTokenExpired) {
			t.Errorf("%s: got %+v, %v, want %v", claims, id, err, c.want)
		}
	}
	// Half a second is half a second.
	half := fmt.Sprintf(`{"sub":"alice","nbf":%d.5,"exp":%d.5}`, now, now+1)
	for at, good := range map[time.Duration]bool{400: false, 600: true, 1400: true, 1600: false} {
		if _, err := (&Verifier{Keys: v.Keys}).Verify(p.signed(t, `{"alg":"HS256"}`, half), time.Unix(now, 0).Add(at*time.Millisecond)); (err == nil) != good {
			t.Errorf("at %d ms: got %v, want good: %t", at, err, good)
		}
	}
}

// TestEd25519: the name means EdDSA, in a token and of a key.
func TestEd25519(t *testing.T) {
	t.Parallel()
	p := pairOf("EdDSA")
	for _, algorithm := range []string{"", "EdDSA", "Ed25519"} {
		set := keySet(t, Key{ID: "k", Algorithm: algorithm, Key: p.public})
		if !set.Equal([]Key{{ID: "k", Algorithm: "Ed25519", Key: p.public}}) {
			t.Errorf("%q: not the same key", algorithm)
		}
		v := &Verifier{Keys: set}
		for _, named := range []string{"EdDSA", "Ed25519"} {
			if _, err := v.Verify(p.signed(t, `{"alg":"`+named+`","kid":"k"}`, claimsWith("")), testNow); err != nil {
				t.Errorf("%s by a key for %q: %v", named, algorithm, err)
			}
		}
		for _, named := range []string{"Ed448", "ed25519", "EDDSA", "HS256"} {
			if _, err := v.Verify(p.signed(t, `{"alg":"`+named+`","kid":"k"}`, claimsWith("")), testNow); err == nil {
				t.Errorf("%s is good", named)
			}
		}
	}
}

// TestManyKeysAreSlow: a loop has time to try one of two keys, but not both.
func TestManyKeysAreSlow(t *testing.T) {
	t.Parallel()
	p, other := pairOf("ES256"), pairOf("HS256")
	v := &Verifier{Keys: keySet(t, Key{ID: "a", Key: p.public}, Key{ID: "b", Key: p.public}, Key{Key: other.public})}
	for header, want := range map[string]error{`{"alg":"ES256"}`: upgrade.ErrSlow, `{"alg":"ES256","kid":"b"}`: nil} {
		if _, err := v.Verify(p.signed(t, header, claimsWith("")), testNow); err != want {
			t.Errorf("%s: got %v, want %v", header, err, want)
		}
		if _, err := wait(v, p.signed(t, header, claimsWith(""))); err != nil {
			t.Errorf("%s: got %v", header, err)
		}
	}
}

// TestHeaderOfTheLast: a header that a good token had is not read again, whatever tokens with
// others come between; only good ones count.
func TestHeaderOfTheLast(t *testing.T) {
	t.Parallel()
	hs, other := pairOf("HS256"), pairOf("HS384")
	v := &Verifier{Keys: keySet(t, Key{ID: "a", Key: hs.public, Algorithm: "HS256"}, Key{ID: "b", Key: hs.public, Algorithm: "HS256"})}
	a, b := `{"alg":"HS256","kid":"a"}`, `{"alg":"HS256","kid":"b"}`
	verify := func(text string, p pair, more string) *header {
		_, err := v.Verify(p.signed(t, text, claimsWith(more)), testNow)
		if good := p.algorithm == hs.algorithm && text != `{"alg":"HS256","kid":"c"}`; (err == nil) != good {
			t.Fatalf("%s, signed with %s: %v", text, p.algorithm, err)
		}
		return v.header.Load()
	}
	first := verify(a, hs, `,"n":1`)
	for k, c := range []struct {
		header string
		p      pair
		isSame bool
	}{
		{a, hs, true}, {`{"alg":"HS256","kid":"c"}`, hs, true}, {`{"alg":"HS384","kid":"a"}`, other, true},
		{b, hs, false}, {a, hs, false},
	} {
		if h := verify(c.header, c.p, fmt.Sprintf(`,"n":%d`, 2+k)); (h == first) != c.isSame {
			t.Errorf("after %s, signed with %s: %+v was remembered", c.header, c.p.algorithm, h)
		}
	}
	if h := v.header.Load(); h.kid != "a" || h.method.Alg() != "HS256" {
		t.Errorf("remembered %+v", h)
	}
	if _, err := v.Verify([]byte(strings.Replace(string(hs.signed(t, a, claimsWith(`,"n":9`))), ".", ".x.", 1)), testNow); err == nil {
		t.Error("a token of four parts is good")
	}
}
