package jwt

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

// Key verifies signatures of one algorithm. The algorithm belongs to the key and
// not to the token; otherwise a public key could be taken for the secret of an HMAC.
type Key struct {
	// ID is the kid by which the header of a token names the key; any token of its
	// algorithm may be signed with a key whose ID is "".
	ID string

	// Algorithm is one of HS256, RS256, PS256 and their like with 384 and 512,
	// ES256, ES384, ES512 and EdDSA, which RFC 9864 calls Ed25519; "" stands for
	// AlgorithmOf(Key).
	Algorithm string

	// Key is a []byte for HS, an *rsa.PublicKey for RS and PS, an
	// *ecdsa.PublicKey for ES, an ed25519.PublicKey for EdDSA.
	Key any
}

// Equal reports whether both are the same key, with the same ID and algorithm.
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

// Keys says which keys there are. A *KeySet is the simplest; package upgrade/jwks has
// the keys of a key server. Its methods are safe for any goroutine. Keys that Ask never adds
// to say so with a method Fixed() bool, and no token waits for it then.
type Keys interface {
	// Current returns the keys that are known now. It never waits. If any key has
	// changed, it is another *KeySet: what was verified with the earlier one does
	// not count any more.
	Current() *KeySet

	// Ask is called for a token that none of the current keys has signed; kid is the
	// ID that it names, or "". Ask may wait for a key server until ctx ends, and
	// returns the keys that are known then. If the server cannot be asked, the error
	// is an *upgrade.Rejection, 503; if ctx ends, it is ctx's. No event loop calls Ask.
	Ask(ctx context.Context, kid string) (*KeySet, error)
}

// KeySet is a set of keys that never changes.
type KeySet struct {
	keys []knownKey
	slow bool // there may be tokens that take long to verify with them
}

type knownKey struct {
	Key
	cost time.Duration // of one attempt
}

// maxTries is how many keys are tried for one token, at most.
const maxTries = 16

// NewKeySet returns a set of these keys. It fails if one of them is too weak (RFC
// 7518 §3.2 and §3.3) or does not fit its algorithm. For a token that does not name its
// key, the first sixteen that may have signed it are tried.
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

// algorithmFor returns the algorithm of the key, by the name that golang-jwt uses.
func algorithmFor(k Key) string {
	switch k.Algorithm {
	case "":
		return AlgorithmOf(k.Key)
	case fullEdDSA:
		return "EdDSA"
	}
	return k.Algorithm
}

// Equal reports whether the set consists of exactly these keys, in this order.
func (s *KeySet) Equal(keys []Key) bool {
	return slices.EqualFunc(s.keys, keys, func(a knownKey, b Key) bool { return a.Key.Equal(b) })
}

// Current is Keys': the set itself.
func (s *KeySet) Current() *KeySet { return s }

// Ask is Keys': the set itself, which never learns a new key.
func (s *KeySet) Ask(context.Context, string) (*KeySet, error) { return s, nil }

// candidates returns the keys that may have signed a token: those with the ID kid, or
// else those without an ID and, if kid is "", all others of the algorithm after them.
// named reports whether a key has the ID kid, whatever its algorithm.
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

// AlgorithmOf returns the algorithm that a key is for unless it is given another: RS256
// for RSA, the one of its curve for ECDSA, EdDSA for Ed25519, HS256 for a []byte; "" for
// anything else.
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

// curves has the algorithm for each size of a curve, RFC 7518 §3.4.
var curves = map[int]string{256: "ES256", 384: "ES384", 521: "ES512"}

// minSecrets is RFC 7518 §3.2: a secret has at least as many bytes as the hash.
var minSecrets = map[string]int{"HS256": 32, "HS384": 48, "HS512": 64}

const (
	minRSA = 2048 // bits, RFC 7518 §3.3
	maxRSA = 8192 // nobody uses a larger key, except to keep us busy
)

// validate returns why the key cannot be used.
func (k *Key) validate() error {
	wrong := fmt.Errorf("jwt: key %q is a %T, which is not for %q", k.ID, k.Key, k.Algorithm)
	switch key := k.Key.(type) {
	case []byte:
		least, ok := minSecrets[k.Algorithm]
		if !ok {
			return wrong
		}
		if len(key) < least {
			return fmt.Errorf("jwt: a secret for %s needs at least %d bytes, this one has %d", k.Algorithm, least, len(key))
		}
	case *rsa.PublicKey:
		if !isRSA(k.Algorithm) {
			return wrong
		}
		if n := key.N.BitLen(); n < minRSA || n > maxRSA {
			return fmt.Errorf("jwt: RSA key %q has %d bits: want %d to %d", k.ID, n, minRSA, maxRSA)
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

// takesLong reports whether trying these keys takes longer than maxOnLoop.
func takesLong(keys []knownKey) bool {
	var all time.Duration
	for _, k := range keys[:min(len(keys), maxTries)] {
		all += k.cost
	}
	return all > maxOnLoop
}

// cost returns how long one attempt with the key takes, as measured.
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
