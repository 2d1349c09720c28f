package upgrade

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/golang-jwt/jwt/v5"
)

func TestCacheForgets(t *testing.T) {
	t.Parallel()
	var c tokenCache
	keys := new(KeySet)
	alice := &Identity{Subject: "alice", ExpiresAt: testNow.Add(time.Minute)}
	token := []byte("alice's")
	find := func(token []byte, keys *KeySet, now time.Time) *Identity {
		if e := c.find(token, keys, now); e != nil {
			return e.id
		}
		return nil
	}
	c.keep(string(token), keys, alice, testNow)
	if got := find([]byte("alice's"), keys, testNow); got != alice {
		t.Errorf("got %v, want alice", got)
	}
	for name, got := range map[string]*Identity{
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

// TestCacheIsBounded: however many tokens there are, it holds 4,096, and those
// that expired go first.
func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	if size := unsafe.Sizeof(tokenCache{}); size > 32<<10 {
		t.Errorf("an empty cache has %d bytes, want at most 32 KiB", size)
	}
	var c tokenCache
	keys := new(KeySet)
	id := &Identity{ExpiresAt: testNow.Add(time.Minute)}
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
	if got := live(testNow); got < 3000 || got > 4096 {
		t.Errorf("%d tokens are remembered, want close to 4096", got)
	}
	later := id.ExpiresAt
	c.keep("new", keys, &Identity{ExpiresAt: later.Add(time.Minute)}, later)
	if got := live(later); got != 1 {
		t.Errorf("%d tokens count after all but one expired, want 1", got)
	}
}

// tokenHeads are upgrades with one token, by where they have it.
func tokenHeads(token string) map[string][]byte {
	with := func(line string) []byte {
		return []byte(strings.Replace(browserHead, "Pragma: no-cache", line, 1))
	}
	return map[string][]byte{
		"header":      with("Authorization: Bearer " + token),
		"subprotocol": with("Sec-WebSocket-Protocol: bearer, " + token),
		"cookie":      with("Cookie: a=b; token=" + token),
		"query":       []byte(strings.Replace(browserHead, "GET /ws", "GET /ws?token="+token, 1)),
	}
}

// TestCachedTokenAllocatesNothing beyond the one allocation of an upgrade.
func TestCachedTokenAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("counts are not ours under the race detector")
	}
	for name, head := range tokenHeads(goodToken("alice")) {
		if answer, _, _ := knock(authDoor, string(head)); verdict(answer) != "101" {
			t.Fatalf("%s: got %s", name, verdict(answer))
		}
		want := testing.AllocsPerRun(1000, bare([]byte(browserHead)))
		if got := testing.AllocsPerRun(1000, door(authDoor, head)); got > want {
			t.Errorf("a token in the %s: %v allocations, %v without", name, got, want)
		}
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

// uncached verifies a token, and forgets it by a rotation before that.
func uncached(t testing.TB) func() {
	token := []byte(goodToken("alice"))
	one, two, keys := keySet(t, Key{Key: testSecret}), keySet(t, Key{Key: testSecret}), new(switchedKeys)
	v := &JWT{Keys: keys}
	return func() {
		one, two = two, one
		keys.set.Store(one)
		if _, err := v.Verify(token, testNow); err != nil {
			t.Fatal(err)
		}
	}
}

// golangJWT verifies the same token with golang-jwt alone.
func golangJWT(t testing.TB) func() {
	token := goodToken("alice")
	p := jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}), jwt.WithExpirationRequired(),
		jwt.WithTimeFunc(func() time.Time { return testNow }))
	return func() {
		if _, err := p.Parse(token, func(*jwt.Token) (any, error) { return testSecret, nil }); err != nil {
			t.Fatal(err)
		}
	}
}

func BenchmarkVerifyUncached(b *testing.B)  { run(b, uncached(b)) }
func BenchmarkVerifyGolangJWT(b *testing.B) { run(b, golangJWT(b)) }

// BenchmarkAgainstGolangJWT takes turns, as BenchmarkAgainstBare does: what does a
// token cost beyond what golang-jwt takes for it?
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
