package docs

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// modulesOf are the modules that a program needs which imports a package, beside this one.
var modulesOf = func() map[string][]string {
	const deflate = "github.com/klauspost/compress"
	door := []string{"github.com/gobwas/httphead", "github.com/gobwas/ws", deflate}
	loop := []string{"github.com/mailru/easygo", "golang.org/x/sys"}
	records := []string{"golang.org/x/crypto", "golang.org/x/sys"}
	client := slices.Concat([]string{deflate, "github.com/mailru/easygo"}, records)
	server := slices.Concat(door, []string{"github.com/mailru/easygo", "github.com/pires/go-proxyproto"}, records)
	return map[string][]string{
		"limiter":             nil,
		"frame":               {deflate},
		"record":              records,
		"record/handshake":    records,
		"poller":              loop,
		"stream":              slices.Concat([]string{"github.com/mailru/easygo"}, records),
		"client":              client,
		"upgrade":             door,
		"upgrade/ticket":      door,
		"upgrade/forwardauth": door,
		"upgrade/jwt":         {"github.com/gobwas/httphead", "github.com/gobwas/ws", "github.com/golang-jwt/jwt/v5", deflate},
		"server":              server,
		"server/middleware":   server,
		"server/servertest":   server,
		"hub":                 server,
		"hub/nats":            slices.Sorted(slices.Values(append([]string{"github.com/nats-io/nats.go", "github.com/nats-io/nkeys", "github.com/nats-io/nuid"}, server...))),
	}
}()

// TestEmbedder builds a program of another module around a package. Its go.mod and go.sum
// name what is in the build and nothing that only our tests, tools or command need, also
// after go mod tidy, which reads the tests of what is imported.
func TestEmbedder(t *testing.T) {
	if _, err := os.ReadFile("../go.mod"); err != nil { // a change there makes a cached result stale
		t.Fatal(err)
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	goLine := list(t, "{{.GoVersion}}", "-m")[0][0]
	for pkg, want := range modulesOf {
		t.Run(pkg, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, dir, "go.mod", fmt.Sprintf("module example.com/embedder\n\ngo %s\n\nrequire %s v0.0.0\n\nreplace %[2]s => %s\n", goLine, module, root))
			write(t, dir, "main.go", fmt.Sprintf("package main\n\nimport _ %q\n\nfunc main() {}\n", module+"/"+pkg))
			golang(t, dir, "build", "-mod=mod", "-o", os.DevNull, ".")
			for _, step := range []string{"go build", "go mod tidy"} {
				if step == "go mod tidy" {
					golang(t, dir, "mod", "tidy")
				}
				if got := namedIn(t, dir, "go.sum", `(?m)^(\S+) v`); !slices.Equal(got, want) {
					t.Errorf("go.sum after %s: got %q, want %q", step, got, want)
				}
			}
			if got := namedIn(t, dir, "go.mod", `(?m)^(?:require)?\s+(\S+) v.*// indirect`); !slices.Equal(got, want) {
				t.Errorf("go.mod: got %q, want %q", got, want)
			}
		})
	}
}

// golang runs the go command on what is in the module cache: the checksums of all that
// is there are those of our go.sum.
func golang(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOSUMDB=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%q: %v\n%s", cmd.Args, err, out)
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// namedIn returns the modules that a file names, each once; none if there is no file.
func namedIn(t *testing.T, dir, file, pattern string) (modules []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(pattern).FindAllSubmatch(bytes.TrimSpace(text), -1) {
		modules = append(modules, strings.TrimSpace(string(m[1])))
	}
	slices.Sort(modules)
	return slices.Compact(modules)
}
