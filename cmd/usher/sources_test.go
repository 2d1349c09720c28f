//go:build linux

package main

import (
	"encoding/base64"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/server"
)

// goodValues returns two values that a flag of serve takes.
func goodValues(t *testing.T, dir string, flag *kong.Flag) [2]string {
	t.Helper()
	if flag.Enum != "" {
		return [2]string(flag.EnumSlice()[:2])
	}
	if values, ok := map[reflect.Type][2]string{
		reflect.TypeFor[int]():            {"3", "4"},
		reflect.TypeFor[bool]():           {"true", "false"},
		reflect.TypeFor[time.Duration]():  {"3s", "4m"},
		reflect.TypeFor[byteSize]():       {"3KiB", "4096"},
		reflect.TypeFor[byteRate]():       {"3KiB/s", "0"},
		reflect.TypeFor[limiter.Limit]():  {"3/s", "100/m"},
		reflect.TypeFor[*limiter.Limit](): {"3/s", "100/m"},
		reflect.TypeFor[server.Action]():  {"drop", "close"},
	}[flag.Target.Type()]; ok {
		return values
	}
	switch flag.Name {
	case "listen", "admin":
		return [2]string{"127.0.0.1:0", "[::1]:0"}
	case "api":
		return [2]string{"unix:/run/usher/api.sock", "unix:/run/usher/api.sock?mode=0660"}
	case "upstream":
		return [2]string{"http://127.0.0.1:1", "unix:/run/app.sock"}
	case "path":
		return [2]string{"/ws/{room}", "/a/{b...}=/{b...}"}
	case "public":
		return [2]string{"/ws/{room}", "/open/{rest...}"}
	case "forward-claims", "warn-text":
		return [2]string{"plan", "email_verified"}
	case "proxy-protocol", "trusted-proxy":
		return [2]string{"10.0.0.0/8", "unix"}
	case "echo", "echo-auth":
		return [2]string{"/x", "/x/y"}
	case "events":
		return [2]string{"http://127.0.0.1:9/events", "https://backend.example"}
	case "auth-url":
		return [2]string{"http://127.0.0.1:9/auth", "https://auth.example"}
	case "rooms", "origin", "issuer", "audience":
		return [2]string{"this", "that"}
	case "acme":
		return [2]string{"a.example", "b.example"}
	case "acme-server":
		return [2]string{"https://ca.example/directory", "https://ca.example:14000/dir"}
	case "cluster":
		return [2]string{"nats://127.0.0.1:1", "nats://localhost"}
	case "node":
		return [2]string{"this", "that"}
	case "cluster-listen", "cluster-client-listen", "cluster-peers":
		return [2]string{"127.0.0.1:6222", "[::1]:6222"}
	case "cluster-token-file", "cluster-creds", "cluster-tls-cert", "cluster-tls-key", "cluster-tls-ca",
		"users", "secret-file", "public-key", "jwks", "tls-cert", "tls-key", "tls-client-ca", "acme-dir", "events-key-file", "api-key-file":
		return [2]string{filepath.Join(dir, flag.Name+"-1"), filepath.Join(dir, flag.Name+"-2")}
	}
	t.Fatalf("--%s: say which values it takes", flag.Name)
	return [2]string{}
}

// goodFiles are what is in the files that flags of these names take.
var goodFiles = map[string]string{
	"users":              "alice:$2y$06$RJ73WfkokiGFCSkFiv3.1.uWZyFnravWh.SCunFGLhdOGqwl8DpS2\n",
	"secret-file":        strings.Repeat("f", 32),
	"public-key":         "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n",
	"cluster-token-file": strings.Repeat("t", 32),
	"cluster-creds":      newCredentials(),
	"jwks":               `{"keys":[{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","kid":"a","x":"Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE"}]}`,

	"api-key-file":    strings.Repeat("k", 32) + "\n" + strings.Repeat("l", 40) + "\n",
	"events-key-file": "whsec_b3RoZXIgc2VjcmV0LCBvZiBsZW5ndGggMjQ=\n",
}

