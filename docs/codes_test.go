package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	codeConst  = regexp.MustCompile(`\b[cC]ode[A-Z]\w*\s*=\s*"(\w+)"(?:\s*// (\d{3}):)?`)
	codeInline = regexp.MustCompile(`\bReject\([^,]+, "(\w+)"`)
	codeRow    = regexp.MustCompile("(?m)^\\| (\\d+|any) \\| `(\\w+)` \\| (\\d{3}) \\|")
	rowCase    = regexp.MustCompile(`(?m)^\s*\{"(\d+) [^"]*", (?:upgradeTo|get|\[\]string)\b.*, (\d{3}), "(\w+)"\}`)
	rowsNamed  = regexp.MustCompile(`\brows? \d+(?:(?:, | to | and )\d+)*`)
	number     = regexp.MustCompile(`\d+`)
)

// TestCodesAreListed: every code that the source defines is in CODES.md, with the status
// that its comment names.
func TestCodesAreListed(t *testing.T) {
	list := read(t, "CODES.md")
	found := 0
	for _, dir := range []string{"../upgrade", "../server", "../chat", "../login", "../guard", "../hub", "../cmd/usher"} {
		walk(t, dir, func(file, source string) {
			if strings.HasSuffix(file, "_test.go") {
				return
			}
			for _, m := range slices.Concat(codeConst.FindAllStringSubmatch(source, -1), codeInline.FindAllStringSubmatch(source, -1)) {
				found++
				if !strings.Contains(list, "`"+m[1]+"`") {
					t.Errorf("%s: %q is not in CODES.md", file, m[1])
				}
				if len(m) > 2 && m[2] != "" && !strings.Contains(list, "| `"+m[1]+"` | "+m[2]+" |") {
					t.Errorf("%s: %q is %s: CODES.md has another status", file, m[1], m[2])
				}
			}
		})
	}
	if found < 30 {
		t.Errorf("found %d codes, want 30 or more", found)
	}
}

// TestCodesHaveTheirRows: a case of cmd/usher's contract tests begins with the number of
// the row that answers it. CODES.md has the case's code and status in that row. Row 5, the
// probe, is told what the others say.
func TestCodesHaveTheirRows(t *testing.T) {
	rows, seen := make(map[string]bool), make(map[string]bool)
	last := ""
	for _, m := range codeRow.FindAllStringSubmatch(read(t, "CODES.md"), -1) {
		rows[m[1]+" "+m[3]+" "+m[2]] = true
		if m[1] != "any" && (len(m[1]) < len(last) || len(m[1]) == len(last) && m[1] < last) {
			t.Errorf("CODES.md: row %s stands below row %s", m[1], last)
		}
		last = m[1]
	}
	walk(t, "../cmd/usher", func(file, source string) {
		if !strings.Contains(file, "contract_") {
			return
		}
		for _, m := range rowCase.FindAllStringSubmatch(source, -1) {
			seen[m[1]] = true
			if m[1] != "5" && !rows[m[1]+" "+m[2]+" "+m[3]] {
				t.Errorf("%s: %s: %s %s is not in CODES.md", file, m[1], m[2], m[3])
			}
		}
	})
	if len(seen) < 13 { // 13 cannot be reached from the command line
		t.Errorf("the contract tests have cases of %d rows, want 13", len(seen))
	}
}

// TestRowsInComments: a row that a comment names is in CODES.md.
func TestRowsInComments(t *testing.T) {
	list := read(t, "CODES.md")
	walk(t, "..", func(file, source string) {
		if strings.Contains(file, "bench") {
			return // rows of a table of results
		}
		for _, line := range strings.Split(source, "\n") {
			_, comment, ok := strings.Cut(line, "//")
			if !ok {
				continue
			}
			for _, named := range rowsNamed.FindAllString(comment, -1) {
				for _, row := range number.FindAllString(named, -1) {
					if !strings.Contains(list, "\n| "+row+" |") {
						t.Errorf("%s: there is no row %s in CODES.md: %s", file, row, comment)
					}
				}
			}
		}
	})
}

// read returns the text of a file of this directory.
func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// walk calls f with every Go file at or below dir.
func walk(t *testing.T, dir string, f func(file, source string)) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || d.Name() == "node_modules" || len(d.Name()) > 2 && d.Name()[0] == '.'):
			return filepath.SkipDir
		case strings.HasSuffix(path, ".go"):
			f(path, read(t, path))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
