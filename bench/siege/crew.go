//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// crewEnv has a job, in a process that is a crew.
const crewEnv = "USHER_SIEGE_CREW"

// job is what a crew is to do.
type job struct {
	Role string
	Addr string
	Seed uint64

	Patience time.Duration

	N       int           // how many there are
	First   int           // the number of the first
	User    string        // who all of them are; each somebody else if it is ""
	Room    string        // of the chat
	JSON    bool          // they speak it
	Deaf    bool          // they do not read
	Narrow  int           // bytes of the receive buffer
	Source  string        // the address they come from; the first of them if there are Sources
	Sources int           // how many addresses
	Rate    float64       // a second, each or together
	Size    int           // of what they say
	Fill    string        // of which it is made, at random if it is ""
	To      string        // whom they say it to
	Head    string        // their request
	More    int           // bytes they send behind it
	Last    time.Duration // how long they stay
}

// report is what a crew tells.
type report struct {
	Error string

	N     int            // how many there are, or have done it
	Bytes int64          // that have come
	At    int64          // when, in nanoseconds since 1970
	Told  map[string]int // what they were told
	Lost  []string       // how connections ended that should not have

	Count         int
	P50, P99, Max time.Duration
}

// roles are the kinds of crews. An order is a word, perhaps with a number; every order is
// answered with a report. A crew ends with its process.
var roles = map[string]func(j job, orders <-chan string, tell func(report)) error{
	"neighbours": neighbours,
	"crowd":      crowd,
	"speakers":   speakers,
	"visitors":   visitors,
	"flood":      flood,
	"silent":     silent,
	"pages":      pages,
	"posts":      posts,
	"gets":       gets,
	"bombs":      bombs,
	"mix":        mix,
}

// crewMain is the process of a crew.
func crewMain(text string) {
	var j job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		log.Fatal(err)
	}
	patience = j.Patience
	orders := make(chan string)
	go func() {
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			orders <- lines.Text()
		}
		os.Exit(0)
	}()
	out := json.NewEncoder(os.Stdout)
	tell := func(r report) { _ = out.Encode(r) }
	if err := roles[j.Role](j, orders, tell); err != nil {
		tell(report{Error: fmt.Sprintf("%s: %v", j.Role, err)})
	}
}

// crew is a crew as this program sees it.
type crew struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	reports *json.Decoder
	n       int // how many they are
}

// hire starts a crew. A nice one lets others have the processor.
func hire(j job, nice bool) (*crew, error) {
	text, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &crew{cmd: exec.Command(self), n: j.N}
	if nice {
		c.cmd = exec.Command("nice", "-n", "5", self)
	}
	c.cmd.Env = append(os.Environ(), crewEnv+"="+string(text))
	c.cmd.Stderr = os.Stderr
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.reports = json.NewDecoder(out)
	if err := startOn(c.cmd, clientCPU); err != nil {
		return nil, err
	}
	return c, nil
}

// ask gives an order and waits for its report.
func (c *crew) ask(order string, number ...int) (r report, err error) {
	for _, n := range number {
		order += fmt.Sprint(" ", n)
	}
	if _, err := fmt.Fprintln(c.in, order); err != nil {
		return r, err
	}
	if err := c.reports.Decode(&r); err != nil {
		return r, fmt.Errorf("%s: %w", order, err)
	}
	if r.Error != "" {
		return r, fmt.Errorf("%s: %s", order, r.Error)
	}
	return r, nil
}

// dismiss ends the crew. All its connections are closed.
func (c *crew) dismiss() {
	c.in.Close()
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}

// word cuts an order.
func word(order string) (what string, number int) {
	what, rest, _ := strings.Cut(order, " ")
	_, _ = fmt.Sscan(rest, &number)
	return what, number
}

// The processors of servers and of clients, if there are two or more.
const (
	serverCPU = 0
	clientCPU = 1
)

// startOn starts a process on a processor. It inherits it from the thread that forks.
func startOn(cmd *exec.Cmd, cpu int) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil || before.Count() < 2 || !before.IsSet(cpu) {
		return cmd.Start()
	}
	var only unix.CPUSet
	only.Set(cpu)
	if err := unix.SchedSetaffinity(0, &only); err != nil {
		return os.NewSyscallError("sched_setaffinity", err)
	}
	err := cmd.Start()
	_ = unix.SchedSetaffinity(0, &before)
	return err
}
