//go:build linux

package nats

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/usher-ws/usher/hub"
)

// Config is what [Connect] needs to know. URLs, or InProcess, and Node must be set. The
// functions are called on goroutines of the broker's, which deliver messages: they must not
// wait for anything. nil functions do nothing.
type Config struct {
	// URLs of servers of one NATS cluster, such as nats://10.0.0.1:4222. Others that these
	// name are found by themselves.
	URLs []string

	// InProcess is a server in this process, to connect to without a socket; then URLs
	// are not used.
	InProcess interface{ InProcessConn() (net.Conn, error) }

	// Node is the name of this process in the cluster, 1 to 64 of the characters A to Z,
	// a to z, 0 to 9, ., _ and -. No two processes may have one name at a time: that is
	// found, logged and told by [Broker.State], but not prevented.
	Node string

	// TokenFile and CredsFile are files of what to show to the servers: a token, or a JWT
	// and its seed. They are read whenever a connection is made, so new ones only need to be
	// written there. "" means none.
	TokenFile, CredsFile string

	// Token is one that is in no file, as of a server in this process.
	Token string

	// TLS is for connections to the servers; nil means what the URLs say, by the
	// certificate authorities of the system.
	TLS *tls.Config

	// Encode makes a message of a backend that publishes over NATS: from may be "", and of
	// text and json one is given. Without Encode such messages are not heard.
	Encode func(from, text string, json []byte) (hub.Encoder, error)

	// HasRoom reports whether there can be a room of a name in which a backend wants something to be
	// retained; nil is for any.
	HasRoom func(name string) bool

	// User is called with a message of a backend for a user, by any name: it sends it to
	// the connections that the user has at this node, if any.
	User func(user string, encode hub.Encoder)

	// Lost is called when messages that were published at other nodes will never come: n
	// of a topic with members here. It returns what these are told in their place; a nil
	// Encoder tells them nothing.
	Lost func(topic string, n uint64) hub.Encoder

	// Logger hears of connections that end and come back, and of faults; nil means
	// slog.Default.
	Logger *slog.Logger
}

const (
	// reconnectWait is how long a node waits before it tries the servers again, and up
	// to half of it more.
	reconnectWait = 250 * time.Millisecond

	// A server that answers none of two pings is taken for dead, and so is one that has
	// taken no byte for writeTimeout.
	pingInterval = 2 * time.Second
	pingsOut     = 2
	writeTimeout = 5 * time.Second
)

// check returns what is wrong with c.
func (c *Config) check() error {
	switch {
	case len(c.URLs) == 0 && c.InProcess == nil:
		return errors.New("nats: Config.URLs is empty: name a server")
	case len(c.Node) > 64 || !isPlain(strings.ReplaceAll(c.Node, ".", "-")):
		return fmt.Errorf("nats: Config.Node is %q: it must be 1 to 64 of the characters A-Z, a-z, 0-9, ., _ and -", c.Node)
	}
	if c.TokenFile != "" {
		if _, err := os.ReadFile(c.TokenFile); err != nil {
			return fmt.Errorf("nats: %w", err)
		}
	}
	if c.CredsFile != "" {
		if err := CheckCreds(c.CredsFile, time.Now()); err != nil {
			return fmt.Errorf("nats: %w", err)
		}
	}
	return nil
}

// options returns those of the connection. A server that is not there yet is waited for, and
// so is one that does not let us in: what it lets in may change.
func (c *Config) options() []nats.Option {
	all := []nats.Option{
		nats.Name("usher " + c.Node),
		nats.NoEcho(),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(reconnectWait/2, reconnectWait/2),
		nats.ReconnectBufSize(-1), // what cannot leave now is lost, and counted
		nats.IgnoreAuthErrorAbort(),
		nats.PingInterval(pingInterval),
		nats.MaxPingsOutstanding(pingsOut),
		nats.FlusherTimeout(writeTimeout),
		nats.SkipSubjectValidation(), // they are made of tokens
	}
	if c.InProcess != nil {
		all = append(all, nats.InProcessServer(c.InProcess))
	}
	if c.TLS != nil {
		all = append(all, nats.Secure(c.TLS))
	}
	if c.CredsFile != "" {
		all = append(all, nats.UserCredentials(c.CredsFile))
	}
	if c.Token != "" {
		all = append(all, nats.Token(c.Token))
	}
	if file := c.TokenFile; file != "" {
		all = append(all, nats.TokenHandler(func() string {
			b, err := os.ReadFile(file)
			if err != nil {
				c.Logger.Error("the token of the cluster cannot be read", "err", err)
			}
			return strings.TrimSpace(string(b))
		}))
	}
	return all
}
