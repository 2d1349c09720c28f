package jwt

import (
	"crypto/sha256"
	"encoding/binary"
	"sync"
)

// maxSeen is how many tokens are remembered by their digests at most, in 256 KiB.
const maxSeen = 8192

// digest is SHA-256 of a token: nobody can make another with the same one.
type digest [sha256.Size]byte

// seen remembers which tokens one of the keys has signed. A token that comes again needs
// no second look at its signature, which may take a thousand times as long; all else about
// it is judged anew. The zero value is empty. Safe for any goroutine.
type seen struct {
	mu     sync.Mutex
	keys   *KeySet          // all have been signed by these
	tokens *[maxSeen]digest // each in the one place that it may be in; nil: none yet
}

func (d *digest) place() uint64 { return binary.LittleEndian.Uint64(d[:]) % maxSeen }

// has reports whether a token is remembered as signed by one of keys.
func (s *seen) has(d *digest, keys *KeySet) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tokens != nil && s.keys == keys && s.tokens[d.place()] == *d
}

// add remembers that one of keys has signed a token, in the place of another perhaps. With
// other keys than before it forgets all others.
func (s *seen) add(d *digest, keys *KeySet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.tokens == nil:
		s.keys, s.tokens = keys, new([maxSeen]digest)
	case s.keys != keys:
		s.keys, *s.tokens = keys, [maxSeen]digest{}
	}
	s.tokens[d.place()] = *d
}
