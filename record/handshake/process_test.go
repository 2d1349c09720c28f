package handshake

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// missing skips a test whose foreign program is not there. With CI set, where `make deps`
// has run, that is a failure.
func missing(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err == nil {
		return path
	}
	if os.Getenv("CI") != "" {
		t.Fatal(err)
	}
	if list := os.Getenv("USHER_SKIPPED"); list != "" { // for make's last line
		f, err := os.OpenFile(list, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		fmt.Fprintln(f, program)
	}
	t.Skip(err)
	return ""
}

// process is a foreign program that is spoken with.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	output *bufio.Reader // both stdout and stderr
	saw    bytes.Buffer
	wait   func() error
}

func start(t *testing.T, name string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.CommandContext(t.Context(), missing(t, name), args...)}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p.output = bufio.NewReader(io.TeeReader(r, &p.saw))
	p.cmd.Stdout, p.cmd.Stderr = w, w
	p.stdin, err = p.cmd.StdinPipe()
	if err := errors.Join(err, p.cmd.Start()); err != nil {
		t.Fatal(err)
	}
	w.Close()
	p.wait = sync.OnceValue(p.cmd.Wait)
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		p.wait()
		r.Close()
		if t.Failed() {
			t.Logf("%s %q said:\n%s", name, args, p.saw.String())
		}
	})
	return p
}

// say writes a line.
func (p *process) say(line string) {
	p.t.Helper()
	if _, err := io.WriteString(p.stdin, line+"\n"); err != nil {
		p.t.Fatal(err)
	}
}

// until reads until a line that has what in it, and returns that line.
func (p *process) until(what string) string {
	p.t.Helper()
	for {
		line, err := p.output.ReadString('\n')
		if strings.Contains(line, what) {
			return line
		}
		if err != nil {
			p.t.Fatalf("waiting for %q: %v", what, err)
		}
	}
}

// end waits for the program.
func (p *process) end() {
	p.t.Helper()
	io.Copy(io.Discard, p.output)
	if err := p.wait(); err != nil {
		p.t.Errorf("got %v", err)
	}
}
