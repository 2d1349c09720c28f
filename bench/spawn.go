//go:build linux

package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/usher-ws/usher/bench/internal/load"
)

// fleet is the servers that a run has started.
type fleet struct{ servers []*spawned }

// spawned is one of them.
type spawned struct {
	cmd  *exec.Cmd
	said lastWords
	gone chan struct{} // closed when the process has ended
	err  error         // of Wait; read it after gone
}

const (
	startPatience = 20 * time.Second
	stopPatience  = 5 * time.Second
	// startAtOnce servers start together: more would not be faster.
	startAtOnce = 8
)

// launch starts the servers of a session, if it is to.
func (s *session) launch(ctx context.Context) error {
	if s.c.Spawn == "" {
		return nil
	}
	err := s.certify()
	if err == nil {
		s.fleet, err = spawn(ctx, s.c.Spawn, s.doors, s.own, s.c.PinServer)
		s.report.set("spawn", s.c.Spawn)
	}
	return err
}

// spawn starts a server for each door and waits until all of them listen. It is an error
// if some other program listens there already.
func spawn(ctx context.Context, template string, doors []load.Target, own pair, cpus []int) (*fleet, error) {
	f := &fleet{}
	for from := 0; from < len(doors); from += startAtOnce {
		batch := doors[from:min(from+startAtOnce, len(doors))]
		for _, d := range batch {
			if listens(d) {
				return f, fmt.Errorf("spawn: somebody listens on %v already", d.Addr)
			}
			s, err := start(template, d, own, cpus)
			if err != nil {
				return f, err
			}
			f.servers = append(f.servers, s)
		}
		for i, d := range batch {
			if err := f.servers[from+i].await(ctx, d); err != nil {
				return f, err
			}
		}
	}
	return f, nil
}

func start(template string, d load.Target, own pair, cpus []int) (*spawned, error) {
	addr := d.Addr.Addr().String()
	port := strconv.Itoa(int(d.Addr.Port()))
	words, err := split(template)
	if err != nil || len(words) == 0 {
		return nil, usagef("spawn: %q is no command", template)
	}
	fill := strings.NewReplacer("{addr}", net.JoinHostPort(addr, port), "{host}", addr, "{port}", port, "{cert}", own.cert, "{key}", own.key)
	for i := range words {
		words[i] = fill.Replace(words[i])
	}
	s := &spawned{cmd: exec.Command(words[0], words[1:]...), gone: make(chan struct{})}
	s.cmd.Stdout, s.cmd.Stderr = &s.said, &s.said
	// A Ctrl-C is for us alone; and if we die first, the server must not stay behind.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := startPinned(s.cmd, cpus); err != nil {
		if usage := new(UsageError); errors.As(err, &usage) {
			return nil, err
		}
		return nil, fmt.Errorf("spawn: %w: name a program that is there, like ./usher", err)
	}
	go func() {
		s.err = s.cmd.Wait()
		close(s.gone)
	}()
	return s, nil
}

// await returns when the server listens.
func (s *spawned) await(ctx context.Context, d load.Target) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for !listens(d) {
		select {
		case <-s.gone:
			return fmt.Errorf("spawn: %q ended: %w\n%s", s.cmd.Args, s.err, s.said.String())
		case <-ctx.Done():
			return fmt.Errorf("spawn: %q does not listen on %v: %w\n%s", s.cmd.Args, d.Addr, ctx.Err(), s.said.String())
		case <-again.C:
		}
	}
	return nil
}

func listens(d load.Target) bool {
	conn, err := net.DialTimeout("tcp", d.Addr.String(), time.Second)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// pids returns the processes that run.
func (f *fleet) pids() (pids []int) {
	for _, s := range f.servers {
		pids = append(pids, s.cmd.Process.Pid)
	}
	return pids
}

// fallen says which servers have ended although nobody asked them to.
func (f *fleet) fallen() error {
	for _, s := range f.servers {
		select {
		case <-s.gone:
			return fmt.Errorf("%q ended: %w\n%s", s.cmd.Args, orDone(s.err), s.said.String())
		default:
		}
	}
	return nil
}

func orDone(err error) error {
	if err == nil {
		return errors.New("exit code 0")
	}
	return err
}

// stop asks all to end, and makes those that do not.
func (f *fleet) stop() {
	for _, s := range f.servers {
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
	}
	late := time.NewTimer(stopPatience)
	defer late.Stop()
	killed := false
	for _, s := range f.servers {
		for ended := false; !ended; {
			select {
			case <-s.gone:
				ended = true
			case <-late.C:
				killed = true
			}
			if killed {
				_ = s.cmd.Process.Kill()
				<-s.gone
				ended = true
			}
		}
	}
}

// split cuts a command line into words; quotes keep a word together.
func split(line string) (words []string, err error) {
	var word strings.Builder
	var quote rune
	inWord := false
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, inWord = r, true
		case r == ' ' || r == '\t' || r == '\n':
			if inWord {
				words = append(words, word.String())
				word.Reset()
				inWord = false
			}
		default:
			word.WriteRune(r)
			inWord = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("%q: a quote is not closed", line)
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, nil
}

// lastWords keeps the end of what a process said. Safe for any goroutine.
type lastWords struct {
	mu sync.Mutex // guards b
	b  []byte
}

const lastWordsSize = 4 << 10

func (w *lastWords) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.b = append(w.b, p...)
	if extra := len(w.b) - lastWordsSize; extra > 0 {
		w.b = w.b[:copy(w.b, w.b[extra:])]
	}
	return len(p), nil
}

func (w *lastWords) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.b)
}
