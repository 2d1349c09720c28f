package jwks

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	gojwt "github.com/golang-jwt/jwt/v5"
	"github.com/usher-ws/usher/internal/leak"
	"github.com/usher-ws/usher/internal/logtext"
	"github.com/usher-ws/usher/upgrade"
	"github.com/usher-ws/usher/upgrade/jwt"
)

func TestMain(m *testing.M) { leak.VerifyTestMain(m) }

// signer is a key of the key server.
type signer struct {
	id  string
	key *ecdsa.PrivateKey
}

func newSigner(t testing.TB, id string) signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signer{id, key}
}

func (s signer) token(t testing.TB) []byte {
	t.Helper()
	token := gojwt.NewWithClaims(gojwt.SigningMethodES256, gojwt.MapClaims{"sub": "alice", "exp": time.Now().Add(time.Hour).Unix()})
	if s.id != "" {
		token.Header["kid"] = s.id
	}
	text, err := token.SignedString(s.key)
	if err != nil {
		t.Fatal(err)
	}
	return []byte(text)
}

func (s signer) jwk() map[string]any {
	point, err := s.key.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	half := len(point) / 2 // behind the byte that says uncompressed
	return map[string]any{"kty": "EC", "crv": "P-256", "kid": s.id, "alg": "ES256", "use": "sig",
		"x": base64.RawURLEncoding.EncodeToString(point[1 : 1+half]), "y": base64.RawURLEncoding.EncodeToString(point[1+half:])}
}

func setOf(keys ...any) []byte {
	text, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		panic(err)
	}
	return text
}

// keyServer is a real server that can be broken in many ways.
type keyServer struct {
	*httptest.Server
	served atomic.Int32
	answer atomic.Pointer[http.HandlerFunc]
}

func newKeyServer(t testing.TB) *keyServer {
	t.Helper()
	s := new(keyServer)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.served.Add(1)
		(*s.answer.Load())(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *keyServer) do(f http.HandlerFunc) { s.answer.Store(&f) }

func (s *keyServer) serve(signers ...signer) {
	var keys []any
	for _, k := range signers {
		keys = append(keys, k.jwk())
	}
	s.say(http.StatusOK, string(setOf(keys...)))
}

func (s *keyServer) say(status int, body string) {
	s.do(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

// open opens a source with a client of the test's own, and little patience unless the test has more.
func open(t testing.TB, s Source) *Keys {
	t.Helper()
	client := &http.Client{Transport: new(http.Transport), CheckRedirect: stayEncrypted}
	s.Client = client
	if s.Logger == nil {
		s.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if s.cooldown == 0 {
		s.cooldown = time.Millisecond
	}
	if s.patience == 0 {
		s.patience, client.Timeout = 200*time.Millisecond, 2*time.Second
	}
	k, err := Open(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close(); client.CloseIdleConnections() })
	return k
}

// eventually waits for what a background goroutine will do.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Hour); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: did not come about", what)
		}
	}
}

// isUnavailable reports whether err is a 503 that says when to come back.
func isUnavailable(err error) bool {
	var rej *upgrade.Rejection
	return errors.As(err, &rej) && rej.Status == 503 && rej.RetryAfter > 0
}

