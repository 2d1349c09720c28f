//go:build linux

package nats

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/usher-ws/usher/internal/leak"
)

// patience is waited out only by tests that fail.
const patience = time.Hour // the limit is the test binary's own

// testDir is where nats-server is, if a test has needed it.
var testDir string

// TestMain fails when a goroutine outlives its test.
func TestMain(m *testing.M) {
	if child() {
		return
	}
	code := m.Run()
	if err := os.RemoveAll(testDir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if err := leak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// natsServer builds nats-server, of the version that cmd/usher embeds, and returns its path.
// Nothing imports it here: what tests import, a program that embeds the package has to fetch.
var natsServer = sync.OnceValues(func() (string, error) {
	var err error
	if testDir, err = os.MkdirTemp("", "usher-nats"); err != nil {
		return "", err
	}
	path := filepath.Join(testDir, "nats-server")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", path, "github.com/nats-io/nats-server/v2")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

// served is a process of nats-server.
type served struct {
	t    testing.TB
	args []string
	url  string
	// cluster is where other servers reach it, if it may have any.
	cluster string
	cmd     *exec.Cmd
}

// serveNATS runs a server on a free port until the test ends.
func serveNATS(t testing.TB, args ...string) *served {
	t.Helper()
	s := &served{t: t, args: args}
	t.Cleanup(func() {
		if s.cmd != nil {
			s.kill()
		}
	})
	s.start("-1")
	return s
}

// start starts it on a port, -1 being a free one, and waits until it listens.
func (s *served) start(port string) {
	s.t.Helper()
	path, err := natsServer()
	if err != nil {
		s.t.Fatal(err)
	}
	dir := s.t.TempDir()
	s.cmd = exec.Command(path, append([]string{"-a", "127.0.0.1", "-p", port, "--ports_file_dir", dir, "-l", filepath.Join(dir, "log")}, s.args...)...)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	file := filepath.Join(dir, fmt.Sprintf("nats-server_%d.ports", s.cmd.Process.Pid))
	var ports struct{ Nats, Cluster []string }
	await(s.t, "the server listens", func() bool {
		b, err := os.ReadFile(file)
		return err == nil && json.Unmarshal(b, &ports) == nil && len(ports.Nats) > 0
	})
	s.url = ports.Nats[0]
	if len(ports.Cluster) > 0 {
		s.cluster = ports.Cluster[0]
	}
}

// kill ends it as a crash does.
func (s *served) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	s.cmd = nil
}

// restart starts it again, on the port that it had.
func (s *served) restart() {
	s.t.Helper()
	u, err := url.Parse(s.url)
	if err != nil {
		s.t.Fatal(err)
	}
	s.start(u.Port())
}

func (s *served) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// client returns a connection of another client.
func (s *served) client() *nats.Conn {
	s.t.Helper()
	nc, err := nats.Connect(s.url)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(nc.Close)
	return nc
}

// connect returns a node that is connected, until the test ends.
func (s *served) connect(c Config) *Broker {
	s.t.Helper()
	b := begin(s.t, s.url, c)
	await(s.t, "the node is connected", func() bool { return !b.Degraded() })
	return b
}

// begin returns a node of a server that may not be there.
func begin(t testing.TB, url string, c Config) *Broker {
	t.Helper()
	c.URLs = []string{url}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	b, err := Connect(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// meet waits until all nodes know all others.
func meet(t testing.TB, all ...*Broker) {
	t.Helper()
	await(t, "all nodes know each other", func() bool {
		for _, b := range all {
			if len(b.State().Nodes) != len(all)-1 {
				return false
			}
		}
		return true
	})
}

// await waits until something is so.
func await(t testing.TB, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never came that %s", what)
		}
	}
}
