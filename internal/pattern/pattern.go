// Package pattern matches paths as net/http's ServeMux does, without methods, hosts and
// subtrees: literal segments, {name} for one segment, {name...} at the end for the rest.
// ParseMux knows subtrees, too.
package pattern

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Pattern is what Parse made of a text. It does not change: any goroutine may ask. The
// zero Pattern matches no path.
type Pattern struct {
	text     string
	segments []segment
	names    []string
}

// segment is one part of a pattern between slashes.
type segment struct {
	text string // of a literal, unescaped
	kind kind
}

// kind is what a segment matches, the more special first.
type kind uint8

const (
	literal kind = iota
	single       // {name}: one segment, not empty
	rest         // {name...}: all that is left
)

// Parse reads a pattern, which begins with a slash. A wildcard is a whole segment, and its
// name comes once.
func Parse(text string) (Pattern, error) {
	if !strings.HasPrefix(text, "/") {
		return Pattern{}, fmt.Errorf("pattern %q does not begin with a slash", text)
	}
	p := Pattern{text: text}
	parts := strings.Split(text[1:], "/")
	for i, part := range parts {
		name, isWildcard := strings.CutPrefix(part, "{")
		switch {
		case !isWildcard && strings.ContainsAny(part, "{}"):
			return Pattern{}, fmt.Errorf("pattern %q: %q mixes text and a wildcard", text, part)
		case !isWildcard:
			if plain, err := url.PathUnescape(part); err == nil {
				part = plain
			}
			p.segments = append(p.segments, segment{part, literal})
			continue
		}
		name, isClosed := strings.CutSuffix(name, "}")
		name, isRest := strings.CutSuffix(name, "...")
		if !isClosed || name == "" || strings.ContainsAny(name, "{}.$ ") || slices.Contains(p.names, name) || isRest && i < len(parts)-1 {
			return Pattern{}, fmt.Errorf("pattern %q: bad wildcard %q", text, part)
		}
		k := single
		if isRest {
			k = rest
		}
		p.segments = append(p.segments, segment{kind: k})
		p.names = append(p.names, name)
	}
	return p, nil
}

// String returns the text.
func (p Pattern) String() string { return p.text }

// Names returns the names of the wildcards, in their order. They must not be changed.
func (p Pattern) Names() []string { return p.names }

// Match reports whether the escaped path fits, and appends what the wildcards matched,
// unescaped, in the order of Names. If it does not fit, some may have been appended.
func (p Pattern) Match(path string, values []string) ([]string, bool) {
	path, ok := strings.CutPrefix(path, "/")
	if !ok {
		return values, false
	}
	for i, s := range p.segments {
		if s.kind == rest {
			return unescape(values, path)
		}
		part, after, more := strings.Cut(path, "/")
		if more == (i == len(p.segments)-1) {
			return values, false // one of the two ends first
		}
		switch s.kind {
		case literal:
			if !isLiteral(part, s.text) {
				return values, false
			}
		case single:
			if part == "" {
				return values, false
			}
			if values, ok = unescape(values, part); !ok {
				return values, false
			}
		}
		path = after
	}
	return values, len(p.segments) > 0
}

func isLiteral(part, text string) bool {
	if strings.IndexByte(part, '%') < 0 {
		return part == text
	}
	plain, err := url.PathUnescape(part)
	return err == nil && plain == text
}

func unescape(values []string, part string) ([]string, bool) {
	plain, err := url.PathUnescape(part)
	return append(values, plain), err == nil
}

// Value returns what the wildcard of that name matched, of the values Match appended;
// "" if there is no such wildcard.
func (p Pattern) Value(values []string, name string) string {
	if k := slices.Index(p.names, name); k >= 0 {
		return values[k]
	}
	return ""
}

// Before reports whether p is to be tried before other: at the first difference
// literal text comes before a wildcard, and that before a rest.
func (p Pattern) Before(other Pattern) bool {
	for i := range min(len(p.segments), len(other.segments)) {
		if a, b := p.segments[i].kind, other.segments[i].kind; a != b {
			return a < b
		}
	}
	return len(p.segments) > len(other.segments)
}

// Same reports whether the two patterns match the same paths: they are equal but for
// names.
func (p Pattern) Same(other Pattern) bool { return slices.Equal(p.segments, other.segments) }
