//go:build linux

package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/usher-ws/usher/bench"
	"github.com/usher-ws/usher/limiter"
)

// benchEcho is usher bench echo.
type benchEcho struct {
	benchFlags

	Size     byteSize       `default:"20" help:"Size of a message."`
	Text     bool           `help:"Send text messages instead of binary ones."`
	InFlight int            `placeholder:"N" help:"How many messages of a connection may be unanswered; 1 without --rate."`
	Rate     *limiter.Limit `placeholder:"1000/s" help:"Send this many messages in all, whatever comes back: an open loop."`
	Idle     int            `default:"0" help:"Number of further connections that say nothing."`
}

// Validate is called by kong.
func (b *benchEcho) Validate() error {
	return b.validate(atLeast("--size", int(b.Size), 1), atLeast("--in-flight", b.InFlight, 0), atLeast("--idle", b.Idle, 0))
}

// Run measures.
func (b *benchEcho) Run(stdout io.Writer) error {
	return b.run(stdout, func(c bench.Common) scenario {
		return bench.Echo{Common: c, Size: int(b.Size), Text: b.Text, InFlight: b.InFlight, Rate: perSecond(b.Rate), Beside: b.Idle}
	})
}

func perSecond(l *limiter.Limit) float64 {
	if l == nil {
		return 0
	}
	return float64(*l)
}

// benchVersus is usher bench versus.
type benchVersus struct {
	Peers     []string      `placeholder:"NAME" help:"The other servers: gws, gorilla, coder, gnet, nbio, greatws, gobwas."`
	Also      []string      `sep:"none" placeholder:"NAME=COMMAND" help:"A server of yours with /echo, /fanout and /refuse; {addr}, {host} and {port} are filled in. With {cert} and {key} in its command it is asked what is about TLS, with {upstream} what is about proxies, and nothing else."`
	Source    string        `default:"bench/peers" help:"The directory of the module with their servers."`
	Rounds    int           `default:"9" help:"How often each server is measured."`
	Duration  time.Duration `short:"d" default:"2s" help:"How long each measurement takes."`
	Questions []string      `placeholder:"NAME" help:"Ask only these questions: echo-20, echo-512, echo-16k, echo-20x16, echo-20-text, echo-20x16-text, paced-p99, paced-p999, fanout-1, fanout-8, handshake, handshake-jwt, refuse, idle, idle-auth, idle-user, idle-room, echo-tls, handshake-tls, idle-tls."`
	Conns     int           `default:"19000" help:"Number of connections of the questions that begin with idle."`
	PinServer []int         `default:"0" help:"The processors of the servers."`
	PinClient []int         `default:"1" help:"The processors of the client."`
	Out       string        `default:"bench/results" help:"The directory for the results."`
}

// Validate is called by kong.
func (b *benchVersus) Validate() error {
	return cmp.Or(atLeast("--rounds", b.Rounds, 1), timeAtLeast("--duration", b.Duration, time.Millisecond), atLeast("--conns", b.Conns, 1),
		each("--pin-server", b.PinServer, 0), each("--pin-client", b.PinClient, 0))
}

// Run measures, writes the results and prints them.
func (b *benchVersus) Run(stdout io.Writer) error {
	meter := bench.NewMeter(os.Stderr, isTerminal(os.Stderr))
	ctx, stop := interruptible()
	defer stop()
	contest, err := bench.Versus{
		Peers: b.Peers, Others: b.Also, Source: b.Source, Rounds: b.Rounds, Questions: b.Questions, Duration: b.Duration,
		Conns: b.Conns, PinServer: b.PinServer, PinClient: b.PinClient, Progress: meter.Show,
	}.Run(ctx)
	meter.Clear()
	if err != nil {
		return unmeasured(err)
	}
	contest.Command = commandLine(os.Args[1:])
	if err := contest.Write(b.Out); err != nil {
		return fmt.Errorf("cannot write the results: %w", err)
	}
	_, err = io.WriteString(stdout, contest.Markdown())
	return err
}

// benchWorker is a further client process of a large measurement.
type benchWorker struct{}

// Run serves the parent.
func (benchWorker) Run(stdout io.Writer) error { return bench.ServeWorker(os.Stdin, stdout) }

// benchIdle is usher bench idle.
type benchIdle struct {
	benchFlags

	Steps  int           `default:"4" help:"At how many numbers of connections to read the memory."`
	Hold   time.Duration `default:"2s" help:"How long to hold all connections at the end."`
	Silent bool          `help:"Do not echo one message on each connection first, and let pass what the server says."`
}

