//go:build linux

package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/usher-ws/usher/server"
	"golang.org/x/sys/unix"
)

// This file is what systemd wants of a service: sd_listen_fds(3), sd_notify(3) and
// sd_watchdog_enabled(3), which are a few environment variables and datagrams.

// firstPassed is the first descriptor that systemd passes.
const firstPassed = 3

// passed are the sockets that systemd has passed to this program.
type passed struct {
	names []string
	taken []bool
	err   error // why there are none
}

// takePassed reads the environment, which is not for programs that we start.
func takePassed() *passed {
	pid, count, names := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS"), os.Getenv("LISTEN_FDNAMES")
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		_ = os.Unsetenv(name)
	}
	n, err := strconv.Atoi(count)
	if pid != strconv.Itoa(os.Getpid()) || err != nil || n < 1 || n > server.MaxListeners {
		return &passed{err: errors.New("systemd has passed no sockets: start it by a .socket unit or systemd-socket-activate, or listen elsewhere")}
	}
	p := &passed{names: make([]string, n), taken: make([]bool, n)}
	copy(p.names, strings.Split(names, ":"))
	for k := range n {
		unix.CloseOnExec(firstPassed + k)
	}
	return p
}

// takeFrom takes the sockets of a name, or all if it is "".
func (d *endpoints) takeFrom(p *passed, one endpoint) error {
	if p.err != nil {
		return p.err
	}
	name, found := one.name, false
	for k := range p.names {
		if name != "" && p.names[k] != name {
			continue
		}
		if p.taken[k] {
			return fmt.Errorf("systemd's socket %d is named twice", k)
		}
		fd := firstPassed + k
		if kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE); err != nil || kind != unix.SOCK_STREAM {
			return fmt.Errorf("systemd's socket %d is not one of streams: want ListenStream=", k)
		}
		if listens, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err != nil || listens == 0 {
			return fmt.Errorf("systemd's socket %d does not listen: want Accept=no", k)
		}
		if err := unix.SetNonblock(fd, true); err != nil {
			return os.NewSyscallError("fcntl", err)
		}
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) // which those it accepts inherit
		p.taken[k], found = true, true
		if err := d.add(fd, true, one.tls); err != nil {
			return err
		}
	}
	if !found {
		return fmt.Errorf("systemd has passed no socket named %q: it has %q", name, slices.Compact(slices.Sorted(slices.Values(p.names))))
	}
	return nil
}

// notifier tells systemd how the service is. The zero notifier tells nobody.
type notifier struct{ conn net.Conn }

// newNotifier finds out whether anybody wants to be told.
func newNotifier(log *slog.Logger) notifier {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return notifier{}
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		log.Warn("systemd cannot be told that the service is ready: NOTIFY_SOCKET", "err", err)
		return notifier{}
	}
	return notifier{conn}
}

// tell sends a state; a service manager that takes none is not waited for.
func (n notifier) tell(state string) {
	if n.conn == nil {
		return
	}
	_ = n.conn.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = n.conn.Write([]byte(state))
}

// reloading says that the service reads its settings again, until it says that it is ready.
func (n notifier) reloading() {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) // there is one
	n.tell(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", now.Nano()/1000))
}

// watchdog tells systemd that all loops answer, twice in the time that it allows, until done
// is closed. When one does not, it is not told, and starts the service anew.
func (n notifier) watchdog(srv *server.Server, done <-chan struct{}) {
	limit, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	pid := os.Getenv("WATCHDOG_PID")
	if n.conn == nil || err != nil || limit <= 0 || limit > int64(longest/time.Microsecond) || pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return
	}
	tick := time.NewTicker(max(time.Duration(limit)*time.Microsecond/2, time.Millisecond))
	defer tick.Stop()
	for {
		stuck := slices.ContainsFunc(srv.Stats().Loops, func(l server.LoopStats) bool { return l.Stuck })
		if !stuck {
			n.tell("WATCHDOG=1")
		}
		select {
		case <-done:
			return
		case <-tick.C:
		}
	}
}
