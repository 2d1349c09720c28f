//go:build linux

package load

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/poller"
	"golang.org/x/sys/unix"
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
	// closed next. The Answer is valid until the callback returns.
	Answered(i int, a *Answer)
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
}

// Config says what a Client dials. Conns and Targets are required.
type Config struct {
	Conns   int
	Targets []Target

	// Request is what is asked for, beside the target. The zero Request is a bare
	// upgrade.
	Request Request

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
	cfg    Config
	player Player
	ponger Ponger // the player, if it is one
	poll   *poller.Loop
	origin time.Time

	// Connections.
	slots  []slot
	queue  []uint32 // numbers that wait to be dialed
	onWay  int      // dialing or greeting
	opened int      // open now
	aim    int      // which source is next

	// What straddles.
	partials map[uint32]*frame.Partial
	heads    map[uint32][]byte
	backlog  map[uint32][]byte

	// Memory every connection uses in turn.
	buf     []byte
	proto   frame.Protocol
	frame   frame.Config
	out     []byte
	current int // which connection's event is being handled, -1: none
	feeding int // which connection the protocol works for, -1: none
	seed    uint64

	// Time.
	at    time.Duration // of the last recv
	swept time.Duration
	timer time.Duration // what the timer is set to; 0: nothing

	// Waiting without sleeping.
	last     time.Duration // After was called
	spinning bool          // since then nobody slept
	worked   bool          // since then something was received or sent
	spun     time.Duration // in all, since the last Take

	// The account, since the last Take.
	tally Tally
	cpu   cpuClock
	err   error // why the loop ended
	done  chan struct{}
}

const (
	// readSize is the shared read buffer: one recv of a busy connection.
	readSize = 64 << 10
	// sweepEvery is how exact a timeout is.
	sweepEvery = 100 * time.Millisecond
	// defaultAtOnce stays far below net.core.somaxconn, which is 4,096 on Linux
	// since 5.4: a full backlog costs a second, the retransmission of a SYN.
	defaultAtOnce     = 128
	defaultTimeout    = 10 * time.Second
	defaultMaxMessage = 16 << 20
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
		cfg:      cfg,
		origin:   time.Now(),
		slots:    make([]slot, cfg.Conns),
		partials: make(map[uint32]*frame.Partial),
		heads:    make(map[uint32][]byte),
		backlog:  make(map[uint32][]byte),
		buf:      make([]byte, readSize),
		current:  -1,
		feeding:  -1,
		seed:     newSeed(),
		done:     make(chan struct{}),
	}
	for i := range c.slots {
		c.slots[i].fd = -1
	}
	c.frame = frame.Config{Client: true, MaxMessage: orDefault(cfg.MaxMessage, defaultMaxMessage)}
	c.player = player(c)
	c.ponger, _ = c.player.(Ponger)
	poll, err := poller.New(c, c.origin)
	if err != nil {
		return nil, err
	}
	c.poll = poll
	if err := poll.Start(); err != nil {
		_ = poll.Close()
		return nil, err
	}
	// The loop keeps its thread, so that the thread's CPU is the loop's.
	return c, c.Do(func() {
		runtime.LockOSThread()
		c.cpu = readCPU()
		c.tally.reset()
	})
}

func orDefault[N int | time.Duration](n, otherwise N) N {
	if n == 0 {
		return otherwise
	}
	return n
}

// Do runs f on the loop and waits for it. Safe for any goroutine but the loop's.
func (c *Client) Do(f func()) error {
	done := make(chan struct{})
	if err := c.poll.Post(func() { f(); close(done) }); err != nil {
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
	_ = c.Do(runtime.UnlockOSThread) // else the thread would end with the loop
	err := c.poll.Close()
	for i := range c.slots {
		if s := &c.slots[i]; s.fd >= 0 {
			unix.Close(int(s.fd))
			s.fd = -1
		}
	}
	return err
}

// Conns returns how many connections there can be.
func (c *Client) Conns() int { return len(c.slots) }

// Open returns how many connections are open now.
func (c *Client) Open() int { return c.opened }

// Waiting returns how many connections are on their way to be open.
func (c *Client) Waiting() int { return c.onWay + len(c.queue) }

// IsOpen reports whether connection i is open.
func (c *Client) IsOpen(i int) bool { return c.slots[i].state == open }

// IsUnused reports whether connection i can be dialed.
func (c *Client) IsUnused(i int) bool { return c.slots[i].state == unused }

// Now reads the clock: the time since the client began.
func (c *Client) Now() time.Duration { return time.Since(c.origin) }

// At is when what is being handled was received: one reading of the clock serves
// all messages of a recv.
func (c *Client) At() time.Duration { return c.at }

// Count adds n faults that the player found.
func (c *Client) Count(f Fault, n int) { c.tally.Faults.Add(f, n) }

// Tally returns the account for the player to add to.
func (c *Client) Tally() *Tally { return &c.tally }

// Ready handles what the kernel says about a connection.
func (c *Client) Ready(data uint64, ev poller.Event) {
	i := int(uint32(data))
	c.worked = true
	s := &c.slots[i]
	if s.gen != uint32(data>>32) {
		return // an earlier event of the same pass closed it
	}
	switch s.state {
	case dialing:
		c.connected(i, s)
	case greeting:
		c.ready(i, s, ev, c.readAnswer)
	case open, leaving:
		c.ready(i, s, ev, c.readFrames)
	case unused, queued:
	default:
		c.err = fmt.Errorf("load: connection %d is in state %d", i, s.state)
	}
}

// ready writes what waits and reads what came, in that order: reading may close
// the connection.
func (c *Client) ready(i int, s *slot, ev poller.Event, read func(int, *slot)) {
	gen := s.gen
	if ev&poller.Writable != 0 {
		c.flushBacklog(i, s)
	}
	if ev&(poller.Readable|poller.Hangup) == 0 || s.gen != gen {
		return
	}
	c.current = i
	read(i, s)
	c.current = -1
	if s.gen == gen {
		c.flush(i, s)
	}
	c.out = c.out[:0]
}

// Wake has nothing to do: what is posted has run.
func (c *Client) Wake() {}

// Timer leaves all to After, which follows.
func (c *Client) Timer() { c.timer = 0 }

// After ends a pass: connections past their timeout are closed, those that wait are
// dialed, the player has its turn, and the timer is set.
func (c *Client) After() {
	now := c.Now()
	if c.spinning && !c.worked {
		c.spun += now - c.last
	}
	c.last, c.worked = now, false
	if now-c.swept >= sweepEvery {
		c.swept = now
		c.sweep(now)
	}
	c.dialQueued()
	c.schedule(c.player.Turn(now))
}

// schedule sets the timer to the next sweep, or to shortly before the player wants
// its turn if that is earlier; the rest of the time until then the loop spins.
func (c *Client) schedule(turn time.Duration) {
	at := c.swept + sweepEvery
	if turn != 0 {
		at = min(at, turn-spinAhead)
	}
	c.spinning = turn != 0 && turn-spinAhead <= c.last
	if c.spinning {
		c.poll.Spin(turn)
	}
	if c.timer != 0 && c.timer <= at {
		return
	}
	c.timer = at
	_ = c.poll.SetTimer(at)
}

// Failed says that the loop cannot go on.
func (c *Client) Failed(err error) {
	c.err = errors.Join(errors.New("load: the event loop ended"), err)
	close(c.done)
}
