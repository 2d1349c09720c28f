//go:build linux

package server

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/usher-ws/usher/frame"
	"golang.org/x/sys/unix"
)

// troupe is connections of a bench whose callbacks do what a test wants.
type troupe struct {
	*bench
	all   []pair
	heard [][]byte // by each peer
	act   func(c Conn)
}

func newTroupe(t *testing.T, s *Server, n int) *troupe {
	t.Helper()
	x := &troupe{heard: make([][]byte, n)}
	s.Route("/act", Route{Message: func(c Conn, _ Message) error { x.act(c); return nil }})
	x.bench = newBench(t, s)
	for range n {
		p := x.open(fmt.Sprintf(upgradeHead, "/act"))
		x.all = append(x.all, p)
		x.peer = -1
		t.Cleanup(func() { unix.Close(p.peer) })
	}
	return x
}

func (x *troupe) conn(k int) Conn { return x.l.conn(x.all[k].s) }

// perform has the kth act in a callback of a message, when it is read from.
func (x *troupe) perform(k int, act func(c Conn)) {
	for x.all[k].s.Why() != 0 {
		x.pass()
	}
	x.act = act
	x.say(k, x.message("go"))
}

// say has the kth peer say something.
func (x *troupe) say(k int, data string) {
	x.of(k).send(data)
	readable(x.bench)
	x.peer = -1
}

// of is the bench of the kth.
func (x *troupe) of(k int) *bench {
	x.s, x.peer = x.all[k].s, x.all[k].peer
	return x.bench
}

// pass is one pass of the loop.
func (x *troupe) pass() {
	x.drive.Wake()
	x.drive.After()
	x.listen()
}

// finish is as many passes as there is something to do for, and returns how many.
func (x *troupe) finish() (n int) {
	for x.l.mail.queued.Load() || slices.ContainsFunc(x.all, func(p pair) bool { return p.s.Why() != 0 }) {
		x.pass()
		n++
	}
	x.listen()
	return n
}

// listen has all peers take what there is.
func (x *troupe) listen() {
	for k, p := range x.all {
		x.peer = p.peer
		x.heard[k] = append(x.heard[k], x.receive()...)
	}
	x.peer = -1
}

// texts returns the messages and pongs that the kth peer has heard and forgets them.
func (x *troupe) texts(k int) (all []string) {
	x.Helper()
	for b := x.heard[k]; len(b) > 0; {
		h, n, err := frame.ParseHeader(b)
		if err != nil || n == 0 || len(b) < n+int(h.Length) {
			x.Fatalf("no frame: %x", b)
		}
		text := string(b[n:][:h.Length])
		if h.Opcode == frame.OpPong {
			text = "pong " + text
		}
		all = append(all, text)
		b = b[n+int(h.Length):]
	}
	x.heard[k] = nil
	return all
}

func raw(s string) []byte { return []byte(s) }

// Whatever connections ask for, in whatever turns it is done: what one of them asked for
// comes in its order, what is published to a group comes to all its members in one order,
// and nothing is lost or comes twice.
func TestFlowsKeepAllOrders(t *testing.T) {
	const cast, elsewhere, events = 6, 6, 60
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 17))
		x := newTroupe(t, &Server{}, cast)
		groups := make([]Group, 3)
		var published [3]int         // by group
		var said [cast + 1][cast]int // by source and connection, to it alone
		var numbers [cast + 1]int    // by source
		member := func(c, g int) { _ = groups[g].Join(x.conn(c)) }
		for c := range cast {
			member(c, 0) // for good
		}
		x.finish()
		do := func(source int) {
			for range rng.IntN(80) {
				numbers[source]++
				stamp := fmt.Sprintf("%d %d", source, numbers[source])
				c, g := rng.IntN(cast), rng.IntN(len(groups))
				switch rng.IntN(6) {
				case 0:
					published[g]++
					if err := groups[g].Send(frame.OpText, raw(fmt.Sprintf("%s %d %d", stamp, g, published[g]))); err != nil {
						t.Error(err)
					}
				case 1, 2:
					if source < elsewhere && rng.IntN(2) == 0 {
						c = source
					}
					said[source][c]++
					if err := x.conn(c).Send(frame.OpText, raw(stamp)); err != nil {
						t.Error(err)
					}
				case 3:
					said[source][c]++
					if err := x.conn(c).SendPrepared(frame.Prepare(frame.OpText, raw(stamp))); err != nil {
						t.Error(err)
					}
				case 4:
					member(c, 1+rng.IntN(2))
				case 5:
					_ = groups[1+rng.IntN(2)].Leave(x.conn(c))
				}
			}
		}
		for range events {
			switch k := rng.IntN(cast + 2); {
			case k < cast:
				x.perform(k, func(Conn) { do(k) })
			case k == elsewhere:
				done := make(chan bool)
				go func() { do(elsewhere); close(done) }()
				<-done
			default:
				x.pass()
			}
		}
		x.finish()
		for c := range cast {
			var last [cast + 1]int
			var heard [cast + 1]int
			var order, count [3]int
			for _, s := range x.texts(c) {
				var source, number, g, n int
				fields, _ := fmt.Sscan(s, &source, &number, &g, &n)
				if number <= last[source] {
					t.Fatalf("seed %d: %d heard %q after number %d of the same", seed, c, s, last[source])
				}
				last[source] = number
				if fields == 2 {
					heard[source]++
					continue
				}
				if count[g]++; n <= order[g] {
					t.Fatalf("seed %d: %d heard %q after what was published as number %d", seed, c, s, order[g])
				}
				order[g] = n
			}
			for source := range heard {
				if heard[source] != said[source][c] {
					t.Errorf("seed %d: %d heard %d of %d that %d said", seed, c, heard[source], said[source][c], source)
				}
			}
			if count[0] != published[0] {
				t.Errorf("seed %d: %d heard %d of %d that were published", seed, c, count[0], published[0])
			}
		}
	}
}

