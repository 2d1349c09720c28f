package jwt

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/usher-ws/usher/upgrade"
)

// TestSeenNeedsNoSignature: a token that was good and comes again is not slow any more, until
// the keys change; everything else about it is judged anew.
func TestSeenNeedsNoSignature(t *testing.T) {
	t.Parallel()
	slow := pairOf("ES384")
	keys := new(switchedKeys)
	keys.set.Store(keySet(t, Key{ID: "a", Key: slow.public}))
	v := &Verifier{Keys: keys}
	token := slow.mint(t, map[string]any{"kid": "a"}, nil)
	exp := time.Time{}
	for _, step := range []struct {
		what   string
		change func()
		slow   bool
	}{
		{"new", func() {}, true},
		{"seen", func() {}, false},
		{"known", func() {}, false},
		{"after a key was added", func() {
			keys.set.Store(keySet(t, Key{ID: "a", Key: slow.public}, Key{ID: "b", Key: pairOf("EdDSA").public}))
		}, true},
		{"seen again", func() {}, false},
	} {
		step.change()
		begun := v.Begin(token, testNow)
		id, err := begun.Wait(t.Context(), testNow)
		if err != nil || id.Subject == "" || begun.IsSlow() != step.slow {
			t.Fatalf("%s: got %v, %v, slow: %v; want it good, slow: %v", step.what, id, err, begun.IsSlow(), step.slow)
		}
		exp = id.ExpiresAt
	}
	if _, err := v.Begin(token, exp).Verify(exp); !errors.Is(err, upgrade.ErrTokenExpired) {
		t.Errorf("at exp: got %v, want ErrTokenExpired", err)
	}
	v.Issuer = "somebody else"
	if _, err := v.read(token, v.current()).Verify(testNow); err == nil {
		t.Error("seen, and of the wrong issuer: it is good")
	}
	keys.set.Store(keySet(t, Key{ID: "b", Key: pairOf("EdDSA").public}))
	if _, err := v.Begin(token, testNow).Wait(t.Context(), testNow); err == nil {
		t.Error("the key is gone and its token is good")
	}
}

// TestSeenIsTheWholeToken: a token that differs from one that was seen in any character of
// its signature is not taken for it, nor is one that was seen and was no good.
func TestSeenIsTheWholeToken(t *testing.T) {
	t.Parallel()
	v := mustHS256(testSecret)
	token := []byte(goodToken("alice"))
	verifyTwice(t, v, token)
	for i := bytes.LastIndexByte(token, '.') + 1; i < len(token); i++ {
		forged := bytes.Clone(token)
		forged[i] ^= 1
		for range 2 {
			if _, err := v.Verify(forged, testNow); err == nil {
				t.Errorf("%q is good with another character at %d", token, i)
			}
		}
	}
}

// TestAudienceLeavesNothing: tokens that come once each leave digests, and no object.
func TestAudienceLeavesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("counts are not ours under the race detector")
	}
	v := mustHS256(testSecret)
	verifyTwice(t, v, []byte(goodToken("alice")))
	objects := func() int {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapObjects)
	}
	before := objects()
	const audience = 2000
	for k := range audience {
		if _, err := v.Verify([]byte(goodToken(fmt.Sprint("user ", k))), testNow); err != nil {
			t.Fatal(err)
		}
	}
	if left := objects() - before; left > audience/10 {
		t.Errorf("%d tokens have left %d objects", audience, left)
	}
	runtime.KeepAlive(v)
}
