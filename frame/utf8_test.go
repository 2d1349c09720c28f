package frame

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestUTF8Short compares the automaton with unicode/utf8 on every text of up to
// two bytes, and on all longer ones made of the bytes around which the rules turn.
func TestUTF8Short(t *testing.T) {
	t.Parallel()
	edges := []byte("\x00\x7f\x80\x8f\x90\x9f\xa0\xbf\xc0\xc1\xc2\xdf\xe0\xe1\xec\xed\xee\xef\xf0\xf1\xf3\xf4\xf5\xf7\xf8\xff")
	check := func(b ...byte) {
		if got, want := validUTF8(utf8Accept, b) == utf8Accept, utf8.Valid(b); got != want {
			t.Fatalf("%x: got %t, want %t", b, got, want)
		}
	}
	for a := range 256 {
		check(byte(a))
		for b := range 256 {
			check(byte(a), byte(b))
		}
	}
	for _, a := range edges {
		for _, b := range edges {
			for _, c := range edges {
				check(a, b, c)
				for _, d := range edges {
					check(a, b, c, d)
				}
			}
		}
	}
	for r := range utf8.MaxRune + 1 {
		check(utf8.AppendRune(nil, r)...)
	}
}

// TestUTF8Early checks that each text is refused at the first byte that no text
// could mend.
func TestUTF8Early(t *testing.T) {
	for _, test := range []struct {
		text string
		at   int // of the wrong byte; -1: none
	}{
		{"plain", -1},
		{"κόσμε", -1},
		{"\xce", -1},
		{"\xf4\x8f", -1},
		{"a\x80", 1},
		{"\xc0\xaf", 0},
		{"\xe0\x9f\xbf", 1},
		{"\xed\xa0\x80", 1},
		{"\xf0\x8f\xbf\xbf", 1},
		{"\xf4\x90\x80\x80", 1},
		{"\xf5", 0},
		{"\xe2\x82A", 2},
		{"123456789\xffabcdefghi", 9},
	} {
		s, got := utf8Accept, -1
		for i := range len(test.text) {
			if s = validUTF8(s, []byte{test.text[i]}); s == utf8Reject {
				got = i
				break
			}
		}
		if got != test.at {
			t.Errorf("%x: refused at %d, want %d", test.text, got, test.at)
		}
	}
}

func FuzzUTF8(f *testing.F) {
	f.Add([]byte("κόσμε and plain letters"), uint(3))
	f.Add([]byte("\xed\xa0\x80"), uint(1))
	f.Add([]byte("12345678\xf0\x9f\x98\x8012345678"), uint(10))
	f.Fuzz(func(t *testing.T, b []byte, at uint) {
		at %= uint(len(b) + 1)
		want := utf8.Valid(b)
		if got := validUTF8(utf8Accept, b) == utf8Accept; got != want {
			t.Fatalf("whole: got %t, want %t\nin %x", got, want, b)
		}
		s := validUTF8(validUTF8(utf8Accept, b[:at]), b[at:])
		if got := s == utf8Accept; got != want {
			t.Fatalf("split at %d: got %t, want %t\nin %x", at, got, want, b)
		}
	})
}

func BenchmarkUTF8(b *testing.B) {
	for _, text := range []struct{ name, s string }{
		{"ascii", "all of it is plain "},
		{"german", "größere Höfe übten schöne "},
		{"japanese", "日本語の文章"},
		{"emoji", "😀🚀👩🏽"},
	} {
		p := bytes.Repeat([]byte(text.s), 1+16384/len(text.s))[:16384]
		p = []byte(strings.ToValidUTF8(string(p), ""))
		b.Run(fmt.Sprintf("%s/usher", text.name), func(b *testing.B) {
			b.SetBytes(int64(len(p)))
			for b.Loop() {
				validUTF8(utf8Accept, p)
			}
		})
		b.Run(fmt.Sprintf("%s/std", text.name), func(b *testing.B) {
			b.SetBytes(int64(len(p)))
			for b.Loop() {
				utf8.Valid(p)
			}
		})
	}
}
