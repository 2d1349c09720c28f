//go:build linux

package bench

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/usher-ws/usher/bench/internal/load"
	"golang.org/x/sys/unix"
)

// Common has the settings of all scenarios. URL is required; the zero value of every
// other one is useful.
type Common struct {
	// The server, of ws:// or wss://. A URL may stand for many: "ws://127.0.0.1:{9001..9053}/echo".
	// Spawn is a command that starts one for each, with {addr}, {host} and {port}
	// replaced; {cert} and {key} are files with a certificate that is made for the run, and
	// trusted, and with its key. PIDs are the server's processes; without them, those that listen on
	// the ports of this machine are found.
	URL   string
	Spawn string
	PIDs  []int

	// What connections send in their request.
	Header       []string // "Name: value"
	Origin       string
	Subprotocols string
	Token        Token

	// How servers of wss:// are verified.
	TLS TLS

	// How many, and how long.
	Conns    int           // default 100
	Duration time.Duration // default 10 s
	Warmup   time.Duration // before that; default 1 s, negative: none
	Timeout  time.Duration // until an answer is given up; default 5 s

	// The client. Loops is how many event loops the connections are spread over,
	// default 1. PerProcess is how many connections one process has, by default what
	// its limit of open files allows. Worker is a command that calls ServeWorker, for
	// further processes; without it all connections have to fit into this one.
	Loops      int
	PerProcess int
	Worker     []string

	// The processors that servers which are started, and all of this process, may
	// use; none: any.
	PinServer, PinClient []int

	// Progress, if not nil, is called with how far a run has come. It is called on the
	// goroutine of Run.
	Progress func(Progress)
}

// Progress is how far a run has come.
type Progress struct {
	Phase string  // what is being done
	Done  float64 // of it, from 0 to 1
	Text  string  // how it stands, in a few words
}

const (
	defaultConns    = 100
	defaultDuration = 10 * time.Second
	defaultWarmup   = time.Second
	defaultTimeout  = 5 * time.Second

	// portsPerSource is how many connections go from one address to one door. Linux
	// has 28,232 ephemeral ports by default (ip_local_port_range), but looks at every
	// second one first, one after the other: when half of them are taken, connect gets slow.
	portsPerSource = 5_000
	// churnSources is how many addresses short connections come from, so that
	// ports in TIME-WAIT do not run out.
	churnSources = 64
	// ownFiles is how many descriptors a process keeps for itself.
	ownFiles = 200
	maxConns = 10_000_000
	// maxProcessor is the last that fits into a set of the kernel's (CPU_SETSIZE).
	maxProcessor = 1023
)

// complete fills in the defaults.
func (c *Common) complete() error {
	c.Conns = cmp.Or(c.Conns, defaultConns)
	c.Duration = cmp.Or(c.Duration, defaultDuration)
	c.Warmup = max(cmp.Or(c.Warmup, defaultWarmup), 0)
	c.Timeout = cmp.Or(c.Timeout, defaultTimeout)
	c.Loops = cmp.Or(c.Loops, 1)
	switch {
	case c.Duration < 0:
		return usagef("duration: %v is negative", c.Duration)
	case c.Timeout < 0:
		return usagef("timeout: %v is negative", c.Timeout)
	}
	for _, cpu := range slices.Concat(c.PinServer, c.PinClient) {
		if err := within("processor", cpu, 0, maxProcessor); err != nil {
			return err
		}
	}
	return cmp.Or(
		within("connections", c.Conns, 1, maxConns),
		within("connections of a process", c.PerProcess, 0, maxConns),
		within("loops", c.Loops, 1, c.Conns), // one for each connection at most
	)
}

// request is what connections say at the door, ready to be sent to a worker.
func (c *Common) request() (doorPlan, error) {
	d := doorPlan{Origin: c.Origin, Subprotocols: c.Subprotocols, Token: c.Token}
	for _, h := range c.Header {
		name, value, found := strings.Cut(h, ":")
		if !found || name == "" || strings.ContainsAny(h, "\r\n") {
			return d, usagef("header %q: want Name: value", h)
		}
		d.Header = append(d.Header, [2]string{name, strings.TrimSpace(value)})
	}
	if strings.ContainsAny(c.Origin+c.Subprotocols, "\r\n") {
		return d, usagef("an origin or a subprotocol has a line break in it")
	}
	return d, nil
}

// room returns how many connections one process can have.
func (c *Common) room() int {
	if c.PerProcess > 0 {
		return min(c.PerProcess, files())
	}
	return files()
}

func files() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 1000
	}
	return max(int(min(limit.Cur, maxConns))-ownFiles, 1)
}

// sources returns the addresses to dial from, none if the kernel's choice will do:
// a door of this machine can be reached from any address of 127.0.0.0/8.
func sources(doors []load.Target, conns int, churn bool) (from []netip.Addr) {
	n := (conns/len(doors) + portsPerSource - 1) / portsPerSource
	if churn {
		n = max(n, churnSources)
	}
	if n <= 1 {
		return nil
	}
	for _, d := range doors {
		if !d.Addr.Addr().Is4() || !d.Addr.Addr().IsLoopback() {
			return nil
		}
	}
	a := netip.AddrFrom4([4]byte{127, 1, 0, 1})
	for range n {
		from = append(from, a)
		a = a.Next()
	}
	return from
}
