package jwt

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	gojwt "github.com/golang-jwt/jwt/v5"
	"github.com/usher-ws/usher/upgrade"
)

// pair is a key that signs for one algorithm, and the one that verifies it.
type pair struct {
	algorithm string
	private   any
	public    any
}

// pairs has one for every algorithm; the RSA and ECDSA keys are made once.
var pairs = sync.OnceValue(func() (all []pair) {
	for name, size := range minSecrets {
		secret := bytes.Repeat([]byte{'s'}, size)
		all = append(all, pair{name, secret, secret})
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	for _, name := range []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"} {
		all = append(all, pair{name, key, &key.PublicKey})
	}
	for name, curve := range map[string]elliptic.Curve{"ES256": elliptic.P256(), "ES384": elliptic.P384(), "ES512": elliptic.P521()} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			panic(err)
		}
		all = append(all, pair{name, key, &key.PublicKey})
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	all = append(all, pair{"EdDSA", private, public})
	slices.SortFunc(all, func(a, b pair) int { return strings.Compare(a.algorithm, b.algorithm) })
	return all
})

func pairOf(algorithm string) pair {
	all := pairs()
	return all[slices.IndexFunc(all, func(p pair) bool { return p.algorithm == algorithm })]
}

// mint returns a token signed by p, with header lines and claims beside a sub and
// an exp; nil takes one of those away.
func (p pair) mint(t testing.TB, header, claims map[string]any) []byte {
	t.Helper()
	token := gojwt.NewWithClaims(gojwt.GetSigningMethod(p.algorithm), gojwt.MapClaims{"sub": "alice", "exp": testNow.Add(time.Hour).Unix()})
	for k, v := range header {
		token.Header[k] = v
	}
	for k, v := range claims {
		if token.Claims.(gojwt.MapClaims)[k] = v; v == nil {
			delete(token.Claims.(gojwt.MapClaims), k)
		}
	}
	s, err := token.SignedString(p.private)
	if err != nil {
		t.Fatal(err)
	}
	return []byte(s)
}

