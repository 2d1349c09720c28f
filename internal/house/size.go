package main

import (
	"cmp"
	"go/types"
	"slices"
)

// size is the size of something named: a file's or a function's in lines, a type's in
// methods and fields.
type size struct {
	name   string
	n      int
	fields int // a struct's own; of types only
}

// biggest sorts by size, then by name.
func biggest(s []size) []size {
	slices.SortFunc(s, func(a, b size) int { return cmp.Or(b.n-a.n, cmp.Compare(a.name, b.name)) })
	return s
}

// fileLines returns the lines of each file, comments and empty ones among them.
func (h *house) fileLines() map[string]int {
	lines := make(map[string]int)
	for _, f := range h.files {
		lines[h.file(f.Pos())] = h.fset.File(f.Pos()).LineCount()
	}
	return lines
}

// funcLines returns the lines of all functions of each file, from func to the last brace.
func (h *house) funcLines() map[string]int {
	lines := make(map[string]int)
	for _, d := range h.funcs() {
		lines[h.file(d.Pos())] += h.lines(d)
	}
	return lines
}

// longFiles returns the files of more lines than limit.
func (h *house) longFiles(limit int) (long []size) {
	for name, n := range h.fileLines() {
		if n > limit {
			long = append(long, size{name: name, n: n})
		}
	}
	return biggest(long)
}

// longFuncs returns the functions of more lines than limit.
func (h *house) longFuncs(limit int) (long []size) {
	for f, d := range h.decls {
		if n := h.lines(d); n > limit {
			long = append(long, size{name: h.file(d.Pos()) + " " + nameOf(f), n: n})
		}
	}
	return biggest(long)
}

// bigTypes returns the types with more methods of their own than limit.
func (h *house) bigTypes(limit int) (big []size) {
	for _, name := range h.pkg.Scope().Names() {
		o, ok := h.pkg.Scope().Lookup(name).(*types.TypeName)
		if !ok || o.IsAlias() {
			continue
		}
		t, ok := o.Type().(*types.Named)
		if !ok || t.NumMethods() <= limit {
			continue
		}
		s := size{name: name, n: t.NumMethods()}
		if st, ok := t.Underlying().(*types.Struct); ok {
			s.fields = st.NumFields()
		}
		big = append(big, s)
	}
	return biggest(big)
}