// TestRotationUnderLoad: while tokens are verified without a pause, the server goes
// from one key to the next, as they do: it lists the new one a while before it signs
// with it. No good token is refused, and the old key counts for its grace and then
// no more.
func TestRotationUnderLoad(t *testing.T) {
	t.Parallel()
	s := newKeyServer(t)
	first, second := newSigner(t, "first"), newSigner(t, "second")
	s.serve(first)
	k := open(t, Source{Location: s.URL, Refresh: 20 * time.Millisecond, Grace: 400 * time.Millisecond, patience: time.Hour})
	v := &jwt.Verifier{Keys: k}
	eventually(t, "the first reading", func() bool {
		_, err := verify(v, first.token(t))
		return err == nil
	})
	var current atomic.Pointer[signer]
	current.Store(&first)
	stop, wg := make(chan struct{}), sync.WaitGroup{}
	var verified atomic.Int64
	var turn sync.RWMutex // no token outlives the key's grace in a goroutine that is not run meanwhile
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				turn.RLock()
				_, err := verify(v, current.Load().token(t))
				turn.RUnlock()
				if err != nil {
					t.Errorf("a good token: %v", err)
					return
				}
				verified.Add(1)
			}
		})
	}
	old := first.token(t)
	s.serve(first, second)
	n := s.served.Load()
	eventually(t, "two readings", func() bool { return s.served.Load() > n+1 })
	turn.Lock()
	current.Store(&second)
	turn.Unlock()
	rotated := time.Now()
	s.serve(second)
	eventually(t, "the old key's end", func() bool {
		_, err := verify(v, old)
		return err != nil
	})
	if lived := time.Since(rotated); lived < 400*time.Millisecond {
		t.Errorf("the old key counted for %v, want its grace of 400 ms", lived)
	}
	close(stop)
	wg.Wait()
	if verified.Load() == 0 {
		t.Error("no token was verified meanwhile")
	}
	if _, err := verify(v, old); err == nil || isUnavailable(err) {
		t.Errorf("the old token: got %v, want a 401", err)
	}
}

// TestUnknownKey: the first token of a new key is good without waiting for the next
// refresh, and forged tokens do not make us ask the server again and again.
func TestUnknownKey(t *testing.T) {
	t.Parallel()
	s := newKeyServer(t)
	first, second, stranger := newSigner(t, "first"), newSigner(t, "second"), newSigner(t, "../../etc/passwd")
	s.serve(first)
	const cooldown = 300 * time.Millisecond
	began := time.Now()
	k := open(t, Source{Location: s.URL, Refresh: -1, cooldown: cooldown, patience: time.Hour})
	v := &jwt.Verifier{Keys: k}
	for range 100 {
		if _, err := verify(v, stranger.token(t)); err == nil || isUnavailable(err) {
			t.Fatalf("a stranger's token: got %v, want a 401", err)
		}
	}
	s.serve(first, second)
	time.Sleep(cooldown)
	if _, err := verify(v, second.token(t)); err != nil {
		t.Errorf("the new key's first token: %v", err)
	}
	if n, took := int64(s.served.Load()), time.Since(began); n > 4+int64(took/cooldown) {
		t.Errorf("the server was asked %d times in %v, want a few", n, took)
	}
}

// TestOutage: known keys still count, a token of an unknown one is 503, and nobody
// waits for long.
func TestOutage(t *testing.T) {
	t.Parallel()
	first, second, local := newSigner(t, "first"), newSigner(t, "second"), newSigner(t, "local")
	secret := bytes.Repeat([]byte{'s'}, 32)
	released := make(chan struct{})
	defer close(released)
	for name, broken := range map[string]http.HandlerFunc{
		"an error":        func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"not found":       http.NotFound,
		"garbage":         func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>maintenance</html>") },
		"half a set":      func(w http.ResponseWriter, _ *http.Request) { w.Write(setOf(second.jwk())[:40]) },
		"a list":          func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "[]") },
		"no list":         func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"error":"maintenance"}`) },
		"null for a list": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"keys":null}`) },
		"another case":    func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"Keys":[]}`) },
		"two lists":       func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"keys":[],"keys":[]}`) },
		"an empty answer": func(http.ResponseWriter, *http.Request) {},
		"null":            func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `null`) },
		"a hang-up":       func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"too much":        func(w http.ResponseWriter, _ *http.Request) { w.Write(bytes.Repeat([]byte{' '}, maxBytes+1)) },
		"too many":        func(w http.ResponseWriter, _ *http.Request) { w.Write(setOf(make([]any, maxKeys+1)...)) },
		"an endless line": func(w http.ResponseWriter, r *http.Request) { drip(w, r, released) },
		"silence":         func(_ http.ResponseWriter, r *http.Request) { wait(r, released) },
		"an endless redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/", http.StatusFound)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newKeyServer(t)
			s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
			s.serve(first)
			k := open(t, Source{Location: s.URL, Refresh: 10 * time.Millisecond, Grace: time.Millisecond, Local: []jwt.Key{
				{ID: local.id, Key: &local.key.PublicKey}, {Key: secret}}})
			v := &jwt.Verifier{Keys: k}
			eventually(t, "the first reading", func() bool {
				_, err := verify(v, first.token(t))
				return err == nil
			})
			s.do(broken)
			eventually(t, "the outage", func() bool {
				_, err := verify(v, second.token(t))
				return isUnavailable(err)
			})
			for _, known := range []signer{first, local} {
				if _, err := verify(v, known.token(t)); err != nil {
					t.Errorf("a token of key %s: %v", known.id, err)
				}
			}
			if _, err := verify(v, second.token(t)); !isUnavailable(err) {
				t.Errorf("a token of a key nobody knows: got %v, want a 503", err)
			}
			s.serve(first, second)
			eventually(t, "recovery", func() bool {
				_, err := verify(v, second.token(t))
				return err == nil
			})
		})
	}
}