func keySet(t testing.TB, keys ...Key) *KeySet {
	t.Helper()
	set, err := NewKeySet(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// TestEveryAlgorithm: a key verifies what it signed, and nothing else does, the
// same key under another algorithm included.
func TestEveryAlgorithm(t *testing.T) {
	t.Parallel()
	for _, p := range pairs() {
		token := p.mint(t, nil, nil)
		for _, q := range pairs() {
			v := &Verifier{Keys: keySet(t, Key{Algorithm: q.algorithm, Key: q.public})}
			_, err := wait(v, token)
			if good := err == nil; good != (p.algorithm == q.algorithm) {
				t.Errorf("a token of %s with the key for %s: %v", p.algorithm, q.algorithm, err)
			}
		}
	}
}

// TestKeyIDs: which keys a token may be signed with.
func TestKeyIDs(t *testing.T) {
	t.Parallel()
	rs, other := pairOf("RS256"), pairOf("ES256")
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	named, anonymous, wrong := Key{ID: "a", Key: rs.public}, Key{Key: rs.public}, Key{ID: "b", Key: &stranger.PublicKey}
	for _, c := range []struct {
		name string
		keys []Key
		kid  string
		good bool
	}{
		{"its own", []Key{wrong, named}, "a", true},
		{"another's", []Key{wrong, named}, "b", false},
		{"unknown", []Key{wrong, named}, "c", false},
		{"none, and two that fit", []Key{wrong, named}, "", true},
		{"none, and one without an ID", []Key{wrong, anonymous}, "", true},
		{"unknown, and one without an ID", []Key{wrong, anonymous}, "c", true},
		{"another's, and one without an ID", []Key{wrong, anonymous}, "b", false},
		{"of another algorithm, and one without an ID", []Key{{ID: "c", Key: other.public}, anonymous}, "c", false},
		{"two keys of one name", []Key{{ID: "a", Key: &stranger.PublicKey}, named}, "a", true},
		{"none, and as many as are tried", append(slices.Repeat([]Key{wrong}, maxTries-1), named), "", true},
		{"none, and one more", append(slices.Repeat([]Key{wrong}, maxTries), named), "", false},
		{"none, and one without an ID behind many that have one", append(slices.Repeat([]Key{wrong}, 2*maxTries), anonymous), "", true},
		{"its own, of many without an ID", append(slices.Repeat([]Key{{Key: &stranger.PublicKey}}, 2*maxTries), named), "a", true},
	} {
		header := map[string]any{"kid": c.kid}
		if c.kid == "" {
			header = nil
		}
		v := &Verifier{Keys: keySet(t, c.keys...)}
		if _, err := wait(v, rs.mint(t, header, nil)); (err == nil) != c.good {
			t.Errorf("kid %s: got %v, want good: %t", c.name, err, c.good)
		}
	}
}

func TestBadKeys(t *testing.T) {
	t.Parallel()
	rs, es := pairOf("RS256").public, pairOf("ES256").public
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Skip(err)
	}
	for name, keys := range map[string][]Key{
		"a short secret":           {{Key: make([]byte, 31)}},
		"a short secret for HS512": {{Algorithm: "HS512", Key: make([]byte, 63)}},
		"a secret for RS256":       {{Algorithm: "RS256", Key: make([]byte, 64)}},
		"RSA for HS256":            {{Algorithm: "HS256", Key: rs}},
		"RSA for ES256":            {{Algorithm: "ES256", Key: rs}},
		"RSA of 1024 bits":         {{Key: &weak.PublicKey}},
		"P-256 for ES384":          {{Algorithm: "ES384", Key: es}},
		"none":                     {{Algorithm: "none", Key: rs}},
		"a private key":            {{Key: weak}},
		"no key":                   {{}},
		"half an Ed25519 key":      {{Key: ed25519.PublicKey(make([]byte, 31))}},
	} {
		if set, err := NewKeySet(keys...); err == nil {
			t.Errorf("%s: got %+v, want an error", name, set)
		}
	}
	if _, err := HS256(make([]byte, 31)); err == nil {
		t.Error("a secret of 31 bytes was taken")
	}
}

func TestClaims(t *testing.T) {
	t.Parallel()
	p := pairOf("HS256")
	v := &Verifier{Keys: keySet(t, Key{Key: p.public}), Issuer: "https://id.example", Audience: "usher", Leeway: 30 * time.Second}
	iss, aud := "https://id.example", "usher"
	at := func(d time.Duration) int64 { return testNow.Add(d).Unix() }
	for _, c := range []struct {
		name   string
		claims map[string]any
		want   error // nil, upgrade.ErrTokenExpired or anything
	}{
		{"all", map[string]any{"iss": iss, "aud": aud}, nil},
		{"one of several audiences", map[string]any{"iss": iss, "aud": []string{"a", aud}}, nil},
		{"no issuer", map[string]any{"aud": aud}, errAny},
		{"another issuer", map[string]any{"iss": iss + ".evil.example", "aud": aud}, errAny},
		{"no audience", map[string]any{"iss": iss}, errAny},
		{"another audience", map[string]any{"iss": iss, "aud": "ushers"}, errAny},
		{"expired within the leeway", map[string]any{"iss": iss, "aud": aud, "exp": at(-29 * time.Second)}, nil},
		{"expired", map[string]any{"iss": iss, "aud": aud, "exp": at(-31 * time.Second)}, upgrade.ErrTokenExpired},
		{"soon", map[string]any{"iss": iss, "aud": aud, "nbf": at(29 * time.Second)}, nil},
		{"not so soon", map[string]any{"iss": iss, "aud": aud, "nbf": at(31 * time.Second)}, errAny},
		{"no sub", map[string]any{"iss": iss, "aud": aud, "sub": nil}, errAny},
		{"no exp", map[string]any{"iss": iss, "aud": aud, "exp": nil}, errAny},
	} {
		id, err := v.Verify(p.mint(t, nil, c.claims), testNow)
		if c.want == nil && err != nil || c.want != nil && err == nil || c.want == upgrade.ErrTokenExpired != errors.Is(err, upgrade.ErrTokenExpired) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
		if err == nil && !id.ExpiresAt.After(testNow) {
			t.Errorf("%s: the upgrade.Identity has expired at %v", c.name, id.ExpiresAt)
		}
	}
}

var errAny = errors.New("any error")

// switchedKeys are Keys that a test changes.
type switchedKeys struct {
	set   atomic.Pointer[KeySet]
	newer *KeySet // what Ask finds; nil: nothing
	err   error
	asked atomic.Int32
}

func (s *switchedKeys) Current() *KeySet { return s.set.Load() }

func (s *switchedKeys) Ask(context.Context, string) (*KeySet, error) {
	s.asked.Add(1)
	if s.newer != nil {
		s.set.Store(s.newer)
	}
	return s.set.Load(), s.err
}

// TestRotationFlushesTheCache: a token that was good by an old set of keys is judged anew.
func TestRotationFlushesTheCache(t *testing.T) {
	t.Parallel()
	rs := pairOf("RS256")
	token := rs.mint(t, map[string]any{"kid": "a"}, nil)
	keys := new(switchedKeys)
	keys.set.Store(keySet(t, Key{ID: "a", Key: rs.public}))
	v := &Verifier{Keys: keys}
	verifyTwice(t, v, token)
	first, err := v.Verify(token, testNow)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := v.Verify(token, testNow); again != first {
		t.Error("the token was not remembered")
	}
	keys.set.Store(keySet(t, Key{ID: "a", Key: rs.public}, Key{ID: "b", Key: pairOf("EdDSA").public}))
	if second, err := v.Verify(token, testNow); err != nil || second == first {
		t.Errorf("after a key was added: got %p, %v, want another than %p", second, err, first)
	}
	keys.set.Store(keySet(t, Key{ID: "b", Key: pairOf("EdDSA").public}))
	if _, err := v.Verify(token, testNow); err == nil {
		t.Error("the key is gone and its token is good")
	}
}

// TestAsk: Ask is called only for a token that an unknown key may have signed.
func TestAsk(t *testing.T) {
	t.Parallel()
	rs, es, hs := pairOf("RS256"), pairOf("ES256"), pairOf("HS256")
	down := upgrade.Reject(503, upgrade.CodeUnavailable, "down")
	set := func() *KeySet { return keySet(t, Key{ID: "a", Key: rs.public}, Key{Key: hs.public}) }
	for _, c := range []struct {
		name  string
		token []byte
		newer *KeySet
		err   error
		asked int32
		slow  bool
		want  error
	}{
		{"known", rs.mint(t, map[string]any{"kid": "a"}, nil), nil, down, 0, false, nil},
		{"known without a kid", rs.mint(t, nil, nil), nil, down, 0, true, nil},
		{"the secret's", hs.mint(t, nil, nil), nil, down, 0, false, nil},
		{"forged with a known kid", es.mint(t, map[string]any{"kid": "a"}, nil), nil, down, 0, false, errAny},
		{"a forged secret", pair{"HS256", make([]byte, 32), nil}.mint(t, map[string]any{"kid": "x"}, nil), nil, down, 0, false, errAny},
		{"expired", rs.mint(t, nil, map[string]any{"exp": 1}), nil, down, 0, true, upgrade.ErrTokenExpired},
		{"unknown, and nobody to ask", es.mint(t, map[string]any{"kid": "b"}, nil), nil, down, 1, true, down},
		{"unknown to all", es.mint(t, map[string]any{"kid": "b"}, nil), nil, nil, 1, true, errAny},
		{"new", es.mint(t, map[string]any{"kid": "b"}, nil), keySet(t, Key{ID: "b", Key: es.public}), nil, 1, true, nil},
		{"garbage", []byte("a.b.c"), nil, down, 0, false, errAny},
		{"none", unsigned(), nil, down, 0, false, errAny},
	} {
		keys := &switchedKeys{newer: c.newer, err: c.err}
		keys.set.Store(set())
		v := &Verifier{Keys: keys}
		if slow := v.Begin(c.token, testNow).IsSlow(); slow != c.slow {
			t.Errorf("%s: slow: got %t, want %t", c.name, slow, c.slow)
		}
		if _, err := v.Verify(c.token, testNow); (err == upgrade.ErrSlow) != c.slow || keys.asked.Load() != 0 {
			t.Errorf("%s: Verify: got %v, asked %d times", c.name, err, keys.asked.Load())
		}
		_, err := wait(v, c.token)
		if c.want == nil && err != nil || c.want != nil && err == nil || c.want != errAny && !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
		if got := keys.asked.Load(); got != c.asked {
			t.Errorf("%s: asked %d times, want %d", c.name, got, c.asked)
		}
		if err == nil && v.Begin(c.token, testNow).IsSlow() {
			t.Errorf("%s: slow although it is remembered", c.name)
		}
	}
}

// TestCostlyKeysAreSlow: Prepare verifies their tokens, and Respond finds the answer.
func TestCostlyKeysAreSlow(t *testing.T) {
	t.Parallel()
	es := pairOf("ES512")
	counted := &countedVerifier{Verifier: Verifier{Keys: keySet(t, Key{Key: es.public}, Key{Key: pairOf("HS256").public})}}
	u := doorOf(counted)
	ask := func(lines ...string) *upgrade.Request {
		r := new(upgrade.Request)
		if err := u.Parse([]byte(up(lines...)), r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	bearer := "Authorization: Bearer " + string(es.mint(t, nil, nil))
	noUpgrade := new(upgrade.Request)
	if err := u.Parse([]byte("GET /ws HTTP/1.1\r\nHost: h\r\n"+bearer+"\r\n\r\n"), noUpgrade); err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]*upgrade.Request{
		"no token":       ask(),
		"a quick key":    ask("Authorization: Bearer " + string(pairOf("HS256").mint(t, nil, nil))),
		"garbage":        ask("Authorization: Bearer x"),
		"a foreign page": ask(bearer, "Origin: https://evil.example"),
		"no upgrade":     noUpgrade,
	} {
		if u.IsSlow(r) {
			t.Errorf("%s: slow", name)
		}
	}
	r := ask(bearer)
	if !u.IsSlow(r) {
		t.Fatal("a token of ES512 is not slow")
	}
	r = r.Clone()
	done := make(chan struct{})
	go func() { defer close(done); u.Prepare(t.Context(), r) }()
	<-done
	if _, err := u.Respond(nil, r); err != nil || r.Identity == nil || r.Identity.Subject != "alice" {
		t.Errorf("got %v, %+v", err, r.Identity)
	}
	if n := counted.calls.Load(); n != 1 {
		t.Errorf("verified %d times, want once", n)
	}
	if u.IsSlow(ask(bearer)) {
		t.Error("slow although it is remembered")
	}
}

type countedVerifier struct {
	Verifier
	calls atomic.Int32
}

func (c *countedVerifier) Begin(token []byte, now time.Time) upgrade.Verification {
	return &counted{c.Verifier.Begin(token, now), &c.calls}
}

type counted struct {
	upgrade.Verification
	calls *atomic.Int32
}

func (c *counted) Wait(ctx context.Context, now time.Time) (*upgrade.Identity, error) {
	c.calls.Add(1)
	return c.Verification.Wait(ctx, now)
}

// wait verifies a token whatever it takes.
func wait(v upgrade.SlowVerifier, token []byte) (*upgrade.Identity, error) {
	return v.Begin(token, testNow).Wait(context.Background(), testNow)
}

// TestIdentityOwnsItsMemory: the head may be reused while the Identity lives.
func TestIdentityOwnsItsMemory(t *testing.T) {
	t.Parallel()
	token := []byte(goodToken("alice"))
	id, err := mustHS256(testSecret).Verify(token, testNow)
	clear(token)
	if err != nil || id.Subject != "alice" || id.Claims["sub"] != "alice" || !id.ExpiresAt.Equal(testNow.Add(time.Hour)) {
		t.Errorf("%+v, %v", id, err)
	}
}
