//go:build linux

package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// terminal runs one command line after another, as run does, but with one parser for all: to build
// one takes much longer than to parse with it.
type terminal struct {
	c              cli
	from           sources
	parser         *kong.Kong
	stdout, stderr strings.Builder
}

func newTerminal(t *testing.T) *terminal {
	t.Helper()
	x := new(terminal)
	var err error
	if x.parser, err = newParser(&x.c, &x.from, &x.stdout, &x.stderr); err != nil {
		t.Fatal(err)
	}
	return x
}

// run returns the exit code, and what was printed. Nothing is left of the lines before.
func (x *terminal) run(args ...string) (code int, stdout, stderr string) {
	x.c, x.from = cli{}, sources{}
	x.stdout.Reset()
	x.stderr.Reset()
	_ = kong.Visit(x.parser.Model, func(v kong.Visitable, next kong.Next) error {
		switch v := v.(type) {
		case *kong.Node:
			v.Active = false
		case *kong.Value:
			v.Active, v.Set = false, false
		}
		return next(nil)
	})
	code = obey(x.parser, &x.from, args, &x.stderr)
	return code, x.stdout.String(), x.stderr.String()
}

// TestTerminal: what was on a line before does not matter to the next, as if each had a parser of
// its own.
func TestTerminal(t *testing.T) {
	x := newTerminal(t)
	lines := []string{
		"guard --upstream=http://127.0.0.1:1 --print-routes", "guard --print-routes",
		"token --sub=alice --rooms=a,b --secret-file=.", "token", "token --sub=alice --rooms=,",
		"check --rooms=a,b --rate=3/s --limit-dry-run", "check", "check --config=.", "check guard --public=/a --upstream=unix:/x", "check guard",
		"serve --print-routes --max-conns=3 --rooms=a", "serve --print-routes", "serve --print-routes --max-conns=x", "serve --no-such",
		"bench echo ws://127.0.0.1:1/ --duration=x", "bench echo", "bench versus --peers=../gws", "bench versus --rounds=x", "version", "",
	}
	back := slices.Clone(lines)
	slices.Reverse(back)
	for _, line := range append(lines, back...) {
		var stdout, stderr strings.Builder
		code := run(strings.Fields(line), &stdout, &stderr)
		if got, out, errs := x.run(strings.Fields(line)...); got != code || out != stdout.String() || errs != stderr.String() {
			t.Errorf("usher %s: got %d, %q, %q\nwant %d, %q, %q", line, got, out, errs, code, stdout.String(), stderr.String())
		}
	}
}
