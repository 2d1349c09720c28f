package jwt

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	gojwt "github.com/golang-jwt/jwt/v5"
	"github.com/usher-ws/usher/upgrade"
)

func TestCacheForgets(t *testing.T) {
	t.Parallel()
	var c cache
	keys := new(KeySet)
	alice := &upgrade.Identity{Subject: "alice", ExpiresAt: testNow.Add(time.Minute)}
	token := []byte("alice's")
	find := func(token []byte, keys *KeySet, now time.Time) *upgrade.Identity {
		if e := c.find(token, keys, now); e != nil {
			return e.id
		}
		return nil
	}
	c.keep(string(token), keys, alice, testNow)
	if got := find([]byte("alice's"), keys, testNow); got != alice {
		t.Errorf("got %v, want alice", got)
	}
	for name, got := range map[string]*upgrade.Identity{
		"another token": find([]byte("alice'z"), keys, testNow),
		"other keys":    find(token, &KeySet{slow: true}, testNow),
		"at exp":        find(token, keys, alice.ExpiresAt),
		"after exp":     find(token, keys, alice.ExpiresAt.Add(time.Hour)),
	} {
		if got != nil {
			t.Errorf("%s: got %v, want nothing", name, got)
		}
	}
	clear(token) // it was the caller's
	if got := find([]byte("alice's"), keys, testNow); got != alice {
		t.Errorf("after the caller's bytes changed: got %v, want alice", got)
	}
	long := []byte(strings.Repeat("l", maxCached+1))
	c.keep(string(long), keys, alice, testNow)
	if got := find(long, keys, testNow); got != nil {
		t.Errorf("a token of %d bytes was kept", len(long))
	}
}

// TestCacheIsBounded: however many tokens there are, it holds 256, and those
// that expired go first.
func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	if size := unsafe.Sizeof(cache{}); size > 2<<10+64 {
		t.Errorf("an empty cache has %d bytes, want 2 KiB and a little", size)
	}
	var c cache
	keys := new(KeySet)
	id := &upgrade.Identity{ExpiresAt: testNow.Add(time.Minute)}
	var wg sync.WaitGroup
	for k := range 4 {
		wg.Go(func() {
			for n := range 5000 {
				token := fmt.Appendf(nil, "%d %d", k, n)
				c.keep(string(token), keys, id, testNow)
				if got := c.find(token, keys, testNow); got != nil && got.id != id {
					t.Errorf("%s: got somebody else", token)
				}
			}
		})
	}
	wg.Wait()
	live := func(now time.Time) (n int) {
		for i := range c.sets {
			for j := range c.sets[i] {
				if e := c.sets[i][j].Load(); e != nil && e.counts(keys, now) {
					n++
				}
			}
		}
		return n
	}
	if got := live(testNow); got < 200 || got > 256 {
		t.Errorf("%d tokens are remembered, want close to 256", got)
	}
	later := id.ExpiresAt
	c.keep("new", keys, &upgrade.Identity{ExpiresAt: later.Add(time.Minute)}, later)
	if got := live(later); got != 1 {
		t.Errorf("%d tokens count after all but one expired, want 1", got)
	}
}

