package jwks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/usher-ws/usher/internal/strict"
	"github.com/usher-ws/usher/upgrade"
	"github.com/usher-ws/usher/upgrade/jwt"
)

const (
	maxBytes = 1 << 20 // of a set
	maxKeys  = 256     // in it
)

// fetcher reads one set.
type fetcher struct {
	location string
	remote   bool // a URL
	client   *http.Client
}

func newFetcher(location string, client *http.Client) fetcher {
	f := fetcher{location: location, client: client}
	f.remote = isURL(location)
	if f.client == nil {
		f.client = &http.Client{Timeout: 10 * time.Second, CheckRedirect: stayEncrypted}
	}
	return f
}

// name returns the location for a log: a URL may hold a secret.
func (f *fetcher) name() string {
	if f.remote {
		return upgrade.RedactURL(f.location)
	}
	return f.location
}

// isURL reports whether a location is a URL and not a file.
func isURL(location string) bool { return strings.Contains(location, "://") }

// CheckLocation returns why location cannot be the Location of a Source. A file's path
// always can.
func CheckLocation(location string) error {
	if !isURL(location) {
		return nil
	}
	u, err := url.Parse(location)
	if err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" {
		return nil
	}
	return fmt.Errorf("jwks: %q: want a URL like https://id.example/jwks.json, or a file", upgrade.RedactURL(location))
}

// stayEncrypted refuses a redirect from https to http, where anybody could give us keys.
func stayEncrypted(req *http.Request, via []*http.Request) error {
	if len(via) >= 5 || via[0].URL.Scheme == "https" && req.URL.Scheme != "https" {
		return fmt.Errorf("jwks: refused to follow to %s", upgrade.RedactURL(req.URL.String()))
	}
	return nil
}

// fetch reads the set and returns its keys.
func (f *fetcher) fetch(ctx context.Context, log *slog.Logger) ([]jwt.Key, error) {
	text, err := f.read(ctx)
	if err != nil {
		return nil, err
	}
	return parse(text, !f.remote, log)
}

func (f *fetcher) read(ctx context.Context) ([]byte, error) {
	if !f.remote {
		file, err := os.Open(f.location)
		if err != nil {
			return nil, fmt.Errorf("jwks: %w", err)
		}
		defer file.Close()
		return readAll(file)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.location, nil)
	if err != nil {
		return nil, fmt.Errorf("jwks: %w", upgrade.RedactError(err))
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := f.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("jwks: %w", upgrade.RedactError(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("jwks: the key server answered %s", resp.Status)
	}
	return readAll(resp.Body)
}

func readAll(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("jwks: %w", err)
	case len(text) > maxBytes:
		return nil, fmt.Errorf("jwks: the set has more than %d bytes", maxBytes)
	}
	return text, nil
}

// jwk is the part of a JSON Web Key that keyfunc gets to read: the public part, without
// certificates, for which it could ask other servers, and without the key's purpose, which
// is judged here.
type jwk struct {
	Type   string `json:"kty"`
	Curve  string `json:"crv,omitempty"`
	X      string `json:"x,omitempty"`
	Y      string `json:"y,omitempty"`
	N      string `json:"n,omitempty"`
	E      string `json:"e,omitempty"`
	Secret string `json:"k,omitempty"`
}

var (
	errNoSet  = errors.New("jwks: not a set of keys: it has no list called keys")
	errNoKeys = errors.New("jwks: no key in the set can be used")
)

// parse returns the keys of a set that can be used. Each is read by itself, so that one odd
// key does not spoil the others. Without an error text is a set, even if no key of it can
// be used.
func parse(text []byte, secrets bool, log *slog.Logger) ([]jwt.Key, error) {
	set, err := strict.Object(text)
	if err != nil {
		return nil, fmt.Errorf("jwks: not a set of keys: %w", err)
	}
	listed, ok := set["keys"].([]any)
	if !ok {
		return nil, errNoSet
	}
	if len(listed) > maxKeys {
		return nil, fmt.Errorf("jwks: the set has %d keys, more than %d", len(listed), maxKeys)
	}
	var keys []jwt.Key
	for _, value := range listed {
		parsed, err := parseKey(value, secrets)
		if err != nil {
			log.Debug("jwks: a key is left out", "err", err)
			continue
		}
		for _, key := range parsed {
			if !slices.ContainsFunc(keys, key.Equal) {
				keys = append(keys, key)
			}
		}
	}
	return keys, nil
}

// members reads members of an object that have to be strings, and remembers if one is not.
type members struct {
	object map[string]any
	err    error
}

// text returns the string of this name; "" if there is none, or if it is null.
func (m *members) text(name string) string {
	s, ok := m.object[name].(string)
	if !ok && m.object[name] != nil {
		m.err = fmt.Errorf("%s is not a string", name)
	}
	return s
}

// parseKey reads one key, and returns it once for each algorithm that it is for.
func parseKey(value any, secrets bool) ([]jwt.Key, error) {
	object, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("not an object")
	}
	m := members{object: object}
	id, algorithm, use := m.text("kid"), m.text("alg"), m.text("use")
	public := jwk{m.text("kty"), m.text("crv"), m.text("x"), m.text("y"), m.text("n"), m.text("e"), m.text("k")}
	_, private := object["d"]
	ops := object["key_ops"]
	list, _ := ops.([]any)
	switch {
	case m.err != nil:
		return nil, fmt.Errorf("%q: %w", id, m.err)
	case use != "" && use != "sig", ops != nil && !slices.Contains(list, any("verify")):
		return nil, fmt.Errorf("%q is not for signatures", id)
	case public.Type == "oct" && !secrets, private && !secrets:
		return nil, fmt.Errorf("%q is a secret, and published", id)
	}
	key, err := public.key()
	if err != nil {
		return nil, fmt.Errorf("%q: %w", id, err)
	}
	return keysOf(jwt.Key{ID: id, Algorithm: algorithm, Key: key})
}

// key returns the key, which keyfunc makes.
func (j jwk) key() (any, error) {
	text, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	parsed, err := keyfunc.NewJWKJSON(text)
	if err != nil {
		return nil, err
	}
	all, err := parsed.VerificationKeySet(context.Background())
	if err != nil || len(all.Keys) != 1 {
		return nil, errors.Join(errors.New("not one key"), err)
	}
	return all.Keys[0], nil
}

// algorithms are all that a key may be for.
var algorithms = []string{
	"HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
}

// keysOf returns the key for the algorithm that it names. If it names none, it is for all
// those of its type, RFC 7517 §4.4: RS256 to PS512 for RSA, a single one for a curve.
func keysOf(key jwt.Key) (keys []jwt.Key, err error) {
	names := algorithms
	if key.Algorithm != "" {
		names = []string{key.Algorithm}
	}
	for _, name := range names {
		key.Algorithm = name
		if _, no := jwt.NewKeySet(key); no != nil {
			err = no
			continue
		}
		keys = append(keys, key)
	}
	if keys == nil {
		return nil, err
	}
	return keys, nil
}
