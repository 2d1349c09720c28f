//go:build linux

package main_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
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

// nodeUnit returns what the unit for many nodes has systemd do for one: the arguments of what it
// starts, and the example of a node's own file, as it is in the unit's first lines.
func nodeUnit(t *testing.T, node string) (args []string, example string) {
	t.Helper()
	unit := packaging(t, "usher@.service")
	start := regexp.MustCompile(`(?m)^ExecStart=/usr/bin/usher (.*)$`).FindAllStringSubmatch(unit, -1)
	if len(start) != 1 || !strings.Contains(unit, "\nEnvironmentFile=/etc/usher/nodes/%i.env\n") || !strings.Contains(unit, "\nType=notify\n") {
		t.Fatalf("got\n%s\nwant one ExecStart, the file of the node's own variables, and Type=notify", unit)
	}
	for _, m := range regexp.MustCompile(`(?m)^# +(USHER_[A-Z_]+=\S+)$`).FindAllStringSubmatch(unit, -1) {
		example += m[1] + "\n"
	}
	return strings.Fields(strings.ReplaceAll(start[0][1], "%i", node)), example
}

// asPackaged puts the settings of the package where a test may write, and returns the arguments
// with that in them.
func asPackaged(t *testing.T, args []string, pairs ...string) []string {
	t.Helper()
	dir := t.TempDir()
	config := replaced(t, packaging(t, "usher.yaml"), append(pairs, "/etc/usher/secret", writeFile(t, filepath.Join(dir, "secret"), secret+"\n"))...)
	at := slices.Index(args, "/etc/usher/usher.yaml")
	if at < 0 {
		t.Fatalf("%q do not read /etc/usher/usher.yaml", args)
	}
	args = slices.Clone(args)
	args[at] = writeFile(t, filepath.Join(dir, "usher.yaml"), config)
	return args
}

// TestNodeUnit: usher check takes what the unit for many nodes runs, with the variables that it
// tells of.
func TestNodeUnit(t *testing.T) {
	t.Parallel()
	args, example := nodeUnit(t, "n1")
	args = asPackaged(t, args)
	if args[0] != "serve" {
		t.Fatalf("it runs %q", args)
	}
	args[0] = "check"
	env := strings.Fields(example)
	got := finish(t, env, args...)
	if got.code != 0 || got.stderr != "" || len(env) < 4 || !strings.Contains(got.stdout, "n1") || !strings.Contains(got.stdout, "127.0.0.1:6303") {
		t.Errorf("%q with %q: got %+v", args, env, got)
	}
}

// TestNodesOfTheUnit: two nodes, started as the unit has systemd start them, say that they are
// ready, share a port and are one chat; when one stops, the other takes all who come.
func TestNodesOfTheUnit(t *testing.T) {
	t.Parallel()
	port := keptAddr(t)
	routes := []string{keptAddr(t), keptAddr(t)}
	var all []*clusterNode
	for k, name := range []string{"n1", "n2"} {
		args, example := nodeUnit(t, name)
		path := socketPath(t)
		manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		defer manager.Close()
		cmd := usher(t, asPackaged(t, args, "listen: 127.0.0.1:8080", "listen: "+port)...)
		cmd.Env = append(strings.Fields(replaced(t, example, "=127.0.0.1:6301\n", "="+routes[k]+"\n",
			"127.0.0.1:6302,127.0.0.1:6303", strings.Join(routes, ","), "127.0.0.1:9301", "127.0.0.1:0")), "NOTIFY_SOCKET="+path)
		n := &clusterNode{program: start(t, cmd), name: name}
		n.errors = true // that it does not reach the other
		_, n.admin = adminOf(t, n.program)
		said := make([]byte, 100)
		if got, err := manager.Read(said); err != nil || string(said[:got]) != "READY=1" {
			t.Errorf("%s says %q to systemd, %v", name, said[:got], err)
		}
		if n.addr != port {
			t.Errorf("%s listens at %s, want %s", name, n.addr, port)
		}
		all = append(all, n)
	}
	meet(t, all...)
	sockets := func(n *clusterNode) int { return scrape(t, n.admin)["usher_sockets"] }
	var guests []*member
	var names []string
	for sockets(all[0]) == 0 || sockets(all[1]) == 0 { // the kernel chooses
		names = append(names, fmt.Sprintf("guest%02d", len(guests)))
		guests = append(guests, seat(t, all[0], names[len(guests)], "lobby"))
	}
	together(strings.Join(names, ", "), guests...)
	guests[0].say("hello")
	for _, g := range guests {
		g.until("guest00: hello")
	}
	all[0].signal(t, syscall.SIGTERM)
	if code := all[0].exit(t, patience); code != 0 {
		t.Errorf("n1 ends with %d", code)
	}
	late := seat(t, all[1], "late", "lobby") // it has the same address
	late.until("Server: late has joined the chat")
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
