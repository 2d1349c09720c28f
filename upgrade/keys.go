package upgrade

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/subtle"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Key verifies signatures of one algorithm. An algorithm belongs to the key and
// not to the token, or a public key could be taken for the secret of an HMAC.
type Key struct {
	// ID is what a token names in its header as kid; "" is a key that any token
	// of its algorithm may be signed with.
	ID string

	// Algorithm is one of HS256, RS256, PS256 and their like with 384 and 512,
	// ES256, ES384, ES512 and EdDSA, which RFC 9864 calls Ed25519; "" is what
	// AlgorithmOf says of the key.
	Algorithm string

	// Key is a []byte for HS, an *rsa.PublicKey for RS and PS, an
	// *ecdsa.PublicKey for ES, an ed25519.PublicKey for EdDSA.
	Key any
}

// Equal reports whether two keys are one: ID, algorithm and all.
func (k Key) Equal(other Key) bool {
	if k.ID != other.ID || algorithmFor(k) != algorithmFor(other) {
		return false
	}
	switch key := k.Key.(type) {
	case []byte:
		secret, ok := other.Key.([]byte)
		return ok && subtle.ConstantTimeCompare(key, secret) == 1
	case interface{ Equal(crypto.PublicKey) bool }:
		return key.Equal(other.Key)
	}
	return false
}

// Keys says what keys there are. A *KeySet is the simplest; subpackage jwks has
// those of a key server. Its methods are safe for any goroutine.
type Keys interface {
	// Current returns the keys as they are known now. It never waits. A set
	// that differs in any key is another *KeySet: nothing that was verified by
	// an earlier one counts any more.
	Current() *KeySet

	// Ask is for a token that none of the current keys explains; kid is what it
	// names, or "". It may wait for whoever would know, until ctx ends, and returns
	// the keys as they are known then. An error is a *Rejection, 503, if they cannot
	// say, or ctx's. No event loop calls it.
	Ask(ctx context.Context, kid string) (*KeySet, error)
}

// KeySet is a set of keys that never changes.
type KeySet struct {
	keys []knownKey
	slow bool // there may be tokens that it takes long to try them with
}

type knownKey struct {
	Key
	cost time.Duration // of trying it
}

// maxTries is how many keys a token is tried with: the first that fit.
const maxTries = 16

// NewKeySet returns the set of keys. It fails if one of them is too weak (RFC
// 7518 §3.2 and §3.3) or not of its algorithm. A token that does not name its key is
// tried with the first sixteen that it may be signed with.
func NewKeySet(keys ...Key) (*KeySet, error) {
	set := &KeySet{keys: make([]knownKey, 0, len(keys))}
	byAlgorithm := make(map[string][]knownKey)
	for _, k := range keys {
		k.Algorithm = algorithmFor(k)
		if err := k.validate(); err != nil {
			return nil, err
		}
		known := knownKey{k, k.cost()}
		set.keys = append(set.keys, known)
		byAlgorithm[k.Algorithm] = append(byAlgorithm[k.Algorithm], known)
	}
	for _, all := range byAlgorithm {
		set.slow = set.slow || takesLong(all)
	}
	return set, nil
}

// fullEdDSA is RFC 9864's name for EdDSA with a key of Ed25519.
const fullEdDSA = "Ed25519"

// algorithmFor returns what the key is for, under the name that golang-jwt has for it.
func algorithmFor(k Key) string {
	switch k.Algorithm {
	case "":
		return AlgorithmOf(k.Key)
	case fullEdDSA:
		return "EdDSA"
	}
	return k.Algorithm
}

// Equal reports whether the set has these keys and no others, in this order.
func (s *KeySet) Equal(keys []Key) bool {
	return slices.EqualFunc(s.keys, keys, func(a knownKey, b Key) bool { return a.Key.Equal(b) })
}

// Current is Keys': the set itself.
func (s *KeySet) Current() *KeySet { return s }

// Ask is Keys': the set itself, as it learns nothing new.
func (s *KeySet) Ask(context.Context, string) (*KeySet, error) { return s, nil }

