//go:build linux

package proc

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Usage is what processes use at one moment; all but CPU is a level.
type Usage struct {
	CPU     time.Duration `json:"cpu_ns"` // user and system, since they began
	RSS     int64         `json:"rss"`    // bytes
	Anon    int64         `json:"rss_anon"`
	PSS     int64         `json:"pss"` // 0 where the kernel does not let us see
	FDs     int           `json:"fds"`
	Threads int           `json:"threads"`
}

// Tick is the unit of the times in /proc/pid/stat. It is 1/100 s on every
// architecture that Linux has (sysconf(_SC_CLK_TCK), USER_HZ).
const Tick = 10 * time.Millisecond

// Read returns what the processes use together. One that has ended is an error.
func Read(pids []int) (Usage, error) { return add(pids, read) }

// ReadQuick is Read without what takes the kernel long: PSS, threads and open
// files.
func ReadQuick(pids []int) (Usage, error) { return add(pids, readQuick) }

func add(pids []int, read func(pid int) (Usage, error)) (sum Usage, err error) {
	for _, pid := range pids {
		u, err := read(pid)
		if err != nil {
			return sum, err
		}
		sum.CPU += u.CPU
		sum.RSS += u.RSS
		sum.Anon += u.Anon
		sum.PSS += u.PSS
		sum.FDs += u.FDs
		sum.Threads += u.Threads
	}
	return sum, nil
}

// readQuick reads two short files. The second number of statm is
// the resident pages (proc_pid_statm(5)).
func readQuick(pid int) (u Usage, err error) {
	dir := fmt.Sprintf("/proc/%d/", pid)
	if u.CPU, err = cpuOf(dir + "stat"); err != nil {
		return u, err
	}
	b, err := os.ReadFile(dir + "statm")
	if err != nil {
		return u, err
	}
	if fields := bytes.Fields(b); len(fields) > 1 {
		pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
		if err != nil {
			return u, fmt.Errorf("%sstatm: %w", dir, err)
		}
		u.RSS = pages * int64(os.Getpagesize())
	}
	return u, nil
}

func read(pid int) (u Usage, err error) {
	dir := fmt.Sprintf("/proc/%d/", pid)
	if u.CPU, err = cpuOf(dir + "stat"); err != nil {
		return u, err
	}
	status, err := os.ReadFile(dir + "status")
	if err != nil {
		return u, err
	}
	u.RSS = field(status, "VmRSS") << 10
	u.Anon = field(status, "RssAnon") << 10
	u.Threads = int(field(status, "Threads"))
	if rollup, err := os.ReadFile(dir + "smaps_rollup"); err == nil {
		u.PSS = field(rollup, "Pss") << 10
	}
	u.FDs = countFiles(dir + "fd")
	return u, nil
}

// countFiles counts the entries of a directory of descriptors, -1 where we may
// not look.
func countFiles(dir string) int {
	// Since Linux 6.2 the size of the directory is the number.
	if info, err := os.Stat(dir); err == nil && info.Size() > 0 {
		return int(info.Size())
	}
	f, err := os.Open(dir)
	if err != nil {
		return -1
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return -1
	}
	return len(names)
}

// cpuOf reads the 14th and 15th field of a stat file. The second one is a name in
// parentheses, which may contain anything.
func cpuOf(path string) (time.Duration, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("%s: %q is too short", path, b)
	}
	user, err1 := strconv.ParseInt(string(fields[11]), 10, 64)
	system, err2 := strconv.ParseInt(string(fields[12]), 10, 64)
	return time.Duration(user+system) * Tick, errors.Join(err1, err2)
}

// field returns the number behind "name:" at the beginning of a line, 0 if there
// is none.
func field(b []byte, name string) int64 {
	for line := range bytes.Lines(b) {
		key, value, found := bytes.Cut(line, []byte(":"))
		if found && string(key) == name {
			n, _ := strconv.ParseInt(string(bytes.Fields(value)[0]), 10, 64)
			return n
		}
	}
	return 0
}

// ThreadTimes is what each of the threads that there are has used, by its number.
type ThreadTimes struct {
	Used  map[int]time.Duration
	Exact bool // by the scheduler, to the nanosecond; else in ticks
}

// Threads returns what each thread of the processes has used.
func Threads(pids []int) ThreadTimes {
	t := ThreadTimes{Used: make(map[int]time.Duration), Exact: true}
	for _, pid := range pids {
		dir := fmt.Sprintf("/proc/%d/task", pid)
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			tid, err := strconv.Atoi(e.Name())
			if err != nil {
				continue
			}
			ran, err := ranOf(dir + "/" + e.Name() + "/schedstat")
			if err != nil {
				if ran, err = cpuOf(dir + "/" + e.Name() + "/stat"); err != nil {
					continue // it has ended
				}
				t.Exact = false
			}
			t.Used[tid] = ran
		}
	}
	return t
}

// ranOf reads the first number of a schedstat file, the nanoseconds that a thread has
// run; see Documentation/scheduler/sched-stats.rst.
func ranOf(path string) (time.Duration, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(b), " ")
	ns, err := strconv.ParseInt(first, 10, 64)
	return time.Duration(ns), err
}

// Processors returns how many processors the process may run on, 0 if that cannot
// be told.
func Processors(pid int) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if list, found := strings.CutPrefix(line, "Cpus_allowed_list:"); found {
			return countList(strings.TrimSpace(list))
		}
	}
	return 0
}

// countList counts the numbers in a list like "0-3,8".
func countList(list string) (n int) {
	for part := range strings.SplitSeq(list, ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		a, err1 := strconv.Atoi(from)
		b, err2 := strconv.Atoi(to)
		if err1 == nil && err2 == nil && a <= b {
			n += b - a + 1
		}
	}
	return n
}

// Kernel is what the kernel itself holds, on the whole machine.
type Kernel struct {
	Slab    int64 `json:"slab"`       // bytes
	TCP     int64 `json:"tcp_pages"`  // bytes of socket buffers
	Sockets int   `json:"tcp_inuse"`  // established and others, without time-wait
	Free    int64 `json:"available"`  // bytes that could be used
	Page    int64 `json:"page_table"` // bytes
}

// ReadKernel reads /proc/meminfo and /proc/net/sockstat.
func ReadKernel() Kernel {
	var k Kernel
	if b, err := os.ReadFile("/proc/meminfo"); err == nil {
		k.Slab = field(b, "Slab") << 10
		k.Free = field(b, "MemAvailable") << 10
		k.Page = field(b, "PageTables") << 10
	}
	f, err := os.Open("/proc/net/sockstat")
	if err != nil {
		return k
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		words := strings.Fields(s.Text())
		if len(words) == 0 || words[0] != "TCP:" {
			continue
		}
		for i := 1; i+1 < len(words); i += 2 {
			n, _ := strconv.ParseInt(words[i+1], 10, 64)
			switch words[i] {
			case "inuse":
				k.Sockets = int(n)
			case "mem":
				k.TCP = n * int64(os.Getpagesize())
			}
		}
	}
	return k
}
