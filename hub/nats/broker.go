//go:build linux

package nats

import (
	"context"
	"fmt"
	"hash/maphash"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/usher-ws/usher/hub"
)

const (
	// maxOut and maxIn are how many bytes of messages wait at most for the network, and
	// those that came for their rooms. What comes when it is full is lost, and counted.
	maxOut = 16 << 20
	maxIn  = 16 << 20

	// maxArrived is how many messages nats.go may hand over before we look. We only put
	// them into queues, so that it is the time that our goroutine waits for a processor.
	maxArrived = 4096

	// goodbye is how long Close waits for what was published to leave.
	goodbye = time.Second
)

// Broker is a node of a cluster: a [hub.Broker] whose messages go through NATS. It is made by
// [Connect]. All methods are safe for any goroutine; only Ask, AskNode, Flush and Close may wait for
// the network.
type Broker struct {
	config Config
	node   hub.Node
	host   string // and process, to tell two of one name apart
	nc     *nats.Conn
	log    *slog.Logger

	out      outbox
	rooms    rooms
	arrived  chan *nats.Msg // of rooms and users
	shards   []queue[*nats.Msg]
	recent   recent
	members  members
	asks     asks
	servers  servers
	hubs     hubs
	counters counters

	connected  atomic.Bool
	changed    atomic.Int64          // when connected changed last, in nanoseconds since 1970
	why        atomic.Pointer[error] // it is not connected; nil: nobody has said
	maxPayload atomic.Int64
	resync     atomic.Bool   // others should say how far they are: something may be missing
	beatNow    chan struct{} // has a value when a beat is due

	leaving chan struct{} // closed by Close, at once
	left    chan struct{} // closed behind the last beat
	done    chan struct{} // closed by Close, at its end
	closing sync.Once
	running sync.WaitGroup

	said said // of connecting: nats.go's callbacks come one after the other
}

// Connect returns a broker, which connects to the servers and stays connected: also when none
// of them can be reached yet. An error means that it never could.
func Connect(c Config) (*Broker, error) {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	host, _ := os.Hostname() // only for people
	b := &Broker{
		config:  c,
		node:    hub.Node{Name: c.Node, Epoch: uint64(time.Now().UnixNano())},
		host:    fmt.Sprintf("%s, process %d", host, os.Getpid()),
		log:     c.Logger.With("node", c.Node),
		arrived: make(chan *nats.Msg, maxArrived),
		beatNow: make(chan struct{}, 1),
		leaving: make(chan struct{}),
		left:    make(chan struct{}),
		done:    make(chan struct{}),
	}
	b.out.begin(b.node)
	b.rooms.byTopic, b.rooms.bySubject = make(map[string]*room), make(map[string]*room)
	b.members.begin()
	b.changed.Store(time.Now().UnixNano())
	b.maxPayload.Store(1 << 20) // NATS's own default
	if err := b.connect(); err != nil {
		return nil, fmt.Errorf("nats: %w", err)
	}
	b.run()
	return b, nil
}

// connect makes the connection and what is subscribed to for good.
func (b *Broker) connect() (err error) {
	options := append(b.config.options(),
		nats.ConnectHandler(b.isConnected),
		nats.ReconnectHandler(b.isConnected),
		nats.DisconnectErrHandler(b.isDisconnected),
		nats.ReconnectErrHandler(b.isStillDisconnected),
		nats.ErrorHandler(b.hearFault),
	)
	if b.nc, err = nats.Connect(strings.Join(b.config.URLs, ","), options...); err != nil {
		return err
	}
	control := make(chan *nats.Msg, maxArrived)
	for subject, to := range map[string]chan *nats.Msg{
		subjectUser + "*":     b.arrived,
		subjectRetain + "*":   b.arrived,
		subjectValue + "*":    b.arrived,
		subjectRelay + "*":    b.arrived,
		marksTo(b.node) + "*": b.arrived,
		subjectBeat:           control,
		subjectSync:           control,
		subjectAsk:            control,
		asksTo(b.node):        control,
		subjectTell:           control,
		b.tellings():          control,
		answersTo(b.node):     control,
	} {
		if _, err = b.nc.ChanSubscribe(subject, to); err != nil {
			b.nc.Close()
			return err
		}
	}
	b.goEach(control, b.hearNote)
	return nil
}

// run starts the goroutines.
func (b *Broker) run() {
	b.running.Go(func() { b.out.each(b.done, b.send) })
	b.running.Go(func() { b.members.changes.each(b.done, func(c change) { c.to(c.node, c.here) }) })
	b.running.Go(b.beat)
	b.shards = make([]queue[*nats.Msg], runtime.GOMAXPROCS(0))
	for i := range b.shards {
		b.shards[i] = newQueue[*nats.Msg](maxIn / len(b.shards))
		b.running.Go(func() { b.shards[i].each(b.done, b.hear) })
	}
	b.goEach(b.arrived, b.sort)
}

// goEach calls f with all that comes through a channel, on a goroutine.
func (b *Broker) goEach(from <-chan *nats.Msg, f func(*nats.Msg)) {
	b.running.Go(func() {
		for {
			select {
			case <-b.done:
				return
			case m := <-from:
				f(m)
			}
		}
	})
}

var seed = maphash.MakeSeed()

// sort hands a message over to the goroutine that delivers for its room or user, whose token is
// behind the last dot.
func (b *Broker) sort(m *nats.Msg) {
	token := m.Subject[strings.LastIndexByte(m.Subject, '.')+1:]
	s := &b.shards[maphash.String(seed, token)%uint64(len(b.shards))]
	if !s.put(m, m.Size()) {
		b.counters.dropped.Add(1)
		b.resync.Store(true)
	}
}

// Close says goodbye to the other nodes and ends the connection. What was published leaves
// before, unless that takes longer than a second. Subscriptions hear nothing more when Close
// has returned; what is published later is heard here alone.
func (b *Broker) Close() {
	b.closing.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), goodbye)
		defer cancel()
		close(b.leaving)
		<-b.left
		_ = b.Flush(ctx) // or it has not left: then others find out by themselves
		close(b.done)
		b.connected.Store(false)
		b.nc.Close()
	})
	b.running.Wait()
}

// Name returns the node's name.
func (b *Broker) Name() string { return b.node.Name }

// Degraded reports whether the node is without a connection to NATS: then only its own members
// hear what is published here.
func (b *Broker) Degraded() bool { return !b.connected.Load() }

// State is how a node finds itself.
type State struct {
	Degraded bool       // see [Broker.Degraded]
	Since    time.Time  // Degraded is as it is
	Err      error      // why it is degraded, if that is known
	Nodes    []hub.Node // the others that are known, by name
	Twin     string     // where another process is that has this node's name; "" is nowhere
}

// State returns how the node finds itself.
func (b *Broker) State() State {
	s := State{
		Degraded: b.Degraded(),
		Since:    time.Unix(0, b.changed.Load()),
		Nodes:    b.members.all(),
		Twin:     b.members.whereTwin(),
	}
	if why := b.why.Load(); s.Degraded && why != nil {
		s.Err = *why
	}
	return s
}
