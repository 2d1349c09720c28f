//go:build linux

package main

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/usher-ws/usher/bench"
	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/server"
)

// malformed are values that no flag of their type takes.
var malformed = map[reflect.Type][]string{
	reflect.TypeFor[int]():            {"x", "-1", "1.5", "1s", "99999999999999999999"},
	reflect.TypeFor[[]int]():          {"x", "-1", "0,,1", "0,", ",", "1x"},
	reflect.TypeFor[bool]():           {"maybe", "2"},
	reflect.TypeFor[time.Duration]():  {"x", "5", "-1s", "999999h", "1e9h"},
	reflect.TypeFor[byteSize]():       {"x", "-1", "1KB", "1.5MiB", "8589934592GiB", "99999999999999999999"},
	reflect.TypeFor[byteRate]():       {"x", "-1/s", "1KiB/d", "1KiB/", "99999999999999999999/s"},
	reflect.TypeFor[limiter.Limit]():  {"x", "50", "-1/s", "5/d", "/s", "NaN/s", "Inf/s", "1e300/s"},
	reflect.TypeFor[*limiter.Limit](): {"x", "50", "-1/s", "5/d", "/s", "NaN/s", "Inf/s", "1e300/s"},
	reflect.TypeFor[server.Action]():  {"shout", "WARN", "1"},
	reflect.TypeFor[keyFile]():        {"HS256:", "PS256: ", "."},
	reflect.TypeFor[[]pathRule]():     {"ws", "/{", "/a/{b}c", "/{x...}/y", "/a=", "/a=b", "/a=/b?c", "/a=/b%20", "/a/{b}=/{c}", "/a/{b}=/{b...}", "/a=/{b", "/{x},/{y}"},
	reflect.TypeFor[[]keyFile]():      {"HS256:", "HS256:,x", ",", "x,", ",x", "x,,y", "x, ", "."},
	reflect.TypeFor[[]bench.Attack](): {"x", "fragments,,fragments", "fragments,"},
}

// listsOfNames are values that no list of names takes, whatever it names.
var listsOfNames = []string{",", "a,", ",a", "a,,b", "a, ,b"}