// Validate is called by kong.
func (b *benchIdle) Validate() error {
	return b.validate(atLeast("--steps", b.Steps, 1), timeAtLeast("--hold", b.Hold, 0))
}

// Run measures.
func (b *benchIdle) Run(stdout io.Writer) error {
	return b.run(stdout, func(c bench.Common) scenario {
		return bench.Idle{Common: c, Steps: b.Steps, Hold: orNone(b.Hold), Silent: b.Silent}
	})
}

// benchHandshake is usher bench handshake.
type benchHandshake struct{ benchFlags }

// Run measures.
func (b *benchHandshake) Run(stdout io.Writer) error {
	return b.run(stdout, func(c bench.Common) scenario { return bench.Handshake{Common: c} })
}

// benchRefuse is usher bench refuse.
type benchRefuse struct {
	benchFlags

	Padding byteSize `default:"0" help:"Bytes of padding headers in each request, so that the client is still sending when the answer comes."`
}

// Run measures.
func (b *benchRefuse) Run(stdout io.Writer) error {
	return b.run(stdout, func(c bench.Common) scenario {
		return bench.Refuse{Common: c, Padding: int(b.Padding)}
	})
}

// benchFanout is usher bench fanout.
type benchFanout struct {
	benchFlags

	Size   byteSize       `default:"128" help:"Size of a message; at least 16."`
	Text   bool           `default:"true" negatable:"" help:"Send text messages, as chats want them."`
	Window int            `default:"1" help:"How many published messages may be on their way."`
	Rate   *limiter.Limit `placeholder:"10/s" help:"Publish this many messages, whatever has arrived."`
}

// Validate is called by kong.
func (b *benchFanout) Validate() error {
	return b.validate(atLeast("--size", int(b.Size), 1), atLeast("--window", b.Window, 1))
}

// Run measures.
func (b *benchFanout) Run(stdout io.Writer) error {
	return b.run(stdout, func(c bench.Common) scenario {
		return bench.Fanout{Common: c, Size: int(b.Size), Text: b.Text, Window: b.Window, Rate: perSecond(b.Rate)}
	})
}

// benchNeighbours is what flood and hostile have in common.
type benchNeighbours struct {
	benchFlags

	Size byteSize       `default:"20" help:"Size of a message."`
	Text bool           `help:"Send text messages instead of binary ones."`
	Rate *limiter.Limit `placeholder:"1000/s" help:"Messages of all neighbours together; 1000/s if not given."`
	At   string         `placeholder:"URL" help:"The URL of the flooders or attackers; if not given, that of the neighbours."`
}

func (b *benchNeighbours) neighbours(c bench.Common) bench.Neighbours {
	return bench.Neighbours{Common: c, Size: int(b.Size), Text: b.Text, Rate: perSecond(b.Rate)}
}

// validate checks these flags too.
func (b *benchNeighbours) validate(own ...error) error {
	return b.validateFor([]string{b.URL, b.At}, append(own, atLeast("--size", int(b.Size), 1))...)
}

// benchFlood is usher bench flood.
type benchFlood struct {
	benchNeighbours

	Flooders int `default:"1" help:"Number of connections that send without end."`
}

// Validate is called by kong.
func (b *benchFlood) Validate() error { return b.validate(atLeast("--flooders", b.Flooders, 1)) }

// Run measures.
func (b *benchFlood) Run(stdout io.Writer) error {
	return b.run(stdout, func(c bench.Common) scenario {
		return bench.Flood{Neighbours: b.neighbours(c), Flooders: b.Flooders, URL2: b.At}
	})
}

// benchHostile is usher bench hostile.
type benchHostile struct {
	benchNeighbours

	Attackers int            `default:"100" help:"Number of connections of each attack."`
	Attack    []bench.Attack `placeholder:"NAME" help:"Make only these attacks: slow-head, slow-reader, reset-storm, fragments, half-open."`
}

// Validate is called by kong.
func (b *benchHostile) Validate() error { return b.validate(atLeast("--attackers", b.Attackers, 1)) }

// Run measures.
func (b *benchHostile) Run(stdout io.Writer) error {
	return b.run(stdout, func(c bench.Common) scenario {
		return bench.Hostile{Neighbours: b.neighbours(c), Attackers: b.Attackers, Attacks: b.Attack, URL2: b.At}
	})
}
