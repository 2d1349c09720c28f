package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// place is a file of the repository and a function or method in it, as in
// `server/end.go` `loop.depart`.
var place = regexp.MustCompile("`((?:[a-z]+/)+\\w+\\.go)` `(?:(\\w+)\\.)?(\\w+)`")

// TestJourney: every step of the journey names a file and a function, and the function is
// in that file.
func TestJourney(t *testing.T) {
	_, journey, _ := strings.Cut(read(t, "ARCHITECTURE.md"), "\n## The journey of a connection")
	journey, _, _ = strings.Cut(journey, "\n## ")
	steps := 0
	for _, line := range strings.Split(journey, "\n") {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| # ") {
			continue
		}
		steps++
		m := place.FindAllStringSubmatch(line, -1)
		if len(m) != 1 {
			t.Errorf("%q names %d places, want one", line, len(m))
			continue
		}
		if file, of, name := m[0][1], m[0][2], m[0][3]; !declares(t, file, of, name) {
			t.Errorf("%q: %s has no %s of %q", line, file, name, of)
		}
	}
	if steps < 20 {
		t.Errorf("the journey has %d steps, want 20 or more", steps)
	}
}

// declares reports whether a file has a function, or a method of a type.
func declares(t *testing.T, name, of, function string) bool {
	t.Helper()
	path := filepath.Join("..", filepath.FromSlash(name))
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Error(err)
		return false
	}
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == function && receiver(f) == of {
			return true
		}
	}
	return false
}

// receiver returns the name of a method's type, without pointer and type arguments; "" for
// a function.
func receiver(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return ""
	}
	of := f.Recv.List[0].Type
	for {
		switch e := of.(type) {
		case *ast.StarExpr:
			of = e.X
		case *ast.IndexExpr:
			of = e.X
		case *ast.IndexListExpr:
			of = e.X
		case *ast.Ident:
			return e.Name
		default:
			return ""
		}
	}
}
