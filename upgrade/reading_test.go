package upgrade

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// signed returns a token of p with just this header and these claims.
func (p pair) signed(t testing.TB, header, claims string) []byte {
	t.Helper()
	enc := base64.RawURLEncoding.EncodeToString
	text := enc([]byte(header)) + "." + enc([]byte(claims))
	signature, err := jwt.GetSigningMethod(p.algorithm).Sign(text, p.private)
	if err != nil {
		t.Fatal(err)
	}
	return []byte(text + "." + enc(signature))
}

// claimsWith returns good claims and more.
func claimsWith(more string) string {
	return fmt.Sprintf(`{"sub":"alice","exp":%d%s}`, testNow.Add(time.Hour).Unix(), more)
}

// silentKeys are those of a key server that is asked elsewhere and never on a loop.
type silentKeys struct {
	*KeySet
	t *testing.T
}

func (s silentKeys) Ask(context.Context, string) (*KeySet, error) {
	s.t.Error("the key server was asked")
	return s.KeySet, nil
}

// TestOneReading: whatever a header says, where its token is verified and by what key come
// from one reading of it, and what can be read in two ways is refused before either.
func TestOneReading(t *testing.T) {
	t.Parallel()
	hs, es, slow, ed := pairOf("HS256"), pairOf("ES256"), pairOf("ES512"), pairOf("EdDSA")
	v := &JWT{Keys: silentKeys{keySet(t, Key{ID: "k1", Key: es.public}, Key{ID: "big", Key: slow.public}, Key{ID: "hs", Key: hs.public}, Key{ID: "ed", Key: ed.public}), t}}
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
		if id, err := v.Verify(token, testNow); err == nil || err == ErrSlow || id != nil {
			t.Errorf("%s: got %+v, %v, want it refused", c.name, id, err)
		}
		if _, err := wait(v, token); err == nil {
			t.Errorf("%s: good, elsewhere", c.name)
		}
	}
	// What is left is where it belongs.
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
			want = ErrSlow
		}
		if _, err := v.Verify(p.signed(t, header, fine), testNow); err != want {
			t.Errorf("%s: got %v, want %v", header, err, want)
		}
		if _, err := wait(v, p.signed(t, header, fine)); err != nil {
			t.Errorf("%s: got %v", header, err)
		}
	}
	// Without a name for its key, however that is said.
	for _, header := range []string{`{"alg":"ES256"}`, `{"alg":"ES256","kid":null}`, `{"alg":"ES256","kid":""}`} {
		if _, err := wait(v, es.signed(t, header, fine)); err != nil {
			t.Errorf("%s: got %v", header, err)
		}
	}
}

