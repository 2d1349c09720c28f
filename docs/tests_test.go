package docs

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	testFunc = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	testName = regexp.MustCompile(`(?:([a-z]+(?:/[a-z]+)*)(?:'s)? )?\b((?:Test|Fuzz)[A-Z]\w*)`)
)

// TestHeldBy: every test that FAULTS.md, TLS.md and the invariants of ARCHITECTURE.md name exists,
// and is in the package that stands before it: of the names up to the next semicolon.
func TestHeldBy(t *testing.T) {
	tests, all := testsByPackage(t)
	for name, section := range map[string]string{"FAULTS.md": "", "TLS.md": "", "ARCHITECTURE.md": "## Invariants"} {
		text := read(t, name)
		if section != "" {
			_, text, _ = strings.Cut(text, section)
			text, _, _ = strings.Cut(text, "\n## ")
		}
		named := 0
		for _, part := range strings.FieldsFunc(text, func(r rune) bool { return r == ';' || r == '|' }) {
			in := all
			for _, m := range testName.FindAllStringSubmatch(part, -1) {
				named++
				if tests[m[1]] != nil {
					in = tests[m[1]]
				}
				if !in[m[2]] {
					t.Errorf("%s: %q names %s: there is no such test", name, strings.TrimSpace(part), m[2])
				}
			}
		}
		if named == 0 {
			t.Errorf("%s names no tests", name)
		}
	}
}

// testsByPackage returns the names of all tests of the repository, by the directory of
// their package and together.
func testsByPackage(t *testing.T) (by map[string]map[string]bool, all map[string]bool) {
	t.Helper()
	by, all = make(map[string]map[string]bool), make(map[string]bool)
	walk(t, "..", func(path, source string) {
		if !strings.HasSuffix(path, "_test.go") {
			return
		}
		pkg := strings.TrimPrefix(filepath.ToSlash(filepath.Dir(path)), "../")
		for _, m := range testFunc.FindAllStringSubmatch(source, -1) {
			if by[pkg] == nil {
				by[pkg] = make(map[string]bool)
			}
			by[pkg][m[1]], all[m[1]] = true, true
		}
	})
	return by, all
}
