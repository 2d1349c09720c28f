//go:build linux

package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
)

// This file is the NATS server of --cluster embedded. It keeps nothing on a disk: of two nodes
// JetStream could not lose one, as it needs a majority.

const (
	// routeUser is the name that nodes show each other with the token.
	routeUser = "usher"

	// natsPending is how much may wait for one connection of the server, which is cut if it takes
	// no more: what is slow must not make this process grow.
	natsPending = 16 << 20

	// natsConns is how many clients the server has at most, and natsRoutes about how many connections
	// with other servers: each is an open file, and those are for clients.
	natsConns  = 256
	natsRoutes = 64

	// natsLine is how long a line of NATS's protocol may be: the subject of a user is in it.
	natsLine = 64 << 10

	// natsWrite is for how long such a connection may take nothing.
	natsWrite = 5 * time.Second

	// natsPing is how often connections are pinged. One that does not answer twice is cut.
	natsPing = 2 * time.Second
)

// natsServer is the embedded server.
type natsServer struct {
	*natsserver.Server
	token string // that its clients show; "" if it asks for none
}

// startNATS starts the server of a node. close is to follow.
func startNATS(f *clusterFlags, m *membership, log *slog.Logger) (*natsServer, error) {
	options := &natsserver.Options{
		ServerName: m.node, NoSigs: true, NoLog: true,
		MaxControlLine: natsLine, MaxConn: natsConns,
		MaxPending: natsPending, WriteDeadline: natsWrite, PingInterval: natsPing, MaxPingsOut: 2,
		Cluster: natsserver.ClusterOpts{
			Name: "usher", PingInterval: natsPing, MaxPingsOut: 2, WriteDeadline: natsWrite, PoolSize: -1,
			ConnectRetries: -1, Compression: natsserver.CompressionOpts{Mode: natsserver.CompressionOff},
		},
	}
	var err error
	n := &natsServer{token: m.token}
	if f.ClusterClientListen != "" {
		if options.Host, options.Port, err = natsAddress(f.ClusterClientListen); err != nil {
			return nil, fmt.Errorf("--cluster-client-listen: %w", err)
		}
	} else {
		// A server without a listener for clients has none for other servers either. Nobody is told
		// of this one, or could use it.
		options.Host, options.Port, options.Cluster.NoAdvertise = "127.0.0.1", natsserver.RANDOM_PORT, true
		n.token = rand.Text() + rand.Text()
	}
	options.Authorization = n.token
	if f.ClusterListen != "" {
		if options.Cluster.Host, options.Cluster.Port, err = natsAddress(f.ClusterListen); err != nil {
			return nil, fmt.Errorf("--cluster-listen: %w", err)
		}
	}
	if m.tls != nil {
		options.TLSConfig, options.TLSVerify, options.TLSTimeout = m.tls.Clone(), true, natsWrite.Seconds()
		options.Cluster.TLSConfig, options.Cluster.TLSTimeout = m.tls.Clone(), natsWrite.Seconds()
	}
	for _, peer := range f.ClusterPeers {
		u := &url.URL{Scheme: "nats-route", Host: peer}
		if m.token != "" {
			u.User = url.UserPassword(routeUser, m.token)
		}
		options.Routes = append(options.Routes, u)
	}
	if m.token != "" {
		options.Cluster.Username, options.Cluster.Password = routeUser, m.token
	}
	if n.Server, err = natsserver.NewServer(options); err != nil {
		return nil, fmt.Errorf("cannot make the NATS server of --cluster embedded: %w", err)
	}
	failed := make(chan error, 1)
	n.SetLogger(natsLog{log, failed}, log.Enabled(context.Background(), slog.LevelDebug), false)
	n.Start()
	for !n.ReadyForConnections(50 * time.Millisecond) {
		select {
		case err = <-failed:
			n.close()
			return nil, err
		default:
		}
	}
	return n, nil
}

// close ends the server, and its connections to those of other nodes.
func (n *natsServer) close() {
	n.Shutdown()
	n.WaitForShutdown()
}

// natsAddress splits HOST:PORT as a nats-server wants it, for which a free port is -1.
func natsAddress(addr string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, err
	}
	if port, err = strconv.Atoi(text); port == 0 {
		port = natsserver.RANDOM_PORT
	}
	if host == "" {
		host = "0.0.0.0"
	}
	return host, port, err
}

// natsLog is the log of the server. What keeps it from starting goes to failed.
type natsLog struct {
	log    *slog.Logger
	failed chan<- error
}

func (l natsLog) say(level slog.Level, format string, v []any) {
	l.log.Log(context.Background(), level, "nats: "+fmt.Sprintf(format, v...))
}

// Noticef implements natsserver.Logger. What it has to say is for those who run nothing else.
func (l natsLog) Noticef(format string, v ...any) { l.say(slog.LevelDebug, format, v) }
func (l natsLog) Warnf(format string, v ...any)   { l.say(slog.LevelWarn, format, v) }
func (l natsLog) Errorf(format string, v ...any)  { l.say(slog.LevelWarn, format, v) } // a peer that is down, most often
func (l natsLog) Debugf(format string, v ...any)  { l.say(slog.LevelDebug, format, v) }
func (l natsLog) Tracef(string, ...any)           {}

// Fatalf is for what keeps the server from starting. It must return.
func (l natsLog) Fatalf(format string, v ...any) {
	select {
	case l.failed <- fmt.Errorf(format, v...):
	default:
		l.say(slog.LevelError, format, v)
	}
}
