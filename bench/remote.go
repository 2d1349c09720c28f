//go:build linux

package bench

import (
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// wish is what the parent wants of a worker in another process.
type wish uint8

const (
	beginPlan wish = iota + 1
	openConns
	startPlaying
	stopPlaying
	takeTally
)

// call is one wish, reply the answer to it; both travel as gob, one after the
// other.
type call struct {
	Wish wish
	Plan plan // beginPlan
	N    int  // openConns
}

type reply struct {
	Err     string
	Stretch stretch // takeTally
}

// ServeWorker does what the process at the other end of the pipes wants, until
// in is closed. It is the whole life of a process that Common.Worker names.
func ServeWorker(in io.Reader, out io.Writer) error {
	from, to := gob.NewDecoder(in), gob.NewEncoder(out)
	var w *worker
	defer func() {
		if w != nil {
			_ = w.close()
		}
	}()
	for {
		var c call
		if err := from.Decode(&c); err != nil {
			if err == io.EOF {
				return nil
			}
			return fmt.Errorf("worker: %w", err)
		}
		var r reply
		var err error
		switch {
		case c.Wish == beginPlan && w == nil:
			w, err = newWorker(c.Plan)
		case w == nil:
			err = errors.New("nothing is planned")
		case c.Wish == openConns:
			err = w.open(c.N)
		case c.Wish == startPlaying:
			err = w.start()
		case c.Wish == stopPlaying:
			err = w.stop()
		case c.Wish == takeTally:
			r.Stretch, err = w.take()
		default:
			err = fmt.Errorf("no such wish: %d", c.Wish)
		}
		if err != nil {
			r.Err = err.Error()
		}
		if err := to.Encode(&r); err != nil {
			return fmt.Errorf("worker: %w", err)
		}
	}
}

// remote is a hand in another process.
type remote struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	to   *gob.Encoder
	from *gob.Decoder
	said lastWords
}

// callPatience bounds a call to a worker, which answers at once if it is alive.
const callPatience = 30 * time.Second

// newRemote starts command, which has to call ServeWorker, and gives it the plan.
func newRemote(command []string, p plan) (*remote, error) {
	r := &remote{cmd: exec.Command(command[0], command[1:]...)}
	r.cmd.Stderr = &r.said
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C is for us
	var err error
	if r.in, err = r.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := r.cmd.Start(); err != nil {
		return nil, fmt.Errorf("worker: %w", err)
	}
	r.to, r.from = gob.NewEncoder(r.in), gob.NewDecoder(out)
	if _, err := r.call(call{Wish: beginPlan, Plan: p}); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

// call asks and waits for the answer. A worker that does not answer is killed, which
// ends the wait.
func (r *remote) call(c call) (reply, error) {
	late := time.AfterFunc(callPatience, func() { _ = r.cmd.Process.Kill() })
	defer late.Stop()
	var answer reply
	err := r.to.Encode(&c)
	if err == nil {
		err = r.from.Decode(&answer)
	}
	if err == nil && answer.Err != "" {
		err = errors.New(answer.Err)
	}
	if err != nil {
		err = fmt.Errorf("worker %d: %w %s", r.cmd.Process.Pid, err, strings.TrimSpace(r.said.String()))
	}
	return answer, err
}

func (r *remote) open(n int) error {
	_, err := r.call(call{Wish: openConns, N: n})
	return err
}

func (r *remote) start() error {
	_, err := r.call(call{Wish: startPlaying})
	return err
}

func (r *remote) stop() error {
	_, err := r.call(call{Wish: stopPlaying})
	return err
}

func (r *remote) take() (stretch, error) {
	answer, err := r.call(call{Wish: takeTally})
	return answer.Stretch, err
}

// close lets the process end, by the end of its input.
func (r *remote) close() error {
	_ = r.in.Close()
	late := time.AfterFunc(callPatience, func() { _ = r.cmd.Process.Kill() })
	defer late.Stop()
	return r.cmd.Wait()
}
