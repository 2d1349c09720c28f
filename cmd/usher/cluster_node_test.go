//go:build linux

package main_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// clusterNode is a program that is one node of many.
type clusterNode struct {
	*program
	name  string
	api   *backend
	admin string // base URL
}

// serveNode starts a node by begin, with an admin and an API.
func serveNode(t *testing.T, begin func(t testing.TB, flags ...string) *program, name string, flags ...string) *clusterNode {
	t.Helper()
	p, api := serveAPI(t, begin, append([]string{"--node", name, "--admin", "127.0.0.1:0"}, flags...)...)
	p.errors = true // that it does not reach another
	n := &clusterNode{program: p, name: name, api: api}
	_, n.admin = adminOf(t, p)
	return n
}

// kill ends it as a crash does.
func (n *clusterNode) kill(t *testing.T) {
	t.Helper()
	n.signal(t, syscall.SIGKILL)
	<-n.done
}

// meet waits until all nodes know each other.
func meet(t *testing.T, all ...*clusterNode) {
	t.Helper()
	for _, n := range all {
		eventually(t, "node "+n.name+" knows all", func() bool {
			series := scrape(t, n.admin)
			return series["usher_cluster_nodes"] == len(all) && series["usher_cluster_degraded"] == 0
		})
	}
}

// says waits until the log has all these parts.
func (n *clusterNode) says(t *testing.T, parts ...string) {
	t.Helper()
	for _, part := range parts {
		eventually(t, fmt.Sprintf("node %s says %q", n.name, part), func() bool { return strings.Contains(n.stderr.String(), part) })
	}
}

// keptAddr returns an address that nobody listens at, of a port that no client is given for its end:
// a node that comes back needs the one that it had.
func keptAddr(t *testing.T) string {
	t.Helper()
	const first, ports = 20_000, 10_000 // the system gives those from 32,768
	for range ports {
		l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", first+rand.IntN(ports)))
		if err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no port is free")
	return ""
}

// member is a guest that remembers what it has heard.
type member struct {
	guest
	heard []string
}

// seat has somebody in a room of a node.
func seat(t *testing.T, n *clusterNode, user, room string) *member {
	t.Helper()
	g, resp := enter(t, n.program, user, room)
	if g.Conn == nil {
		t.Fatalf("%s at %s: got %d", user, n.name, resp.StatusCode)
	}
	return &member{guest: g}
}

// until reads up to these lines, one after the other; of one in JSON, its beginning will do.
func (m *member) until(lines ...string) {
	m.t.Helper()
	for _, want := range lines {
		for got := ""; got != want && !(want[0] == '{' && strings.HasPrefix(got, want)); {
			got = m.hear()
			m.heard = append(m.heard, got)
		}
	}
}

// together waits until all have been told that these users are here. Nodes tell each other who was
// in a room before, and members hear nothing of that.
func together(users string, all ...*member) {
	again := time.NewTicker(50 * time.Millisecond) // less often than a member may speak
	defer again.Stop()
	for _, m := range all {
		for here := ""; here != users; <-again.C {
			m.t.Helper()
			m.say("/who")
			for found := false; !found; {
				line := m.hear()
				m.heard = append(m.heard, line)
				if _, here, found = strings.Cut(line, " here: "); !strings.HasPrefix(line, "Server: ") {
					found = false
				}
			}
		}
	}
}

// wantOnce checks that each of these lines came once.
func (m *member) wantOnce(lines ...string) {
	m.t.Helper()
	for _, want := range lines {
		n := 0
		for _, got := range m.heard {
			if got == want {
				n++
			}
		}
		if n != 1 {
			m.t.Errorf("heard %q %d times, of %q", want, n, m.heard)
		}
	}
}

// natsProgram builds nats-server, of the version that is embedded, and returns its path.
var natsProgram = sync.OnceValues(func() (string, error) {
	path := filepath.Join(scratch, "nats-server")
	out, err := exec.Command("go", "build", "-buildvcs=false", "-o", path, "github.com/nats-io/nats-server/v2").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

// natsProcess is a nats-server.
type natsProcess struct {
	args []string
	url  string
	cmd  *exec.Cmd
}

// serveNATS runs a nats-server until the test ends.
func serveNATS(t *testing.T, args ...string) *natsProcess {
	t.Helper()
	n := &natsProcess{args: args}
	t.Cleanup(n.kill)
	_, port, _ := net.SplitHostPort(keptAddr(t)) // it is killed, and comes back
	n.start(t, port)
	return n
}

func (n *natsProcess) start(t *testing.T, port string) {
	t.Helper()
	path, err := natsProgram()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	n.cmd = exec.Command(path, append([]string{"-a", "127.0.0.1", "-p", port, "--ports_file_dir", dir, "-l", filepath.Join(dir, "log")}, n.args...)...)
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var ports struct{ Nats []string }
	eventually(t, "nats-server listens", func() bool {
		b, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("nats-server_%d.ports", n.cmd.Process.Pid)))
		return err == nil && json.Unmarshal(b, &ports) == nil && len(ports.Nats) > 0
	})
	n.url = ports.Nats[0]
}

// kill ends it as a crash does.
func (n *natsProcess) kill() {
	if n.cmd == nil || n.cmd.ProcessState != nil {
		return
	}
	_ = n.cmd.Process.Kill()
	_ = n.cmd.Wait()
}

// restart starts it again, where it was.
func (n *natsProcess) restart(t *testing.T) {
	t.Helper()
	u, err := url.Parse(n.url)
	if err != nil {
		t.Fatal(err)
	}
	n.start(t, u.Port())
}
