package events

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Key signs requests. It is not printed.
type Key struct{ secret []byte }

const (
	keyPrefix = "whsec_"

	// The bounds of Standard Webhooks, in bytes.
	minKey = 24
	maxKey = 64
)

// ParseKeys returns the keys of a text, one a line: whsec_ and 24 to 64 bytes in base64, as
// Standard Webhooks writes them. There must be one at least. No error has a part of a key in it.
func ParseKeys(text []byte) (keys []Key, err error) {
	for n, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
		key, err := parseKey(strings.TrimSuffix(line, "\r"))
		if err != nil {
			return nil, fmt.Errorf("line %d %w", n+1, err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// parseKey reads one. Its errors follow the name of the line.
func parseKey(line string) (Key, error) {
	text, ok := strings.CutPrefix(line, keyPrefix)
	if !ok || strings.ContainsRune(text, '\r') { // which base64 skips
		return Key{}, fmt.Errorf("is no key: want %s and base64", keyPrefix)
	}
	secret, err := base64.StdEncoding.Strict().DecodeString(text)
	switch {
	case err != nil:
		return Key{}, fmt.Errorf("is no key: what follows %s is not base64", keyPrefix)
	case len(secret) < minKey || len(secret) > maxKey:
		return Key{}, fmt.Errorf("is a key of %d bytes: want %d to %d", len(secret), minKey, maxKey)
	}
	return Key{secret}, nil
}

// String says that it is a key, and nothing of it.
func (Key) String() string { return keyPrefix + "…" }

// GoString is String: %#v prints no key either.
func (k Key) GoString() string { return k.String() }

// sign returns the header webhook-signature: a signature by each key.
func sign(keys []Key, id string, at time.Time, body []byte) string {
	var b bytes.Buffer
	for _, k := range keys {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		mac := hmac.New(sha256.New, k.secret)
		fmt.Fprintf(mac, "%s.%d.", id, at.Unix())
		mac.Write(body)
		b.WriteString("v1,")
		b.Write(base64.StdEncoding.AppendEncode(nil, mac.Sum(nil)))
	}
	return b.String()
}

var errNoKeys = errors.New("events: no key to sign with: nothing is sent unsigned")
