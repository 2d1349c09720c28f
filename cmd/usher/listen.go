//go:build linux

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/usher-ws/usher/poller"
	"github.com/usher-ws/usher/server"
	"golang.org/x/sys/unix"
)

// endpoint is what a value of --listen names.
type endpoint struct {
	text string

	path string      // of a unix socket; "" for others
	perm fs.FileMode // of its file

	tls bool

	systemd bool   // sockets that systemd has passed
	name    string // those of this name only, if it is not ""
}

const (
	unixPrefix    = "unix:"
	systemdPrefix = "systemd:"

	// longestPath is what the address of a unix socket has room for: unix(7).
	longestPath = 107
)

// parseEndpoint reads a value of --listen.
func parseEndpoint(text string) (endpoint, error) {
	if inner, ok := strings.CutPrefix(text, tlsPrefix); ok {
		d, err := parseEndpoint(inner)
		if err != nil || d.tls || d.path != "" {
			err = fmt.Errorf("%q: want tls:// and an address, like tls://0.0.0.0:8443, or tls://systemd:NAME", text)
		}
		d.tls = true
		return d, err
	}
	switch {
	case strings.HasPrefix(text, systemdPrefix):
		return endpoint{text: text, systemd: true, name: strings.TrimPrefix(text, systemdPrefix)}, nil
	case !strings.HasPrefix(text, unixPrefix):
		if !isAddress(text) {
			return endpoint{}, fmt.Errorf("%q is not an address: want systemd:, unix:/run/usher.sock or HOST:PORT, like 127.0.0.1:8080; tls:// before an address is for TLS", text)
		}
		return endpoint{text: text}, nil
	}
	path, query, _ := strings.Cut(strings.TrimPrefix(text, unixPrefix), "?")
	d := endpoint{text: text, path: path, perm: 0o666}
	switch {
	case path == "" || path[0] == '@':
		return endpoint{}, fmt.Errorf("%q has no path: want one like unix:/run/usher.sock", text)
	case len(path) > longestPath:
		return endpoint{}, fmt.Errorf("%q: the path has %d bytes: a socket's has %d or less", text, len(path), longestPath)
	}
	values, err := url.ParseQuery(query)
	for name, all := range values {
		mode, bad := strconv.ParseUint(all[0], 8, 9)
		if name != "mode" || len(all) != 1 || bad != nil {
			err = errors.New("want ?mode= and an octal number, like ?mode=0660")
		}
		d.perm = fs.FileMode(mode)
	}
	if err != nil {
		return endpoint{}, fmt.Errorf("%q: %w", text, err)
	}
	return d, nil
}

// endpoints are the open sockets of all values of --listen.
type endpoints struct {
	all   []server.Listener
	names []string // of each, as people know it
	files []socketFile
}

// socketFile is the file of a unix socket that we have made.
type socketFile struct {
	path     string
	dev, ino uint64
}

// openEndpoints opens them all, or none. They are the caller's to close until a Server has them.
func openEndpoints(texts []string, reusePort bool) (d *endpoints, err error) {
	d = new(endpoints)
	defer func() {
		if err != nil {
			d.close()
			d = nil
		}
	}()
	var passed *passed
	for _, text := range texts {
		one, err := parseEndpoint(text)
		if err != nil {
			return d, err
		}
		switch {
		case one.systemd:
			if passed == nil {
				passed = takePassed()
			}
			err = d.takeFrom(passed, one)
		case one.path != "":
			err = d.listenUnix(one)
		default:
			err = d.listenTCP(one, reusePort)
		}
		if err != nil {
			return d, err
		}
	}
	return d, nil
}

func (d *endpoints) add(fd int, shared, isTLS bool) error {
	d.all = append(d.all, server.Listener{FD: fd, Shared: shared, TLS: isTLS})
	name, err := nameOf(fd, isTLS)
	d.names = append(d.names, name)
	return err
}