// drip sends a byte from time to time, wait sends nothing.
func drip(w http.ResponseWriter, r *http.Request, end chan struct{}) {
	for r.Context().Err() == nil {
		_, _ = io.WriteString(w, " ")
		_ = http.NewResponseController(w).Flush()
		select {
		case <-end:
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func wait(r *http.Request, end chan struct{}) {
	select {
	case <-r.Context().Done():
	case <-end:
	}
}

// TestDownFromTheStart: Open does not fail if the server is down, as it may come up, and
// local keys count meanwhile.
func TestDownFromTheStart(t *testing.T) {
	t.Parallel()
	s := newKeyServer(t)
	s.say(http.StatusBadGateway, "")
	first, local := newSigner(t, "first"), newSigner(t, "local")
	k := open(t, Source{Location: s.URL, Refresh: 10 * time.Millisecond, Local: []jwt.Key{{ID: "local", Key: &local.key.PublicKey}}})
	v := &jwt.Verifier{Keys: k}
	if _, err := verify(v, first.token(t)); !isUnavailable(err) {
		t.Errorf("got %v, want a 503", err)
	}
	if _, err := verify(v, local.token(t)); err != nil {
		t.Errorf("the local key's: %v", err)
	}
	s.serve(first)
	eventually(t, "the server's start", func() bool {
		_, err := verify(v, first.token(t))
		return err == nil
	})
}

// TestSameSetFlushesNothing: reading the same set again changes nothing.
func TestSameSetFlushesNothing(t *testing.T) {
	t.Parallel()
	s := newKeyServer(t)
	first := newSigner(t, "first")
	s.serve(first)
	k := open(t, Source{Location: s.URL, Refresh: 5 * time.Millisecond, Local: []jwt.Key{{Key: make([]byte, 32)}}})
	eventually(t, "the first reading", func() bool { return s.served.Load() > 1 })
	set := k.Current()
	eventually(t, "a few readings", func() bool { return s.served.Load() > 5 })
	if k.Current() != set {
		t.Error("the set was replaced by an equal one")
	}
}

func TestFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "jwks.json")
	if k, err := Open(Source{Location: path, Logger: slog.New(slog.DiscardHandler)}); err == nil {
		k.Close()
		t.Fatal("a file that is not there was opened")
	}
	first, second := newSigner(t, "first"), newSigner(t, "second")
	write := func(keys ...any) {
		if err := os.WriteFile(path, setOf(keys...), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	secret := map[string]any{"kty": "oct", "alg": "HS256", "kid": "s", "k": base64.RawURLEncoding.EncodeToString(make([]byte, 32))}
	write(first.jwk(), secret)
	k := open(t, Source{Location: path, patience: time.Hour})
	v := &jwt.Verifier{Keys: k}
	token, err := gojwt.NewWithClaims(gojwt.SigningMethodHS256, gojwt.MapClaims{"sub": "a", "exp": time.Now().Add(time.Hour).Unix()}).SignedString(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	for name, token := range map[string][]byte{"first": first.token(t), "the secret": []byte(token)} {
		if _, err := verify(v, token); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	write(first.jwk(), second.jwk())
	eventually(t, "the file's new key", func() bool {
		_, err := verify(v, second.token(t))
		return err == nil
	})
}

// TestSlowFile: a file that is read too late is an error, and not a source that is nil.
func TestSlowFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "jwks.json")
	if err := os.WriteFile(path, setOf(newSigner(t, "first").jwk()), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 50 {
		k, err := Open(Source{Location: path, Logger: slog.New(slog.DiscardHandler), patience: 1})
		if (k == nil) != (err != nil) {
			t.Fatalf("got %v, %v", k, err)
		}
		if k != nil {
			k.Close()
		}
	}
}

// TestParse: which keys of a set are taken.
func TestParse(t *testing.T) {
	t.Parallel()
	good := newSigner(t, "good")
	with := func(edits ...any) map[string]any {
		j := good.jwk()
		for i := 0; i < len(edits); i += 2 {
			j[edits[i].(string)] = edits[i+1]
		}
		return j
	}
	without := func(name string) map[string]any {
		j := good.jwk()
		delete(j, name)
		return j
	}
	secret := map[string]any{"kty": "oct", "k": base64.RawURLEncoding.EncodeToString(make([]byte, 32))}
	called := make(chan struct{}, 1)
	certs := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called <- struct{}{} }))
	defer certs.Close()
	for _, c := range []struct {
		name string
		key  any
		want bool
	}{
		{"a key", good.jwk(), true},
		{"without alg", without("alg"), true},
		{"without use", without("use"), true},
		{"without kid", without("kid"), true},
		{"with an empty alg", with("alg", ""), true},
		{"with an empty use", with("use", ""), true},
		{"with an empty kid", with("kid", ""), true},
		{"with null for a kid", with("kid", nil), true},
		{"with null for an alg", with("alg", nil), true},
		{"with null for key_ops", with("key_ops", nil), true},
		{"for nothing", with("key_ops", []string{}), false},
		{"for a string", with("key_ops", "verify"), false},
		{"with names in another case", map[string]any{"KTY": "EC", "Crv": "P-256", "x": good.jwk()["x"], "y": good.jwk()["y"]}, false},
		{"for verification", with("key_ops", []string{"verify"}), true},
		{"with padding", with("x", good.jwk()["x"].(string)+"="), true},
		{"with what nobody knows", with("iat", 7, "x5t", "!"), true},
		{"with a place for certificates", with("x5u", certs.URL), true},
		{"private, and published", with("d", "AAAA"), false},
		{"for encryption", with("use", "enc"), false},
		{"for signing only", with("key_ops", []string{"sign"}), false},
		{"for another algorithm", with("alg", "ES384"), false},
		{"for HMAC", with("alg", "HS256"), false},
		{"for none", with("alg", "none"), false},
		{"of another curve", with("crv", "secp256k1"), false},
		{"not on the curve", with("x", "AAAA"), false},
		{"without a point", with("x", ""), false},
		{"a secret at a URL", secret, false},
		{"weak RSA", map[string]any{"kty": "RSA", "n": strings.Repeat("w", 170), "e": "AQAB"}, false},
		{"a kid that is a number", with("kid", 7), false},
		{"a number", 7, false},
		{"null", nil, false},
	} {
		keys, err := parse(setOf(c.key, newSigner(t, "another").jwk()), false, slog.New(slog.DiscardHandler))
		if got := len(keys) == 2; got != c.want || err != nil {
			t.Errorf("%s: taken: %t, %v; want %t", c.name, got, err, c.want)
		}
	}
	if keys, err := parse(setOf(secret), true, slog.New(slog.DiscardHandler)); err != nil || len(keys) != 1 || keys[0].Algorithm != "HS256" {
		t.Errorf("a secret in a file: got %v, %v", keys, err)
	}
	select {
	case <-called:
		t.Error("somebody was asked for certificates")
	default:
	}
}

// TestKeysOf: a key that names no algorithm is for all those of its type, and one that
// names an algorithm is for that one.
func TestKeysOf(t *testing.T) {
	t.Parallel()
	encode := base64.RawURLEncoding.EncodeToString
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey := map[string]any{"kty": "RSA", "n": encode(private.N.Bytes()), "e": "AQAB"}
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	edKey := map[string]any{"kty": "OKP", "crv": "Ed25519", "x": encode(public)}
	ecKey := newSigner(t, "").jwk()
	delete(ecKey, "kid")
	delete(ecKey, "alg")
	secret := func(n int) map[string]any { return map[string]any{"kty": "oct", "k": encode(make([]byte, n))} }
	with := func(key map[string]any, algorithm string) map[string]any {
		key = maps.Clone(key)
		key["alg"] = algorithm
		return key
	}
	for _, tt := range []struct {
		key  map[string]any
		want string
	}{
		{rsaKey, "RS256 RS384 RS512 PS256 PS384 PS512"},
		{with(rsaKey, "PS384"), "PS384"},
		{with(rsaKey, "HS256"), ""},
		{with(rsaKey, "RSA-OAEP"), ""},
		{edKey, "EdDSA"},
		{with(edKey, "EdDSA"), "EdDSA"},
		{with(edKey, "Ed25519"), "Ed25519"},
		{with(edKey, "Ed448"), ""},
		{with(edKey, "ES256"), ""},
		{ecKey, "ES256"},
		{with(ecKey, "ES512"), ""},
		{secret(32), "HS256"},
		{secret(48), "HS256 HS384"},
		{secret(64), "HS256 HS384 HS512"},
		{secret(31), ""},
	} {
		keys, err := parse(setOf(tt.key, tt.key), true, slog.New(slog.DiscardHandler)) // twice is once
		var got []string
		for _, k := range keys {
			got = append(got, k.Algorithm)
		}
		if all := strings.Join(got, " "); all != tt.want || err != nil {
			t.Errorf("%v: got %q, %v, want %q", tt.key, all, err, tt.want)
		}
	}
}

// TestRevoked: a set that was read ends the keys that it lacks, after their grace, also
// if it has no key, or none that can be used.
func TestRevoked(t *testing.T) {
	t.Parallel()
	first := newSigner(t, "first")
	for _, set := range []string{
		`{"keys":[]}`, ` {"keys" : [] , "more":{}} `, `{"keys":[{"kty":"XX"}]}`, `{"keys":[{"kty":"XX"},7,null,"a",[]]}`,
		`{"keys":[{"kty":"OKP","crv":"Ed448","kid":"first","x":"AAAA"}]}`, `{"keys":[{"kty":"AKP","alg":"ML-DSA-44","pub":"AAAA"}]}`,
		string(setOf(newSigner(t, "second").jwk())),
	} {
		t.Run(set, func(t *testing.T) {
			t.Parallel()
			s := newKeyServer(t)
			s.serve(first)
			k := open(t, Source{Location: s.URL, Refresh: 10 * time.Millisecond, Grace: 300 * time.Millisecond, patience: time.Hour})
			v := &jwt.Verifier{Keys: k}
			token := first.token(t)
			eventually(t, "the first reading", func() bool {
				_, err := verify(v, token)
				return err == nil
			})
			revoked := time.Now()
			s.say(http.StatusOK, set)
			eventually(t, "the key's end", func() bool {
				_, err := verify(v, token)
				return err != nil
			})
			if lived := time.Since(revoked); lived < 300*time.Millisecond {
				t.Errorf("the key counted for %v, want its grace of 300 ms", lived)
			}
			if _, err := verify(v, token); isUnavailable(err) {
				t.Errorf("after that: got %v, want a 401", err)
			}
			s.serve(first)
			eventually(t, "the key's return", func() bool {
				_, err := verify(v, token)
				return err == nil
			})
		})
	}
}

// TestLocationIsRedacted: whatever happens to the set, no line of the log has a secret
// of its URL, whatever the secret is called.
func TestLocationIsRedacted(t *testing.T) {
	t.Parallel()
	s := newKeyServer(t)
	var log lines
	at := strings.Replace(s.URL, "://", "://user:s3cret@", 1) + "/keys?v=s3cret#s3cret"
	s.say(http.StatusOK, `{"keys":[]}`)
	open(t, Source{Location: at, Refresh: 10 * time.Millisecond, Grace: time.Millisecond, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	told := func(what string) {
		t.Helper()
		eventually(t, what, func() bool { return strings.Contains(log.String(), what) })
	}
	told("no key in the set can be used")
	s.serve(newSigner(t, "first"))
	told("the keys have changed")
	s.say(http.StatusInternalServerError, "")
	told("the keys cannot be read")
	if strings.Contains(log.String(), "s3cret") {
		t.Errorf("logged %s", log.String())
	}
}

// lines is a log that goroutines may write to.
type lines = logtext.Text

// TestLocations: a URL that cannot be one of a key set is an error at once, and the error
// has no secret of the URL.
func TestLocations(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"ftp://u:s3cret@h/?x=s3cret", "htps://h/?s3cret", "http://", "https://:443/keys", "http://u:s3/cr@et@h/", "http://[::1/#s3cret", "://h"} {
		k, err := Open(Source{Location: at, Logger: slog.New(slog.DiscardHandler)})
		if err == nil {
			k.Close()
			t.Errorf("%s was opened", at)
		} else if strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "et@") {
			t.Errorf("%s: %v", at, err)
		}
	}
	for _, at := range []string{"HTTP://h/keys", "https://u:p@h:8443/keys?x", "http://[::1]/", "keys.json", "/etc/keys:1"} {
		if err := CheckLocation(at); err != nil {
			t.Error(err)
		}
	}
}

// TestManyWithoutID: keys without a kid do not take each other away, nor those that have one.
func TestManyWithoutID(t *testing.T) {
	t.Parallel()
	s := newKeyServer(t)
	named := newSigner(t, "named")
	all := []any{named.jwk()}
	var last signer
	for range 7 {
		last = newSigner(t, "")
		j := last.jwk()
		delete(j, "kid")
		all = append(all, j)
	}
	s.say(http.StatusOK, string(setOf(all...)))
	v := &jwt.Verifier{Keys: open(t, Source{Location: s.URL, Refresh: -1, patience: time.Hour})}
	for _, signer := range []signer{named, last, {"unknown", last.key}} {
		if _, err := verify(v, signer.token(t)); err != nil {
			t.Errorf("a token of %q: %v", signer.id, err)
		}
	}
}

// TestNoKeyInAFile: the file is there, and guards nothing: that is an error at the start.
func TestNoKeyInAFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "jwks.json")
	if err := os.WriteFile(path, []byte(`{"keys":[]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if k, err := Open(Source{Location: path, Logger: slog.New(slog.DiscardHandler)}); err == nil {
		k.Close()
		t.Error("a file without keys was opened")
	}
}

// TestGivenUp: Ask waits no longer than its context.
func TestGivenUp(t *testing.T) {
	t.Parallel()
	s := newKeyServer(t)
	end, asked := make(chan struct{}), make(chan struct{}, 1)
	defer close(end)
	s.do(func(_ http.ResponseWriter, r *http.Request) { asked <- struct{}{}; wait(r, end) })
	opened := make(chan *Keys)
	go func() { opened <- open(t, Source{Location: s.URL, patience: time.Millisecond}) }()
	<-asked
	k := <-opened
	k.mu.Lock()
	k.source.patience = time.Hour
	k.mu.Unlock()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	if _, err := (&jwt.Verifier{Keys: k}).Begin(newSigner(t, "x").token(t), time.Now()).Wait(ctx, time.Now()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// verify verifies a token, however long it takes.
func verify(v *jwt.Verifier, token []byte) (*upgrade.Identity, error) {
	return v.Begin(token, time.Now()).Wait(context.Background(), time.Now())
}
