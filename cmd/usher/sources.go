//go:build linux

package main

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// sources is where the settings come from that a command line leaves out: the environment,
// and the file that --config names. It is the kong.Resolver of the commands that have
// --config. Other commands take nothing from outside, as what they do would no longer be what
// their command line says.
type sources struct {
	path  string
	file  map[string]setting
	said  map[string]entry // by the names of the flags
	taken map[string]bool  // flags that take anything from here
}

// entry is a value as it was given, and in words where that was. Of a list the elements are
// between commas.
type entry struct{ text, origin string }

// load is called before flags are resolved, for each part of the command line. It reads the
// file.
func (s *sources) load(ctx *kong.Context) error {
	command := ctx.Selected()
	if command == nil || s.taken != nil {
		return nil
	}
	at := slices.IndexFunc(command.Flags, func(f *kong.Flag) bool { return f.Name == "config" })
	if at < 0 {
		return nil
	}
	known := settingNames(ctx.Model, command.Name)
	s.taken, s.said = make(map[string]bool), make(map[string]entry)
	for _, flag := range command.Flags {
		s.taken[flag.Name] = slices.Contains(known, flag.Name) && !flag.Tag.Has("own")
	}
	ctx.AddResolver(s)
	s.path = ctx.FlagValue(command.Flags[at]).(string)
	if s.path == "" {
		s.path, _ = s.variable("config")
	}
	if blank(s.path) {
		return nil // not given, or refused when the flag is resolved
	}
	var err error
	if s.file, err = readConfig(s.path); err != nil {
		return err
	}
	for _, key := range slices.SortedFunc(maps.Keys(s.file), func(a, b string) int { return s.file[a].line - s.file[b].line }) {
		if key == "config" {
			return fmt.Errorf("--config: %s: line %d: a file cannot name another one: leave config out", s.path, s.file[key].line)
		}
		if !slices.Contains(known, key) {
			return fmt.Errorf("--config: %s: line %d: there is no setting %q: the nearest is %s", s.path, s.file[key].line, key, nearest(key, known))
		}
	}
	return nil
}

// settingNames returns the names of all settings that a file for a command may have: the flags
// of serve or guard, or of both if it is neither, and what it needs is in the file of one.
func settingNames(model *kong.Application, of string) (names []string) {
	for _, command := range model.Children {
		if command.Name != "serve" && command.Name != "guard" || command.Name != of && (of == "serve" || of == "guard") {
			continue
		}
		for _, flag := range command.Flags {
			if !slices.Contains(names, flag.Name) {
				names = append(names, flag.Name)
			}
		}
	}
	return names
}

// Validate implements kong.Resolver.
func (s *sources) Validate(*kong.Application) error { return nil }

// Resolve implements kong.Resolver. It is asked for the flags that are not on the command
// line.
func (s *sources) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if !s.taken[flag.Name] {
		return nil, nil
	}
	if text, ok := s.variable(flag.Name); ok {
		return text, nil
	}
	said, ok := s.file[flag.Name]
	switch {
	case !ok:
		return nil, nil
	case said.isList && !flag.IsSlice():
		return nil, fmt.Errorf("a list in line %d of %s: want one value", said.line, s.path)
	}
	s.said[flag.Name] = entry{strings.Join(said.values, ","), fmt.Sprintf("file %s, line %d", s.path, said.line)}
	if said.isList {
		return said.values, nil
	}
	return said.values[0], nil
}

// variable returns what the environment says of a flag, which may be empty.
func (s *sources) variable(flag string) (text string, ok bool) {
	name := variableOf(flag)
	if text, ok = os.LookupEnv(name); !ok || fromKubernetes(name, text) {
		return "", false
	}
	s.said[flag] = entry{text, "environment " + name}
	return text, true
}

// variableOf returns the name of the variable that stands for a flag.
func variableOf(flag string) string {
	return "USHER_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// serviceLink matches what Kubernetes says of a service called usher-reuse, in a variable
// called USHER_REUSE_PORT, in every pod beside it.
var serviceLink = regexp.MustCompile(`^(tcp|udp|sctp)://`)

// fromKubernetes reports whether a variable tells where a service is, and says nothing to us.
// No flag may have a name that the others of its variables have, like USHER_SERVICE_HOST.
func fromKubernetes(name, text string) bool {
	return strings.HasSuffix(name, "_PORT") && serviceLink.MatchString(text)
}

// flagNames matches the names of flags in an error.
var flagNames = regexp.MustCompile(`--[a-z][a-z0-9-]*[a-z0-9]`)

// explain returns err, and says of each flag that it names where the value comes from, if
// that is not the command line.
func (s *sources) explain(err error) error {
	var said []string
	for _, name := range flagNames.FindAllString(err.Error(), -1) {
		from, ok := s.said[strings.TrimPrefix(name, "--")]
		if line := fmt.Sprintf("%s comes from %s", name, from.origin); ok && !slices.Contains(said, line) {
			said = append(said, line)
		}
	}
	if said == nil {
		return err
	}
	return fmt.Errorf("%w (%s)", err, strings.Join(said, "; "))
}

// nearest returns the name that takes the fewest edits to become key. That it begins like key
// makes it as near as one edit.
func nearest(key string, names []string) string {
	distance := func(name string) int {
		if strings.HasPrefix(name, key) {
			return 1
		}
		return edits(key, name)
	}
	return slices.MinFunc(names, func(a, b string) int { return distance(a) - distance(b) })
}

// edits returns how many letters are to be added, removed or changed between a and b: the
// distance of Levenshtein.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for k := range row {
		row[k] = k
	}
	for i := range len(a) {
		corner := row[0]
		row[0]++
		for k := range len(b) {
			change := corner
			if a[i] != b[k] {
				change++
			}
			corner, row[k+1] = row[k+1], min(row[k]+1, row[k+1]+1, change)
		}
	}
	return row[len(b)]
}