// What takes many turns does not keep others waiting for more than one of them, and who asked
// for it is not read from until it is nearly done.
func TestFlowsTakeTurns(t *testing.T) {
	const most = 80 * deliveriesPerTurn
	x := newTroupe(t, &Server{}, 5)
	var mine, both Group
	_ = mine.Join(x.conn(1))
	_ = both.Join(x.conn(1))
	_ = both.Join(x.conn(0))
	x.finish()
	x.perform(0, func(Conn) {
		for n := range most {
			if err := x.conn(2+n%2).Send(frame.OpText, fmt.Append(nil, n)); err != nil {
				t.Fatal(err)
			}
		}
	})
	x.pass()
	if why := x.all[0].s.Why(); why&byMail == 0 {
		t.Errorf("it is held for %v, want the mailbox", why)
	}
	x.say(0, x.message("again")) // is read later
	x.perform(1, func(c Conn) {
		_ = c.Send(frame.OpText, raw("echo"))
		_ = mine.Send(frame.OpText, raw("mine"))
		_ = x.conn(4).Send(frame.OpText, raw("yours"))
		_ = c.Send(frame.OpText, raw("behind"))
	})
	x.listen()
	if got := x.texts(1); !slices.Equal(got, []string{"echo"}) {
		t.Errorf("at once it heard %q", got)
	}
	x.pass()
	if got := x.texts(1); !slices.Equal(got, []string{"mine", "behind"}) {
		t.Errorf("after a turn it heard %q", got)
	}
	if got := x.texts(4); !slices.Equal(got, []string{"yours"}) {
		t.Errorf("after a turn the other heard %q", got)
	}
	x.perform(1, func(Conn) { _ = both.Send(frame.OpText, raw("both")) })
	x.pass()
	if got := x.texts(0); !slices.Equal(got, []string{"both"}) {
		t.Errorf("a member that is held heard %q", got)
	}
	if n := x.finish(); n < 15 {
		t.Errorf("all was done after %d turns more", n)
	}
	for k := range 2 {
		for i, s := range x.texts(2 + k) {
			if want := fmt.Sprint(2*i + k); s != want {
				t.Fatalf("got %q, want %q", s, want)
			}
		}
	}
	x.act = func(c Conn) { _ = c.Send(frame.OpText, raw("at last")) }
	readable(x.of(0))
	x.listen()
	if got := x.texts(0); !slices.Equal(got, []string{"at last"}) {
		t.Errorf("when it was let go it said %q", got)
	}
	if n := len(x.l.work.flows.of) + len(x.l.mail.late.of) + len(x.l.mail.held) + x.l.mail.late.charged + x.l.mail.lane.charged; n != 0 {
		t.Errorf("something is left: %d", n)
	}
}

// A flow of its own does not overtake what is before it in a group: one that joins hears what
// is published later, and not what was before.
func TestFlowsMeet(t *testing.T) {
	x := newTroupe(t, &Server{}, 5)
	var g, other Group
	_ = g.Join(x.conn(3))
	_ = other.Join(x.conn(3))
	x.finish()
	flood := func(c Conn) {
		for n := range 4 * deliveriesPerTurn {
			_ = x.conn(3+n%2).Send(frame.OpText, raw("x"))
		}
	}
	x.perform(0, func(c Conn) { flood(c); _ = g.Send(frame.OpText, raw("before")) })
	x.perform(1, func(c Conn) {
		_ = g.Join(c)
		_ = c.Send(frame.OpText, raw("welcome"))
		_ = g.Send(frame.OpText, raw("joined"))
	})
	x.perform(2, func(c Conn) {
		flood(c)
		_ = other.Send(frame.OpText, raw("other"))
		_ = g.Send(frame.OpText, raw("after"))
	})
	x.pass()
	if n := len(x.texts(3)) + len(x.texts(4)); n != deliveriesPerTurn {
		t.Errorf("%d were delivered in a turn, want %d", n, deliveriesPerTurn)
	}
	x.finish()
	if got := x.texts(1); !slices.Equal(got, []string{"welcome", "joined", "after"}) {
		t.Errorf("the one that joined heard %q", got)
	}
	got := strings.ReplaceAll(strings.Join(x.texts(3), ""), "x", "")
	if strings.Replace(got, "other", "", 1) != "beforejoinedafter" || strings.Index(got, "other") > strings.Index(got, "after") {
		t.Errorf("the member heard %q", got)
	}
}
