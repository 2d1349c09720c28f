//go:build linux

package main

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode"

	"github.com/alecthomas/kong"

	"github.com/usher-ws/usher/internal/drawn"
)

// TestReadmeShowsTheFlags: the table of flags in README.md is made from the command line's
// definition; go test ./cmd/usher -run Readme -update makes it again.
func TestReadmeShowsTheFlags(t *testing.T) {
	drawn.Section(t, "../../README.md", "flags", flagsMarkdown(t))
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
