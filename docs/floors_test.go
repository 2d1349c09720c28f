// Package docs holds what is written about usher; its tests hold it to the code.
package docs

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/usher-ws/usher"

// floors of the house: a package imports from lower floors only, never from its
// own. A subpackage lives on its parent's floor, and may use the parent.
var floors = map[string]int{
	"frame": 0, "limiter": 0, "record": 0, "internal": 0,
	"upgrade": 1, "poller": 1,
	"stream": 2,
	"server": 3, "client": 3,
	"hub": 4, "guard": 4,
	"chat": 5, "login": 5, "bench": 5, "cmd/usher": 6, "interop": 6,
}

// exceptions say more than the floors do: all that a package may import of this
// module.
var exceptions = map[string][]string{
	"login": {"upgrade", "limiter", "internal"},                  // for any server, so it may know neither ours nor an application
	"bench": {"client", "stream", "poller", "frame", "internal"}, // it measures any server, so it may not know ours
}

// TestFloors reads every package's own imports, those of its tests left out.
func TestFloors(t *testing.T) {
	for _, fields := range list(t, "{{.ImportPath}} {{.Dir}} {{join .Imports \" \"}}", "./...") {
		pkg, imports := local(fields[0]), fields[2:]
		if _, err := os.ReadDir(fields[1]); err != nil { // a change there makes a cached result stale
			t.Fatal(err)
		}
		if pkg == "docs" {
			continue
		}
		home, floor := floorOf(pkg)
		if home == "" {
			t.Errorf("%s: got a package without a floor, want one of %v", pkg, floors)
		}
		for _, i := range imports {
			if !strings.HasPrefix(i, module) {
				continue
			}
			switch other, below := floorOf(local(i)); {
			case local(i) == "internal/vectors":
				t.Errorf("%s imports %s: only tests may", pkg, local(i))
			case other == home:
			case exceptions[home] != nil:
				if !slices.Contains(exceptions[home], other) {
					t.Errorf("%s imports %s: want at most %q", pkg, local(i), exceptions[home])
				}
			case below >= floor:
				t.Errorf("%s, floor %d, imports %s, floor %d: want lower floors only", pkg, floor, local(i), below)
			}
		}
	}
}

// TestLean: what a package brings into the build of a program that embeds it. The ground
// floor needs nothing but the standard library and, for frame, deflate; golang-jwt comes
// with the verifier of JSON Web Tokens and with nothing else.
func TestLean(t *testing.T) {
	const deflate = "github.com/klauspost/compress"
	handshake := []string{
		module + "/limiter", module + "/frame", module + "/internal/text", deflate, "github.com/gobwas/ws", "github.com/gobwas/httphead",
	}
	door := append([]string{module + "/upgrade"}, handshake...)
	tokens := append([]string{module + "/internal/strict", "github.com/golang-jwt/jwt/v5"}, door...)
	for pkg, want := range map[string][]string{
		"limiter":             nil,
		"frame":               {deflate},
		"record":              {"golang.org/x/crypto", "golang.org/x/sys"},
		"record/handshake":    {module + "/record", "golang.org/x/crypto", "golang.org/x/sys"},
		"upgrade":             handshake,
		"upgrade/ticket":      door,
		"upgrade/forwardauth": door,
		"upgrade/jwt":         tokens,
		"upgrade/jwks":        append([]string{"github.com/MicahParks/keyfunc/v3", "github.com/MicahParks/jwkset", "golang.org/x/time"}, tokens...),
		"login":               append([]string{module + "/upgrade/jwt", module + "/upgrade/ticket", "golang.org/x/crypto"}, tokens...),
		"server":              append([]string{module + "/server/internal", module + "/stream", module + "/poller", module + "/record", module + "/internal", "github.com/mailru/easygo", "github.com/pires/go-proxyproto", "golang.org/x/crypto", "golang.org/x/sys"}, door...),
		"guard":               append([]string{module + "/server", module + "/client", module + "/stream", module + "/poller", module + "/record", module + "/internal", "github.com/mailru/easygo", "github.com/pires/go-proxyproto", "golang.org/x/crypto", "golang.org/x/sys"}, door...),
		"hub/nats":            append([]string{module + "/hub", module + "/server", module + "/stream", module + "/poller", module + "/record", module + "/internal", "github.com/nats-io/nats.go", "github.com/nats-io/nkeys", "github.com/nats-io/nuid", "github.com/mailru/easygo", "github.com/pires/go-proxyproto", "golang.org/x/crypto", "golang.org/x/sys"}, door...),
		"client":              {module + "/stream", module + "/poller", module + "/frame", module + "/record", module + "/internal", deflate, "github.com/mailru/easygo", "golang.org/x/crypto", "golang.org/x/sys"},
	} {
		for _, got := range foreign(t, pkg) {
			if !slices.ContainsFunc(want, func(w string) bool { return got == w || strings.HasPrefix(got, w+"/") }) {
				t.Errorf("%s: got %s in its build, want at most %q", pkg, got, want)
			}
		}
	}
}

// heavy are libraries that few packages may bring into a build.
var heavy = map[string][]string{
	"github.com/nats-io/nats.go":     {"hub/nats", "cmd/usher"},
	"github.com/nats-io/nats-server": {"cmd/usher"},
}

// TestHeavy: a program that embeds any other package builds none of heavy.
func TestHeavy(t *testing.T) {
	for _, fields := range list(t, "{{.ImportPath}} {{join .Deps \" \"}}", "./...") {
		pkg := local(fields[0])
		for _, dep := range fields[1:] {
			for library, may := range heavy {
				if (dep == library || strings.HasPrefix(dep, library+"/")) && !slices.Contains(may, pkg) {
					t.Errorf("%s: got %s in its build, want it in that of %q alone", pkg, dep, may)
				}
			}
		}
	}
}

// foreign returns all packages in a package's build that are neither it nor of
// the standard library.
func foreign(t *testing.T, pkg string) (paths []string) {
	t.Helper()
	for _, fields := range list(t, "{{if not .Standard}}{{.ImportPath}}{{end}}", "-deps", "./"+pkg) {
		if fields[0] != module+"/"+pkg {
			paths = append(paths, fields[0])
		}
	}
	return paths
}

// list returns the fields of each line of go list.
func list(t *testing.T, format string, args ...string) (lines [][]string) {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-f", format}, args...)...)
	cmd.Dir = ".."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%q: %v\n%s", cmd.Args, err, stderr.String())
	}
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
		if fields := strings.Fields(s.Text()); len(fields) > 0 {
			lines = append(lines, fields)
		}
	}
	return lines
}

func local(importPath string) string { return strings.TrimPrefix(importPath, module+"/") }

// floorOf returns the nearest package at or above pkg that has a floor.
func floorOf(pkg string) (home string, floor int) {
	for ; pkg != "."; pkg = path.Dir(pkg) {
		if floor, ok := floors[pkg]; ok {
			return pkg, floor
		}
	}
	return "", 0
}
