package record

import (
	"crypto/tls"
	"encoding/binary"
)

// Type is the content type of a record (RFC 8446 §5.1).
type Type uint8

// The types of records.
const (
	ChangeCipherSpec Type = 20
	AlertRecord      Type = 21
	Handshake        Type = 22
	ApplicationData  Type = 23
)

// Sizes in bytes.
const (
	MaxContent = 1 << 14                  // the most that a record can hold (RFC 8446 §5.1)
	MaxRecord  = headerSize + maxSealed12 // the longest record, header included

	headerSize  = 5
	tagSize     = 16
	maxSealed13 = MaxContent + 256  // RFC 8446 §5.2
	maxSealed12 = MaxContent + 2048 // RFC 5246 §6.2.3
)

// Size returns how long the first record of in is, header included, or 0 if its header is
// not complete. The error is what the header alone proves.
func (h *Half) Size(in []byte) (int, error) {
	if len(in) < headerSize {
		return 0, nil
	}
	if in[1] != 3 || in[2] != 3 { // also of TLS 1.3, where it is frozen: RFC 8446 §5.1
		return 0, errVersion
	}
	longest := maxSealed12
	switch t := Type(in[0]); {
	case h.of().version == tls.VersionTLS13:
		if t != ApplicationData {
			return 0, errType
		}
		longest = maxSealed13
	case t != ApplicationData && t != AlertRecord && t != Handshake:
		return 0, errType
	}
	n := int(binary.BigEndian.Uint16(in[3:]))
	if n > longest {
		return 0, errTooLong
	}
	return headerSize + n, nil
}

// Open opens the first record of in, in place, and returns its type, its content, which is
// a part of in, and the length of the record: 0 if in does not hold all of it. The content
// may be empty. After an error the connection has to end; in is overwritten.
func (h *Half) Open(c *Cipher, in []byte) (t Type, content []byte, n int, err error) {
	if h.suite == 0 {
		return 0, nil, 0, ErrClosed
	}
	n, err = h.Size(in)
	if err != nil || n == 0 || n > len(in) {
		return 0, nil, 0, err
	}
	s, err := c.fit(h)
	if err != nil {
		return 0, nil, 0, err
	}
	header, body := in[:headerSize], in[headerSize:n]
	if len(body) < s.explicit+tagSize {
		return 0, nil, 0, errMAC
	}
	copy(c.nonce[len(c.nonce)-s.explicit:], body[:s.explicit])
	body = body[s.explicit:]
	t = Type(in[0])
	data := header
	if s.version == tls.VersionTLS12 {
		data = c.additional(h.seq, t, len(body)-tagSize)
	}
	content, err = c.aead.Open(body[:0], c.nonce[:], body, data)
	if err != nil {
		return 0, nil, 0, errMAC
	}
	if s.version == tls.VersionTLS13 {
		if t, content, err = inner(content); err != nil {
			return 0, nil, 0, err
		}
	}
	if len(content) > MaxContent {
		return 0, nil, 0, errInnerLong
	}
	h.seq++
	return t, content, n, nil
}

// inner takes the padding and the type from a TLSInnerPlaintext (RFC 8446 §5.4).
func inner(b []byte) (Type, []byte, error) {
	if len(b) > MaxContent+1 {
		return 0, nil, errInnerLong
	}
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] != 0 {
			return Type(b[i]), b[:i], nil
		}
	}
	return 0, nil, errNoType
}

// Skip moves h past those of the records that were sealed with its key, and returns how
// many they are, and how many bytes they hold. The records are whole, one behind the other,
// as they were written or read during a handshake; those in front that another key has sealed
// or none are passed over. So the sequence number is found without trusting anybody's account
// of a handshake. It overwrites the records, and is to be called once, at the first record.
func (h *Half) Skip(records []byte) (n, size int, err error) {
	var c Cipher
	for len(records) > 0 {
		whole := headerSize
		if len(records) >= headerSize {
			whole += int(binary.BigEndian.Uint16(records[3:]))
		}
		if len(records) < whole {
			return n, size, errPartial
		}
		switch _, content, _, err := h.Open(&c, records[:whole]); {
		case err == nil:
			n++
			size += len(content)
		case n > 0:
			return n, size, err
		}
		records = records[whole:]
	}
	return n, size, nil
}
