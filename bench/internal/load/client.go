//go:build linux

package load

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"net/netip"
	"runtime"
	"time"

	"github.com/usher-ws/usher/client"
	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/stream"
)

// Player decides what is said over the connections of a Client. All methods are
// called on the loop and must not block. They may call any method of the Client
// but Do and Close, for any connection.
type Player interface {
	// Opened says that connection i is upgraded.
	Opened(i int)
	// Message hands over a message; data is valid until the callback returns.
	Message(i int, op frame.Opcode, data []byte)
	// Answered says that connection i got another answer than an upgrade; it is
	// closed next. The Response is valid until the callback returns.
	Answered(i int, a *client.Response)
	// Closed says that connection i is gone and can be dialed again. The Fault is
	// counted already; the zero Fault is an end that we wanted.
	Closed(i int, f Fault)
	// Turn ends a pass over the ready connections, and comes at the time it asked
	// for the last time. It returns when it wants to be called at the latest; 0
	// leaves that to the loop.
	Turn(now time.Duration) (next time.Duration)
}

// Ponger is a Player that wants to know of pongs. When a pong comes, the server has read
// all that was sent before the ping.
type Ponger interface {
	// Pong says that connection i got one.
	Pong(i int)
}

// Target is a server's door.
type Target struct {
	Addr netip.AddrPort
	Host string // for the header
	Path string // with the query
	Name string // of the server, which its certificate has to be for; "" is without TLS
}

// Config says what a Client dials. Conns and Targets are required.
type Config struct {
	Conns   int
	Targets []Target

	// Request is what is asked for, beside the target. The zero Request is a bare
	// upgrade.
	Request Request

	// TLS is for the handshake with targets that have a Name, which goes in; nil is an empty one.
	TLS *tls.Config

	// Sources are addresses to dial from, used in turn; none: the kernel's choice.
	Sources []netip.Addr

	// AtOnce is how many connections may be on their way to be open; 0: 128.
	AtOnce int

	// Timeout is for connecting together with the upgrade, and for the close;
	// 0: 10 s.
	Timeout time.Duration

	// MaxMessage is the largest message accepted; 0: 16 MiB.
	MaxMessage int
}

// Client is one loop with its connections. Make it with New, and Close it.
type Client struct {
	cfg      Config
	player   Player
	ponger   Ponger // the player, if it is one
	engine   *stream.Engine[client.Session[uint32], client.Extra]
	loop     *client.Loop[uint32]
	ws       *client.Client[uint32]
	requests []client.Request // one for each target
	secure   []*tls.Config    // one for each target, nil for those without TLS

	// Connections.
	places []place  // by number
	queue  []uint32 // numbers that wait to be dialed
	atOnce int
	onWay  int  // dialing, or asked
	opened int  // open now
	aim    int  // which source is next
	over   bool // the player is told of nothing any more

	// Waiting without sleeping.
	at       time.Duration // of the last recv
	last     time.Duration // Turn was called
	spinning bool          // since then nobody slept
	worked   bool          // since then something was received
	sent     uint64        // bytes in all, until then
	spun     time.Duration // in all, since the last Take

	// The account, since the last Take.
	tally Tally
	begun uint64 // bytes in all that were sent before
	cpu   cpuClock
	err   error // why the loop ended
	done  chan struct{}
}

const (
	// turnEvery is how long the player has to wait for its turn at most.
	turnEvery = 100 * time.Millisecond
	// defaultAtOnce stays far below net.core.somaxconn, which is 4,096 on Linux
	// since 5.4: a full backlog costs a second, the retransmission of a SYN.
	defaultAtOnce = 128
	// spinAhead is how long before the player's turn the loop stops sleeping: more
	// than a timer is late by, on a machine that has a processor for it.
	spinAhead = 200 * time.Microsecond
)

