//go:build linux

package bench

import (
	"context"
	"slices"
	"strings"
	"time"
)

// question is one thing that all contenders are measured by.
type question struct {
	name  string
	title string
	key   string // of the figure
	unit  Unit
	ask   func(v *Versus, c Common) (*Report, error)

	// Where it is asked; the peers that have an answer, none for all; and how usher
	// is asked: its flags, its path if that is another, and with what token.
	path      string
	peers     []string
	flags     string
	usherPath string
	token     ticketing
	secure    bool // over TLS
	behind    bool // through a proxy, to an echo of ours
}

// ticketing is which token usher is shown.
type ticketing uint8

const (
	noToken    ticketing = iota
	oneToken             // all connections have the same
	eachItsOwn           // each has one, of a user of its own
)

// questions are those of the table in the README.
func questions(ctx context.Context) []question {
	echo := func(name, title, key string, conns int, e Echo) question {
		return question{name: name, title: title, key: key, unit: Nanos, path: "/echo", flags: "--echo /echo",
			ask: func(_ *Versus, c Common) (*Report, error) {
				e.Common = c
				e.Conns = conns
				return e.Run(ctx)
			}}
	}
	handshake := func(_ *Versus, c Common) (*Report, error) {
		c.Conns = 50
		return Handshake{c}.Run(ctx)
	}
	fanout := func(name, title string, window int) question {
		return question{name: name, title: title, key: "server_cpu_per", unit: Nanos, path: "/fanout", peers: []string{"gws", "gorilla"},
			flags: "--rate 0 --secret-file {secret}", usherPath: "/ws/lobby", token: oneToken,
			ask: func(_ *Versus, c Common) (*Report, error) {
				c.Conns = 10_000
				return Fanout{Common: c, Text: true, Window: window}.Run(ctx)
			}}
	}
	overTLS := func(q question) question {
		q.secure, q.peers = true, []string{"gorilla", "nbio"}
		return q
	}
	idle := func(silent bool) func(v *Versus, c Common) (*Report, error) {
		return func(v *Versus, c Common) (*Report, error) {
			c.Conns = v.Conns
			return Idle{Common: c, Hold: time.Millisecond, Silent: silent}.Run(ctx)
		}
	}
	through := func(q question) question { // the flags are those of usher guard
		q.behind, q.peers, q.flags = true, []string{self}, ""
		return q
	}
	paced := Echo{Size: 20, Rate: 20_000, Beside: 10_000}
	const perMessage = "server_cpu_per"
	return []question{
		echo("echo-20", "Echo: server CPU per message, 100 connections, 20 B", perMessage, 100, Echo{Size: 20}),
		echo("echo-512", "Echo: server CPU per message, 1,000 connections, 512 B", perMessage, 1000, Echo{Size: 512}),
		echo("echo-16k", "Echo: server CPU per message, 100 connections, 16 KiB", perMessage, 100, Echo{Size: 16 << 10}),
		echo("echo-20x16", "Echo: server CPU per message, 100 connections, 20 B, 16 in flight", perMessage, 100, Echo{Size: 20, InFlight: 16}),
		echo("echo-20-text", "Echo: server CPU per message, 100 connections, 20 B of text", perMessage, 100, Echo{Size: 20, Text: true}),
		echo("echo-20x16-text", "Echo: server CPU per message, 100 connections, 20 B of text, 16 in flight", perMessage, 100,
			Echo{Size: 20, InFlight: 16, Text: true}),
		echo("paced-p99", "Latency p99 at 20,000 messages a second, 100 active beside 10,000 idle", "p99", 100, paced),
		echo("paced-p999", "Latency p99.9 at 20,000 messages a second, 100 active beside 10,000 idle", "p999", 100, paced),
		fanout("fanout-1", "Fan-out: server CPU per delivery, 10,000 members, 128 B, one publish outstanding", 1),
		fanout("fanout-8", "Fan-out: server CPU per delivery, 10,000 members, 128 B, eight publishes outstanding", 8),
		{name: "handshake", title: "Handshake: server CPU each", key: perMessage, unit: Nanos, path: "/echo", flags: "--echo /echo", ask: handshake},
		{name: "handshake-jwt", title: "Handshake: server CPU each, usher's with a token, the others' without", key: perMessage, unit: Nanos,
			path: "/echo", flags: "--echo-auth /echo --secret-file {secret}", token: oneToken, ask: handshake},
		{name: "refuse", title: "Refusal with 401: server CPU each", key: perMessage, unit: Nanos, path: "/refuse", peers: []string{"gorilla", "coder"},
			flags: "--echo-auth /refuse --secret-file {secret}",
			ask: func(_ *Versus, c Common) (*Report, error) {
				c.Conns = 50
				return Refuse{Common: c}.Run(ctx)
			}},
		{name: "idle", title: "Idle: server RSS per connection", key: "rss_per_connection", unit: Bytes, path: "/echo", flags: "--echo /echo", ask: idle(false)},
		{name: "idle-auth", title: "Idle: server RSS per connection, behind a token that all share", key: "rss_per_connection", unit: Bytes,
			path: "/echo", peers: []string{self}, flags: "--echo-auth /echo --secret-file {secret}", token: oneToken, ask: idle(false)},
		{name: "idle-user", title: "Idle: server RSS per connection, usher's each with a token of its own, the others' without", key: "rss_per_connection", unit: Bytes,
			path: "/echo", flags: "--echo-auth /echo --secret-file {secret}", token: eachItsOwn, ask: idle(false)},
		{name: "idle-room", title: "Idle: server RSS per connection, usher's each with a token of its own and in one room, the others' silent", key: "rss_per_connection",
			unit: Bytes, path: "/echo", flags: "--secret-file {secret}", usherPath: "/ws/lobby", token: eachItsOwn, ask: idle(true)},
		overTLS(echo("echo-tls", "Echo over TLS: server CPU per message, 100 connections, 20 B", perMessage, 100, Echo{Size: 20})),
		overTLS(question{name: "handshake-tls", title: "Handshake with TLS: server CPU each", key: perMessage, unit: Nanos,
			path: "/echo", flags: "--echo /echo", ask: handshake}),
		overTLS(question{name: "idle-tls", title: "Idle over TLS: server anonymous memory per connection", key: "anon_per_connection", unit: Bytes,
			path: "/echo", flags: "--echo /echo", ask: idle(false)}),
		through(echo("guard-20", "Through a proxy: its CPU per message and its echo, 100 connections, 20 B", perMessage, 100, Echo{Size: 20})),
		through(echo("guard-16k", "Through a proxy: its CPU per message and its echo, 100 connections, 16 KiB", perMessage, 100, Echo{Size: 16 << 10})),
		through(echo("guard-20x16", "Through a proxy: its CPU per message and its echo, 100 connections, 20 B, 16 in flight", perMessage, 100,
			Echo{Size: 20, InFlight: 16})),
		through(question{name: "guard-idle", title: "Through a proxy: its anonymous memory per connection and the one behind it", key: "anon_per_connection",
			unit: Bytes, path: "/echo", ask: func(v *Versus, c Common) (*Report, error) {
				c.Conns = min(v.Conns, maxPairs)
				return Idle{Common: c, Hold: time.Millisecond}.Run(ctx)
			}}),
	}
}

// maxPairs is how many pairs of sockets a proxy gets, which may have 20,000 files.
const maxPairs = 9000

// asks reports whether the contender has an answer to q; for those of Others that is
// not known, but whether they speak TLS, and whether they are proxies.
func (q *question) asks(c contender) bool {
	if q.command(c) == "" {
		return false
	}
	return c.usher() || c.other || len(q.peers) == 0 || slices.Contains(q.peers, c.name)
}

// command is how c is started for q, "" if it is not.
func (q *question) command(c contender) string {
	switch {
	case q.secure:
		return c.secure
	case q.behind:
		return c.proxy
	}
	return c.command
}

// asked returns the questions that were named, or all.
func (v *Versus) asked(ctx context.Context) (list []question, err error) {
	all := questions(ctx)
	if len(v.Questions) == 0 {
		return all, nil
	}
	for _, name := range v.Questions {
		k := slices.IndexFunc(all, func(q question) bool { return q.name == name })
		if k < 0 {
			names := make([]string, len(all))
			for k, q := range all {
				names[k] = q.name
			}
			return nil, usagef("no such question: %q: want one of %s", name, strings.Join(names, ", "))
		}
		list = append(list, all[k])
	}
	return list, nil
}
