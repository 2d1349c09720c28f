package main

import (
	"go/ast"
	"go/token"
	"go/types"
	"maps"
	"slices"
)

// ties are a package's files, each with the files that it refers to and the names by
// which it does.
type ties map[string]map[string]map[string]bool

// tie ties each file to those whose functions and methods it calls or takes as values;
// withTypes to those whose types it names, too.
func (h *house) tie(withTypes bool) ties {
	t := make(ties)
	for _, f := range h.files {
		from := h.file(f.Pos())
		t[from] = make(map[string]map[string]bool)
		ast.Inspect(f, func(n ast.Node) bool {
			id, ok := n.(*ast.Ident)
			if !ok {
				return true
			}
			name, pos := h.target(id, withTypes)
			if !pos.IsValid() || h.file(pos) == from {
				return true
			}
			to := h.file(pos)
			if t[from][to] == nil {
				t[from][to] = make(map[string]bool)
			}
			t[from][to][name] = true
			return true
		})
	}
	return t
}

// target returns the name and the place of the function, or of the type, that id refers
// to; no place if the package has no body for it: another package's, or an interface's.
func (h *house) target(id *ast.Ident, withTypes bool) (string, token.Pos) {
	switch o := h.info.Uses[id].(type) {
	case *types.Func:
		if o = o.Origin(); h.decls[o] != nil {
			return nameOf(o), o.Pos()
		}
	case *types.TypeName:
		if withTypes && o.Parent() == h.pkg.Scope() {
			return o.Name(), o.Pos()
		}
	}
	return "", token.NoPos
}

// cycle returns the files of the biggest strongly connected component, in lines; none if
// no file comes back to itself.
func (t ties) cycle(lines map[string]int) (files []string) {
	reached := make(map[string]map[string]bool)
	for a := range t {
		reached[a] = make(map[string]bool)
		t.reach(a, reached[a])
	}
	all, most := slices.Sorted(maps.Keys(t)), 0
	for _, a := range all {
		var together []string
		for _, b := range all {
			if reached[a][b] && reached[b][a] {
				together = append(together, b)
			}
		}
		if n := sum(lines, together); n > most {
			files, most = together, n
		}
	}
	return files
}

// reach adds all files to seen that lie on a way from a.
func (t ties) reach(a string, seen map[string]bool) {
	for b := range t[a] {
		if !seen[b] {
			seen[b] = true
			t.reach(b, seen)
		}
	}
}

// sum adds up the lines of some files.
func sum(lines map[string]int, files []string) (n int) {
	for _, f := range files {
		n += lines[f]
	}
	return n
}
