//go:build linux

package main

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// strict is the mapper of every flag and argument. A value that is given and empty is
// mostly a script's variable that is not set, and for many flags it would mean that nothing
// is guarded. So it is refused before the value's own mapper sees it. The tag empty says
// what an empty value means, where it means something.
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
	switch given := ctx.Scan.Peek().Value.(type) {
	case string:
		if err := refuseBlank(ctx.Value, given); err != nil {
			return err
		}
	case []string: // of a file: as if the flag were repeated
		if len(given) == 0 {
			return refuseBlank(ctx.Value, "")
		}
		for _, text := range given {
			again := ctx.WithScanner(kong.Scan().PushTyped(text, kong.FlagValueToken))
			if err := m.Decode(again, target); err != nil {
				return err
			}
		}
		return nil
	}
	return m.Mapper.Decode(ctx, target)
}

// refuseBlank returns an error for a value, or an element of a list, that is empty or blank.
// The error says what is wanted instead.
func refuseBlank(v *kong.Value, text string) error {
	if text == "" && v.Tag.Has("empty") {
		return nil
	}
	var wrong string
	switch {
	case blank(text):
		wrong = "it is empty"
	case v.IsSlice() && v.Tag.Sep != -1 &&
		// The separator at the end makes an empty last element count.
		slices.ContainsFunc(kong.SplitEscaped(text+string(v.Tag.Sep), v.Tag.Sep), blank):
		wrong = fmt.Sprintf("%q has an empty element", text)
	default:
		return nil
	}
	if v.Flag == nil || v.Required {
		return fmt.Errorf("%s: want a value", wrong)
	}
	return fmt.Errorf("%s: want %s, or leave it out", wrong, v.Summary())
}

func blank(s string) bool { return strings.TrimSpace(s) == "" }

// refuseTwice returns an error for a flag of serve, guard or check that is not a list and is given
// more than once: one of its values, which may guard something, would be ignored. In other
// commands the last value counts.
func refuseTwice(ctx *kong.Context) error {
	if name := ctx.Selected().Name; name != "serve" && name != "guard" { // check's are called so, too
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
