//go:build linux

package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/usher-ws/usher/internal/drawn"
)

// TestReadmeShowsTheFlags: the tables of flags in README.md are made from the command line's
// definition; go test ./cmd/usher -run Readme -update makes them again.
func TestReadmeShowsTheFlags(t *testing.T) {
	drawn.Section(t, "../../README.md", "flags", flagsMarkdown(t, "serve", nil))
	serve := make(map[string]string)
	for command, f := range allFlags(t) {
		if command == "serve" {
			serve[f.Name] = shownDefault(f) + f.Help
		}
	}
	drawn.Section(t, "../../README.md", "guard", flagsMarkdown(t, "guard", func(f *kong.Flag) bool {
		return serve[f.Name] != shownDefault(f)+f.Help
	}))
}

// TestReadmeConfiguration: the file of settings in README.md is one, and usher check says of
// it what is printed there.
func TestReadmeConfiguration(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	file := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindSubmatch(text)
	example := regexp.MustCompile(`(?s)\$ (USHER_\w+)=(\S+) usher (check [^\n]*)\n(.*?)` + "```").FindSubmatch(text)
	if file == nil || example == nil {
		t.Fatal("README.md has no file of settings, or no usher check")
	}
	for name, text := range map[string]string{
		"usher.yaml": string(file[1]),
		"users":      goodFiles["users"], "secret": goodFiles["secret-file"],
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv(string(example[1]), string(example[2]))
	var stdout, stderr strings.Builder
	if code := run(strings.Fields(string(example[3])), &stdout, &stderr); code != 0 {
		t.Fatalf("got %d, %s", code, stderr.String())
	}
	for line := range strings.Lines(string(example[4])) {
		if line != "…\n" && !strings.Contains(stdout.String(), line) {
			t.Errorf("got\n%s\nwant %s", stdout.String(), line)
		}
	}
}

// flagsMarkdown draws the flags of a command for README.md, or those of them that are wanted.
func flagsMarkdown(t *testing.T, of string, wanted func(f *kong.Flag) bool) string {
	t.Helper()
	parser, err := newParser(new(cli), new(sources), io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("| flag | default | |\n|---|---|---|\n")
	for _, command := range parser.Model.Children {
		if command.Name != of {
			continue
		}
		for _, f := range command.Flags {
			if wanted != nil && !wanted(f) {
				continue
			}
			fmt.Fprintf(&b, "| `--%s` | %s | %s |\n", f.Name, shownDefault(f), strings.ReplaceAll(f.Help, "|", `\|`))
		}
	}
	return strings.ReplaceAll(b.String(), " *", ` \*`)
}

// shownDefault returns the default that --help shows for a flag.
func shownDefault(f *kong.Flag) string {
	switch {
	case f.IsBool():
		return "off"
	case f.HasDefault:
		return f.Default
	}
	return cmp.Or(standIn(f), "–")
}
