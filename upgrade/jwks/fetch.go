package jwks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/usher-ws/usher/upgrade"
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
	f.remote = IsURL(location)
	if f.client == nil {
		f.client = &http.Client{Timeout: 10 * time.Second, CheckRedirect: stayEncrypted}
	}
	return f
}

// name is what a log calls the location: a URL may hold a secret.
func (f *fetcher) name() string {
	if strings.Contains(f.location, "://") {
		return upgrade.RedactURL(f.location)
	}
	return f.location
}

// IsURL reports whether a Source's Location is a URL and not a file.
func IsURL(location string) bool {
	return strings.HasPrefix(location, "https://") || strings.HasPrefix(location, "http://")
}

// stayEncrypted refuses to be sent from https to http, where anybody could give us
// keys.
func stayEncrypted(req *http.Request, via []*http.Request) error {
	if len(via) >= 5 || via[0].URL.Scheme == "https" && req.URL.Scheme != "https" {
		return fmt.Errorf("jwks: refused to follow to %s", upgrade.RedactURL(req.URL.String()))
	}
	return nil
}

// fetch returns the keys of the set as it is now.
func (f *fetcher) fetch(ctx context.Context, log *slog.Logger) ([]upgrade.Key, error) {
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

// jwk is what is read of a JSON Web Key: its public part.
type jwk struct {
	Type      string   `json:"kty"`
	ID        string   `json:"kid,omitempty"`
	Algorithm string   `json:"alg,omitempty"`
	Curve     string   `json:"crv,omitempty"`
	X         string   `json:"x,omitempty"`
	Y         string   `json:"y,omitempty"`
	N         string   `json:"n,omitempty"`
	E         string   `json:"e,omitempty"`
	Secret    string   `json:"k,omitempty"`
	Use       string   `json:"use,omitempty"`
	Ops       []string `json:"key_ops,omitempty"`
}

var errNoKeys = errors.New("jwks: no key in the set can be used")

// parse returns the keys of a set that can be used, each by itself, so that one
// odd key does not take the others with it.
func parse(text []byte, secrets bool, log *slog.Logger) ([]upgrade.Key, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, fmt.Errorf("jwks: not a set of keys: %w", err)
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("jwks: the set has %d keys, more than %d", len(set.Keys), maxKeys)
	}
	var keys []upgrade.Key
	for _, raw := range set.Keys {
		key, err := parseKey(raw, secrets)
		if err != nil {
			log.Debug("jwks: a key is left out", "err", err)
			continue
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, errNoKeys
	}
	return keys, nil
}

// parseKey reads one key. What keyfunc gets of it is what was looked at here:
// neither certificates, for which it could ask others, nor private parts.
func parseKey(raw []byte, secrets bool) (upgrade.Key, error) {
	var j jwk
	if err := json.Unmarshal(raw, &j); err != nil {
		return upgrade.Key{}, err
	}
	switch {
	case j.Use != "" && j.Use != "sig", j.Ops != nil && !slices.Contains(j.Ops, "verify"):
		return upgrade.Key{}, fmt.Errorf("%q is not for signatures", j.ID)
	case j.Type == "oct" && !secrets:
		return upgrade.Key{}, fmt.Errorf("%q is a secret, and published", j.ID)
	}
	j.Use, j.Ops = "", nil
	public, err := json.Marshal(j)
	if err != nil {
		return upgrade.Key{}, err
	}
	parsed, err := keyfunc.NewJWKJSON(public)
	if err != nil {
		return upgrade.Key{}, fmt.Errorf("%q: %w", j.ID, err)
	}
	all, err := parsed.VerificationKeySet(context.Background())
	if err != nil || len(all.Keys) != 1 {
		return upgrade.Key{}, errors.Join(fmt.Errorf("%q is not one key", j.ID), err)
	}
	key := upgrade.Key{ID: j.ID, Algorithm: j.Algorithm, Key: all.Keys[0]}
	if key.Algorithm == "" {
		key.Algorithm = upgrade.AlgorithmOf(key.Key)
	}
	_, err = upgrade.NewKeySet(key)
	return key, err
}
