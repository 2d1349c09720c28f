//go:build linux

package chat

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// unseen are texts with nothing to see in them, by what they are.
var unseen = map[string]string{
	"nothing":                          "",
	"spaces":                           "  ",
	"a tab":                            "\t",
	"no-break spaces":                  "\u00a0\u202f\u2007",
	"an ideographic space":             "\u3000",
	"an Ogham space":                   "\u1680",
	"a zero width space":               "\u200b",
	"a joiner and a non-joiner":        "\u200c\u200d",
	"marks of direction":               "\u200e\u200f\u061c",
	"an override":                      "\u202e",
	"an isolate and its end":           "\u2067\u2069",
	"a word joiner":                    "\u2060",
	"invisible operators":              "\u2061\u2062\u2063\u2064",
	"deprecated format characters":     "\u206a\u206f",
	"a byte order mark":                "\ufeff",
	"a soft hyphen":                    "\u00ad",
	"a grapheme joiner":                "\u034f",
	"Hangul fillers":                   "\u115f\u1160\u3164\uffa0",
	"Khmer inherent vowels":            "\u17b4\u17b5",
	"Mongolian selectors, a separator": "\u180b\u180c\u180d\u180e\u180f",
	"a Braille blank":                  "\u2800",
	"variation selectors":              "\ufe00\ufe0f\U000e0100",
	"tags":                             "\U000e0001\U000e0041\U000e007f",
	"ignorable and not assigned":       "\u2065\ufff0\U000e0fff",
	"annotations":                      "\ufff9\ufffa\ufffb",
	"an object that is not there":      "\ufffc",
	"musical format characters":        "\U0001d173\U0001d17a\U0001d159",
	"shorthand format characters":      "\U0001bca0",
	"Egyptian blanks":                  "\U00013441\U00013442",
	"marks without a base":             "\u0301\u0489\u20e3",
	"a mark on a space":                " \u0308",
	"noncharacters":                    "\ufdd0\uffff\U0010fffe",
}

// seen are texts with something to see in them.
var seen = []string{
	"a", ".", "é", "e\u0301", "李", "שלום", "می\u200cخواهم", "क्\u200dष", "👩🏽\u200d💻", "❤\ufe0f", "1\ufe0f\u20e3",
	"🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "\u3164a", "\ufffd", "\U0001faea", // of Unicode 17
	"x\u034f\u200b",
}

func TestBlank(t *testing.T) {
	for what, s := range unseen {
		if !blank(s) {
			t.Errorf("%s, %+q: got visible, want blank", what, s)
		}
	}
	for _, s := range seen {
		if blank(s) {
			t.Errorf("%+q: got blank, want visible", s)
		}
	}
}

// TestIgnorable compares the derivation with the list in DerivedCoreProperties.txt.
func TestIgnorable(t *testing.T) {
	listed := &unicode.RangeTable{
		R16: []unicode.Range16{
			{0xad, 0xad, 1}, {0x34f, 0x34f, 1}, {0x61c, 0x61c, 1}, {0x115f, 0x1160, 1}, {0x17b4, 0x17b5, 1}, {0x180b, 0x180f, 1},
			{0x200b, 0x200f, 1}, {0x202a, 0x202e, 1}, {0x2060, 0x206f, 1}, {0x3164, 0x3164, 1}, {0xfe00, 0xfe0f, 1}, {0xfeff, 0xfeff, 1},
			{0xffa0, 0xffa0, 1}, {0xfff0, 0xfff8, 1},
		},
		R32: []unicode.Range32{{0x1bca0, 0x1bca3, 1}, {0x1d173, 0x1d17a, 1}, {0xe0000, 0xe0fff, 1}},
	}
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if got, want := ignorable(r), unicode.Is(listed, r) || unicode.Is(unicode.Cf, r); got != want {
			t.Errorf("%U: got %v, want %v", r, got, want)
		}
	}
}

// TestVisibleIsTheSchemas: the schema and the chat agree on what is visible.
func TestVisibleIsTheSchemas(t *testing.T) {
	b, err := os.ReadFile("../docs/chat.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Defs struct{ Visible, Printable struct{ Pattern string } } `json:"$defs"`
	}
	if err := json.Unmarshal(b, &schema); err != nil {
		t.Fatal(err)
	}
	visible, harmless := regexp.MustCompile(schema.Defs.Visible.Pattern), regexp.MustCompile(schema.Defs.Printable.Pattern)
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if !utf8.ValidRune(r) {
			continue
		}
		if got, want := visible.MatchString(string(r)), base(r); got != want {
			t.Errorf("%U: the schema says visible %v, the chat %v", r, got, want)
		}
		if got, want := harmless.MatchString(string(r)), printable(string(r)); got != want {
			t.Errorf("%U: the schema says printable %v, the chat %v", r, got, want)
		}
	}
}

func TestClosed(t *testing.T) {
	const lre, rlo, rli, fsi, pdf, pdi = "\u202a", "\u202e", "\u2067", "\u2068", "\u202c", "\u2069"
	for _, tt := range []struct{ said, ends string }{
		{"", ""}, {"away", ""}, {"שלום", ""}, {"\u200f!", ""},
		{rlo + "away", pdf},
		{rlo + "away" + pdf, ""},
		{rlo + lre + "a" + pdf, pdf},
		{rli + "a", pdi},
		{rli + "a" + pdi, ""},
		{rlo + rli + "a", pdi + pdf},
		{rli + rlo + "a" + pdi, ""},        // ends both
		{rli + "a" + pdf, pdi},             // no end of an isolate
		{rlo + fsi + "a" + pdf, pdi + pdf}, // nor of what is outside of it
		{pdi + pdf + rlo + "a" + pdi, pdf}, // nothing to end
		{strings.Repeat(rlo, 3), pdf + pdf + pdf},
	} {
		if got, want := closed(tt.said), tt.said+tt.ends; got != want {
			t.Errorf("%+q: got %+q, want %+q", tt.said, got, want)
		}
	}
}