// TestCacheWeighs: what the cache says it takes is what it takes of the heap, whatever the
// claims are.
func TestCacheWeighs(t *testing.T) {
	if raceEnabled {
		t.Skip("objects are larger under the race detector")
	}
	heap := func() int {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	for name, claims := range map[string]gojwt.MapClaims{
		"few":    {"sub": "alice"},
		"usual":  {"sub": "alice", "iss": "https://id.example", "aud": []string{"chat", "files"}, "iat": testNow.Unix(), "rooms": []string{"lobby"}},
		"nested": {"sub": "alice", "realm": map[string]any{"roles": []string{"a", "b", "c"}, "of": map[string]any{"x": 1, "y": 2.5, "z": nil}}},
		"many":   {"sub": strings.Repeat("a", 100), "1": 1, "2": true, "3": "c", "4": "d", "5": "e", "6": "f", "7": "g", "8": "h", "9": "i", "10": "j", "11": "k"},
	} {
		v := mustHS256(testSecret)
		v.seen.add(new(digest), v.current()) // they take what they take
		before := heap()
		claims["exp"] = testNow.Add(time.Hour).Unix()
		for k := range 500 {
			claims["jti"] = fmt.Sprint("a number of the token: ", k)
			verifyTwice(t, v, []byte(sign(claims)))
		}
		took, said := heap()-before, v.cache.size
		if said < took*7/10 || said > took*13/10 {
			t.Errorf("%s: it takes %d bytes, and says %d", name, took, said)
		}
		runtime.KeepAlive(v)
	}
}

func verifyTwice(t *testing.T, v *Verifier, token []byte) {
	t.Helper()
	for range 2 {
		if _, err := v.Verify(token, testNow); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCacheInAFlood: however many distinct tokens come, each of them twice, it stays as large
// as it is.
func TestCacheInAFlood(t *testing.T) {
	tokens := 100_000
	if testing.Short() || raceEnabled {
		tokens = 20_000
	}
	v := mustHS256(testSecret)
	mac := hmac.New(sha256.New, testSecret)
	head := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256"}`)) + "."
	var text, sum []byte
	most := 0
	for k := range tokens {
		text = append(text[:0], head...)
		text = base64.RawURLEncoding.AppendEncode(text, fmt.Appendf(nil, `{"sub":"user-%d","exp":%d,"pad":"%0*d"}`, k, testNow.Unix()+3600, k%1000, 0))
		mac.Reset()
		mac.Write(text)
		sum = mac.Sum(sum[:0])
		text = base64.RawURLEncoding.AppendEncode(append(text, '.'), sum)
		verifyTwice(t, v, text)
		if most = max(most, v.cache.size); most > cacheBytes {
			t.Fatalf("after %d tokens it takes %d bytes", k+1, most)
		}
	}
	size := 0
	for i := range v.cache.sets {
		for j := range v.cache.sets[i] {
			if e := v.cache.sets[i][j].Load(); e != nil {
				size += e.weigh()
			}
		}
	}
	if size != v.cache.size || size < cacheBytes*9/10 {
		t.Errorf("its entries take %d bytes, it says %d", size, v.cache.size)
	}
}

// tokenHeads are upgrades with a token, by the place where they have it.
func tokenHeads(token string) map[string][]byte {
	const home = "Origin: https://chat.example"
	return map[string][]byte{
		"header":      []byte(up("Authorization: Bearer " + token)),
		"subprotocol": []byte(up("Sec-WebSocket-Protocol: bearer, " + token)),
		"cookie":      []byte(up("Cookie: a=b; token="+token, home)),
		"query":       []byte(up("GET /ws?token=" + token + " HTTP/1.1")),
	}
}

// door judges a head as an engine does.
func door(u *upgrade.Upgrader, head []byte) func() {
	r, out := new(upgrade.Request), []byte(nil)
	return func() {
		if _, err := u.Read(head, 0, r); err == nil {
			out, _ = u.Respond(out[:0], r)
		}
	}
}

// raceEnabled: the race detector makes sync.Pool forget, and so allocate.
var raceEnabled bool

// TestCachedTokenAllocatesNothing beyond what an upgrade without a token does.
func TestCachedTokenAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("counts are not ours under the race detector")
	}
	for name, head := range tokenHeads(goodToken("alice")) {
		if got, _ := knock(authDoor, string(head)); got != "101" {
			t.Fatalf("%s: got %s", name, got)
		}
		want := testing.AllocsPerRun(1000, door(new(upgrade.Upgrader), []byte(up())))
		if got := testing.AllocsPerRun(1000, door(authDoor, head)); got > want {
			t.Errorf("a token in the %s: %v allocations, %v without", name, got, want)
		}
	}
}

func run(b *testing.B, f func()) {
	b.ReportAllocs()
	for b.Loop() {
		f()
	}
}

func BenchmarkVerifyCached(b *testing.B) {
	token, v := []byte(goodToken("alice")), mustHS256(testSecret)
	run(b, func() {
		if _, err := v.Verify(token, testNow); err != nil {
			b.Fatal(err)
		}
	})
}

// uncached verifies a token as if it had not come before.
func uncached(t testing.TB) func() {
	token, v := []byte(goodToken("alice")), mustHS256(testSecret)
	return func() {
		r := v.read(token, v.current())
		r.seen = false
		if _, err := r.Verify(testNow); err != nil {
			t.Fatal(err)
		}
	}
}

// golangJWT verifies the same token with golang-jwt alone.
func golangJWT(t testing.TB) func() {
	token := goodToken("alice")
	p := gojwt.NewParser(gojwt.WithValidMethods([]string{"HS256"}), gojwt.WithExpirationRequired(),
		gojwt.WithTimeFunc(func() time.Time { return testNow }))
	return func() {
		if _, err := p.Parse(token, func(*gojwt.Token) (any, error) { return testSecret, nil }); err != nil {
			t.Fatal(err)
		}
	}
}

// BenchmarkVerifySeen verifies a token that has come once before.
func BenchmarkVerifySeen(b *testing.B) {
	token, v := []byte(goodToken("alice")), mustHS256(testSecret)
	keys := v.current()
	run(b, func() {
		if _, err := v.read(token, keys).Verify(testNow); err != nil {
			b.Fatal(err)
		}
	})
}

func BenchmarkVerifyUncached(b *testing.B)  { run(b, uncached(b)) }
func BenchmarkVerifyGolangJWT(b *testing.B) { run(b, golangJWT(b)) }

// BenchmarkAgainstGolangJWT takes turns, so that whatever else the machine is doing slows
// both alike: what does a token cost beyond what golang-jwt takes for it?
func BenchmarkAgainstGolangJWT(b *testing.B) {
	ours, theirs := uncached(b), golangJWT(b)
	var turns [2][]float64
	for b.Loop() {
		for i, f := range []func(){ours, theirs} {
			begin := time.Now()
			for range 100 {
				f()
			}
			turns[i] = append(turns[i], float64(time.Since(begin))/100)
		}
	}
	for i := range turns {
		slices.Sort(turns[i])
	}
	median := len(turns[0]) / 2
	b.ReportMetric(turns[0][median], "ns/ours")
	b.ReportMetric(turns[1][median], "ns/golang-jwt")
	b.ReportMetric(turns[0][median]-turns[1][median], "ns/more")
	b.ReportMetric(0, "ns/op")
}

func BenchmarkAcceptCachedToken(b *testing.B) {
	head := tokenHeads(goodToken("alice"))["header"]
	run(b, door(authDoor, head))
}
