package frame

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// vector is one case of testdata/vectors; README.md there explains the format.
type vector struct {
	name    string
	client  bool
	deflate bool
	max     int
	in      []byte
	events  []string
	out     []byte
	largest int // of the messages
}

// vectorKey is the masking key of everything the client role sends in vectors.
var vectorKey = [4]byte{0x37, 0xfa, 0x21, 0x3d}

// config returns the Config that v asks for.
func (v *vector) config(b Buffers) *Config {
	return &Config{
		Client:     v.client,
		MaxMessage: v.max,
		Buffers:    b,
		MaskKey:    func() [4]byte { return vectorKey },
	}
}

// loadVectors reads all vector files.
func loadVectors(tb testing.TB) []*vector {
	tb.Helper()
	files, err := filepath.Glob("testdata/vectors/*.txt")
	if err != nil || len(files) == 0 {
		tb.Fatalf("no vectors: %v", err)
	}
	var vs []*vector
	names := make(map[string]bool)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		var v *vector
		for i, line := range strings.Split(string(text), "\n") {
			switch {
			case line == "" || line[0] == '#':
				continue
			case line[0] != ' ':
				v = &vector{name: strings.TrimSuffix(filepath.Base(file), ".txt") + "/" + line}
				if names[v.name] {
					tb.Fatalf("%s:%d: %q is there twice", file, i+1, v.name)
				}
				names[v.name] = true
				vs = append(vs, v)
				continue
			}
			if err := v.add(strings.TrimSpace(line)); err != nil {
				tb.Fatalf("%s:%d: %v", file, i+1, err)
			}
		}
	}
	return vs
}

// add reads one line of a case.
func (v *vector) add(line string) (err error) {
	word, rest, _ := strings.Cut(line, " ")
	word, times, _ := strings.Cut(word, "*")
	n := 1
	if times != "" {
		if n, err = strconv.Atoi(times); err != nil {
			return err
		}
	}
	rest = strings.TrimSpace(rest)
	switch word {
	case "client":
		v.client = true
	case "deflate":
		v.deflate = true
	case "max":
		v.max, err = strconv.Atoi(rest)
	case "in", "out":
		b, err := evalBytes(rest)
		if err != nil {
			return err
		}
		b = bytes.Repeat(b, n)
		if word == "in" {
			v.in = append(v.in, b...)
		} else {
			v.out = append(v.out, b...)
		}
	case "deflated":
		op, rest, _ := strings.Cut(rest, " ")
		b, err := evalBytes(rest)
		if err != nil {
			return err
		}
		v.out = v.appendDeflated(op, b)
	case "text", "binary", "ping", "pong":
		b, err := evalBytes(rest)
		if err != nil {
			return err
		}
		for range n {
			v.events = append(v.events, word+" "+brief(b))
		}
		v.largest = max(v.largest, len(b))
	case "close":
		code, rest, _ := strings.Cut(rest, " ")
		b, err := evalBytes(rest)
		if err != nil {
			return err
		}
		v.events = append(v.events, word+" "+code+" "+brief(b))
	case "error":
		v.events = append(v.events, word+" "+rest)
	default:
		err = fmt.Errorf("unknown word %q", word)
	}
	return err
}

// appendDeflated returns v.out with a message behind it that is compressed in v's
// role. What this is worth, FuzzDeflate and the foreign clients say.
func (v *vector) appendDeflated(op string, b []byte) []byte {
	code := OpText
	if op == OpBinary.String() {
		code = OpBinary
	}
	return v.protocol(nil).appendDeflated(v.out, code, b)
}

// protocol returns a Protocol as v asks for.
func (v *vector) protocol(b Buffers) *Protocol {
	p := New(v.config(b))
	p.Resume(p.cfg, NewState(v.deflate), nil)
	return p
}

// evalBytes reads an expression: hex, "text" and &key, each perhaps *times.
func evalBytes(s string) (b []byte, err error) {
	mask := -1
	for s = strings.TrimSpace(s); s != ""; s = strings.TrimSpace(s) {
		var item []byte
		masks := s[0] == '&'
		if s[0] == '"' {
			quoted, err := strconv.QuotedPrefix(s)
			if err != nil {
				return nil, fmt.Errorf("%q: %v", s, err)
			}
			text, _ := strconv.Unquote(quoted)
			item, s = []byte(text), s[len(quoted):]
		} else {
			end := strings.IndexAny(s, " *")
			if end < 0 {
				end = len(s)
			}
			if item, err = hex.DecodeString(strings.TrimPrefix(s[:end], "&")); err != nil {
				return nil, err
			}
			s = s[end:]
		}
		if strings.HasPrefix(s, "*") {
			end := strings.IndexByte(s+" ", ' ')
			n, err := strconv.Atoi(s[1:end])
			if err != nil {
				return nil, err
			}
			item, s = bytes.Repeat(item, n), s[end:]
		}
		b = append(b, item...)
		if masks {
			mask = len(b)
		}
	}
	if mask >= 0 {
		naiveMask(b[mask:], [4]byte(b[mask-4:]), 0)
	}
	return b, nil
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
	h := uint64(14695981039346656037)
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return fmt.Sprintf("%x…%x (%d bytes, fnv %x)", b[:32], b[len(b)-32:], len(b), h)
}

// countingBuffers lends memory and counts what is out. What comes back is
// overwritten, so that a late reader shows.
type countingBuffers struct {
	out  map[*byte]bool
	gets int
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
		for i := range b {
			b[i] = 0xDD
		}
	}
}

// check reports what is wrong with the balance, now that all should be back.
func (c *countingBuffers) check() string {
	if len(c.out) != 0 {
		c.errs = append(c.errs, fmt.Sprintf("%d of %d buffers not put back", len(c.out), c.gets))
	}
	return strings.Join(c.errs, "; ")
}
