//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/usher-ws/usher/bench/internal/proc"
)

// fort is a running server, and what is seen of it.
type fort struct {
	addr, admin string
	cmd         *exec.Cmd
	gone        chan struct{} // closed when it has ended
	stop        context.CancelFunc
	watching    sync.WaitGroup

	mu    sync.Mutex
	said  bytes.Buffer // standard error
	sizes []size       // since the last mark
	told  answers
}

// answers is what a server has said when it was asked.
type answers struct {
	held, sockets int           // the most bytes that it holds, and the most sockets
	delay         time.Duration // the longest that a loop took to answer
	shed, slow    int64
}

// answers returns what the server has said so far.
func (f *fort) answers() answers {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.told
}

// size is what is resident at a moment.
type size struct {
	at  time.Time
	rss int64
}

// build starts a server with these flags, and begins to look at it.
func build(path string, flags []string) (*fort, error) {
	f := &fort{gone: make(chan struct{})}
	f.cmd = exec.Command(path, append([]string{"serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0",
		"--echo", "/echo", "--echo-auth", "/echo-auth", "--users", "demo"}, flags...)...)
	f.cmd.Env = append(os.Environ(), "USHER_SECRET="+secret)
	f.cmd.Stderr = f
	f.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	out, err := f.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := startOn(f.cmd, serverCPU); err != nil {
		return nil, err
	}
	for lines := bufio.NewScanner(out); f.admin == "" && lines.Scan(); {
		if _, addr, found := strings.Cut(lines.Text(), "listening on http://"); found {
			f.addr = addr
		}
		if _, addr, found := strings.Cut(lines.Text(), "admin on http://"); found {
			f.admin = addr
		}
	}
	go func() {
		_ = f.cmd.Wait()
		close(f.gone)
	}()
	ctx, cancel := context.WithCancel(context.Background())
	f.stop = cancel
	if f.admin == "" {
		<-f.gone
		return nil, fmt.Errorf("%q does not listen: %s", f.cmd.Args, f.said.String())
	}
	f.watching.Go(func() { f.weigh(ctx) })
	f.watching.Go(func() { f.inquire(ctx) })
	return f, nil
}

// Write takes standard error.
func (f *fort) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.said.Write(b)
}

// weigh looks at what is resident.
func (f *fort) weigh(ctx context.Context) {
	every(ctx, 20*time.Millisecond, func() {
		u, err := proc.ReadQuick([]int{f.cmd.Process.Pid})
		if err != nil {
			return
		}
		f.mu.Lock()
		f.sizes = append(f.sizes, size{time.Now(), u.RSS})
		f.mu.Unlock()
	})
}

// inquire asks the server itself.
func (f *fort) inquire(ctx context.Context) {
	every(ctx, 250*time.Millisecond, func() {
		req, err := http.NewRequestWithContext(ctx, "GET", "http://"+f.admin+"/stats", nil)
		if err != nil {
			return
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return
		}
		defer resp.Body.Close()
		var st struct {
			Buffered, Sockets int
			Shed, Slow        int64
			Loops             []struct {
				Delay time.Duration `json:"delay_ns"`
			}
		}
		if json.NewDecoder(resp.Body).Decode(&st) == nil {
			f.mu.Lock()
			t := &f.told
			t.held, t.sockets = max(t.held, st.Buffered), max(t.sockets, st.Sockets)
			t.shed, t.slow = st.Shed, st.Slow
			for _, l := range st.Loops {
				t.delay = max(t.delay, l.Delay)
			}
			f.mu.Unlock()
		}
	})
}

func every(ctx context.Context, d time.Duration, do func()) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			do()
		}
	}
}

// rss is what is resident now, and what was so at the peak since the last mark.
func (f *fort) rss() (now int64, peak size) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.sizes {
		now = s.rss
		if s.rss > peak.rss {
			peak = s
		}
	}
	return now, peak
}

// mark begins to look for a peak.
func (f *fort) mark() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sizes, f.told.delay = f.sizes[max(0, len(f.sizes)-1):], 0
}

// cpu is what the server has used.
func (f *fort) cpu() time.Duration {
	u, _ := proc.ReadQuick([]int{f.cmd.Process.Pid})
	return u.CPU
}

// waited is how long the server's threads were ready to run and others had the processor, 0
// where the kernel does not tell; see Documentation/scheduler/sched-stats.rst.
func (f *fort) waited() (sum time.Duration) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", f.cmd.Process.Pid))
	for _, path := range tasks {
		var ran, waited time.Duration
		if b, err := os.ReadFile(path); err == nil {
			_, _ = fmt.Sscan(string(b), &ran, &waited)
		}
		sum += waited
	}
	return sum
}

// dropped is how many packets the machine has dropped since they came faster than it took
// them; see Documentation/networking/scaling.rst. A burst of acknowledgements of a large crowd
// does that on loopback, and then it is the kernel that is slow.
func dropped() (sum int) {
	b, _ := os.ReadFile("/proc/net/softnet_stat")
	for line := range strings.Lines(string(b)) {
		var all, lost int
		_, _ = fmt.Sscanf(line, "%x %x", &all, &lost)
		sum += lost
	}
	return sum
}

// complaints are what must not be in the log of any server.
func (f *fort) complaints() (list []string) {
	select {
	case <-f.gone:
		list = append(list, fmt.Sprint("the server has ended: ", f.cmd.ProcessState))
	default:
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for line := range strings.Lines(f.said.String()) {
		for _, word := range []string{"panic:", "DATA RACE", "fatal error:", "level=ERROR"} {
			if strings.Contains(line, word) && len(list) < 5 {
				list = append(list, strings.TrimSpace(line))
			}
		}
	}
	return list
}

// raze ends the server.
func (f *fort) raze() {
	f.stop()
	f.watching.Wait()
	_ = f.cmd.Process.Kill()
	<-f.gone
}
