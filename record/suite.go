package record

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"hash"
	"slices"

	"golang.org/x/crypto/chacha20poly1305"
)

// suite is what the record layer knows of a cipher suite and its version.
type suite struct {
	ids        []uint16 // of the same records, and the same key schedule
	version    uint16
	hash       func() hash.Hash
	secretSize int // of a traffic secret of TLS 1.3
	keySize    int
	ivSize     int // of what the key schedule yields
	explicit   int // bytes of the nonce that each record carries, RFC 5288 §3
	aead       func(key []byte) (cipher.AEAD, error)
}

// suites by what a Half keeps of them, an index. The first is none.
var suites = [...]suite{
	{},
	{[]uint16{tls.TLS_AES_128_GCM_SHA256}, tls.VersionTLS13, sha256.New, 32, 16, 12, 0, newGCM},
	{[]uint16{tls.TLS_AES_256_GCM_SHA384}, tls.VersionTLS13, sha512.New384, 48, 32, 12, 0, newGCM},
	{[]uint16{tls.TLS_CHACHA20_POLY1305_SHA256}, tls.VersionTLS13, sha256.New, 32, 32, 12, 0, chacha20poly1305.New},
	{[]uint16{
		tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_128_GCM_SHA256,
	}, tls.VersionTLS12, sha256.New, 0, 16, 4, 8, newGCM},
	{[]uint16{
		tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_RSA_WITH_AES_256_GCM_SHA384,
	}, tls.VersionTLS12, sha512.New384, 0, 32, 4, 8, newGCM},
	{[]uint16{
		tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	}, tls.VersionTLS12, sha256.New, 0, 32, 12, 0, chacha20poly1305.New},
}

// Supports reports whether records of a version and a cipher suite can be opened and
// sealed; both are numbers of crypto/tls. These are the suites with an AEAD: all of TLS 1.3
// and those of TLS 1.2 that RFC 9325 recommends, and their like without forward secrecy,
// which crypto/tls offers only when told to.
func Supports(version, id uint16) bool {
	return suiteOf(version, id) != 0
}

// suiteOf returns the index of a suite, or 0.
func suiteOf(version, id uint16) uint8 {
	for i := range suites {
		if s := &suites[i]; s.version == version && slices.Contains(s.ids, id) {
			return uint8(i)
		}
	}
	return 0
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