// nameOf returns where a listening socket can be reached.
func nameOf(fd int, isTLS bool) (string, error) {
	addr, err := poller.Local(fd)
	if err != nil {
		return "", err
	}
	if addr.IsValid() && isTLS {
		return "https://" + addr.String(), nil
	}
	if addr.IsValid() {
		return "http://" + addr.String(), nil
	}
	at, err := unix.Getsockname(fd)
	if err != nil {
		return "", os.NewSyscallError("getsockname", err)
	}
	if at, ok := at.(*unix.SockaddrUnix); ok {
		return unixPrefix + at.Name, nil
	}
	return "", errors.New("the socket is neither one of IP nor a unix socket")
}

func (d *endpoints) listenTCP(one endpoint, reusePort bool) error {
	listen := poller.Listen
	if reusePort {
		listen = poller.ListenReusePort
	}
	fd, err := listen(strings.TrimPrefix(one.text, tlsPrefix))
	if err != nil {
		return err
	}
	return d.add(fd, false, one.tls)
}

// listenUnix opens a unix socket. A file that a program has left behind makes room.
func (d *endpoints) listenUnix(one endpoint) error {
	defer lockBeside(one.path)()
	fd, err := poller.ListenUnix(one.path, one.perm)
	if errors.Is(err, unix.EADDRINUSE) {
		if err := removeStale(one.path); err != nil {
			return fmt.Errorf("listen %s: %w", one.path, err)
		}
		fd, err = poller.ListenUnix(one.path, one.perm)
	}
	if err != nil {
		return err
	}
	if f, err := fileAt(one.path); err == nil {
		d.files = append(d.files, f)
	}
	return d.add(fd, false, false)
}

// lockBeside keeps other programs like this one from opening a socket in the same directory,
// until unlock: one would take the other's, which does not listen yet, for stale. Another
// program that holds the lock is not waited for longer than a second.
func lockBeside(path string) (unlock func()) {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return func() {}
	}
	const pause = 10 * time.Millisecond
	for wait := time.Second; wait > 0; wait -= pause {
		if unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB) != unix.EWOULDBLOCK {
			break
		}
		time.Sleep(pause)
	}
	return func() { dir.Close() } // which unlocks
}

// removeStale removes the file of a socket that nobody listens on.
func removeStale(path string) error {
	if info, err := os.Lstat(path); err != nil || info.Mode().Type() != fs.ModeSocket {
		return errors.New("there is a file that is no socket: move it away, or choose another path")
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	switch err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err {
	case unix.ECONNREFUSED:
		return os.Remove(path)
	case nil, unix.EAGAIN: // its backlog may be full
		return errors.New("another program listens there: stop it, or choose another path")
	default:
		return os.NewSyscallError("connect", err)
	}
}

func fileAt(path string) (socketFile, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return socketFile{}, err
	}
	return socketFile{path: path, dev: st.Dev, ino: st.Ino}, nil
}

// removeFiles removes the files of our sockets, unless there are others in their places by
// now.
func (d *endpoints) removeFiles() {
	for _, f := range d.files {
		if now, err := fileAt(f.path); err == nil && now == f {
			_ = os.Remove(f.path)
		}
	}
	d.files = nil
}

// close closes what no server has taken.
func (d *endpoints) close() {
	for _, l := range d.all {
		unix.Close(l.FD)
	}
	d.all = nil
	d.removeFiles()
}

// reachable returns a URL of WebSocket that a client on this machine can use, with what to say
// about it.
func (d *endpoints) reachable(path string) string {
	scheme := func(k int) string {
		if d.all[k].TLS {
			return "wss"
		}
		return "ws"
	}
	for k, name := range d.names {
		_, host, _ := strings.Cut(name, "://")
		if addr, err := netip.ParseAddrPort(host); err == nil {
			return fmt.Sprintf("%s://%s%s", scheme(k), reachable(addr), path)
		}
	}
	return fmt.Sprintf("%s://localhost%s over %s", scheme(0), path, d.names[0])
}

// reachable returns an address that a client on this machine can connect to.
func reachable(addr netip.AddrPort) netip.AddrPort {
	switch ip := addr.Addr(); {
	case !ip.IsUnspecified():
		return addr
	case ip.Is4():
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), addr.Port())
	default:
		return netip.AddrPortFrom(netip.IPv6Loopback(), addr.Port())
	}
}
