package jwks

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	gojwt "github.com/golang-jwt/jwt/v5"
	"github.com/usher-ws/usher/upgrade/jwt"
)

// secretOf is a secret of one letter, and a token by it.
func secretOf(t *testing.T, letter byte) (jwt.Key, []byte) {
	t.Helper()
	text := make([]byte, 32)
	for k := range text {
		text[k] = letter
	}
	token, err := gojwt.NewWithClaims(gojwt.SigningMethodHS256, gojwt.MapClaims{"sub": "alice", "exp": time.Now().Add(time.Hour).Unix()}).SignedString(text)
	if err != nil {
		t.Fatal(err)
	}
	return jwt.Key{Algorithm: "HS256", Key: text}, []byte(token)
}

// TestBefore: what earlier keys had counts for the grace, once, and what is still there for ever.
func TestBefore(t *testing.T) {
	t.Parallel()
	server := newKeyServer(t)
	listed, gone := newSigner(t, "listed"), newSigner(t, "gone")
	server.serve(listed, gone)
	a, byA := secretOf(t, 'a')
	b, byB := secretOf(t, 'b')
	want := func(k *Keys, token []byte, good bool) {
		t.Helper()
		if _, err := verify(&jwt.Verifier{Keys: k}, token); (err == nil) != good {
			t.Errorf("got %v, want that it is good: %v", err, good)
		}
	}
	first := open(t, Source{Location: server.URL, Local: []jwt.Key{a}, patience: time.Hour})
	for _, token := range [][]byte{byA, listed.token(t), gone.token(t)} {
		want(first, token, true)
	}
	server.say(http.StatusInternalServerError, "")
	second := open(t, Source{Location: server.URL, Local: []jwt.Key{b}, Before: first, Grace: 10 * time.Minute})
	for _, token := range [][]byte{byA, byB, listed.token(t), gone.token(t)} {
		want(second, token, true) // the set cannot be read, and so nothing of it ends
	}
	server.serve(listed)
	third := open(t, Source{Location: server.URL, Local: []jwt.Key{b}, Before: second, Grace: 10 * time.Minute, patience: time.Hour})
	for _, token := range [][]byte{byA, byB, listed.token(t), gone.token(t)} {
		want(third, token, true)
	}
	was := third.known.Load().retired
	if len(was) != 2 {
		t.Fatalf("%d keys are retired, want a and gone", len(was))
	}
	fourth := open(t, Source{Location: server.URL, Local: []jwt.Key{b}, Before: third, patience: time.Hour})
	for k, r := range fourth.known.Load().retired {
		if !r.until.Equal(was[k].until) {
			t.Errorf("its grace has begun again: %v, then %v", was[k].until, r.until)
		}
	}
	none := open(t, Source{Local: []jwt.Key{a}, Before: fourth, Grace: 50 * time.Millisecond})
	if !none.Fixed() || first.Fixed() {
		t.Error("whether there is a set is not what Fixed says")
	}
	want(none, byA, true)
	eventually(t, "the grace of the others is over", func() bool {
		_, err := verify(&jwt.Verifier{Keys: none}, byB)
		return err != nil
	})
	want(none, listed.token(t), false)
	want(none, byA, true)
	at := open(t, Source{Local: []jwt.Key{b}, Before: none, Grace: -1})
	want(at, byA, false)
	want(at, byB, true)
	if !(&jwt.Verifier{Keys: at}).NeverSlow() {
		t.Error("one secret is slow")
	}
}

// TestBeforeOfAFile: a set that was read may become empty, and another may not be.
func TestBeforeOfAFile(t *testing.T) {
	t.Parallel()
	s := newSigner(t, "one")
	path, other := filepath.Join(t.TempDir(), "set"), filepath.Join(t.TempDir(), "other")
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(path, string(setOf(s.jwk())))
	write(other, `{"keys":[]}`)
	first := open(t, Source{Location: path, patience: time.Hour})
	write(path, `{"keys":[]}`)
	second := open(t, Source{Location: path, Before: first, patience: time.Hour})
	if _, err := verify(&jwt.Verifier{Keys: second}, s.token(t)); err != nil {
		t.Errorf("in its grace: %v", err)
	}
	if k, err := Open(Source{Location: other, Before: second}); err == nil {
		k.Close()
		t.Error("another file without keys was opened")
	}
	write(path, "nonsense")
	if k, err := Open(Source{Location: path, Before: second}); err == nil {
		k.Close()
		t.Error("nonsense was opened")
	}
}
