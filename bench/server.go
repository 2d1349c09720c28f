//go:build linux

package bench

import (
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/usher-ws/usher/bench/internal/load"
	"github.com/usher-ws/usher/bench/internal/proc"
)

// server is what we know of the processes that are measured; none if the server runs on
// another machine or belongs to another user.
type server struct{ pids []int }

// findServer takes the processes that it is given, else those that it started and those
// that listen on the ports.
func findServer(pids []int, f *fleet, doors []load.Target) (*server, error) {
	for _, pid := range pids {
		if _, err := proc.Read([]int{pid}); err != nil {
			return nil, usagef("process %d: %v: name one that runs", pid, err)
		}
	}
	if len(pids) > 0 {
		return &server{pids}, nil
	}
	if !local(doors) {
		return &server{}, nil
	}
	if found := proc.Listeners(ports(doors)); len(found) > 0 {
		return &server{found}, nil
	}
	return &server{f.pids()}, nil
}

func (s *server) known() bool { return len(s.pids) > 0 }
func (s *server) ours() bool  { return slices.Contains(s.pids, os.Getpid()) }

// look is what the server's processes used up to a moment.
type look struct {
	at      time.Time
	usage   proc.Usage
	threads proc.ThreadTimes
	pids    []int
	ok      bool
}

// look reads all there is. It takes a millisecond or so for a large server.
func (s *server) look() look { return s.by(proc.Read) }

// glance reads what is cheap, CPU and RSS, so that looking does not disturb.
func (s *server) glance() look { return s.by(proc.ReadQuick) }

func (s *server) by(read func(pids []int) (proc.Usage, error)) look {
	l := look{at: time.Now(), pids: s.pids}
	if !s.known() {
		return l
	}
	u, err := read(s.pids)
	l.usage, l.ok = u, err == nil
	l.threads = proc.Threads(s.pids)
	return l
}

// spent is what the server used between two looks.
type spent struct {
	CPU     time.Duration
	Wall    time.Duration
	Usage   proc.Usage // at the end
	Busiest float64    // share of the time that the busiest thread ran
	Cores   int        // processors it may use
	Known   bool
	Unsure  string // why CPU is too little to be told; "" if it is not
}

// cores is how many processors were busy on average.
func (s spent) cores() Number {
	if !s.Known || s.Unsure != "" {
		return none
	}
	return Number(float64(s.CPU) / float64(s.Wall))
}

// The time since a processor last looked at its clock is not counted yet: some
// milliseconds for the scheduler, a hundredth of a second for the ticks.
const (
	leastRan   = 20 * time.Millisecond
	leastTicks = 20
)

func (a look) until(b look) spent {
	s := spent{Wall: b.at.Sub(a.at), Usage: b.usage, Known: a.ok && b.ok}
	if !s.Known || s.Wall <= 0 {
		s.Known = false
		return s
	}
	for tid, used := range b.threads.Used {
		ran := used - a.threads.Used[tid]
		s.CPU += ran
		s.Busiest = max(s.Busiest, float64(ran)/float64(s.Wall))
	}
	least := leastRan
	if !a.threads.Exact || !b.threads.Exact || ended(a.threads, b.threads) {
		// The ticks also count threads that have ended.
		s.CPU, least = b.usage.CPU-a.usage.CPU, leastTicks*proc.Tick
	}
	if s.CPU < least {
		s.Unsure = fmt.Sprintf("the server used %s of CPU, and less than %s cannot be told", short(s.CPU), short(least))
	}
	for _, pid := range b.pids {
		s.Cores = max(s.Cores, proc.Processors(pid))
	}
	return s
}

// ended reports whether a has a thread that b has not.
func ended(a, b proc.ThreadTimes) bool {
	for tid := range a.Used {
		if _, there := b.Used[tid]; !there {
			return true
		}
	}
	return false
}

// saturated reports whether the server could not have done more: all processors it
// may use, or its only busy thread, were at work nearly all the time.
func (s spent) saturated() bool {
	const nearly = 0.9
	return s.Known && (s.Busiest >= nearly || s.Cores > 0 && float64(s.CPU) >= nearly*float64(s.Cores)*float64(s.Wall))
}
