//go:build linux

package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// TestConfigFile: what is in a file of settings, or the line that is wrong.
func TestConfigFile(t *testing.T) {
	for text, want := range map[string]map[string]setting{
		"# rate: 50/s\n": nil,
		"{}":             {},
		"rate: 50/s\nburst: 0x10 # ten and six\n":          {"rate": {[]string{"50/s"}, false, 1}, "burst": {[]string{"0x10"}, false, 2}},
		"%YAML 1.1\n---\ndeflate: on\n...\n":               {"deflate": {[]string{"on"}, false, 3}},
		"\nrooms: [a, 'b,c', 007]\r\n":                     {"rooms": {[]string{"a", "b,c", "007"}, true, 2}},
		"origin:\n- \"*\"\n- \"null\"\n- https://a.b:1\n":  {"origin": {[]string{"*", "null", "https://a.b:1"}, true, 1}},
		"rooms: []\nusers:\nissuer: \"\"\n\"audience\": ü": {"rooms": {nil, true, 1}, "users": {[]string{""}, false, 2}, "issuer": {[]string{""}, false, 3}, "audience": {[]string{"ü"}, false, 4}},
	} {
		if got, err := parseConfig([]byte(text)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %v, %v, want %v", text, got, err, want)
		}
	}
	for text, says := range map[string]string{
		"---\n":                             "line 2: want lines like",
		"rate\n":                            "line 1: want lines like",
		"- rate\n":                          "line 1: want lines like",
		"&a {}":                             "line 1: want lines like",
		"!!map {}":                          "line 1: want lines like",
		"a: 1\n---\nb: 2\n":                 "line 2: a second document",
		"a: 1\n---\n":                       "line 2: a second document",
		"a: 1\n---\n[":                      "line 3: did not find",
		"a: 1\nb: &x 2\n":                   "line 2: anchors",
		"a: &x 1\nb: *x\n":                  "line 1: anchors",
		"a: &x [1]\n":                       "line 1: anchors",
		"&x a: 1\n":                         "line 1: anchors",
		"x:\n- &x 1\n":                      "line 2: anchors",
		"a: *x\n":                           "line 1: unknown anchor",
		"a: 1\n<<: {b: 2}\n":                "line 2: want a value",
		"a: !!str 1\n":                      "line 1: tags",
		"a: !!seq [1]\n":                    "line 1: tags",
		"a: 1\nb: 2\na: 3\n":                "line 3: a is given twice, first in line 1",
		"a: 1\n\"a\": 3\n":                  "line 2: a is given twice",
		"a: {b: c}\n":                       "line 1: want a value",
		"a:\n- [b]\n":                       "line 2: want a value",
		"? [a]\n: b\n":                      "line 1: want a value",
		"a: null\n":                         `line 1: null is no value: leave the key out, or write "null" in quotes`,
		"a: [1, ~]\n":                       "line 1: ~ is no value",
		"a: b: c\n":                         "line 1: mapping values",
		"a: [\n":                            "line 1: did not find",
		"origin: *\n":                       "with quotes around what begins with *",
		"\ta: 1\n":                          "line 1: found character that cannot start any token",
		"a: 1\nb: \xff\n":                   "line 2: it has characters that cannot be seen",
		"a: \u200b1\n":                      "line 1: it has characters that cannot be seen",
		"a: |\n  b\n":                       "line 1: want a value in one line",
		"a:\n- \"b\\e\"\n":                  "line 2: want a value in one line",
		"a: \x1b[2J\n":                      "line 1: it has characters that cannot be seen",
		"a: " + strings.Repeat("[", 20_000): "exceeded max depth",
		"a: &a [x]\nb: &b [*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b]\n": "line 1: anchors",
	} {
		got, err := parseConfig([]byte(text))
		if err == nil || !strings.Contains(err.Error(), says) || !strings.HasPrefix(err.Error(), "line ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.50q: got %v, %v, want %q", text, got, err, says)
		}
	}
}

// TestConfigIsNoFile: what --config names is a small file of text.
func TestConfigIsNoFile(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"empty": "", "blank": " \n", "mark": "\xef\xbb\xbfrate: 5/s\n", "zeros": "r\x00a\x00t\x00e\x00", "large": strings.Repeat("#\n", maxConfig),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	x := newTerminal(t)
	for _, name := range []string{"empty", "blank", "mark", "zeros", "large", "missing", ".", "/dev/zero"} {
		path := name
		if !filepath.IsAbs(name) {
			path = filepath.Join(dir, name)
		}
		for _, command := range []string{"serve", "check", "token"} {
			if refused := x.refusal(command, "--config="+path); !strings.Contains(refused, "--config: ") || !strings.Contains(refused, path) {
				t.Errorf("%s with %s: got %q", command, name, refused)
			}
		}
		t.Setenv("USHER_CONFIG", path)
		if refused := x.refusal("check", "--loops=1"); !strings.Contains(refused, "--config: ") || !strings.Contains(refused, "environment USHER_CONFIG") {
			t.Errorf("USHER_CONFIG=%s: got %q", name, refused)
		}
		os.Unsetenv("USHER_CONFIG") // until Setenv's cleanup
	}
}

// TestNearest: a key that is none is answered with the one that is meant.
func TestNearest(t *testing.T) {
	parser, err := newParser(new(cli), new(sources), t.Output(), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	known := settingNames(parser.Model, "serve")
	for key, want := range map[string]string{
		"max_conns": "max-conns", "maxconns": "max-conns", "Rate": "rate", "--rate": "rate", "origins": "origin", "secret": "secret-file",
		"log": "log-format", "idle_timeout": "idle-timeout", "user": "users", "sercet-file": "secret-file", "byterate": "byte-rate",
	} {
		if got := nearest(key, known); got != want {
			t.Errorf("%s: got %s, want %s", key, got, want)
		}
	}
	if nearest("", known) == "" || nearest("ü\xff", known) == "" {
		t.Error("a key has no nearest")
	}
}

// FuzzConfig: whatever is in a file, it is an error in one line, or settings, each of which was
// in a line of the text.
func FuzzConfig(f *testing.F) {
	for _, seed := range []string{
		"rate: 50/s\n", "rooms: [a, b]\n", "rooms:\n- a\n- 'b'\n", "a: &x 1\nb: *x\n", "<<: {a: b}\n", "a: |\n  b\n", "a: 1\n---\nb: 2\n",
		"? a\n: b\n", "{a: b, c: [d]}", "%YAML 1.1\n---\na: \"\\x41\"\n", "a: !!binary YQ==\n", "# nothing\n", "a: >-\n  b\n  c\n", "\"a\": ~\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		settings, err := parseConfig(text)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "line ") || strings.Contains(err.Error(), "\n") || settings != nil {
				t.Errorf("%q: got %v, %q", text, settings, err)
			}
			return
		}
		lines := 1 + strings.Count(string(text), "\n")
		for key, said := range settings {
			if said.line < 1 || said.line > lines || !said.isList && len(said.values) != 1 {
				t.Errorf("%q: %s: got %+v", text, key, said)
			}
		}
	})
}
