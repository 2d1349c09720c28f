//go:build linux

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/usher-ws/usher/bench"
	"github.com/usher-ws/usher/upgrade"
	"golang.org/x/sys/unix"
)

// benchCmd is usher bench, with a command for each question.
type benchCmd struct {
	Echo      benchEcho      `cmd:"" help:"Measure echoes: messages a second, latency, and what each costs the server."`
	Idle      benchIdle      `cmd:"" help:"Measure the memory of a connection that says nothing."`
	Handshake benchHandshake `cmd:"" help:"Measure upgrades a second."`
	Refuse    benchRefuse    `cmd:"" help:"Measure refusals a second, and how many clients read why."`
	Fanout    benchFanout    `cmd:"" help:"Measure what it takes to send one message to everybody in a room."`
	Flood     benchFlood     `cmd:"" help:"Measure what a client that sends too much gets, and what its neighbours notice."`
	Hostile   benchHostile   `cmd:"" help:"Measure what neighbours notice during an attack."`
	Versus    benchVersus    `cmd:"" help:"Measure usher and other servers side by side."`
	Worker    benchWorker    `cmd:"" hidden:"" help:"Do what the process at the other end of standard input asks for."`
}

// benchFlags are the flags of all scenarios.
type benchFlags struct {
	URL string `arg:"" help:"The address of the server, ws://HOST:PORT/PATH or wss://; {9001..9053} in it stands for many."`

	Conns    int           `default:"100" help:"Number of connections: with fanout of members, with flood and hostile of neighbours, with handshake and refuse of those that connect at once."`
	Duration time.Duration `short:"d" default:"10s" help:"How long to measure; with hostile, how long each attack lasts. Not for idle."`
	Warmup   time.Duration `default:"1s" help:"How long to warm up before that; 0 is not at all."`
	Timeout  time.Duration `default:"5s" help:"How long to wait for an answer."`
	Loops    int           `default:"1" help:"Number of event loops of the client."`

	PerProcess int   `placeholder:"N" help:"Connections of one client process; if not given, what the limit of open files allows."`
	PinServer  []int `placeholder:"CPU" help:"With --spawn: the processors of the server."`
	PinClient  []int `placeholder:"CPU" help:"The processors of the client."`

	PID   []int  `name:"pid" placeholder:"PID" help:"The processes of the server; if not given, those that listen on the port on this machine."`
	Spawn string `placeholder:"COMMAND" help:"Start the server with this command, once for each URL; {addr}, {host} and {port} are filled in, and with wss:// {cert} and {key}, a certificate made for the run, and trusted."`

	Header      []string `short:"H" sep:"none" placeholder:"NAME:VALUE" help:"A header for the request."`
	Origin      string   `help:"The Origin header."`
	Subprotocol []string `placeholder:"NAME" help:"Subprotocols to offer."`
	Token       string   `help:"The bearer token of all connections."`
	Sub         string   `default:"bench" placeholder:"NAME" help:"With --secret-file: the subject of the tokens, followed by a number."`
	OneToken    bool     `help:"With --secret-file: use one token for all connections, without a number."`
	SecretFile  string   `placeholder:"FILE" help:"Make a token for each connection with the HS256 secret in this file."`

	CA       string `name:"ca" placeholder:"FILE" help:"With wss://: the authorities whose certificates are good, in PEM; if not given, those of this machine."`
	Insecure bool   `help:"With wss://: take any certificate."`

	JSON bool   `name:"json" help:"Print the report as JSON."`
	HTML string `name:"html" placeholder:"FILE" help:"Also write the report to this file, as a page with charts."`
}

// Validate is called by kong.
func (f *benchFlags) Validate() error { return f.validate() }

// validate checks the flags of all scenarios, and adds the errors of a scenario's own
// flags. It refuses 0 where the harness would take it for the default.
func (f *benchFlags) validate(own ...error) error { return f.validateFor([]string{f.URL}, own...) }