// beside returns the arguments without which the flag of that name cannot be given n times to a
// command.
func beside(dir, command, name string, n int) (args []string) {
	if strings.HasSuffix(command, "guard") && name != "upstream" {
		args = []string{"--upstream=http://127.0.0.1:1"}
	}
	const listen = "--listen=tls://127.0.0.1:0"
	switch {
	case name == "api-key-file":
		return append(args, "--api=127.0.0.1:0")
	case name == "events":
		return append(args, "--events-key-file="+filepath.Join(dir, "events-key-file-1"))
	case name == "events-key-file":
		return append(args, "--events=http://127.0.0.1:9/")
	case strings.HasPrefix(name, "cluster-tls-"):
		for _, other := range []string{"cluster-tls-cert", "cluster-tls-key", "cluster-tls-ca"} {
			if other != name {
				args = append(args, "--"+other+"="+filepath.Join(dir, other+"-1"))
			}
		}
		return append(args, "--cluster=nats://127.0.0.1")
	case name == "cluster-listen" || name == "cluster-client-listen":
		return append(args, "--cluster=embedded")
	case name == "cluster-peers":
		return append(args, "--cluster=embedded", "--cluster-listen=127.0.0.1:0")
	case name == "node" || strings.HasPrefix(name, "cluster-"):
		return append(args, "--cluster=nats://127.0.0.1")
	case name == "acme":
		return append(args, listen, "--acme-dir="+filepath.Join(dir, "acme"))
	case name == "acme-dir":
		return append(args, listen, "--acme=a.example")
	case !strings.HasPrefix(name, "tls-"):
		return args
	}
	args = append(args, listen)
	for range n {
		for _, other := range []string{"tls-cert", "tls-key"} {
			if other != name {
				args = append(args, "--"+other+"="+filepath.Join(dir, other+"-1"))
			}
		}
	}
	return args
}

