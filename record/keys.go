package record

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/tls"
	"errors"
	"fmt"
)

var errSecret = errors.New("record: secret of a wrong length")

// setSecret makes h that of a traffic secret of TLS 1.3, at its first record (RFC 8446 §7.3).
func (h *Half) setSecret(secret []byte) error {
	s := h.of()
	if len(secret) != s.secretSize {
		return errSecret
	}
	copy(h.keys[:], secret)
	h.seq = 0
	if key := h.key(); key != nil {
		if err := s.expand(key, secret, "key"); err != nil {
			return err
		}
	}
	return s.expand(h.iv[:], secret, "iv")
}

// key returns the key, which is a part of h, or nil if it is to be derived: there is room
// behind the secret for that of AES-128, and all of TLS 1.2 have no secret.
func (h *Half) key() []byte {
	s := h.of()
	if end := s.secretSize + s.keySize; end <= len(h.keys) {
		return h.keys[s.secretSize:end]
	}
	return nil
}

// expanded makes a cipher of the key.
func (h *Half) expanded() (cipher.AEAD, error) {
	s := h.of()
	if key := h.key(); key != nil {
		return s.aead(key)
	}
	key := make([]byte, s.keySize)
	defer clear(key)
	if err := s.expand(key, h.keys[:s.secretSize], "key"); err != nil {
		return nil, err
	}
	return s.aead(key)
}

// update goes on to the next traffic secret (RFC 8446 §7.2).
func (h *Half) update() error {
	var next [len(h.keys)]byte
	defer clear(next[:])
	s := h.of()
	if err := s.expand(next[:s.secretSize], h.keys[:s.secretSize], "traffic upd"); err != nil {
		return err
	}
	return h.setSecret(next[:s.secretSize])
}

// expand is HKDF-Expand-Label with an empty context (RFC 8446 §7.1), into out.
func (s *suite) expand(out, secret []byte, label string) error {
	info := make([]byte, 0, 32)
	info = append(info, byte(len(out)>>8), byte(len(out)), byte(len("tls13 ")+len(label)))
	info = append(append(info, "tls13 "...), label...)
	info = append(info, 0)
	key, err := hkdf.Expand(s.hash, secret, string(info), len(out))
	copy(out, key)
	clear(key)
	return err
}

// setKeyBlock makes both halves those of a master secret of TLS 1.2 (RFC 5246 §6.3).
func setKeyBlock(client, server *Half, master, clientRandom, serverRandom []byte) error {
	if len(master) != 48 || len(clientRandom) != 32 || len(serverRandom) != 32 {
		return errSecret
	}
	s := client.of()
	seed := append(append([]byte("key expansion"), serverRandom...), clientRandom...)
	block := s.prf(master, seed, 2*(s.keySize+s.ivSize))
	defer clear(block)
	rest := block
	for _, h := range []*Half{client, server} {
		rest = rest[copy(h.key(), rest):]
	}
	for _, h := range []*Half{client, server} {
		rest = rest[copy(h.iv[:s.ivSize], rest):]
	}
	return nil
}

// prf is TLS 1.2's (RFC 5246 §5), of a seed that begins with the label.
func (s *suite) prf(secret, seed []byte, n int) []byte {
	h := hmac.New(s.hash, secret)
	sum := func(parts ...[]byte) []byte {
		h.Reset()
		for _, p := range parts {
			h.Write(p)
		}
		return h.Sum(nil)
	}
	out := make([]byte, 0, n+h.Size())
	for a := sum(seed); len(out) < n; a = sum(a) {
		out = append(out, sum(a, seed)...)
	}
	return out[:n]
}

// Init13 starts a connection of TLS 1.3 with the secrets that a handshake has yielded,
// CLIENT_TRAFFIC_SECRET_0 and SERVER_TRAFFIC_SECRET_0 of a key log. Both directions are at
// their first record. The secrets are copied; the caller clears its own.
func (c *Conn) Init13(role Role, suite uint16, client, server []byte) error {
	ours, theirs, err := c.begin(role, tls.VersionTLS13, suite)
	if err != nil {
		return err
	}
	if err := errors.Join(ours.setSecret(client), theirs.setSecret(server)); err != nil {
		c.Clear()
		return err
	}
	return nil
}

// Init12 starts a connection of TLS 1.2 with the master secret, CLIENT_RANDOM of a key log,
// and both randoms of the handshake. Both directions are at their first record, which is the
// Finished message (see Half.Skip). What it is given is copied; the caller clears its own.
func (c *Conn) Init12(role Role, suite uint16, master, clientRandom, serverRandom []byte) error {
	client, server, err := c.begin(role, tls.VersionTLS12, suite)
	if err != nil {
		return err
	}
	if err := setKeyBlock(client, server, master, clientRandom, serverRandom); err != nil {
		c.Clear()
		return err
	}
	return nil
}

// begin returns the halves in which the client and the server write.
func (c *Conn) begin(role Role, version, id uint16) (client, server *Half, err error) {
	c.Clear()
	i := suiteOf(version, id)
	if i == 0 {
		return nil, nil, fmt.Errorf("record: no records of %s with %s", tls.VersionName(version), tls.CipherSuiteName(id))
	}
	c.In.suite, c.Out.suite = i, i
	c.role = role
	if role == Client {
		return &c.Out, &c.In, nil
	}
	return &c.In, &c.Out, nil
}
