//go:build linux

package main

import (
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/alecthomas/kong"

	"github.com/usher-ws/usher/server"
	"github.com/usher-ws/usher/upgrade"
)

// checkCmd is usher check.
type checkCmd struct {
	Serve checkServe `cmd:"" default:"withargs" help:"Check the settings of usher serve; the word serve may be left out."`
	Guard checkGuard `cmd:"" help:"Check the settings of usher guard."`
}

// checkServe has the flags of usher serve, and checkGuard those of usher guard.
type (
	checkServe struct{ serveCmd }
	checkGuard struct{ guardCmd }
)

const checkHelp = "It reads the files, keys and key sets that the settings name, and listens nowhere. What it prints " +
	"can be the file of --config, and says of each setting whether a flag, the environment, a file or the default has the word. " +
	"Secrets and credentials in URLs are not printed."

// Help is what usher check --help prints below its first line.
func (*checkCmd) Help() string { return checkHelp }

// Help is what usher check serve --help prints below its first line.
func (*checkServe) Help() string { return checkHelp }

// Help is what usher check guard --help prints below its first line.
func (*checkGuard) Help() string { return checkHelp }

// Run prints the settings, if usher serve would take them.
func (c *checkServe) Run(stdout io.Writer, ctx *kong.Context, from *sources) error {
	return check(&c.serveCmd, stdout, ctx, from)
}

// Run prints the settings, if usher guard would take them.
func (c *checkGuard) Run(stdout io.Writer, ctx *kong.Context, from *sources) error {
	return check(&c.guardCmd, stdout, ctx, from)
}

// check prints the settings of p, if it could start with them.
func check(p program, stdout io.Writer, ctx *kong.Context, from *sources) error {
	given, err := judge(p)
	if err != nil {
		return usageError{err}
	}
	said := fromLine(ctx)
	maps.Copy(said, from.said)
	var b []byte
	for _, flag := range ctx.Selected().Flags {
		b = appendSetting(b, flag, said[flag.Name])
	}
	if len(p.common().SecretFile) == 0 {
		origin := p.withoutSecret()
		switch {
		case os.Getenv("USHER_SECRET") != "":
			origin = "environment USHER_SECRET, not shown"
		case given:
			origin = "none"
		}
		b = appendLine(b, "# secret:", origin)
	}
	_, err = stdout.Write(b)
	return err
}

// judge returns the error with which p would end at its start. given is as secrets returns it.
func judge(p program) (given bool, err error) {
	ring := server.NewLogRing(p.common().logHandler(slog.LevelWarn)) // what is well is in the output
	defer ring.Close(time.Second)
	r, err := build(p, ring, new(slog.LevelVar))
	if err != nil {
		return false, err
	}
	defer r.close()
	return r.now.Load().given, nil
}

// fromLine returns what a command line says of its flags.
func fromLine(ctx *kong.Context) map[string]entry {
	said := make(map[string]entry)
	for _, p := range ctx.Path {
		if p.Flag == nil || p.Resolved {
			continue
		}
		name := "--" + p.Flag.Name
		text := ctx.Args[len(ctx.Args)-len(p.Remainder())-1] // the last word that the flag took
		text = strings.TrimPrefix(text, name+"=")
		if text == name {
			text = "true"
		}
		if before, again := said[p.Flag.Name]; again {
			text = before.text + "," + text
		}
		said[p.Flag.Name] = entry{text, "flag " + name}
	}
	return said
}

// appendSetting appends a line of YAML that sets a flag to its value, and tells where that is
// from. What is not set, and --config itself, is in a comment.
func appendSetting(b []byte, flag *kong.Flag, said entry) []byte {
	if said.origin == "" {
		said = entry{flag.Default, "default"}
		if flag.IsBool() {
			said.text = "false"
		}
	}
	switch {
	case said.text == "":
		return appendLine(b, strings.TrimSpace("# "+flag.Name+": "+standIn(flag)), said.origin)
	case flag.Name == "config":
		return appendLine(b, "# config: "+quoted(said.text), said.origin)
	}
	elements := []string{said.text}
	if flag.IsSlice() {
		elements = strings.Split(said.text, ",")
	}
	for k, text := range elements {
		elements[k] = masked(text)
	}
	return appendLine(b, flag.Name+": "+quoted(strings.Join(elements, ",")), said.origin)
}

func appendLine(b []byte, setting, origin string) []byte {
	return fmt.Appendf(b, "%-40s # %s\n", setting, origin)
}

// standIn returns the default that the program fills in itself: a placeholder that begins with
// a digit.
func standIn(flag *kong.Flag) string {
	if flag.PlaceHolder != "" && unicode.IsDigit(rune(flag.PlaceHolder[0])) {
		return flag.PlaceHolder
	}
	return ""
}

// masked returns a setting without the credentials that a URL in it may have.
func masked(text string) string {
	if strings.Contains(text, "://") {
		return upgrade.RedactURL(text)
	}
	return upgrade.Redact(text)
}

// plain matches what YAML reads as it is.
var plain = regexp.MustCompile(`^[\w./]([\w./:,-]*[\w/])?$`)

// quoted returns text as a value in YAML, whose double quotes are those of Go.
func quoted(text string) string {
	if plain.MatchString(text) && !strings.EqualFold(text, "null") {
		return text
	}
	return strconv.Quote(text)
}
