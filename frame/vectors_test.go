package frame

import (
	"encoding/hex"
	"fmt"
	"hash/crc64"
	"strings"
	"sync"
	"testing"

	"github.com/usher-ws/usher/internal/vectors"
)

// vector is a case of package vectors, in terms of this package.
type vector struct {
	name    string
	client  bool
	window  Window
	max     int
	in      []byte
	events  []string
	out     []byte
	largest int // of the messages
}

// loadVectors returns all vectors. Nobody may change them.
func loadVectors(tb testing.TB) []*vector {
	tb.Helper()
	vs, err := readVectors()
	if err != nil {
		tb.Fatal(err)
	}
	return vs
}

var readVectors = sync.OnceValues(func() (vs []*vector, err error) {
	cases, err := vectors.Load()
	if err != nil {
		return nil, err
	}
	for _, c := range cases {
		v := &vector{name: c.Name, client: c.Client, window: Window(c.Window), max: c.Max, in: c.In, largest: c.Largest()}
		for _, e := range c.Events {
			v.events = append(v.events, describe(e.Kind, e.Code, e.Data))
		}
		for _, o := range c.Out {
			switch o.Deflated {
			case "":
				v.out = append(v.out, o.Bytes...)
			case OpText.String():
				v.out = v.appendDeflated(OpText, o.Bytes)
			case OpBinary.String():
				v.out = v.appendDeflated(OpBinary, o.Bytes)
			default:
				return nil, fmt.Errorf("%s: deflated %q", v.name, o.Deflated)
			}
		}
		vs = append(vs, v)
	}
	return vs, nil
})

// describe returns an event in one line. Code is 0 for an event without.
func describe(kind string, code int, data []byte) string {
	if code != 0 {
		return fmt.Sprintf("%s %d %s", kind, code, brief(data))
	}
	return kind + " " + brief(data)
}

// config returns the Config that v asks for.
func (v *vector) config(b Buffers) *Config {
	return &Config{
		Client:     v.client,
		MaxMessage: v.max,
		Buffers:    b,
		MaskKey:    func() [4]byte { return vectors.Key },
	}
}

// appendDeflated returns v.out with a message behind it that is compressed in v's
// role. What this is worth, FuzzDeflate and the foreign clients say.
func (v *vector) appendDeflated(op Opcode, b []byte) []byte {
	p := New(v.config(nil))
	p.EnableDeflate(v.window)
	return p.appendDeflated(v.out, op, b)
}

// naiveMask is the oracle of Mask.
func naiveMask(b []byte, key [4]byte, pos int) int {
	for i := range b {
		b[i] ^= key[(pos+i)%4]
	}
	return (pos + len(b)) % 4
}

// brief returns b in hex, the middle of a long one as a checksum.
func brief(b []byte) string {
	if len(b) <= 256 {
		return hex.EncodeToString(b)
	}
	return fmt.Sprintf("%x…%x (%d bytes, crc %x)", b[:32], b[len(b)-32:], len(b), crc64.Checksum(b, crcTable))
}

var crcTable = crc64.MakeTable(crc64.ECMA)

// countingBuffers lends memory and counts what is out. What comes back is
// overwritten, so that a late reader shows.
type countingBuffers struct {
	out  map[*byte]bool
	gets int
	sum  int // of bytes, over all gets
	top  int // most bytes out at once
	now  int
	errs []string
}

func (c *countingBuffers) Get(n int) []byte {
	if n <= 0 {
		c.errs = append(c.errs, fmt.Sprintf("Get(%d)", n))
		n = 1
	}
	b := make([]byte, n)
	if c.out == nil {
		c.out = make(map[*byte]bool)
	}
	c.out[&b[0]] = true
	c.gets++
	c.sum += n
	c.now += n
	c.top = max(c.top, c.now)
	return b[:0]
}

func (c *countingBuffers) Put(b []byte) {
	if cap(b) == 0 || len(b) != 0 || !c.out[&b[:1][0]] {
		c.errs = append(c.errs, fmt.Sprintf("Put of len %d cap %d that is not out", len(b), cap(b)))
		return
	}
	b = b[:cap(b)]
	delete(c.out, &b[0])
	c.now -= len(b)
	if len(b) <= 4096 {
		spoil(b)
	}
}

// check reports what is wrong with the balance, now that all should be back.
func (c *countingBuffers) check() string {
	if len(c.out) != 0 {
		c.errs = append(c.errs, fmt.Sprintf("%d of %d buffers not put back", len(c.out), c.gets))
	}
	return strings.Join(c.errs, "; ")
}