// TestNamesOfClaims: what two parsers would read in two ways is refused though it is signed.
func TestNamesOfClaims(t *testing.T) {
	t.Parallel()
	p := pairOf("HS256")
	v := &JWT{Keys: keySet(t, Key{Key: p.public})}
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
			if c != '.' && classes[c]&isBase64URL != 0 && at%7 != 0 {
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
		if _, err := v.Verify([]byte(token), testNow); err == nil || errors.Is(err, ErrTokenExpired) {
			t.Errorf("%q: got %v", token, err)
		}
	}
	for _, junk := range []string{"%0A", "%0D%0A", "%20", "%3D", "%00", "+", "%2B", "%C3%A9", "="} {
		if answer, _, _ := knock(authDoor, up("GET /ws?token="+good+junk+" HTTP/1.1")); verdict(answer) != "401 token_invalid" {
			t.Errorf("%s behind a token: got %s", junk, verdict(answer))
		}
		if answer, _, _ := knock(authDoor, up("GET /ws?token="+junk+good+" HTTP/1.1")); verdict(answer) != "401 token_invalid" {
			t.Errorf("%s before a token: got %s", junk, verdict(answer))
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
		if answer, _, _ := knock(authDoor, up(line, home)); verdict(answer) != want {
			t.Errorf("%.40s…%q: got %s, want %s", line, line[len(line)-8:], verdict(answer), want)
		}
	}
}

// otherBits returns the token with bits behind the end of its signature, which some
// decoders skip.
func otherBits(token string) string {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := len(token) - 1
	return token[:last] + string(digits[strings.IndexByte(digits, token[last])+1])
}

// TestDates: a time out of range is neither early nor late but no time.
func TestDates(t *testing.T) {
	t.Parallel()
	p := pairOf("HS256")
	v := &JWT{Keys: keySet(t, Key{Key: p.public})}
	now := testNow.Unix()
	for _, c := range []struct {
		claims string
		want   error // nil, ErrTokenExpired or any
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
		{`"exp":0`, ErrTokenExpired},
		{`"exp":1`, ErrTokenExpired},
		{`"exp":1e-400`, ErrTokenExpired},
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
		if (err == nil) != (c.want == nil) || errors.Is(err, ErrTokenExpired) != (c.want == ErrTokenExpired) {
			t.Errorf("%s: got %+v, %v, want %v", claims, id, err, c.want)
		}
	}
	// Half a second is half a second.
	half := fmt.Sprintf(`{"sub":"alice","nbf":%d.5,"exp":%d.5}`, now, now+1)
	for at, good := range map[time.Duration]bool{400: false, 600: true, 1400: true, 1600: false} {
		if _, err := (&JWT{Keys: v.Keys}).Verify(p.signed(t, `{"alg":"HS256"}`, half), time.Unix(now, 0).Add(at*time.Millisecond)); (err == nil) != good {
			t.Errorf("at %d ms: got %v, want good: %t", at, err, good)
		}
	}
}

// TestEd25519 is EdDSA, in a token and of a key.
func TestEd25519(t *testing.T) {
	t.Parallel()
	p := pairOf("EdDSA")
	for _, algorithm := range []string{"", "EdDSA", "Ed25519"} {
		set := keySet(t, Key{ID: "k", Algorithm: algorithm, Key: p.public})
		if !set.Equal([]Key{{ID: "k", Algorithm: "Ed25519", Key: p.public}}) {
			t.Errorf("%q: not the same key", algorithm)
		}
		v := &JWT{Keys: set}
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

// TestManyKeysAreSlow: one of two keys takes a loop as long as it may, both take longer.
func TestManyKeysAreSlow(t *testing.T) {
	t.Parallel()
	p, other := pairOf("ES256"), pairOf("HS256")
	v := &JWT{Keys: keySet(t, Key{ID: "a", Key: p.public}, Key{ID: "b", Key: p.public}, Key{Key: other.public})}
	for header, want := range map[string]error{`{"alg":"ES256"}`: ErrSlow, `{"alg":"ES256","kid":"b"}`: nil} {
		if _, err := v.Verify(p.signed(t, header, claimsWith("")), testNow); err != want {
			t.Errorf("%s: got %v, want %v", header, err, want)
		}
		if _, err := wait(v, p.signed(t, header, claimsWith(""))); err != nil {
			t.Errorf("%s: got %v", header, err)
		}
	}
}

// TestUnprepared: Respond does not wait, whoever forgot Prepare; the handlers remember.
func TestUnprepared(t *testing.T) {
	t.Parallel()
	p := pairOf("ES512")
	u := &Upgrader{Guards: []Guard{Bearer(&JWT{Keys: keySet(t, Key{Key: p.public})})}, Now: func() time.Time { return testNow }}
	head := up("Authorization: Bearer " + string(p.mint(t, nil, nil)))
	r := new(Request)
	if err := u.Parse([]byte(head), r); err != nil {
		t.Fatal(err)
	}
	if _, err := u.Respond(nil, r); !errors.Is(err, ErrSlow) || asRejection(err).Status != 500 {
		t.Errorf("got %v, want a 500 that says why", err)
	}
	ours, theirs := net.Pipe()
	go func() { _, _ = io.WriteString(theirs, head) }()
	judged := make(chan error)
	go func() { _, _, err := u.Upgrade(ours); judged <- err }()
	if answer, err := http.ReadResponse(bufio.NewReader(theirs), nil); err != nil || answer.StatusCode != 101 {
		t.Errorf("over a connection: got %v, %v", answer, err)
	}
	if err := <-judged; err != nil {
		t.Errorf("over a connection: got %v", err)
	}
	ours.Close()
	if err := u.Parse([]byte(head), r); err != nil {
		t.Fatal(err)
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	forged := new(Request)
	if err := u.Parse([]byte(up("Authorization: Bearer "+string(p.mint(t, nil, map[string]any{"sub": "bob"})))), forged); err != nil || !u.IsSlow(forged) {
		t.Fatal(err)
	}
	u.Prepare(gone, forged)
	if _, err := u.Respond(nil, forged); asRejection(err) == nil || asRejection(err).Status != 503 {
		t.Errorf("given up: got %v, want 503", err)
	}
}

// steps is a SlowVerifier each of whose tokens waits for a step of the test.
type steps struct {
	begun chan string
	step  chan struct{}
}

func (s *steps) Verify([]byte, time.Time) (*Identity, error) { return nil, ErrSlow }

func (s *steps) Begin(token []byte, _ time.Time) Verification { return &stepped{s, string(token)} }

type stepped struct {
	*steps
	token string
}

func (s *stepped) IsSlow() bool { return true }

func (s *stepped) Verify(time.Time) (*Identity, error) { return nil, ErrSlow }

func (s *stepped) Wait(ctx context.Context, _ time.Time) (*Identity, error) {
	select {
	case s.begun <- s.token:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case <-s.step:
		return nil, errors.New("forged")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// TestForgedTickets: a flood at POST /ticket, of one address and then of many, neither
// refuses upgrades, of the same address or another, nor has them wait for all of it; and
// when the clients have gone, nothing is left of it.
func TestForgedTickets(t *testing.T) { // not parallel: the places are those of the process
	s := &steps{begun: make(chan string), step: make(chan struct{})}
	handler := new(Tickets).Handler(s)
	ctx, leave := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	codes := make(chan int, 5000)
	flood := func(n int, from func(k int) string) {
		for k := range n {
			wg.Go(func() {
				req := httptest.NewRequestWithContext(ctx, "POST", "/ticket", nil)
				req.RemoteAddr = from(k)
				req.Header.Set("Authorization", "Bearer forged")
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, req)
				codes <- w.Code
			})
		}
	}
	const attacker = "192.0.2.1:1"
	flood(elsewhere.Places+elsewhere.Waiting+500, func(int) string { return attacker })
	for range elsewhere.Places {
		<-s.begun
	}
	for range 500 {
		if code := <-codes; code != http.StatusServiceUnavailable {
			t.Fatalf("one too many: got %d, want 503", code)
		}
	}
	u := &Upgrader{Guards: []Guard{Bearer(s)}}
	upgrade := func(from string) {
		t.Helper()
		r := new(Request)
		if err := u.Parse([]byte(up("Authorization: Bearer upgrade")), r); err != nil || !u.IsSlow(r) {
			t.Fatal(err)
		}
		r.RemoteAddr = netip.MustParseAddrPort(from)
		done := make(chan error)
		_, before := elsewhere.InUse()
		go func() {
			u.Prepare(t.Context(), r)
			_, err := u.Respond(nil, r)
			done <- err
		}()
		for now := before; now == before; _, now = elsewhere.InUse() {
			runtime.Gosched()
		}
		turns := 0
		for token := ""; token != "upgrade"; turns++ {
			s.step <- struct{}{} // one of those inside
			token = <-s.begun
		}
		if turns > 4 {
			t.Errorf("an upgrade from %s waited for %d others", from, turns)
		}
		for verdict := error(nil); verdict == nil; {
			select {
			case verdict = <-done:
			case s.step <- struct{}{}:
				<-s.begun
			}
			if verdict != nil && asRejection(verdict).Status != 401 {
				t.Errorf("an upgrade from %s: got %v", from, verdict)
			}
		}
	}
	s.step <- struct{}{}
	if code := <-codes; code != http.StatusUnauthorized {
		t.Errorf("a forged token: got %d, want 401", code)
	}
	<-s.begun
	upgrade(attacker)
	upgrade("198.51.100.1:1")
	upgrade("[2001:db8::1]:1")
	leave()
	wg.Wait()
	if inside, waiting := elsewhere.InUse(); inside != 0 || waiting != 0 {
		t.Errorf("%d are inside and %d wait, though all have gone", inside, waiting)
	}
}
