//go:build linux

package guard

import (
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/usher-ws/usher/server"
	"golang.org/x/sys/unix"
)

// ports is how many TestPorts leaves for connections to one address.
const ports = 8

// TestPorts: where all ports to an upstream are in use clients are told, and another upstream is
// asked before. It runs in a network of its own, which has few ports.
func TestPorts(t *testing.T) {
	if os.Getenv("USHER_TEST_PORTS") == "" {
		again := exec.Command(os.Args[0], "-test.run=^TestPorts$", "-test.v")
		again.Env = append(os.Environ(), "USHER_TEST_PORTS=1")
		again.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
			UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		}
		out, err := again.CombinedOutput()
		if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EINVAL) {
			t.Skip("no network of its own: ", err)
		}
		if t.Logf("%s", out); err != nil {
			t.Error(err)
		}
		return
	}
	isolate(t)
	app := reserve(t, echoes)
	app.begin()
	p := open(t, Upstreams{URLs: []string{app.url()}})
	url := front(t, &Guard{Upstream: p}, new(server.Server))
	another := &program{TB: t, addr: "127.0.0.2:40000", handler: echoes, conns: make(map[net.Conn]bool)}
	another.begin()
	t.Cleanup(another.kill)
	both := open(t, Upstreams{URLs: []string{"http://" + another.addr, "unix:" + local(t)}})
	urlOfBoth := front(t, &Guard{Upstream: both}, new(server.Server))
	clients := byte(0)
	knock := func(t *testing.T, url string) (*websocket.Conn, int, string, http.Header) { // each from an address with ports of its own
		clients++
		from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, clients)}}
		return knockBy(t, &websocket.Dialer{NetDial: from.Dial}, url)
	}
	in := 0
	for {
		_, status, code, header := knock(t, url)
		if status == 101 {
			if in++; in > ports {
				t.Fatalf("%d connections from %d ports", in, ports)
			}
			continue
		}
		if status != 502 || code != CodePorts || header.Get("Retry-After") == "" {
			t.Errorf("got %d %s, %v", status, code, header)
		}
		break
	}
	if s := p.Stats().Upstreams[0]; s.Failed["ports"] == 0 || s.Up != 1 || s.Conns != in || in == 0 {
		t.Errorf("%d are let in; counted: %+v", in, s)
	}
	if err := p.Ready(); err != nil {
		t.Errorf("the upstream is well, and %v", err)
	}
	for both.Stats().Upstreams[0].Failed["ports"] == 0 {
		if _, status, code, _ := knock(t, urlOfBoth); status != 101 {
			t.Fatalf("there is another one, and got %d %s", status, code)
		}
	}
}

// isolate brings up the loopback of a new network, and leaves it few ports.
func isolate(t *testing.T) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		t.Skip("no loopback: ", err)
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte("40000 40007"), 0); err != nil {
		t.Skip("no ports to choose: ", err)
	}
}