// writeGoodFiles writes the files that goodValues names.
func writeGoodFiles(t *testing.T, dir string) {
	t.Helper()
	cert, key := selfSigned(t, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	good := maps.Clone(goodFiles)
	good["tls-cert"], good["tls-key"], good["tls-client-ca"] = cert, key, cert
	good["cluster-tls-cert"], good["cluster-tls-key"], good["cluster-tls-ca"] = cert, key, cert
	for name, text := range good {
		for _, end := range []string{"-1", "-2"} {
			if err := os.WriteFile(filepath.Join(dir, name+end), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// places are where a test gives a value.
type places struct {
	flag, variable *string
	file           string // what stands behind the key
}

// ask runs a command with the flag in these places, and returns the exit code and what it
// printed.
func (p places) ask(t *testing.T, x *terminal, dir, command string, flag *kong.Flag) (code int, stdout, stderr string) {
	t.Helper()
	args := strings.Fields(command)
	if p != (places{}) {
		args = append(args, beside(dir, command, flag.Name, max(1, strings.Count(p.file, "\n- ")))...)
	} else if strings.HasSuffix(command, "guard") {
		args = append(args, "--upstream=http://127.0.0.1:1")
	}
	if p.file != "" {
		config := filepath.Join(dir, "usher.yaml")
		if err := os.WriteFile(config, []byte("# settings\n"+p.file), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--config", config)
	}
	if p.flag != nil {
		args = append(args, "--"+flag.Name+"="+*p.flag)
	}
	if p.variable != nil {
		name := variableOf(flag.Name)
		os.Setenv(name, *p.variable)
		defer os.Unsetenv(name)
	}
	return x.run(args...)
}

// isOwn reports whether a command is check, for serve, or for guard if serve has no such flag.
func (x *terminal) isOwn(command string, flag *kong.Flag) bool {
	if command != "check guard" {
		return command == "check serve"
	}
	return !slices.Contains(settingNames(x.parser.Model, "serve"), flag.Name)
}

// TestSources goes over all flags of serve and guard. Each may be on the command line, in the
// environment and in the file, and check says which of them has the word.
func TestSources(t *testing.T) {
	t.Setenv("USHER_SECRET", strings.Repeat("s", 32))
	dir := t.TempDir()
	writeGoodFiles(t, dir)
	x := newTerminal(t)
	file := "file " + filepath.Join(dir, "usher.yaml") + ", line 2"
	for command, flag := range allFlags(t) {
		if !x.isOwn(command, flag) || flag.Name == "config" {
			continue
		}
		variable := "environment " + variableOf(flag.Name)
		good := goodValues(t, dir, flag)
		first, second, key := good[0], good[1], flag.Name+": "
		for _, tt := range []struct {
			places
			value, origin string
		}{
			{places{}, flag.Default, "default"},
			{places{flag: &first}, first, "flag --" + flag.Name},
			{places{variable: &first}, first, variable},
			{places{file: key + quoted(first)}, first, file},
			{places{variable: &first, file: key + quoted(second)}, first, variable},
			{places{variable: &second, file: key + quoted(first)}, second, variable},
			{places{flag: &second, file: key + quoted(first)}, second, "flag --" + flag.Name},
			{places{flag: &first, variable: &second, file: key + quoted(second)}, first, "flag --" + flag.Name},
		} {
			if tt.places == (places{}) && flag.Name == "upstream" {
				continue
			}
			code, stdout, stderr := tt.ask(t, x, dir, command, flag)
			if got := lineOf(stdout, flag.Name); code != 0 || stderr != "" || got != [2]string{tt.value, tt.origin} {
				t.Errorf("--%s, %+v: got %d, %q, %s, want %q from %s", flag.Name, tt.places, code, got, stderr, tt.value, tt.origin)
			}
		}
		if flag.IsSlice() {
			code, stdout, stderr := places{file: key + "\n- " + quoted(first) + "\n- " + quoted(second)}.ask(t, x, dir, command, flag)
			if got := lineOf(stdout, flag.Name); code != 0 || got != [2]string{first + "," + second, file} {
				t.Errorf("--%s, two in the file: got %d, %q, %s", flag.Name, code, got, stderr)
			}
		}
	}
}

// lineOf returns the value and its origin in what check prints of a setting.
func lineOf(stdout, name string) [2]string {
	m := regexp.MustCompile(`(?m)^(?:# )?` + name + `: *(.*?) *# (.*)$`).FindStringSubmatch(stdout)
	if m == nil {
		return [2]string{}
	}
	value := strings.Trim(m[1], `"`)
	if m[1] == "50/s" && name == "rate" || value == "false" && m[2] == "default" {
		value = "" // neither is a default of kong's
	}
	return [2]string{value, m[2]}
}

// TestSourcesOfMistakes: what is empty, malformed or given twice is refused in one line, which
// says where it is.
func TestSourcesOfMistakes(t *testing.T) {
	t.Setenv("USHER_SECRET", strings.Repeat("s", 32))
	dir := t.TempDir()
	writeGoodFiles(t, dir)
	x := newTerminal(t)
	path := filepath.Join(dir, "usher.yaml")
	for command, flag := range allFlags(t) {
		if !x.isOwn(command, flag) || flag.Name == "config" {
			continue
		}
		refused := func(p places, says ...string) {
			code, stdout, stderr := p.ask(t, x, dir, command, flag)
			for _, word := range says {
				if code != 2 || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, word) {
					t.Errorf("%s --%s, %+v: got %d, %q, %q, want %q", command, flag.Name, p, code, stdout, stderr, word)
				}
			}
		}
		name, key := "--"+flag.Name, flag.Name+": "
		inVariable, inFile := name+" comes from environment "+variableOf(flag.Name), name+" comes from file "+path+", line 2"
		good := quoted(goodValues(t, dir, flag)[0])
		for _, value := range []string{"", " "} {
			refused(places{variable: &value}, "it is empty", inVariable)
			refused(places{file: key + fmt.Sprintf("%q", value)}, "it is empty", inFile)
		}
		refused(places{file: key}, "it is empty", inFile)
		refused(places{file: key + "null"}, path+": line 2: null is no value")
		refused(places{file: key + good + "\n" + key + good}, path+": line 3: "+flag.Name+" is given twice, first in line 2")
		refused(places{file: flag.Name + "x: " + good}, path+`: line 2: there is no setting "`+flag.Name+`x": the nearest is `)
		if flag.IsSlice() {
			refused(places{file: key + "[]"}, "it is empty", inFile)
			refused(places{file: key + "[" + good + ", '']"}, "it is empty", inFile)
		} else {
			refused(places{file: key + "[" + good + "]"}, name+": a list in line 2 of "+path)
		}
		bad := malformed[flag.Target.Type()]
		if bad == nil {
			bad = append(slices.Clone(names["serve "+name]), names["guard "+name]...)
		}
		for _, value := range bad[:min(len(bad), 3)] { // TestEmptyOrMalformed has them all
			refused(places{variable: &value}, inVariable)
			refused(places{file: key + fmt.Sprintf("%q", value)}, inFile)
		}
	}
}

// TestKubernetesVariables: what Kubernetes puts into the environment of every pod beside
// services called usher, usher-admin, usher-reuse and so on is never taken for a setting.
func TestKubernetesVariables(t *testing.T) {
	theirs := regexp.MustCompile(`^USHER_(\w+_)?(SERVICE_(HOST|PORT(_\w+)?)|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`)
	for command, flag := range allFlags(t) {
		if name := variableOf(flag.Name); (command == "serve" || command == "guard") && theirs.MatchString(name) {
			t.Errorf("--%s: in Kubernetes %s may be the address of a service: choose another name", flag.Name, name)
		}
	}
	for name, value := range map[string]string{
		"USHER_PORT": "tcp://10.0.0.7:80", "USHER_SERVICE_HOST": "10.0.0.7", "USHER_SERVICE_PORT": "80", "USHER_PORT_80_TCP": "tcp://10.0.0.7:80",
		"USHER_PORT_80_TCP_PROTO": "tcp", "USHER_PORT_80_TCP_PORT": "80", "USHER_PORT_80_TCP_ADDR": "10.0.0.7",
		"USHER_ADMIN_PORT": "tcp://10.0.0.8:80", "USHER_ADMIN_SERVICE_HOST": "10.0.0.8", "USHER_REUSE_PORT": "tcp://10.0.0.9:80", "USHER_NO_SUCH_FLAG": "x", "USHER_": "x", "USHER_HELP": "true",
	} {
		t.Setenv(name, value)
	}
	var stdout, stderr strings.Builder
	if code := run([]string{"check"}, &stdout, &stderr); code != 0 || stderr.Len() > 0 || strings.Contains(stdout.String(), "environment") {
		t.Errorf("got %d, %s, %s", code, stdout.String(), stderr.String())
	}
	t.Setenv("USHER_REUSE_PORT", "true")
	stdout.Reset()
	if code := run([]string{"check"}, &stdout, &stderr); code != 0 || lineOf(stdout.String(), "reuse-port") != [2]string{"true", "environment USHER_REUSE_PORT"} {
		t.Errorf("got %d, %s, %s", code, stdout.String(), stderr.String())
	}
}

// payload returns the claims of a token.
func payload(t *testing.T, token string) string {
	t.Helper()
	parts := strings.Split(strings.TrimSpace(token), ".")
	if len(parts) != 3 {
		t.Fatalf("%q is no token", token)
	}
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	return string(claims)
}

// TestSourcesOfToken: usher token takes what it shares with the server from outside, and what
// the token says from its command line alone. A benchmark takes nothing.
func TestSourcesOfToken(t *testing.T) {
	dir := t.TempDir()
	writeGoodFiles(t, dir)
	config := filepath.Join(dir, "usher.yaml")
	text := "secret-file: " + filepath.Join(dir, "secret-file-1") + "\nissuer: from-file\naudience: of-file\nrooms: [a, b]\nburst: 3\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"USHER_CONFIG": config, "USHER_AUDIENCE": "of-environment", "USHER_ROOMS": "c", "USHER_SUB": "eve", "USHER_TTL": "1s", "USHER_KID": "k",
		"USHER_CONNS": "-1", "USHER_DURATION": "x", "USHER_LOOPS": "x", "USHER_URL": "x",
	} {
		t.Setenv(name, value)
	}
	var stdout, stderr strings.Builder
	if code := run([]string{"token", "--sub=alice"}, &stdout, &stderr); code != 0 {
		t.Fatalf("got %d, %s", code, stderr.String())
	}
	claims := payload(t, stdout.String())
	for _, want := range []string{`"sub":"alice"`, `"iss":"from-file"`, `"aud":"of-environment"`} {
		if !strings.Contains(claims, want) {
			t.Errorf("got %s, want %s", claims, want)
		}
	}
	if strings.Contains(claims, "rooms") {
		t.Errorf("got %s: the server's rooms are in the token", claims)
	}
	stderr.Reset()
	if code := run([]string{"bench", "echo", "ws://127.0.0.1:1/", "--duration=1ms", "--warmup=0", "--conns=1"}, &stdout, &stderr); code != 1 {
		t.Errorf("a benchmark: got %d, %s, want 1", code, stderr.String())
	}
}
