//go:build linux

package bench

import (
	"net/netip"
	"time"

	"github.com/usher-ws/usher/bench/internal/load"
	"github.com/usher-ws/usher/bench/internal/play"
)

// doorPlan is what connections send in their request, as a value that can be sent.
type doorPlan struct {
	Header       [][2]string
	Origin       string
	Subprotocols string
	Token        Token
	Padding      int
	First        int
}

// role is which player a worker has.
type role uint8

const (
	echoRole role = iota
	doorRole
	fanoutRole
	floodRole
	hostileRole
)

// plan is all that a worker needs to know. It is a value that can be sent.
type plan struct {
	Role    role
	Conns   int
	First   int // the number of the first connection, among those of all workers
	Targets []load.Target
	Door    doorPlan
	TLS     TLS
	Sources []netip.Addr
	AtOnce  int
	Timeout time.Duration
	Return  bool // what was lost is dialed again when connections are asked for again

	Echo    play.EchoConfig
	Fanout  play.FanoutConfig
	Refused bool        // doorRole
	Attack  play.Attack // hostileRole
}

// player is a load.Player that can be told to begin and to end.
type player interface {
	load.Player
	Start()
	Stop()
	Pending() int
}

// stretch is what a worker did since it was asked the last time, and how it
// stands.
type stretch struct {
	load.Tally
	Waiting int // connections on their way to be open
	Pending int // answers awaited
}

// hand is one client with its player, in this process or another.
type hand interface {
	open(n int) error // lets there be n connections, in all; does not wait
	start() error
	stop() error
	take() (stretch, error)
	close() error
}

// worker is a hand in this process.
type worker struct {
	client *load.Client
	player player
	asked  int // connections
	plan   plan
}

// newWorker starts a client as planned.
func newWorker(p plan) (*worker, error) {
	w := &worker{plan: p}
	secure, err := p.TLS.config()
	if err != nil {
		return nil, err
	}
	w.client, err = load.New(load.Config{
		Conns:   p.Conns,
		Targets: turned(p.Targets, p.First),
		Request: load.Request{
			Header:       p.Door.Header,
			Origin:       p.Door.Origin,
			Subprotocols: p.Door.Subprotocols,
			Token:        p.Door.Token.source(p.First),
			Padding:      p.Door.Padding,
			First:        p.Door.First,
		},
		TLS:     secure,
		Sources: turned(p.Sources, p.First),
		AtOnce:  p.AtOnce,
		Timeout: p.Timeout,
	}, func(c *load.Client) load.Player {
		w.player = newPlayer(c, &p)
		return w.player
	})
	if err != nil {
		return nil, err
	}
	return w, nil
}

func newPlayer(c *load.Client, p *plan) player {
	switch p.Role {
	case doorRole:
		return play.NewDoor(c, p.Refused)
	case fanoutRole:
		return play.NewFanout(c, p.Fanout)
	case floodRole:
		return play.NewFlood(c, p.Echo.Size, p.Echo.Text)
	case hostileRole:
		return play.NewHostile(c, p.Attack)
	default:
		return play.NewEcho(c, p.Echo)
	}
}

// turned returns list, begun at its element n modulo its length: workers do not
// all begin at the same door.
func turned[T any](list []T, n int) []T {
	if len(list) == 0 {
		return nil
	}
	n %= len(list)
	return append(append([]T(nil), list[n:]...), list[:n]...)
}

func (w *worker) open(n int) error {
	return w.client.Do(func() {
		if w.plan.Return {
			w.asked = 0
		}
		for ; w.asked < n; w.asked++ {
			w.client.Dial(w.asked)
		}
	})
}

func (w *worker) start() error { return w.client.Do(w.player.Start) }
func (w *worker) stop() error  { return w.client.Do(w.player.Stop) }
func (w *worker) close() error { return w.client.Close() }

func (w *worker) take() (s stretch, err error) {
	err = w.client.Do(func() {
		s.Tally = w.client.Take()
		s.Waiting, s.Pending = w.client.Waiting(), w.player.Pending()
	})
	return s, err
}
