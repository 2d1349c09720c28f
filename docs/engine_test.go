package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// TestEngineHasAllMethods: ENGINE.md says of every exported method of these types where it
// may be called.
func TestEngineHasAllMethods(t *testing.T) {
	page := read(t, "ENGINE.md")
	_, table, _ := strings.Cut(page, "\n## What you may call where")
	table, _, _ = strings.Cut(table, "\n## ")
	for dir, types := range map[string]string{"../server": "Conn Group Server", "../hub": "Hub Topic Member"} {
		for _, method := range methodsOf(t, dir, strings.Fields(types)) {
			if !strings.Contains(table, "`"+method+"`") {
				t.Errorf("%s is not in the table of ENGINE.md", method)
			}
		}
	}
}

// methodsOf returns the exported methods of a package's types, as Type.Method.
func methodsOf(t *testing.T, dir string, types []string) (methods []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, read(t, name), parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Recv == nil || !f.Name.IsExported() {
				continue
			}
			for _, want := range types {
				if receiver(f) == want {
					methods = append(methods, want+"."+f.Name.Name)
				}
			}
		}
	}
	if len(methods) == 0 {
		t.Fatalf("%s: no exported methods", dir)
	}
	return methods
}
