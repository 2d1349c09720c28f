package main

import (
	"go/ast"
	"go/token"
	"go/types"
	"maps"
	"slices"
)

// ties are a package's files, or its functions, each with those that it refers to, and
// the names by which a file does.
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

// tieFuncs ties functions instead of files, with the lines of each.
func (h *house) tieFuncs() (t ties, lines map[string]int) {
	t, lines = make(ties), make(map[string]int)
	for f, d := range h.decls {
		from := nameOf(f)
		lines[from] += h.lines(d)
		if t[from] == nil { // there may be several of the name init
			t[from] = make(map[string]map[string]bool)
		}
		ast.Inspect(d, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok {
				if to, pos := h.target(id, false); pos.IsValid() && to != from {
					t[from][to] = nil
				}
			}
			return true
		})
	}
	return t, lines
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

// cycle returns the files, or functions, of the biggest strongly connected component, in lines; empty if
// none comes back to itself.
func (t ties) cycle(lines map[string]int) (biggest []string) {
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
			biggest, most = together, n
		}
	}
	return biggest
}

// reach adds all to seen that lie on a way from a.
func (t ties) reach(a string, seen map[string]bool) {
	for b := range t[a] {
		if !seen[b] {
			seen[b] = true
			t.reach(b, seen)
		}
	}
}

// sum adds up the lines of some.
func sum(lines map[string]int, names []string) (n int) {
	for _, f := range names {
		n += lines[f]
	}
	return n
}
