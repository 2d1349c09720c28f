//go:build linux

package chat

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// This file has the one rule of what is visible, for names, texts, statuses and recipients,
// in both dialects and at the door. docs/chat.schema.json says the same.
//
//	ignorable  shows nothing by itself: it joins, varies or turns others
//	blank      shows nothing at all
//	base       shows something; combining marks need one
//
// A text or a recipient has at least one base; a status without one is no status. A text and
// a status may contain anything that does not break the line: ignorable characters belong to
// emoji and to words of many languages. ValidName says what a name needs.

// fillers are assigned, count as letters or symbols, are not ignorable, and still show
// nothing. 2800 is the Braille pattern without a dot, FFFC stands for an object that a line
// of text does not have, 13441 and 13442 are Egyptian blanks, 1D159 is a note without a head.
const fillers = "\u2800\ufffc\U00013441\U00013442\U0001D159"

// ignorable reports whether r is a Default_Ignorable_Code_Point of Unicode or another
// format character. The property is derived as in DerivedCoreProperties.txt.
func ignorable(r rune) bool {
	return r >= 0xAD && unicode.In(r, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// base reports whether r shows something by itself. A code point that is not yet assigned
// counts: it may be an emoji of a later Unicode, and is shown as a box until then.
func base(r rune) bool {
	if r < utf8.RuneSelf {
		return '!' <= r && r <= '~'
	}
	return !ignorable(r) && !strings.ContainsRune(fillers, r) &&
		!unicode.In(r, unicode.M, unicode.Z, unicode.Cc, unicode.Noncharacter_Code_Point)
}

// blank reports whether nothing in s is visible.
func blank(s string) bool { return strings.IndexFunc(s, base) < 0 }

// printable reports whether text contains no control character but the tab, and no
// separator that some clients would show as a new line.
func printable(text string) bool {
	for _, r := range text {
		if r != '\t' && unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return false
		}
	}
	return true
}

// The controls of the direction of text, of UAX #9.
const (
	embeddings = "\u202a\u202b\u202d\u202e" // LRE, RLE, LRO, RLO: until PDF
	isolates   = "\u2066\u2067\u2068"       // LRI, RLI, FSI: until PDI
	endsPDF    = '\u202c'
	endsPDI    = '\u2069'
)

// closed returns s with an end for each embedding, override and isolate that it leaves
// open, so that it does not turn the text shown after it. An end without a beginning is
// harmless.
func closed(s string) string {
	var open []rune // the ends that are missing
	for _, r := range s {
		switch {
		case strings.ContainsRune(embeddings, r):
			open = append(open, endsPDF)
		case strings.ContainsRune(isolates, r):
			open = append(open, endsPDI)
		case r == endsPDF && len(open) > 0 && open[len(open)-1] == endsPDF:
			open = open[:len(open)-1]
		case r == endsPDI: // and of all embeddings within the isolate
			for i := len(open) - 1; i >= 0; i-- {
				if open[i] == endsPDI {
					open = open[:i]
					break
				}
			}
		}
	}
	if len(open) == 0 {
		return s
	}
	b := []byte(s)
	for i := len(open) - 1; i >= 0; i-- {
		b = utf8.AppendRune(b, open[i])
	}
	return string(b)
}