// names are the flags that take text, with values that each of them does not take: besides
// empty ones, and for lists besides listsOfNames. nil is for flags that take any text.
var names = map[string][]string{
	"serve --config":         {"."},
	"serve --listen":         {"here", "127.0.0.1", "127.0.0.1:", ":", "127.0.0.1:http", "127.0.0.1:65536", "127.0.0.1:-1", "::1:80", "tls://", "tls://127.0.0.1", "tls://unix:/run/usher.sock", "tls://tls://127.0.0.1:0"},
	"serve --admin":          {"here", "9090", "127.0.0.1:", ":", "127.0.0.1:http", "127.0.0.1:65536"},
	"serve --echo":           {"echo", "/{x}", "/a b", "/a/", "//", "/a?b", "/a%20b"},
	"serve --echo-auth":      {"echo", "/{x}", "/a b", "/a/", "//", "/a?b", "/a%20b"},
	"serve --rooms":          {"a.b", "a b", " a", strings.Repeat("x", 65), "ä"},
	"serve --proxy-protocol": {"here", "10.0.0.0/33", "10.0.0.1/8", "10.0.0", "fe80::1%lo", "Unix", "unix:/run/x", "10.0.0.0/8;unix"},
	"serve --trusted-proxy":  {"here", "10.0.0.0/33", "fd00::1/8", "300.0.0.1", "fe80::1%lo/64", "UNIX", "*"},
	"serve --origin":         {"https://chat.example/", "https://", "a b"},
	"serve --users":          {"."},
	"serve --tls-cert":       {"."},
	"serve --tls-key":        {"."},
	"serve --tls-min":        {"1.1", "1", "TLS1.2", " 1.3"},
	"serve --tls-client-ca":  {"."},
	"serve --acme":           {"localhost", "*.a.example", "127.0.0.1", "[::1]", "a.example:443", "https://a.example", "a..example", ".a.example", "a.example.", "-a.example", "a_b.example", "ä.example", strings.Repeat("a", 64) + ".example"},
	"serve --acme-dir":       nil,
	"serve --api":            {"here", "9080", "127.0.0.1:", ":", "127.0.0.1:http", "127.0.0.1:65536", "tls://127.0.0.1:0", "systemd:", "systemd:api", "unix:", "unix:@x", "unix:/x?mode=9", "unix:/x?x=1", "127.0.0.1:0"},
	"serve --api-key-file":   {".", "/dev/null"},
	"serve --acme-server":    {"ca.example", "http://ca.example/dir", "https://", "https://me:secret@ca.example/", "https://ca.example/#a", " https://ca.example"},
	"serve --jwks":           {}, // what cannot be read fails at run time
	"serve --auth-url":       {"auth", "127.0.0.1:9000", "ftp://h/", "http://", "http://me:secret@h/", "http://h/#a", " http://h/"},
	"serve --issuer":         nil,
	"serve --audience":       nil,
	"serve --log-format":     {"xml", "JSON", " text"},
	"serve --log-level":      {"loud", "INFO", "info+1", " info"},
	"serve --cluster":        {"here", "http://127.0.0.1", "nats://", "nats://me:secret@127.0.0.1", "nats://127.0.0.1/a", "tls://h?x", "embedded,nats://127.0.0.1"},
	"serve --node":           {"a.b", "a b", "ä", strings.Repeat("x", 65)},

	"serve --cluster-listen":        {"here", "127.0.0.1", "127.0.0.1:", ":", "127.0.0.1:65536"},
	"serve --cluster-peers":         {"here", "127.0.0.1", "127.0.0.1:", ":", "127.0.0.1:65536"},
	"serve --cluster-client-listen": {"here", "127.0.0.1", "127.0.0.1:", ":", "127.0.0.1:65536"},
	"serve --cluster-token-file":    {"."},
	"serve --cluster-creds":         {"."},
	"serve --cluster-tls-cert":      {"."},
	"serve --cluster-tls-key":       {"."},
	"serve --cluster-tls-ca":        {"."},

	"guard --upstream":       {"here", "127.0.0.1:8000", "ftp://h", "http://", "http://h:0", "http://h:http", "http://me:secret@h", "http://h/path", "http://h?x", "unix:", "unix:run/x", "http://h,http://h"},
	"guard --public":         {"ws", "GET /ws", "GET /ws", "h/ws", "/{", "/a{b}", "/{x...}/y", "/{$}/y", "/{a-b}", "/../a"},
	"guard --forward-claims": {"a b", "a:b", "ä", "a\n"},
	"guard --warn-text":      {},
	"token --config":         {"."},
	"token --sub":            nil,
	"token --rooms":          {"a.b", "a b", " ", strings.Repeat("x", 65)},
	"token --kid":            nil,
	"token --issuer":         nil,
	"token --audience":       nil,

	"serve --events":          {"events", "127.0.0.1:9000", "ftp://h/", "http://", "http://me:secret@h/", "http://h/#a", " http://h/"},
	"serve --events-key-file": {"."},
	"serve --events-types":    {"dropped", "Joined", "connected,joined,x", "all"},

	"bench versus --peers":     {"../gws", "a/b"},
	"bench versus --also":      {"mine", "=./mine", "mine="},
	"bench versus --source":    nil,
	"bench versus --questions": {"x", "idle2"},
	"bench versus --out":       nil,

	"bench --spawn":       {"'"},
	"bench --header":      {"x", ": x", "a: b\nc: d"},
	"bench --origin":      {"a\nb"},
	"bench --subprotocol": {"a\nb"},
	"bench --token":       nil,
	"bench --sub":         nil,
	"bench --secret-file": {"."},
	"bench --ca":          {".", "/dev/null"},
	"bench --html":        nil,
	"bench --at":          {"x", "http://127.0.0.1/", "ws://", "ws://127.0.0.1:{2..1}/", "wss://"},
}

// needed returns the arguments that a command needs beside the flag, and those that let it
// end soon if it takes what it should refuse.
func needed(command, flag string) []string {
	var all []string
	switch {
	case command == "serve":
		all = []string{"--print-routes"}
	case strings.HasSuffix(command, "guard"):
		all = []string{"--print-routes", "--upstream=http://127.0.0.1:1"}
	case command == "token":
		all = []string{"--sub=alice"}
	case command == "bench versus":
		all = []string{"--duration=1ms", "--rounds=1"}
	case strings.HasPrefix(command, "bench "):
		all = []string{"ws://127.0.0.1:1/", "--duration=1ms", "--warmup=0"}
	}
	if flag == "--api-key-file" {
		all = append(all, "--api=127.0.0.1:0")
	}
	return slices.DeleteFunc(all, func(arg string) bool {
		name, _, _ := strings.Cut(arg, "=")
		return name == flag
	})
}

