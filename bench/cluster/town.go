//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/usher-ws/usher/bench/internal/load"
	"github.com/usher-ws/usher/bench/internal/proc"
	"golang.org/x/sys/unix"
)

// embedding is how many nodes of a cluster embed a NATS server; the others are their clients.
const embedding = 3

// town is the running nodes of a cluster.
type town struct {
	binary string
	env    []string // with the secret of all
	nodes  []*node
}

type node struct {
	cmd         *exec.Cmd
	addr, admin string
	said        bytes.Buffer // standard error; read it when the process has ended
}

// found starts the nodes of a cluster, and waits until each knows all. raze is to follow, also
// after an error.
func found(ctx context.Context, binary string, nodes int) (*town, error) {
	t := &town{binary: binary, env: append(os.Environ(), "USHER_SECRET="+rand.Text()+rand.Text())}
	var routes, clients []string
	for k := range nodes {
		var flags []string
		switch {
		case nodes == 1: // it is alone
		case k < embedding:
			ports, err := freeAddrs(2)
			if err != nil {
				return t, err
			}
			routes, clients = append(routes, ports[0]), append(clients, "nats://"+ports[1])
			flags = []string{"--cluster", "embedded", "--cluster-listen", ports[0], "--cluster-client-listen", ports[1], "--cluster-peers", strings.Join(routes, ",")}
		default:
			flags = []string{"--cluster", clients[k%embedding]}
		}
		if err := t.begin(flags); err != nil {
			return t, err
		}
	}
	for _, n := range t.nodes {
		for !n.knows(ctx, nodes) {
			if err := wait(ctx, 50*time.Millisecond); err != nil {
				return t, err
			}
		}
	}
	return t, nil
}

// freeAddrs returns addresses where nobody listens.
func freeAddrs(n int) (all []string, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		all = append(all, l.Addr().String())
	}
	return all, nil
}

// begin starts one more node.
func (t *town) begin(flags []string) error {
	n := &node{cmd: exec.Command(t.binary, append([]string{"serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0",
		"--rate", "0", "--ping-interval", "0", "--idle-timeout", "0", "--log-level", "error"}, flags...)...)}
	n.cmd.Env, n.cmd.Stderr = t.env, &n.said
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	undo := pin(nodesPart)
	err = n.cmd.Start()
	undo()
	runtime.UnlockOSThread()
	if err != nil {
		return err
	}
	t.nodes = append(t.nodes, n)
	lines := bufio.NewScanner(out)
	for n.admin == "" && lines.Scan() {
		if _, addr, found := strings.Cut(lines.Text(), "listening on http://"); found {
			n.addr = addr
		}
		if _, addr, found := strings.Cut(lines.Text(), "admin on http://"); found {
			n.admin = addr
		}
	}
	if n.admin == "" {
		_ = n.cmd.Wait()
		return fmt.Errorf("%q does not listen: %s", n.cmd.Args, n.said.String())
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	return nil
}

// knows reports whether a node is ready, and sees so many nodes with itself.
func (n *node) knows(ctx context.Context, nodes int) bool {
	get := func(path string) string {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.admin+path, nil)
		if err != nil {
			return ""
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return ""
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body) // "" is not ready
		return string(b)
	}
	return strings.TrimSpace(get("/readyz")) == "ok" &&
		(nodes == 1 || strings.Contains(get("/metrics"), fmt.Sprintf("\nusher_cluster_nodes %d\n", nodes)))
}

// token returns one that all nodes take.
func (t *town) token() (string, error) {
	cmd := exec.Command(t.binary, "token", "--sub", "bench", "--ttl", "24h")
	cmd.Env = t.env
	b, err := cmd.Output()
	return strings.TrimSpace(string(b)), err
}

// doors returns where the nodes let people into the room.
func (t *town) doors() (all []load.Target, err error) {
	for _, n := range t.nodes {
		addr, err := netip.ParseAddrPort(n.addr)
		if err != nil {
			return nil, err
		}
		all = append(all, load.Target{Addr: addr, Host: n.addr, Path: "/ws/lobby"})
	}
	return all, nil
}

// cpu is what all nodes have used.
func (t *town) cpu() (sum time.Duration) {
	for _, n := range t.nodes {
		for _, used := range proc.Threads([]int{n.cmd.Process.Pid}).Used {
			sum += used
		}
	}
	return sum
}

// raze ends the nodes.
func (t *town) raze() {
	for _, n := range t.nodes {
		_ = n.cmd.Process.Kill()
		_ = n.cmd.Wait()
	}
}

// part is a part of the processors.
type part uint8

const (
	clientsPart part = iota // the last one
	nodesPart               // the others
)

// pin keeps this thread, and what it starts, on a part of the processors. undo ends that. Where there
// is one processor all share it.
func pin(to part) (undo func()) {
	var before, after unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil || before.Count() < 2 {
		return func() {}
	}
	for cpu, left := 0, before.Count(); left > 0; cpu++ {
		if before.IsSet(cpu) {
			if left--; (left == 0) == (to == clientsPart) {
				after.Set(cpu)
			}
		}
	}
	_ = unix.SchedSetaffinity(0, &after) // else it measures a little worse
	return func() { _ = unix.SchedSetaffinity(0, &before) }
}