// validateFor is validate for a scenario that connects to all of urls.
func (f *benchFlags) validateFor(urls []string, own ...error) error {
	isSecure := slices.ContainsFunc(urls, func(u string) bool { return strings.HasPrefix(u, "wss:") })
	switch {
	case (f.CA != "" || f.Insecure) && !isSecure:
		return errors.New("--ca and --insecure: no TLS is spoken with ws://: want a URL of wss://")
	case f.CA != "" && f.Insecure:
		return errors.New("--ca and --insecure: certificates are verified or not: give one of them")
	case len(f.PinServer) > 0 && f.Spawn == "":
		return errors.New("--pin-server: no server is started here: give --spawn, or start it with taskset")
	case f.Token != "" && f.SecretFile != "":
		return errors.New("--token and --secret-file: a connection has one token: give one of them")
	}
	return cmp.Or(append(own,
		atLeast("--conns", f.Conns, 1), atLeast("--loops", f.Loops, 1), atLeast("--per-process", f.PerProcess, 0),
		timeAtLeast("--duration", f.Duration, time.Millisecond), timeAtLeast("--warmup", f.Warmup, 0), timeAtLeast("--timeout", f.Timeout, time.Millisecond),
		each("--pin-server", f.PinServer, 0), each("--pin-client", f.PinClient, 0), each("--pid", f.PID, 1))...)
}

// each is atLeast for every element of a list.
func each(name string, list []int, least int) error {
	for _, n := range list {
		if err := atLeast(name, n, least); err != nil {
			return err
		}
	}
	return nil
}

// common returns the flags in the form that the harness takes.
func (f *benchFlags) common(meter *bench.Meter) (bench.Common, error) {
	c := bench.Common{
		URL: f.URL, Spawn: f.Spawn, PIDs: f.PID,
		Header: f.Header, Origin: f.Origin, Subprotocols: strings.Join(f.Subprotocol, ", "),
		Token: bench.Token{Text: f.Token, Subject: f.Sub, Shared: f.OneToken},
		Conns: f.Conns,
		Loops: f.Loops,

		PerProcess: f.PerProcess, PinServer: f.PinServer, PinClient: f.PinClient,
		Worker: []string{"/proc/self/exe", "bench", "worker"},
		TLS:    bench.TLS{Insecure: f.Insecure},

		Duration: f.Duration, Warmup: orNone(f.Warmup), Timeout: f.Timeout,
		Progress: meter.Show,
	}
	if f.SecretFile != "" {
		secrets, err := secretFlag{[]keyFile{{path: f.SecretFile}}}.read()
		if err != nil {
			return c, err
		}
		c.Token.Secret = secrets[0].text
	}
	if f.CA != "" {
		pem, err := os.ReadFile(f.CA)
		if err != nil {
			return c, usageError{fmt.Errorf("--ca: %w", err)}
		}
		c.TLS.CA = pem
	}
	return c, nil
}

// scenario is a harness's scenario, ready to run.
type scenario interface {
	Run(ctx context.Context) (*bench.Report, error)
}

// run measures and prints the report. A first signal ends the measuring, a second one
// the program.
func (f *benchFlags) run(stdout io.Writer, make func(bench.Common) scenario) error {
	meter := bench.NewMeter(os.Stderr, isTerminal(os.Stderr))
	common, err := f.common(meter)
	if err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	report, err := make(common).Run(ctx)
	meter.Clear()
	if err != nil {
		return unmeasured(err)
	}
	return f.print(stdout, report)
}

// unmeasured tells why there is no report. It is a usage error if another command line
// would help.
func unmeasured(err error) error {
	if usage := new(bench.UsageError); errors.As(err, &usage) {
		return usageError{usage}
	}
	return fmt.Errorf("cannot measure: %w", err)
}

// interruptible returns a context that a first signal ends; a second one has its
// usual effect.
func interruptible() (ctx context.Context, stop func()) {
	ctx, stop = signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// print writes the report where it was asked for. A report of errors is a report too.
func (f *benchFlags) print(stdout io.Writer, r *bench.Report) error {
	r.Command, r.URL = commandLine(os.Args[1:]), upgrade.Redact(r.URL)
	if f.HTML != "" {
		page, err := r.HTML()
		if err != nil {
			return err
		}
		if err := os.WriteFile(f.HTML, page, 0o644); err != nil {
			return fmt.Errorf("cannot write the page: %w", err)
		}
	}
	out := []byte(r.Text())
	if f.JSON {
		var err error
		if out, err = r.JSON(); err != nil {
			return err
		}
	}
	if _, err := stdout.Write(out); err != nil {
		return err
	}
	if !r.OK {
		return errors.New("there were errors, see the report")
	}
	return nil
}

// commandLine returns what a person would type to do the same again, without the tokens:
// reports are passed on.
func commandLine(args []string) string {
	line := "usher"
	for i, a := range args {
		if a = upgrade.Redact(a); i > 0 && args[i-1] == "--token" {
			a = "REDACTED"
		}
		if strings.ContainsAny(a, " \t'\"$;&|<>(){}*?\\") {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		line += " " + a
	}
	return line
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
