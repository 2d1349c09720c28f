//go:build linux

package main

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/usher-ws/usher/hub"
	"github.com/usher-ws/usher/hub/api"
	"github.com/usher-ws/usher/hub/nats"
)

// node ties this process to the others of a cluster while it runs.
type node struct {
	*nats.Broker
	own   *natsServer // nil: the servers are elsewhere
	began time.Time
	stop  chan struct{} // closed by close
	over  sync.WaitGroup
}

// joinTime is for how long a node that starts is not ready because it has not reached the cluster.
// Then it goes on alone: whoever deploys it while NATS is down has a server all the same.
const joinTime = 10 * time.Second

// join makes this process a node, if the settings say so. It is called before the server starts.
// close is to follow.
func (r *running) join(f *clusterFlags) (*node, error) {
	m := r.member
	if m == nil {
		return nil, nil
	}
	n := &node{stop: make(chan struct{})}
	config := nats.Config{
		URLs: m.servers, Node: m.node, TokenFile: f.ClusterTokenFile, CredsFile: m.creds, TLS: m.tls,
		Logger: r.log,
	}
	config.Encode, config.User = api.Verbatim, r.tellUser
	if r.app != nil {
		config.Encode, config.Lost, config.HasRoom = r.app.Encode, r.sayLost, r.app.HasRoom
	}
	var err error
	if m.servers == nil {
		if n.own, err = startNATS(f, m, r.log); err != nil {
			return nil, err
		}
		config.InProcess, config.TokenFile, config.Token, config.TLS = n.own, "", n.own.token, nil
	}
	if n.Broker, err = nats.Connect(config); err != nil {
		n.close()
		return nil, err
	}
	n.began = time.Now() // the broker's state is as old as this, or older, if it never was connected
	if r.app != nil {
		r.app.Hub().Broker = n.Broker
		_ = r.app.Hub().Listen() // never fails with this Broker
	}
	r.api.Nodes = n.Nodes("api")
	r.api.Serve()
	n.share(r.now.Load())
	n.over.Go(func() { n.catchUp(r.api, r.log) })
	r.log.Info("a node of a cluster; limits per user and per address are this node's own", "node", m.node)
	return n, nil
}

// share has the tickets of an entrance be good at all nodes.
func (n *node) share(e *entrance) {
	if n != nil && e.provider != nil {
		e.provider.Join(n.Nodes("ticket"))
	}
}

// catchUp learns what others know for good, bans and what rooms have retained, whenever a node
// comes: at the start, and when this one was away.
func (n *node) catchUp(a *api.API, log *slog.Logger) {
	const patience, again = 5 * time.Second, 2 * time.Second
	came := make(chan struct{}, 1)
	n.Watch(func(_ hub.Node, here bool) {
		if here {
			select {
			case came <- struct{}{}:
			default: // it is looked at anyway
			}
		}
	})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		<-n.stop
		cancel()
	}()
	looks := time.NewTicker(time.Second)
	defer looks.Stop()
	for connected := n.State().Since; ; {
		select {
		case <-n.stop:
			return
		case <-came:
		case <-looks.C: // one that stood still knows the others still, and has missed what was said all the same
			s := n.State()
			if s.Degraded || s.Since.Equal(connected) {
				continue
			}
			connected = s.Since
		}
		for ctx.Err() == nil {
			asking, done := context.WithTimeout(ctx, patience)
			silent, err := a.CatchUp(asking)
			done()
			if err == nil && len(silent) == 0 {
				break
			}
			log.Debug("not all nodes have told whom they have banned, and what rooms retain", "silent", silent, "err", err)
			select {
			case <-n.stop:
			case <-time.After(again):
			}
		}
	}
}

// close leaves the cluster.
func (n *node) close() {
	if n == nil {
		return
	}
	close(n.stop)
	n.over.Wait()
	if n.Broker != nil {
		n.Broker.Close()
	}
	if n.own != nil {
		n.own.close()
	}
}

// ready says how the node finds itself, for /readyz. One that has lost the others is welcome to new
// connections: its rooms go on, and where all have lost them nobody else is left.
func (n *node) ready() (status int, text string) {
	switch s := n.State(); {
	case s.Degraded && !s.Since.After(n.began) && time.Since(n.began) < joinTime:
		return http.StatusServiceUnavailable, "the cluster is not reached yet" + because(s.Err)
	case s.Degraded:
		return http.StatusOK, "degraded: the cluster is not reached since " + s.Since.UTC().Format(time.RFC3339) + because(s.Err)
	case s.Twin != "":
		return http.StatusOK, "degraded: another node has this node's name: " + s.Twin
	}
	return http.StatusOK, "ok"
}

// because is what follows when there is a reason.
func because(err error) string {
	if err == nil {
		return ""
	}
	return ": " + err.Error()
}

// tellUser passes on what a backend has to say to a user over NATS.
func (r *running) tellUser(user string, encode hub.Encoder) {
	if _, err := r.api.TellUser(user, encode); err != nil {
		r.log.Warn("a user was not told what a backend has to say", "err", err)
	}
}

// sayLost returns what members of a room are told when n messages of other nodes will never come.
func (r *running) sayLost(_ string, n uint64) hub.Encoder {
	text := "Some messages from elsewhere were lost."
	if n == 1 {
		text = "A message from elsewhere was lost."
	}
	encode, err := r.app.Encode("", text, nil)
	if err != nil {
		r.log.Error("a room is not told what was lost", "err", err)
	}
	return encode
}

// collectors returns what the metrics say of a node, nothing without one.
func (n *node) collectors() []prometheus.Collector {
	if n == nil {
		return nil
	}
	count := func(name, help string, of func(nats.Stats) uint64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "usher_cluster_" + name, Help: help}, func() float64 { return float64(of(n.Stats())) })
	}
	gauge := func(name, help string, of func(nats.State) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "usher_cluster_" + name, Help: help}, func() float64 { return of(n.State()) })
	}
	return []prometheus.Collector{
		gauge("degraded", "1 while no other node can be reached, else 0.", func(s nats.State) float64 {
			if s.Degraded {
				return 1
			}
			return 0
		}),
		gauge("nodes", "Nodes that are known, this one included.", func(s nats.State) float64 { return float64(len(s.Nodes) + 1) }),
		count("received_total", "Messages of other nodes and of backends that were delivered here.", func(s nats.Stats) uint64 { return s.Received }),
		count("lost_total", "Messages of other nodes, for rooms with members here, that will never come.", func(s nats.Stats) uint64 { return s.Lost }),
		count("unsent_total", "Messages of this node that others will never get.", func(s nats.Stats) uint64 { return s.Unsent }),
		count("dropped_total", "Messages that came faster than they could be delivered.", func(s nats.Stats) uint64 { return s.Dropped }),
		count("refused_total", "Messages of backends, over NATS, that were none.", func(s nats.Stats) uint64 { return s.Refused + s.Unknown + s.Malformed }),
	}
}
