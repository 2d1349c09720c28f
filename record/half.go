package record

import (
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// Half is one direction of a connection: all that it takes to open or to seal its records.
// It is 72 bytes without a pointer. The zero value is closed. A Half is all it
// takes to read and to forge its records: copy it no further than needed, and Clear it.
type Half struct {
	seq   uint64
	keys  [48]byte // the traffic secret of TLS 1.3, and behind it the key if there is room
	iv    [12]byte
	suite uint8 // index into suites; 0: none
	ended bool  // by an alert, of which Conn takes care
	owes  bool  // a key update ahead of the next data
}

// Clear zeroes h. What a Cipher has made of its key is garbage then.
func (h *Half) Clear() { *h = Half{} }

// Seq returns how many records were opened or sealed with the present key.
func (h *Half) Seq() uint64 { return h.seq }

// Format keeps a Half out of logs and errors, whatever the verb.
func (h Half) Format(f fmt.State, _ rune) { io.WriteString(f, "record.Half") }

func (h *Half) of() *suite { return &suites[h.suite] }

// Cipher is the expanded key of a Half, with AES some 830 bytes on the heap that cost ten
// times as much to make as to use, or twenty if the key follows from the secret. The zero value is ready: the methods of a Half make it
// when it is not theirs, and make it anew after a key update or for another Half. So many
// connections may use one in turns, and a cache of them can confuse nothing. One goroutine
// at a time may use it.
type Cipher struct {
	aead  cipher.AEAD
	mark  uint64 // the first bytes of the secret or the key that it was made of
	suite uint8
	nonce [12]byte // for the time of a call; arguments of an interface escape
	data  [13]byte
}

// Clear forgets the key. Its expanded form cannot be zeroed through crypto/cipher, and is
// left to the garbage collector.
func (c *Cipher) Clear() { *c = Cipher{} }

// Format keeps a Cipher out of logs and errors, whatever the verb.
func (c Cipher) Format(f fmt.State, _ rune) { io.WriteString(f, "record.Cipher") }

// fit makes c that of h, and its nonce that of the next record, unless each record carries
// its own.
func (c *Cipher) fit(h *Half) (*suite, error) {
	if h.suite == 0 {
		return nil, ErrClosed
	}
	if h.seq == math.MaxUint64 { // RFC 8446 §5.3: must not wrap
		return nil, errExhausted
	}
	s := h.of()
	mark := binary.LittleEndian.Uint64(h.keys[:])
	if c.aead == nil || c.mark != mark || c.suite != h.suite {
		aead, err := h.expanded()
		if err != nil {
			return nil, err
		}
		c.aead, c.mark, c.suite = aead, mark, h.suite
	}
	c.nonce = h.iv
	if s.explicit == 0 { // RFC 8446 §5.3, RFC 7905 §2
		low := c.nonce[4:]
		binary.BigEndian.PutUint64(low, binary.BigEndian.Uint64(low)^h.seq)
	}
	return s, nil
}

// additional returns what TLS 1.2 authenticates beside the content (RFC 5246 §6.2.3.3).
func (c *Cipher) additional(seq uint64, t Type, n int) []byte {
	binary.BigEndian.PutUint64(c.data[:], seq)
	c.data[8], c.data[9], c.data[10] = byte(t), 3, 3
	binary.BigEndian.PutUint16(c.data[11:], uint16(n))
	return c.data[:]
}
