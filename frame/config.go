package frame

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
)

// DefaultMaxMessage is the largest message accepted unless Config says otherwise.
const DefaultMaxMessage = 64 << 10

// maxEmptyFragments is how many empty non-final fragments a message may have in
// a row. They cost their sender two to six bytes and us a parse, so there is a
// limit; it lies above 65,536 because lower ones refuse messages that are legal.
const maxEmptyFragments = 131_072

// Config is what many connections have in common. The zero value is a server's:
// masked input, messages up to DefaultMaxMessage, memory from make. It must not
// change while a Protocol uses it; any number of them may, in any goroutine, if
// its Buffers and MaskKey allow that.
type Config struct {
	Client     bool           // we are the client: mask output, refuse masked input
	MaxMessage int            // of one message's payload, in bytes, compressed and not; 0: DefaultMaxMessage; negative: no limit
	Buffers    Buffers        // memory of what straddles reads; nil: make and the garbage collector
	MaskKey    func() [4]byte // a client's masking keys; nil: math/rand/v2
	Fragments  bool           // make a FragmentEvent, without Data, of every fragment but the last: every frame is an event

	// KeepDeflated makes a DeflatedEvent of a compressed message, for callers that do not
	// want every one of them: Inflate makes the message.
	KeepDeflated bool

	// AnyText has a Relay pass text on that is not UTF-8. A Protocol refuses it always.
	AnyText bool
}

// Buffers lends memory. Get returns a slice of length 0 and capacity n or more;
// Put takes back a slice that Get returned, with its full capacity.
type Buffers interface {
	Get(n int) []byte
	Put(b []byte)
}

// limit returns the largest permitted message.
func (c *Config) limit() int64 {
	switch {
	case c.MaxMessage == 0:
		return DefaultMaxMessage
	case c.MaxMessage < 0:
		return math.MaxInt // a slice cannot be longer
	default:
		return int64(c.MaxMessage)
	}
}

// get returns an empty slice with room for n bytes.
func (c *Config) get(n int) []byte {
	if c.Buffers == nil {
		return make([]byte, 0, n)
	}
	return c.Buffers.Get(n)
}

// put gives b back. Buffers never sees nil.
func (c *Config) put(b []byte) {
	if c.Buffers != nil && b != nil {
		c.Buffers.Put(b[:0])
	}
}

// grow returns b with room for n more bytes. A slice that has to move gets twice
// what it will hold, but never more than known, the most it can come to: memory
// follows what arrived, not what a header promised.
func (c *Config) grow(b []byte, n int, known int64) []byte {
	need := len(b) + n
	if need <= cap(b) {
		return b
	}
	size := int64(max(need, minBuffer)) * 2
	moved := append(c.get(int(max(min(size, known), int64(need)))), b...)
	c.put(b)
	return moved
}

// minBuffer is the least worth asking Buffers for, before doubling.
const minBuffer = 32

// maskKey returns a fresh masking key. The top-level generator of math/rand/v2
// is ChaCha8 seeded by the system, which RFC 6455 §10.3 asks of a key: not to be
// guessed by anyone who chooses the payload.
func (c *Config) maskKey() (key [4]byte) {
	if c.MaskKey != nil {
		return c.MaskKey()
	}
	binary.LittleEndian.PutUint32(key[:], rand.Uint32())
	return key
}