// candidates returns the keys that a token may be signed with: those it names,
// else those without an ID, and behind them all of its algorithm if it names none. named
// says that a key has the ID kid, whatever its algorithm.
func (s *KeySet) candidates(algorithm, kid string) (keys []knownKey, named bool) {
	if s == nil {
		return nil, false
	}
	var others []knownKey
	for _, k := range s.keys {
		named = named || kid != "" && k.ID == kid
		switch {
		case k.Algorithm != algorithm:
		case k.ID == kid:
			keys = append(keys, k)
		case kid == "" || k.ID == "":
			others = append(others, k)
		}
	}
	if !named {
		keys = append(keys, others...)
	}
	return keys[:min(len(keys), maxTries)], named
}

// AlgorithmOf returns the algorithm that a key is for if nobody says otherwise:
// RS256 for RSA, what fits the curve for ECDSA, EdDSA, and HS256 for a []byte;
// "" for anything else.
func AlgorithmOf(key any) string {
	switch k := key.(type) {
	case []byte:
		return "HS256"
	case *rsa.PublicKey:
		return "RS256"
	case *ecdsa.PublicKey:
		return curves[k.Curve.Params().BitSize]
	case ed25519.PublicKey:
		return "EdDSA"
	}
	return ""
}

// curves are the algorithms by the size of the curve, RFC 7518 §3.4.
var curves = map[int]string{256: "ES256", 384: "ES384", 521: "ES512"}

// minSecrets is RFC 7518 §3.2: a key as long as the hash's output, or longer.
var minSecrets = map[string]int{"HS256": 32, "HS384": 48, "HS512": 64}

const (
	minRSA = 2048 // bits, RFC 7518 §3.3
	maxRSA = 8192 // more is nobody's key but a way to keep us busy
)

// validate says why the key cannot be used.
func (k *Key) validate() error {
	wrong := fmt.Errorf("upgrade: key %q is a %T, which is not for %q", k.ID, k.Key, k.Algorithm)
	switch key := k.Key.(type) {
	case []byte:
		least, ok := minSecrets[k.Algorithm]
		if !ok {
			return wrong
		}
		if len(key) < least {
			return fmt.Errorf("upgrade: a secret for %s needs at least %d bytes, this one has %d", k.Algorithm, least, len(key))
		}
	case *rsa.PublicKey:
		if !isRSA(k.Algorithm) {
			return wrong
		}
		if n := key.N.BitLen(); n < minRSA || n > maxRSA {
			return fmt.Errorf("upgrade: RSA key %q has %d bits: want %d to %d", k.ID, n, minRSA, maxRSA)
		}
	case *ecdsa.PublicKey:
		if name := curves[key.Curve.Params().BitSize]; name == "" || name != k.Algorithm {
			return wrong
		}
	case ed25519.PublicKey:
		if k.Algorithm != "EdDSA" || len(key) != ed25519.PublicKeySize {
			return wrong
		}
	default:
		return wrong
	}
	return nil
}

func isRSA(algorithm string) bool {
	switch algorithm {
	case "RS256", "RS384", "RS512", "PS256", "PS384", "PS512":
		return true
	}
	return false
}

func isHMAC(algorithm string) bool { return strings.HasPrefix(algorithm, "HS") }

// maxOnLoop is how long an event loop may verify one token.
const maxOnLoop = 100 * time.Microsecond

// takesLong reports whether to try a token with these keys takes longer than that.
func takesLong(keys []knownKey) bool {
	var all time.Duration
	for _, k := range keys[:min(len(keys), maxTries)] {
		all += k.cost
	}
	return all > maxOnLoop
}

// cost returns how long the key takes for one token, as measured.
func (k *Key) cost() time.Duration {
	switch key := k.Key.(type) {
	case *rsa.PublicKey:
		if key.N.BitLen() > minRSA {
			return 330 * time.Microsecond // of 4096 bits
		}
		return 36 * time.Microsecond
	case *ecdsa.PublicKey:
		switch key.Curve.Params().BitSize {
		case 256:
			return 88 * time.Microsecond
		case 384:
			return 640 * time.Microsecond
		}
		return 1700 * time.Microsecond
	case ed25519.PublicKey:
		return 57 * time.Microsecond
	}
	return 5 * time.Microsecond // HMAC
}
