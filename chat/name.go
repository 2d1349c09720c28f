//go:build linux

package chat

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

const (
	maxName = 64 // characters of a user's name

	// maxMarks is how many combining marks may follow each other in a name: UTS #39
	// §5.4. More of them would stand in the lines above and below.
	maxMarks = 4

	serverName   = "Server"
	serverPrefix = serverName + ": "
)

// ValidName reports whether name can be a member's: 1 to 64 visible characters without a
// space, and not a name that passes for the server's own. Ignorable characters are allowed
// where they change what is seen: a joiner within a word of a script that needs it, or within
// an emoji; a variation selector after the character that it varies.
func ValidName(name string) bool {
	if !utf8.ValidString(name) || utf8.RuneCountInString(name) > maxName || blank(name) {
		return false
	}
	all := []rune(name)
	marks := 0
	for i, r := range all {
		switch {
		case ignorable(r):
			if !belongs(all, i) {
				return false
			}
		case unicode.Is(unicode.M, r):
			if marks++; i == 0 || marks > maxMarks {
				return false
			}
		// IsPrint is false for every space but the ASCII one, and for code points that are
		// for private use or not assigned.
		case r == ' ', !unicode.IsPrint(r) && !pictograph(r), !base(r):
			return false
		default:
			marks = 0
		}
	}
	return !passesForServer(name)
}

// belongs reports whether the ignorable character all[i] has a use in its place.
func belongs(all []rune, i int) bool {
	if i == 0 {
		return false
	}
	before, r := all[i-1], all[i]
	switch {
	case r == zwj, r == zwnj:
		if i+1 == len(all) {
			return false
		}
		after := all[i+1]
		if r == zwj && emoji(before) && emoji(after) {
			return true
		}
		// The points of Arabic letters belong to no script; the letters below them do.
		for j := i - 1; j > 0 && unicode.Is(unicode.Inherited, before) && unicode.Is(unicode.M, before); j-- {
			before = all[j-1]
		}
		return slices.ContainsFunc(joining, func(t *unicode.RangeTable) bool {
			return unicode.Is(t, before) && unicode.Is(t, after) && wordly(before) && wordly(after)
		})
	case r == textStyle, r == emojiStyle:
		keycap := i+1 < len(all) && all[i+1] == '\u20e3'
		return emoji(before) || keycap && strings.ContainsRune("0123456789#*", before)
	case tag(r): // the flag of a part of a country
		ends := i+1 == len(all) || !tag(all[i+1])
		for i--; i > 0 && tag(all[i]) && all[i] != tagEnd; {
			i--
		}
		return all[i] == blackFlag && ends == (r == tagEnd)
	case unicode.Is(unicode.Variation_Selector, r):
		return unicode.Is(unicode.Han, before) || unicode.Is(unicode.Mongolian, before) && unicode.IsLetter(before)
	}
	return false
}

const (
	zwnj       = '\u200c'
	zwj        = '\u200d'
	textStyle  = '\ufe0e'
	emojiStyle = '\ufe0f'
	blackFlag  = '\U0001F3F4'
	tagEnd     = '\U000E007F'
)

// tag reports whether r is one of the characters that turn a black flag into another one:
// UTS #51 ED-14a.
func tag(r rune) bool { return '\U000E0020' <= r && r <= tagEnd }

// emoji reports whether r can be part of an emoji. All symbols can, and three punctuation
// marks: Go's tables do not have the property, and names that differ in joiners alone pass for
// each other anyway.
func emoji(r rune) bool {
	return r == emojiStyle || r > utf8.RuneSelf && unicode.In(r, unicode.So, unicode.Sm, unicode.Sk) ||
		strings.ContainsRune("‼⁉〰", r) || pictograph(r)
}

// pictograph reports whether r is in the range to which all new emoji are added. As in
// Extended_Pictographic, unassigned code points count, because Go's tables are older than
// people's telephones.
func pictograph(r rune) bool { return '\U0001F000' <= r && r <= '\U0001FAFF' }

func wordly(r rune) bool { return unicode.In(r, unicode.L, unicode.M) }

// joining are the scripts whose words are spelt with ZWJ and ZWNJ: RFC 5892 A.1 and
// A.2, by script.
var joining = []*unicode.RangeTable{
	unicode.Arabic, unicode.Syriac, unicode.Mandaic, unicode.Mongolian, unicode.Nko, unicode.Adlam,
	unicode.Hanifi_Rohingya, unicode.Devanagari, unicode.Bengali, unicode.Gurmukhi, unicode.Gujarati,
	unicode.Oriya, unicode.Tamil, unicode.Telugu, unicode.Kannada, unicode.Malayalam, unicode.Sinhala,
	unicode.Khmer, unicode.Myanmar,
}

// lunate turns the Greek sigmas that look like a c into one; decomposition does not.
var lunate = strings.NewReplacer("ϲ", "c", "Ϲ", "c")

// looksOf returns what a name looks like: two names pass for each other if it is the same
// for both. It is the name after compatibility decomposition and case folding, without
// invisible characters, and with a Latin letter in place of every letter that looks like one.
func looksOf(name string) string {
	if ascii(name) {
		return strings.ToLower(name)
	}
	name = lunate.Replace(name)
	for range 2 { // folding can make what decomposes further: Unicode 3.13, D146
		name = cases.Fold().String(norm.NFKD.String(name))
	}
	return strings.Map(func(r rune) rune {
		if r < utf8.RuneSelf {
			return r
		}
		if !base(r) && !unicode.Is(unicode.M, r) || ignorable(r) {
			return -1
		}
		return latin(r)
	}, norm.NFKD.String(name))
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// colons end a name in a line of the plain dialect, or look as if they do.
const colons = ":∶꞉ː։׃"

// passesForServer reports whether the letters of a name, or of the part before its first
// colon, read as the server's name: punctuation around or between them does not make it a
// different name.
func passesForServer(name string) bool {
	looks := looksOf(name)
	if end := strings.IndexAny(looks, colons); end > 0 {
		looks = looks[:end]
	}
	letters := strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return r
		}
		return -1
	}, looks)
	return letters == strings.ToLower(serverName)
}
