//go:build linux

package main_test

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// packaging returns the text of a file that operators are given.
func packaging(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../../packaging", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// replaced returns text with all pairs replaced, each of which must be in it.
func replaced(t *testing.T, text string, pairs ...string) string {
	t.Helper()
	for k := 0; k < len(pairs); k += 2 {
		if !strings.Contains(text, pairs[k]) {
			t.Fatalf("there is no %q in %q", pairs[k], text)
		}
		text = strings.ReplaceAll(text, pairs[k], pairs[k+1])
	}
	return text
}

func writeFile(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestUnits: systemd finds nothing wrong with the units, and the service exposes little.
func TestUnits(t *testing.T) {
	t.Parallel()
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		missing(t, "systemd-analyze", "not installed; see make deps")
	}
	program, err := buildTested()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	service := writeFile(t, filepath.Join(dir, "usher.service"), replaced(t, packaging(t, "usher.service"), "/usr/bin/usher", program))
	socket := writeFile(t, filepath.Join(dir, "usher.socket"), packaging(t, "usher.socket"))
	one := writeFile(t, filepath.Join(dir, "usher@.service"), replaced(t, packaging(t, "usher@.service"), "/usr/bin/usher", program))
	for _, args := range [][]string{
		{"verify", "--man=no", "--recursive-errors=no", service, socket, strings.Replace(one, "@", "@n1", 1)},
		{"security", "--no-pager", "--offline=true", "--threshold=20", one},
		{"security", "--no-pager", "--offline=true", "--threshold=20", service}, // tenths: 2.0
	} {
		out, err := exec.Command(analyze, args...).CombinedOutput()
		if err != nil || args[0] == "verify" && len(out) > 0 {
			t.Errorf("systemd-analyze %q: %v\n%s", args, err, out)
		}
	}
}

// keySetFile has the public key of RFC 8037, appendix A.2.
const keySetFile = `{"keys":[{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`

var commentedOut = regexp.MustCompile(`(?m)^# ([a-z-]+: \S)`)

// TestPackagedSettings: usher check takes the settings of the package, also with all that is
// commented out in them, and systemd and Kubernetes wait until a drain is over.
func TestPackagedSettings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := replaced(t, packaging(t, "usher.yaml"),
		"/etc/usher/secret", writeFile(t, filepath.Join(dir, "secret"), secret+"\n"),
		"/etc/usher/users", writeFile(t, filepath.Join(dir, "users"), htpasswdFile),
		"https://login.example/.well-known/jwks.json", writeFile(t, filepath.Join(dir, "keys"), keySetFile))
	all := commentedOut.ReplaceAllString(text, "$1")
	if all == text {
		t.Error("nothing is commented out")
	}
	for _, text := range []string{text, all} {
		config := writeFile(t, filepath.Join(dir, "usher.yaml"), text)
		got := finish(t, nil, "check", "--config", config)
		if got.code != 0 || got.stderr != "" || !strings.Contains(got.stdout, "# file "+config) {
			t.Errorf("check of\n%s\ngot %+v", text, got)
		}
	}
	var settings struct{ Drain string }
	if err := yaml.Unmarshal([]byte(text), &settings); err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(packaging(t, "usher.service"), "TimeoutStopSec=")
	seconds, _, _ := strings.Cut(after, "\n")
	outlives(t, "TimeoutStopSec", seconds+"s", settings.Drain)
}

// TestNodeUnit: usher check takes what the unit for many nodes runs, with the variables that it
// tells of.
func TestNodeUnit(t *testing.T) {
	t.Parallel()
	unit := packaging(t, "usher@.service")
	_, after, _ := strings.Cut(unit, "ExecStart=/usr/bin/usher serve ")
	line, _, _ := strings.Cut(after, "\n")
	config := replaced(t, packaging(t, "usher.yaml"), "/etc/usher/secret", writeFile(t, filepath.Join(t.TempDir(), "secret"), secret+"\n"))
	line = replaced(t, line, "%i", "n1", "/etc/usher/usher.yaml", writeFile(t, filepath.Join(t.TempDir(), "usher.yaml"), config))
	var env []string
	for _, m := range regexp.MustCompile(`(?m)^# +(USHER_[A-Z_]+=\S+)$`).FindAllStringSubmatch(unit, -1) {
		env = append(env, m[1])
	}
	got := finish(t, env, append([]string{"check"}, strings.Fields(line)...)...)
	if got.code != 0 || got.stderr != "" || len(env) < 4 || !strings.Contains(got.stdout, "n1") || !strings.Contains(got.stdout, "127.0.0.1:6303") {
		t.Errorf("%q with %q: got %+v", line, env, got)
	}
}

// outlives fails the test unless grace is longer than a drain and what it may take beyond.
func outlives(t *testing.T, name, grace, drain string) {
	t.Helper()
	g, err := time.ParseDuration(grace)
	d, other := time.ParseDuration(drain)
	if err != nil || other != nil || g <= d+2*time.Second {
		t.Errorf("%s=%s: want more than --drain %s and 2 s (%v, %v)", name, grace, drain, err, other)
	}
}

// TestKubernetes: usher check takes the arguments, the probes ask what is answered, and a
// drain ends in time.
func TestKubernetes(t *testing.T) {
	t.Parallel()
	type probe struct {
		HTTPGet struct{ Path string } `yaml:"httpGet"`
	}
	var deployment struct {
		Spec struct {
			Template struct {
				Spec struct {
					Grace      string `yaml:"terminationGracePeriodSeconds"`
					Containers []struct {
						Args      []string
						Liveness  probe `yaml:"livenessProbe"`
						Readiness probe `yaml:"readinessProbe"`
					}
				}
			}
		}
	}
	if err := yaml.Unmarshal([]byte(packaging(t, "kubernetes.yaml")), &deployment); err != nil { // the first document
		t.Fatal(err)
	}
	pod := deployment.Spec.Template.Spec
	if len(pod.Containers) != 1 {
		t.Fatalf("got %+v, want one container", pod)
	}
	c := pod.Containers[0]
	args := slices.Clone(c.Args)
	args[0] = "check"
	for k := range args {
		if strings.HasPrefix(args[k], "--secret-file=") {
			args[k] = "--secret-file=" + writeFile(t, filepath.Join(t.TempDir(), "secret"), secret+"\n")
		}
		if drain, ok := strings.CutPrefix(args[k], "--drain="); ok {
			outlives(t, "terminationGracePeriodSeconds", pod.Grace+"s", drain)
		}
	}
	if got := finish(t, nil, args...); c.Args[0] != "serve" || got.code != 0 || got.stderr != "" {
		t.Errorf("%q: got %+v", c.Args, got)
	}
	_, base := serveAdmin(t)
	for _, path := range []string{c.Readiness.HTTPGet.Path, c.Liveness.HTTPGet.Path} {
		if status, _ := fetchPage(t, base+path); status != http.StatusOK {
			t.Errorf("%q: got %d", path, status)
		}
	}
}
