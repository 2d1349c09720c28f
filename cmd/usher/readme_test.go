//go:build linux

package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"unicode"

	"github.com/alecthomas/kong"
)

var update = flag.Bool("update", false, "rewrite what is generated from the code")

// TestReadmeShowsTheFlags: the table of flags in README.md is made from the command line's
// definition; go test ./cmd/usher -run Readme -update makes it again.
func TestReadmeShowsTheFlags(t *testing.T) {
	const file, begin, end = "../../README.md", "<!-- flags -->\n", "<!-- /flags -->"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(text), begin)
	shown, behind, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no place for the table between %q and %q", file, begin, end)
	}
	want := flagsMarkdown(t)
	if shown == want {
		return
	}
	if !*update {
		t.Fatalf("%s shows other flags than flags.go has; run with -update", file)
	}
	if err := os.WriteFile(file, []byte(before+begin+want+end+behind), 0o644); err != nil {
		t.Fatal(err)
	}
}

// flagsMarkdown draws the flags of usher serve for README.md.
func flagsMarkdown(t *testing.T) string {
	t.Helper()
	parser, err := newParser(new(cli), io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("| flag | default | |\n|---|---|---|\n")
	for _, command := range parser.Model.Children {
		if command.Name != "serve" {
			continue
		}
		for _, f := range command.Flags {
			fmt.Fprintf(&b, "| `--%s` | %s | %s |\n", f.Name, shownDefault(f), strings.ReplaceAll(f.Help, "|", `\|`))
		}
	}
	return strings.ReplaceAll(b.String(), " *", ` \*`)
}

// shownDefault returns the default that --help shows for a flag. A placeholder that begins
// with a digit is one that the program fills in itself.
func shownDefault(f *kong.Flag) string {
	switch {
	case f.IsBool():
		return "off"
	case f.HasDefault:
		return f.Default
	case f.PlaceHolder != "" && unicode.IsDigit(rune(f.PlaceHolder[0])):
		return f.PlaceHolder
	}
	return "–"
}
