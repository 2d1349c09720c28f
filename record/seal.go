package record

import (
	"crypto/tls"
	"encoding/binary"
	"slices"
)

// AppendRecord appends one record, sealed. Its content is at most MaxContent bytes, and must
// not overlap what is appended. If the record cannot be sealed, nothing is appended.
//
// It is Conn.Append that looks after closing and key updates.
func (h *Half) AppendRecord(c *Cipher, dst []byte, t Type, content []byte) ([]byte, error) {
	if len(content) > MaxContent {
		return dst, errContent
	}
	s, err := c.fit(h)
	if err != nil {
		return dst, err
	}
	size := s.overhead() + len(content)
	dst = slices.Grow(dst, size)
	start := len(dst)
	n := size - headerSize
	if s.version == tls.VersionTLS13 {
		dst = append(dst, byte(ApplicationData), 3, 3, byte(n>>8), byte(n))
		dst = append(append(dst, content...), byte(t))
		header, body := dst[start:start+headerSize], dst[start+headerSize:]
		dst = c.aead.Seal(dst[:start+headerSize], c.nonce[:], body, header)
	} else {
		dst = append(dst, byte(t), 3, 3, byte(n>>8), byte(n))
		if s.explicit > 0 { // never the same twice with one key: RFC 5288 §3
			dst = binary.BigEndian.AppendUint64(dst, h.seq)
			copy(c.nonce[len(c.nonce)-s.explicit:], dst[start+headerSize:])
		}
		dst = c.aead.Seal(dst, c.nonce[:], content, c.additional(h.seq, t, len(content)))
	}
	h.seq++
	return dst, nil
}

// overhead returns what a record has beside its content.
func (s *suite) overhead() int {
	n := headerSize + s.explicit + tagSize
	if s.version == tls.VersionTLS13 {
		n++ // the type
	}
	return n
}