// TestEmptyOrMalformed: a value that is given and empty, or malformed, never counts as not
// given. The test goes over all flags: a new one has to be in these tables.
func TestEmptyOrMalformed(t *testing.T) {
	t.Setenv("USHER_SECRET", strings.Repeat("s", 32))
	x := newTerminal(t)
	for command, flag := range allFlags(t) {
		name := command + " --" + flag.Name
		bad := malformed[flag.Target.Type()]
		if bad == nil {
			var known bool
			if bad, known = names[strings.TrimPrefix(name, "check ")]; !known {
				shared, _, _ := strings.Cut(strings.Replace(strings.TrimPrefix(command, "check "), "guard", "serve", 1), " ")
				bad, known = names[shared+" --"+flag.Name]
			}
			if !known {
				t.Errorf("%s: it is in none of the tables: say which values it does not take", name)
			}
			if flag.IsSlice() && flag.Tag.Sep != -1 {
				bad = append(listsOfNames, bad...)
			}
		}
		if !flag.Tag.Has("empty") {
			bad = append([]string{""}, bad...)
		}
		for _, value := range append(bad, " ", "\t") {
			if refused := x.refusal(command, "--"+flag.Name+"="+value); !strings.Contains(refused, flag.Name) && !strings.Contains(refused, value) {
				t.Errorf("%s=%q: got %q, want it refused by name", name, value, refused)
			}
		}
	}
}

// TestGivenTwice: a flag of serve or guard, and so of check, that is not a list can be given once.
func TestGivenTwice(t *testing.T) {
	x := newTerminal(t)
	for command, flag := range allFlags(t) {
		if name := strings.TrimPrefix(command, "check "); name != "serve" && name != "guard" || flag.IsCumulative() || flag.Name == "config" {
			continue
		}
		value := "--" + flag.Name
		if !flag.IsBool() {
			value += "=" + goodValue(flag)
		}
		if refused := x.refusal(command, value, value); !strings.Contains(refused, "--"+flag.Name+" is given twice") {
			t.Errorf("%s %s, twice: got %q", command, value, refused)
		}
	}
}

// goodValue returns a value that the flag takes.
func goodValue(flag *kong.Flag) string {
	switch {
	case flag.Default != "":
		return flag.Default
	case flag.Target.Type() == reflect.TypeFor[*limiter.Limit]():
		return "1/s"
	case flag.Name == "admin", flag.Name == "cluster-listen", flag.Name == "cluster-client-listen":
		return "127.0.0.1:0"
	case flag.Name == "api":
		return "unix:/x"
	case strings.HasPrefix(flag.Name, "echo"):
		return "/x"
	case flag.Name == "auth-url", flag.Name == "events":
		return "http://127.0.0.1:9/"
	}
	return "1"
}

// allFlags goes over the flags of all commands that a person may give, and over those
// that the scenarios of bench share once.
func allFlags(t *testing.T) func(yield func(command string, flag *kong.Flag) bool) {
	parser, err := newParser(new(cli), new(sources), t.Output(), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	return func(yield func(command string, flag *kong.Flag) bool) {
		shared := make(map[string]bool)
		for _, leaf := range parser.Model.Leaves(true) {
			for _, flag := range leaf.Flags {
				if isBench := strings.Contains(leaf.Path(), "bench "); isBench && shared[flag.Name] {
					continue
				} else if isBench && leaf.Name != "versus" {
					shared[flag.Name] = true
				}
				if !yield(leaf.Path(), flag) {
					return
				}
			}
		}
	}
}

// refusal returns the one line with which the program refuses a command line, with exit code
// 2, or what it did instead.
func (x *terminal) refusal(command string, args ...string) string {
	command = strings.TrimSpace(strings.TrimSuffix(strings.TrimPrefix(command, "usher "), "<url>"))
	name, _, _ := strings.Cut(args[0], "=")
	words := append(strings.Fields(command), needed(command, name)...)
	code, stdout, stderr := x.run(append(words, args...)...)
	line, ended := strings.CutSuffix(stderr, "\n")
	if code != 2 || !ended || strings.Contains(line, "\n") || stdout != "" {
		return fmt.Sprintf("code %d, %q, %q", code, stdout, stderr)
	}
	return line
}
