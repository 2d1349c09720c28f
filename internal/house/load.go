package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// house is one package, parsed and type-checked as built for Linux.
type house struct {
	path  string
	fset  *token.FileSet
	files []*ast.File // in the order of their names
	pkg   *types.Package
	info  *types.Info
	decls map[*types.Func]*ast.FuncDecl // functions and methods, the generic ones by their origin
}

// listed is what go list says of a package.
type listed struct {
	ImportPath, Dir, Export string
	GoFiles                 []string
	ImportMap               map[string]string
	DepOnly                 bool
}

// load reads the packages that the patterns name. What they import comes from the
// compiler's export data, which go list builds where it has to.
func load(patterns ...string) ([]*house, error) {
	cmd := exec.Command("go", append([]string{"list", "-export", "-deps",
		"-json=ImportPath,Dir,Export,GoFiles,ImportMap,DepOnly", "--"}, patterns...)...)
	cmd.Env = append(os.Environ(), "GOOS=linux", "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w\n%s", err, stderr.String())
	}
	exports := make(map[string]string)
	var roots []listed
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		exports[p.ImportPath] = p.Export
		if !p.DepOnly {
			roots = append(roots, p)
		}
	}
	var houses []*house
	for _, p := range roots {
		h, err := check(p, exports)
		if err != nil {
			return nil, err
		}
		houses = append(houses, h)
	}
	return houses, nil
}

// check parses and type-checks a package; exports has the export data of all it imports.
func check(p listed, exports map[string]string) (*house, error) {
	h := &house{
		path: p.ImportPath, fset: token.NewFileSet(), decls: make(map[*types.Func]*ast.FuncDecl),
		info: &types.Info{
			Defs:  make(map[*ast.Ident]types.Object),
			Uses:  make(map[*ast.Ident]types.Object),
			Types: make(map[ast.Expr]types.TypeAndValue),
		},
	}
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(h.fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		h.files = append(h.files, f)
	}
	open := func(path string) (io.ReadCloser, error) {
		if mapped, ok := p.ImportMap[path]; ok {
			path = mapped
		}
		return os.Open(exports[path])
	}
	config := types.Config{Importer: importer.ForCompiler(h.fset, "gc", open)}
	var err error
	if h.pkg, err = config.Check(p.ImportPath, h.fset, h.files, h.info); err != nil {
		return nil, err
	}
	for _, d := range h.funcs() {
		h.decls[h.info.Defs[d.Name].(*types.Func)] = d
	}
	return h, nil
}

// funcs returns all functions and methods that the package declares, in the order of
// the text.
func (h *house) funcs() (all []*ast.FuncDecl) {
	for _, f := range h.files {
		for _, d := range f.Decls {
			if d, ok := d.(*ast.FuncDecl); ok {
				all = append(all, d)
			}
		}
	}
	return all
}

// file returns the name of the file that p is in.
func (h *house) file(p token.Pos) string { return filepath.Base(h.fset.Position(p).Filename) }

// lines returns how many lines n takes.
func (h *house) lines(n ast.Node) int {
	return h.fset.Position(n.End()).Line - h.fset.Position(n.Pos()).Line + 1
}

// named returns the function or method that id refers to, for one of a generic type its
// origin; nil if id is no function's name.
func (h *house) named(id *ast.Ident) *types.Func {
	f, ok := h.info.Uses[id].(*types.Func)
	if !ok {
		return nil
	}
	return f.Origin()
}

// nameOf returns a function's name, with its type before it if it is a method: loop.read.
func nameOf(f *types.Func) string {
	r := f.Signature().Recv()
	if r == nil {
		return f.Name()
	}
	t := r.Type()
	if p, ok := t.(*types.Pointer); ok {
		t = p.Elem()
	}
	if n, ok := t.(*types.Named); ok {
		return n.Obj().Name() + "." + f.Name()
	}
	return f.Name()
}
