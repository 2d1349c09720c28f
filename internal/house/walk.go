package main

import (
	"fmt"
	"go/ast"
	"go/types"
)

// walk follows what a function is given through the calls that hand it on.
type walk struct {
	*house
	passed map[*types.Func]bool // functions whose bodies it has been through
	at     string               // the file that it is in
	stops  map[string]int       // by file
}

// values are the parameters, receivers and variables that hold what is followed, or
// something made of it.
type values map[types.Object]bool

// walkFrom walks from the function with that name, as nameOf has it, and follows its
// parameters, or its receiver if there are none.
func (h *house) walkFrom(name string) (*walk, error) {
	for f := range h.decls {
		if nameOf(f) != name {
			continue
		}
		given := make(values)
		for p := range f.Signature().Params().Variables() {
			given[p] = true
		}
		if r := f.Signature().Recv(); len(given) == 0 && r != nil {
			given[r] = true
		}
		w := &walk{house: h, passed: make(map[*types.Func]bool), stops: make(map[string]int)}
		w.come(f, given)
		return w, nil
	}
	return nil, fmt.Errorf("%s has no function %s", h.path, name)
}

// total returns the number of stops.
func (w *walk) total() (n int) {
	for _, stops := range w.stops {
		n += stops
	}
	return n
}

// come stops at f's file, unless it is there already, and goes through f's body in the
// order of the text, calls within arguments first, if it has not been through it.
func (w *walk) come(f *types.Func, given values) {
	if file := w.file(f.Pos()); file != w.at {
		w.at = file
		w.stops[file]++
	}
	d := w.decls[f]
	if d.Body == nil || w.passed[f] {
		return
	}
	w.passed[f] = true
	var above []ast.Node
	ast.Inspect(d.Body, func(n ast.Node) bool {
		if n != nil {
			above = append(above, n)
			if r, ok := n.(*ast.RangeStmt); ok && w.holds(r.X, given) { // before its body
				w.name(given, r.Key, r.Value)
			}
			return true
		}
		n, above = above[len(above)-1], above[:len(above)-1]
		w.leave(n, given)
		return true
	})
}

// leave is told of each node of a body when all below it has been seen.
func (w *walk) leave(n ast.Node, given values) {
	switch n := n.(type) {
	case *ast.CallExpr:
		w.call(n, given)
	case *ast.AssignStmt:
		for i, left := range n.Lhs {
			if w.holds(n.Rhs[min(i, len(n.Rhs)-1)], given) {
				w.name(given, left)
			}
		}
	case *ast.ValueSpec:
		for i, left := range n.Names {
			if len(n.Values) > 0 && w.holds(n.Values[min(i, len(n.Values)-1)], given) {
				w.name(given, left)
			}
		}
	}
}

// call comes to the function that c calls, if c gives it something that is followed and
// the package has its body.
func (w *walk) call(c *ast.CallExpr, given values) {
	fun := ast.Unparen(c.Fun)
	switch x := fun.(type) { // with type arguments
	case *ast.IndexExpr:
		fun = x.X
	case *ast.IndexListExpr:
		fun = x.X
	}
	var f *types.Func
	var on ast.Expr // what a method is called on
	args := c.Args
	switch x := fun.(type) {
	case *ast.Ident:
		f = w.named(x)
	case *ast.SelectorExpr:
		f, on = w.named(x.Sel), x.X
		if w.info.Types[x.X].IsType() && len(args) > 0 { // T.method(t)
			on, args = args[0], args[1:]
		}
	}
	if w.decls[f] == nil {
		return
	}
	handed := make(values)
	if r := f.Signature().Recv(); r != nil && w.holds(on, given) {
		handed[r] = true
	}
	params := f.Signature().Params()
	for i, arg := range args {
		if w.holds(arg, given) {
			handed[params.At(min(i, params.Len()-1))] = true
		}
	}
	if len(handed) > 0 {
		w.come(f, handed)
	}
}

// holds reports whether e has any of the given values in it.
func (w *walk) holds(e ast.Expr, given values) (yes bool) {
	ast.Inspect(e, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && given[w.info.Uses[id]] {
			yes = true
		}
		return !yes
	})
	return yes
}

// name adds those of the expressions that are variables to given.
func (w *walk) name(given values, vars ...ast.Expr) {
	for _, v := range vars {
		if id, ok := v.(*ast.Ident); ok {
			if o := w.info.ObjectOf(id); o != nil {
				given[o] = true
			}
		}
	}
}
