//go:build linux

package proc

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Listeners returns the processes that have a socket listening on any of the
// ports, as far as we may look into them, in ascending order.
func Listeners(ports []uint16) []int {
	wanted := make(map[string]bool) // "socket:[inode]"
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		for _, inode := range listening(table, ports) {
			wanted["socket:["+inode+"]"] = true
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err == nil && holds(pid, wanted) {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids
}

// holds reports whether a descriptor of the process is one of the sockets. It
// looks at the low numbers first, and stops there with a hit: listeners are old.
func holds(pid int, wanted map[string]bool) bool {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	f, err := os.Open(dir)
	if err != nil {
		return false
	}
	defer f.Close()
	for {
		names, err := f.Readdirnames(256)
		for _, name := range names {
			if link, err := os.Readlink(filepath.Join(dir, name)); err == nil && wanted[link] {
				return true
			}
		}
		if err != nil || len(names) == 0 {
			return false
		}
	}
}

// listening returns the inodes of the sockets in a table of /proc/net that listen
// on one of the ports.
func listening(table string, ports []uint16) (inodes []string) {
	f, err := os.Open(table)
	if err != nil {
		return nil
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		// sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode
		fields := strings.Fields(s.Text())
		const listen = "0A" // TCP_LISTEN in include/net/tcp_states.h
		if len(fields) < 10 || fields[0] == "sl" {
			continue
		}
		if fields[3] != listen {
			break // the kernel lists those that listen first, and there may be a million others
		}
		_, hex, _ := strings.Cut(fields[1], ":")
		port, err := strconv.ParseUint(hex, 16, 16)
		if err == nil && slices.Contains(ports, uint16(port)) {
			inodes = append(inodes, fields[9])
		}
	}
	return inodes
}