// New starts a client whose connections player decides about.
func New(cfg Config, player func(*Client) Player) (*Client, error) {
	if len(cfg.Targets) == 0 || cfg.Conns <= 0 {
		return nil, fmt.Errorf("load: %d connections to %d targets: want at least one of each", cfg.Conns, len(cfg.Targets))
	}
	c := &Client{
		cfg:    cfg,
		places: make([]place, cfg.Conns),
		queue:  make([]uint32, 0, cfg.Conns),
		atOnce: cmp.Or(cfg.AtOnce, defaultAtOnce),
		done:   make(chan struct{}),
	}
	for i := range cfg.Targets {
		c.requests = append(c.requests, cfg.Request.of(&cfg.Targets[i]))
		if i > 0 && cfg.Targets[i].Name == cfg.Targets[i-1].Name {
			c.secure = append(c.secure, c.secure[i-1])
		} else {
			c.secure = append(c.secure, cfg.secure(cfg.Targets[i].Name))
		}
	}
	var err error
	c.engine, err = stream.New(stream.Config[client.Extra]{Loops: 1, ReadAlways: true, Weigh: client.Weigh}, c.handler)
	if err != nil {
		return nil, err
	}
	c.player = player(c)
	c.ponger, _ = c.player.(Ponger)
	if err := c.engine.Start(); err != nil {
		c.engine.Close()
		return nil, err
	}
	// The loop keeps its thread, so that the thread's CPU is the loop's.
	return c, c.Do(func() {
		runtime.LockOSThread()
		c.cpu = readCPU()
		c.tally.reset()
	})
}

// handler makes c the owner of the loop's connections.
func (c *Client) handler(l *client.Loop[uint32]) stream.Handler[client.Session[uint32], client.Extra] {
	o := &side{c: c}
	o.Client = client.New(l, o, client.Config{Timeout: c.cfg.Timeout, MaxMessage: c.cfg.MaxMessage})
	c.loop, c.ws = l, o.Client
	return o
}

// secure returns the Config of the handshakes with a server of a name, nil if there are none.
// HTTP/1.1 is the protocol that browsers ask for when they want a WebSocket.
func (cfg *Config) secure(name string) *tls.Config {
	if name == "" {
		return nil
	}
	config := &tls.Config{}
	if cfg.TLS != nil {
		config = cfg.TLS.Clone()
	}
	config.ServerName = name
	config.NextProtos = []string{"http/1.1"}
	return config
}

// Do runs f on the loop and waits for it. Safe for any goroutine but the loop's.
func (c *Client) Do(f func()) error {
	done := make(chan struct{})
	if err := c.loop.Post(func() { f(); close(done) }); err != nil {
		return err
	}
	select {
	case <-done:
		return nil
	case <-c.done:
		return c.err
	}
}

// Close ends the loop and closes every connection, without a word to the player.
func (c *Client) Close() error {
	cut := func() {
		c.over = true
		for s := range c.loop.All() {
			s.Cut(nil)
		}
	}
	err := c.Do(func() {
		cut()
		runtime.UnlockOSThread() // else the thread would end with the loop
	})
	if err != nil {
		select {
		case <-c.done: // nothing runs on the loop any more
			cut()
		default:
		}
	}
	return c.loop.Close()
}

// Conns returns how many connections there can be.
func (c *Client) Conns() int { return len(c.places) }

// Open returns how many connections are open now.
func (c *Client) Open() int { return c.opened }

// Waiting returns how many connections are on their way to be open.
func (c *Client) Waiting() int { return c.onWay + len(c.queue) }

// IsOpen reports whether connection i is open.
func (c *Client) IsOpen(i int) bool {
	s, ok := c.link(i)
	return ok && s.Data().State() == client.Open
}

// IsUnused reports whether connection i can be dialed.
func (c *Client) IsUnused(i int) bool { return c.places[i] == unused }

// Now reads the clock: the time since the client began.
func (c *Client) Now() time.Duration { return time.Since(c.engine.Origin()) }

// At is when what is being handled was received: one reading of the clock serves
// all messages of a recv.
func (c *Client) At() time.Duration { return c.at }

// Count adds n faults that the player found.
func (c *Client) Count(f Fault, n int) { c.tally.Faults.Add(f, n) }

// Tally returns the account for the player to add to.
func (c *Client) Tally() *Tally { return &c.tally }
