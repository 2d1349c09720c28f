//go:build linux

package main_test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// millionEnv is how many nodes TestMillion has, and how many connections at each, as in
// "54 18519"; see make million.
const millionEnv = "USHER_MILLION"

// embedding is how many nodes embed a server; the others are their clients.
const embedding = 3

// TestMillion has as many connections as files and memory allow, at many nodes of one cluster. Each
// has a token of its own; one more at every node is in a room with the others of these, and hears
// what is said there.
func TestMillion(t *testing.T) {
	var nodes, each int
	if _, err := fmt.Sscan(os.Getenv(millionEnv), &nodes, &each); err != nil {
		t.Skip("make million takes its time")
	}
	stop := make(chan os.Signal, 1) // whoever interrupts it leaves nothing behind
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(stop)
	failed := make(chan error, 1)
	eventually := func(what string, ok func() bool) {
		t.Helper()
		eventually(t, what, func() bool {
			select {
			case sig := <-stop:
				t.Fatalf("%v, while waiting: %s", sig, what)
			case err := <-failed:
				t.Fatal(err)
			default:
			}
			return ok()
		})
	}

	path, err := buildPlain()
	if err != nil {
		t.Fatal(err)
	}
	all := millionNodes(t, path, nodes)
	for _, n := range all {
		eventually(n.name+" is ready, and knows all", func() bool {
			status, text := fetchPage(t, n.admin+"/readyz")
			return status == http.StatusOK && strings.TrimSpace(text) == "ok" && scrape(t, n.admin)["usher_cluster_nodes"] == nodes
		})
	}
	sockets := func() (n int) {
		for _, p := range all {
			n += scrape(t, p.admin)["usher_sockets"]
		}
		return n
	}
	resident := func() (bytes int) {
		for _, p := range all {
			bytes += p.memory(t, "VmRSS")
		}
		return bytes
	}
	rss, slab, began := resident(), slabOf(t), time.Now()

	key := filepath.Join(t.TempDir(), "secret")
	writeKeys(t, key, secret)
	for _, n := range all {
		cmd := exec.Command(path, "bench", "idle", "ws://"+n.addr+"/mine", "--silent", "--steps", "1", "--hold", "24h",
			"--conns", fmt.Sprint(each), "--secret-file", key, "--sub", n.name, "--timeout", "5m")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
		var said bytes.Buffer
		cmd.Stderr = &said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		over := make(chan struct{})
		go func() {
			defer close(over)
			err := cmd.Wait()
			select {
			case failed <- fmt.Errorf("the clients of %s: %w\n%s", n.name, err, said.Bytes()):
			default:
			}
		}()
		t.Cleanup(func() {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-over
		})
	}
	last := time.Now()
	eventually("all are connected", func() bool {
		n := sockets()
		if time.Since(last) > 10*time.Second || n == nodes*each {
			last = time.Now()
			t.Logf("%d connections after %v", n, time.Since(began).Round(100*time.Millisecond))
		}
		return n == nodes*each
	})
	opened := time.Since(began)
	grown, kernel := resident()-rss, slabOf(t)-slab
	t.Logf("%d connections at %d nodes within %v; for each of them %d B of the nodes and %d B of the kernel, both ends together",
		nodes*each, nodes, opened.Round(100*time.Millisecond), grown/(nodes*each), kernel/(nodes*each))

	var square []*member
	for _, n := range all {
		square = append(square, seat(t, n, "at-"+n.name, "square"))
	}
	eventually("a message reaches a member at every node", func() bool {
		return all[0].api.want(t, "POST", "/v1/rooms/square/messages", `{"text":"to all, soon"}`, 200)["connections"] == float64(nodes)
	})
	said := time.Now()
	all[nodes-1].api.want(t, "POST", "/v1/rooms/square/messages", `{"text":"to all"}`, 200)
	for _, m := range square {
		m.until("Server: to all")
	}
	t.Logf("a message to a room with a member at each of %d nodes was heard by all after %v", nodes, time.Since(said).Round(100*time.Microsecond))
	if n := sockets(); n != nodes*each+nodes {
		t.Errorf("%d are connected at the end, want %d", n, nodes*each+nodes)
	}
}

// millionNodes starts the nodes.
func millionNodes(t *testing.T, path string, nodes int) (all []*clusterNode) {
	t.Helper()
	begin := func(t testing.TB, flags ...string) *program {
		cmd := command(path, append([]string{"serve", "--listen", "127.0.0.1:0", "--ping-interval", "0", "--idle-timeout", "0", "--log-level", "error", "--echo-auth", "/mine"}, flags...)...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
		return start(t, cmd)
	}
	token := clusterTokenFile(t, clusterToken)
	var routes, urls []string
	for k := range nodes {
		flags := []string{token}
		if k < embedding {
			route, clients := keptAddr(t), keptAddr(t)
			flags = append(flags, "--cluster", "embedded", "--cluster-listen", route, "--cluster-client-listen", clients)
			if len(routes) > 0 {
				flags = append(flags, "--cluster-peers", strings.Join(routes, ","))
			}
			routes, urls = append(routes, route), append(urls, "nats://"+clients)
		} else {
			flags = append(flags, "--cluster", urls[k%embedding])
		}
		all = append(all, serveNode(t, begin, fmt.Sprint("n", k), flags...))
	}
	return all
}

// slabOf returns what the kernel holds for all sorts of things, in bytes.
func slabOf(t *testing.T) (bytes int) {
	t.Helper()
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if n, _ := fmt.Sscanf(line, "Slab: %d kB", &bytes); n == 1 {
			return bytes << 10
		}
	}
	t.Fatal("/proc/meminfo has no Slab")
	return 0
}
