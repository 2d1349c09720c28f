// Package strict refuses JSON that two parsers could read in two ways: of two members
// with the same name encoding/json takes the last and others the first, and some parsers
// ignore the case of a name's letters.
package strict

import (
	"encoding/json"
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

var (
	errText   = errors.New("not UTF-8")
	errObject = errors.New("not a JSON object")
	errTwice  = errors.New("an object has two members of one name")
)

// Object reads text as one JSON object with nothing but white space behind it. It fails
// as Check does.
func Object(text []byte) (map[string]any, error) {
	var object map[string]any
	if err := json.Unmarshal(text, &object); err != nil {
		return nil, err
	}
	if object == nil {
		return nil, errObject // null
	}
	return object, Check(text, object)
}

// Check fails if text, from which encoding/json has made object, is not UTF-8, or if any
// object in it, however deep, has two members whose names are the same once their escapes
// are decoded and the case of their letters is ignored.
func Check(text []byte, object map[string]any) error {
	if !utf8.Valid(text) {
		return errText
	}
	// Of members with one name encoding/json keeps one, so the text has more.
	if kept, ok := count(object); !ok || kept != members(text) {
		return errTwice
	}
	return nil
}

// members returns how many members the objects of a valid JSON text have together: each
// has the one colon that is not within a string.
func members(text []byte) (n int) {
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			quoted = !quoted
		case c == '\\':
			i++ // only in strings
		case c == ':' && !quoted:
			n++
		}
	}
	return n
}

// count returns how many members the objects in v have together, and whether those of
// each differ in more than the case of their letters.
func count(v any) (n int, ok bool) {
	switch v := v.(type) {
	case []any:
		for _, element := range v {
			more, ok := count(element)
			if !ok {
				return 0, false
			}
			n += more
		}
	case map[string]any:
		alike := false
		for name, value := range v {
			more, ok := count(value)
			if !ok {
				return 0, false
			}
			n += 1 + more
			alike = alike || !isPlain(name)
		}
		return n, !alike || differ(v)
	}
	return n, true
}

// isPlain reports whether a name has no letters but small ASCII ones, like nearly all
// names. Two plain names differ in more than case if they are not equal.
func isPlain(name string) bool {
	for i := 0; i < len(name); i++ {
		if c := name[i]; c >= utf8.RuneSelf || 'A' <= c && c <= 'Z' {
			return false
		}
	}
	return true
}

// differ reports whether the names of an object differ in more than their case.
func differ(object map[string]any) bool {
	folded := make(map[string]struct{}, len(object))
	for name := range object {
		folded[strings.Map(fold, name)] = struct{}{}
	}
	return len(folded) == len(object)
}

// fold returns the least of the runes that differ from r in case only: K for k and U+212A.
func fold(r rune) rune {
	for {
		next := unicode.SimpleFold(r)
		if next <= r {
			return next
		}
		r = next
	}
}
