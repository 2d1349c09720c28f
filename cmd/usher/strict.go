//go:build linux

package main

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// strict is the mapper of every flag and argument. What is given and empty is mostly
// a script's variable that is not set, and no value would be the setting that guards
// nothing; so it is refused before the value's own mapper sees it. The tag empty says
// what an empty value means where it does mean something.
type strict struct{ kong.Mapper }

// beStrict gives every flag and argument of the command line the mapper.
func beStrict(k *kong.Kong) error {
	return kong.Visit(k.Model, func(node kong.Visitable, next kong.Next) error {
		if v, ok := node.(*kong.Value); ok {
			v.Mapper = strict{v.Mapper}
		}
		return next(nil)
	})
}

// Decode implements kong.Mapper.
func (m strict) Decode(ctx *kong.DecodeContext, target reflect.Value) error {
	if text, ok := ctx.Scan.Peek().Value.(string); ok {
		if err := refuseBlank(ctx.Value, text); err != nil {
			return err
		}
	}
	return m.Mapper.Decode(ctx, target)
}

// refuseBlank says what is wanted in place of a value, or an element of a list, that has
// nothing in it, or nothing but blanks.
func refuseBlank(v *kong.Value, text string) error {
	if text == "" && v.Tag.Has("empty") {
		return nil
	}
	var wrong string
	switch {
	case blank(text):
		wrong = "it is empty"
	case v.IsSlice() && v.Tag.Sep != -1 &&
		// With a separator behind it, a last element counts that is empty.
		slices.ContainsFunc(kong.SplitEscaped(text+string(v.Tag.Sep), v.Tag.Sep), blank):
		wrong = fmt.Sprintf("%q has an empty element", text)
	default:
		return nil
	}
	if v.Flag == nil || v.Required {
		return fmt.Errorf("%s: want a value", wrong)
	}
	return fmt.Errorf("%s: want %s, or leave the flag out", wrong, v.Summary())
}

func blank(s string) bool { return strings.TrimSpace(s) == "" }

// refuseTwice says which flag of serve is given more than once although it is no list:
// of two values that guard, one would be ignored. Elsewhere the last one counts.
func refuseTwice(ctx *kong.Context) error {
	if ctx.Selected().Name != "serve" {
		return nil
	}
	seen := make(map[*kong.Flag]bool)
	for _, p := range ctx.Path {
		if p.Flag == nil || p.Flag.IsCumulative() {
			continue
		}
		if seen[p.Flag] {
			return fmt.Errorf("--%s is given twice: give it once", p.Flag.Name)
		}
		seen[p.Flag] = true
	}
	return nil
}
