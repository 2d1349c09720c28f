package pattern

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// IsAll reports whether the pattern matches every path.
func (p Pattern) IsAll() bool { return len(p.segments) == 1 && p.segments[0].kind == rest }

// IsPlain reports whether every server takes an escaped path for the same one. It is false if
// some would resolve it to another: for an empty segment, "." or "..", also as some servers
// read them with parameters behind a semicolon; for an escaped slash; and for a backslash or a
// control character, however they are written.
func IsPlain(path string) bool {
	inner, _ := strings.CutPrefix(path, "/")
	last := strings.Count(inner, "/")
	for part := range strings.SplitSeq(inner, "/") {
		plain, err := url.PathUnescape(part)
		if err != nil || strings.ContainsAny(plain, "/\\") || strings.ContainsFunc(plain, func(r rune) bool { return r < ' ' || r == 0x7F }) {
			return false
		}
		name, _, _ := strings.Cut(plain, ";")
		if name == "." || name == ".." || name == "" && (last > 0 || plain != "") {
			return false
		}
		last--
	}
	return true
}

// CanExpand returns an error unless Expand can put what p has matched into text.
func (p Pattern) CanExpand(text string) error {
	for {
		_, after, ok := strings.Cut(text, "{")
		if !ok {
			return nil
		}
		wildcard, behind, isClosed := strings.Cut(after, "}")
		k := slices.Index(p.names, strings.TrimSuffix(wildcard, "..."))
		if !isClosed || k < 0 || strings.HasSuffix(wildcard, "...") != p.isRest(k) {
			return fmt.Errorf("pattern %q has no wildcard {%s}", p, wildcard)
		}
		text = behind
	}
}

// isRest reports whether the k-th of Names is of a wildcard for the rest, which is the last one.
func (p Pattern) isRest(k int) bool {
	return k == len(p.names)-1 && p.segments[len(p.segments)-1].kind == rest
}

// Expand returns text with the values of wildcards in place of their names in braces, escaped
// again: what matched {name...} is "{name...}" there.
func Expand(text string, value func(name string) string) string {
	var b strings.Builder
	for {
		before, after, ok := strings.Cut(text, "{")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		name, behind, _ := strings.Cut(after, "}")
		name, isRest := strings.CutSuffix(name, "...")
		if !isRest {
			b.WriteString(url.PathEscape(value(name)))
		} else {
			for k, part := range strings.Split(value(name), "/") {
				if k > 0 {
					b.WriteByte('/')
				}
				b.WriteString(url.PathEscape(part))
			}
		}
		text = behind
	}
}
