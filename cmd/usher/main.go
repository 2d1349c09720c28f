//go:build linux

// Usher is a WebSocket server that answers strangers before it lets them in, holds very
// many connections, and keeps each of them to its share.
//
//	usher serve          run it, with a chat to try it out
//	usher guard          run it in front of an application of yours that speaks WebSocket
//	usher check          look at the settings of serve, without running it
//	usher token --sub me make a token for it
//	usher bench echo URL measure it, or another server
//	usher version        print the version
//
// Each of them explains itself with --help.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/alecthomas/kong"
	"github.com/usher-ws/usher/upgrade"
)

// cli is the command line; kong reads it from the tags.
type cli struct {
	Serve   serveCmd   `cmd:"" help:"Run the server: the chat at /, its rooms at /ws/{room}, and echoes where you want them."`
	Guard   guardCmd   `cmd:"" help:"Guard an application that speaks WebSocket: check tokens, limit messages and connections, and drain, in front of it."`
	Check   checkCmd   `cmd:"" help:"Check the settings that the server would run with, and print where each comes from."`
	Token   tokenCmd   `cmd:"" help:"Make a token for the server."`
	Bench   benchCmd   `cmd:"" help:"Measure this WebSocket server or another."`
	Version versionCmd `cmd:"" help:"Print the version."`
}

// usageError is an error that only another command line or environment can mend.
type usageError struct{ error }

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run does what args ask for and returns the exit code: 0, 2 when args are at
// fault, 1 for any other error. When it is asked for help it does not return.
func run(args []string, stdout, stderr io.Writer) int {
	from := new(sources)
	parser, err := newParser(new(cli), from, stdout, stderr)
	if err != nil {
		return fail(stderr, err)
	}
	return obey(parser, from, args, stderr)
}

// obey is run with a parser, of newParser.
func obey(parser *kong.Kong, from *sources, args []string, stderr io.Writer) int {
	command, err := parser.Parse(args)
	if err != nil {
		return fail(stderr, usageError{fmt.Errorf("%w (see %s --help)", from.explain(err), asked(err))})
	}
	if err := refuseTwice(command); err != nil {
		return fail(stderr, usageError{err})
	}
	if err := command.Run(); err != nil {
		return fail(stderr, from.explain(err))
	}
	return 0
}

// newParser returns a parser that reads a command line into c, which is a *cli or has some of its
// commands, and what it leaves out from elsewhere.
func newParser(c any, from *sources, stdout, stderr io.Writer) (*kong.Kong, error) {
	return kong.New(c,
		kong.Name("usher"),
		kong.Description("A WebSocket server that answers strangers before it lets them in."),
		kong.Writers(stdout, stderr),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.BindTo(stdout, (*io.Writer)(nil)),
		kong.Bind(from),
		kong.PostBuild(beStrict),
		kong.WithBeforeResolve(from.load),
	)
}

// asked returns the command that was asked for, as far as err tells it.
func asked(err error) string {
	var parse *kong.ParseError
	if errors.As(err, &parse) && parse.Context.Selected() != nil {
		return "usher " + parse.Context.Selected().Path()
	}
	return "usher"
}

// fail prints what went wrong, in one line, and returns the exit code.
func fail(stderr io.Writer, err error) int {
	sayOnce(stderr, fmt.Appendf(nil, "usher: %s\n", upgrade.Redact(err.Error())), time.Second)
	var usage usageError
	if errors.As(err, &usage) {
		return 2
	}
	return 1
}
