package pattern

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// ParseMux reads a pattern of net/http's ServeMux without method and host. What ends with a slash
// matches all that is below it, and what ends with /{$} that slash only. String returns the same
// in the syntax of Parse. It refuses what ServeMux would, and what could match no path.
func ParseMux(text string) (Pattern, error) {
	switch {
	case strings.ContainsAny(text, " \t"):
		return Pattern{}, fmt.Errorf("pattern %q has a method or a space: give the path alone, with %%20 for a space", text)
	case !strings.HasPrefix(text, "/") && strings.Contains(text, "/"):
		return Pattern{}, fmt.Errorf("pattern %q has a host: give the path alone", text)
	}
	ours, isExact := strings.CutSuffix(text, "{$}")
	isSubtree := !isExact && strings.HasSuffix(text, "/")
	if isExact && !strings.HasSuffix(ours, "/") {
		return Pattern{}, fmt.Errorf("pattern %q: {$} stands behind a slash", text)
	}
	p, err := Parse(ours)
	if err != nil {
		return Pattern{}, err
	}
	for _, name := range p.names {
		if !isIdentifier(name) {
			return Pattern{}, fmt.Errorf("pattern %q: a wildcard's name is of letters, digits and _: not %q", text, name)
		}
	}
	if !IsPlain(ours) {
		return Pattern{}, fmt.Errorf("pattern %q matches no path: servers read //, . and .., an escaped slash and a backslash in different ways", text)
	}
	if isSubtree {
		name := "rest"
		for slices.Contains(p.names, name) {
			name += "_"
		}
		return Parse(ours + "{" + name + "...}")
	}
	return p, nil
}

// isIdentifier reports whether net/http takes a name for a wildcard's.
func isIdentifier(name string) bool {
	for k, r := range name {
		if !unicode.IsLetter(r) && r != '_' && (k == 0 || !unicode.IsDigit(r)) {
			return false
		}
	}
	return name != ""
}

// Conflicts reports whether there are paths that both patterns match, while neither of the two is
// the more special one: net/http cannot choose either. Two that are the Same do.
func (p Pattern) Conflicts(other Pattern) bool {
	more, less := false, false // special
	for k := range min(len(p.segments), len(other.segments)) {
		a, b := p.segments[k], other.segments[k]
		switch {
		case a.kind == literal && b.kind == literal && a.text != b.text, a.excludes(b), b.excludes(a):
			return false
		case a.kind < b.kind:
			more = true
		case a.kind > b.kind:
			less = true
		}
		if a.kind == rest || b.kind == rest {
			return more == less
		}
	}
	return more == less && len(p.segments) == len(other.segments)
}

// excludes reports whether s is the empty segment behind a last slash, which is not one that a
// wildcard for one segment matches.
func (s segment) excludes(other segment) bool {
	return s.kind == literal && s.text == "" && other.kind == single
}
