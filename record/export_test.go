package record

import "crypto/tls"

// Peer returns the other side of a connection, in the same place.
func (c *Conn) Peer() *Conn {
	p := *c
	p.In, p.Out = c.Out, c.In
	p.role = Client - c.role
	return &p
}

// AppendAny appends a record of TLS 1.3 whose inner plaintext is given: content, type and
// padding; or one of TLS 1.2 with any content. Nothing is checked.
func (h *Half) AppendAny(c *Cipher, dst []byte, t Type, plaintext []byte) []byte {
	s, err := c.fit(h)
	if err != nil {
		panic(err)
	}
	n := s.explicit + len(plaintext) + tagSize
	header := []byte{byte(t), 3, 3, byte(n >> 8), byte(n)}
	data := header
	if s.version == tls.VersionTLS12 {
		data = c.additional(h.seq, t, len(plaintext))
	}
	dst = append(append(dst, header...), make([]byte, s.explicit)...)
	copy(c.nonce[len(c.nonce)-s.explicit:], dst[len(dst)-s.explicit:])
	dst = c.aead.Seal(dst, c.nonce[:], plaintext, data)
	h.seq++
	return dst
}

// Update goes on to the next key, of TLS 1.3.
func (h *Half) Update() error { return h.update() }

// SetSeq sets the sequence number.
func (h *Half) SetSeq(n uint64) { h.seq = n }

const RekeyAt = rekeyAt

// Early reports whether an error is found before crypto/tls would find one: by a header or
// the first byte of a message, or since crypto/tls is lenient (see docs/TLS.md).
func Early(err error) bool {
	switch err {
	case errType, errMessage, errLength, errUpdate, errRenegotiate:
		return true
	default:
		return false
	}
}
