//go:build linux

package server

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/upgrade"
	"golang.org/x/sys/unix"
)

// talker is a raw client: what it sends goes out as it says, many messages in one
// write.
type talker struct {
	testing.TB
	conn *net.TCPConn
	in   *bufio.Reader
}

func talk(t testing.TB, addr, path string) *talker {
	c := rawDial(t, addr, path)
	return &talker{t, c, bufio.NewReader(c)}
}

// next returns the next frame of less than 126 bytes.
func (c *talker) next() (frame.Opcode, string, error) {
	var h [2]byte
	if _, err := io.ReadFull(c.in, h[:]); err != nil {
		return 0, "", err
	}
	b := make([]byte, h[1])
	_, err := io.ReadFull(c.in, b)
	return frame.Opcode(h[0] & 15), string(b), err
}

// upTo returns the texts before the next pong, or before the end of the connection
// and with its close frame.
func (c *talker) upTo(op frame.Opcode) (texts []string, last string) {
	c.Helper()
	for {
		got, payload, err := c.next()
		switch {
		case err != nil:
			c.Errorf("behind %d texts: %v", len(texts), err)
			return texts, ""
		case got == op:
			return texts, payload
		case got == frame.OpText:
			texts = append(texts, payload)
		default:
			c.Errorf("behind %d texts: got %v %q", len(texts), got, payload)
			return texts, ""
		}
	}
}

// volley is the numbers from on to before to, each a message.
func volley(from, to int) (b []byte) {
	for k := range to - from {
		b = append(b, masked(frame.OpText, fmt.Append(nil, from+k))...)
	}
	return b
}

var endPing = masked(frame.OpPing, []byte("end"))

func numbers(n int) (texts []string) {
	for k := range n {
		texts = append(texts, fmt.Sprint(k))
	}
	return texts
}

// The flood is a hundred times the rate for a second or so.
var flooded = limiter.Rate{Limit: 50, Burst: 25}

const (
	floodStep  = 10 * time.Millisecond
	floodSteps = 100
	perStep    = 50
)

// flood sends the flood and a ping, and returns what came back and how long it
// took at most.
func (c *talker) flood() (texts []string, sent int, most time.Duration) {
	begin := time.Now()
	go func() {
		defer c.conn.Write(endPing)
		for step := range floodSteps {
			c.conn.Write(volley(step*perStep, (step+1)*perStep))
			time.Sleep(floodStep)
		}
	}()
	texts, _ = c.upTo(frame.OpPong)
	return texts, floodSteps * perStep, time.Since(begin)
}

// beside keeps n well-behaved clients talking, at less than half their rate, until
// stop is called, which checks that each got all its echoes.
func beside(t *testing.T, addr, path string, n int) (stop func()) {
	t.Helper()
	quiet := make([]*talker, n)
	for k := range quiet {
		quiet[k] = talk(t, addr, path)
	}
	end := make(chan struct{})
	var all sync.WaitGroup
	for k, c := range quiet {
		all.Go(func() {
			pause := time.NewTicker(time.Second / 4)
			defer pause.Stop()
			time.Sleep(time.Duration(k%250) * time.Millisecond)
			for m := 0; ; m++ {
				text := fmt.Sprint(k, " says ", m)
				c.conn.Write(masked(frame.OpText, []byte(text)))
				if _, got, err := c.next(); got != text {
					t.Errorf("a quiet client got %q (%v), want %q", got, err, text)
					return
				}
				select {
				case <-pause.C:
				case <-end:
					return
				}
			}
		})
	}
	return func() { close(end); all.Wait() }
}

// countOf returns how often a limit led to an action.
func countOf(s *Server, route, limit, action string) (n int) {
	for _, c := range s.LimitStats() {
		if c.Route == route && c.Limit == limit && c.Action == action {
			n += int(c.Count)
		}
	}
	return n
}

// admitted checks that the flooder got its burst, not more than its rate admits, and in
// order. How much less a busy machine lets through cannot be told; the limiter's own tests
// are exact.
func admitted(t *testing.T, got []string, most time.Duration) {
	t.Helper()
	r := flooded
	high := int(float64(r.Limit)*most.Seconds()) + r.Burst
	if len(got) < r.Burst || len(got) > high {
		t.Errorf("%d messages passed in %v, want %d to %d", len(got), most, r.Burst, high)
	}
	last := -1
	for _, text := range got {
		var k int
		if fmt.Sscan(text, &k); k <= last {
			t.Fatalf("%d behind %d", k, last)
		}
		last = k
	}
}

// TestRungs: on each rung of the ladder a flooder at a hundred times its rate gets
// what the rung says, and its neighbour loses nothing.
func TestRungs(t *testing.T) {
	for _, c := range []struct {
		name   string
		limits Limits
		beside int
		flood  func(t *testing.T, s *Server, c *talker)
	}{
		{"drop", Limits{Over: Drop}, 1000, func(t *testing.T, s *Server, c *talker) {
			got, sent, most := c.flood()
			admitted(t, got, most)
			if n := countOf(s, "/echo", "messages", "drop"); n != sent-len(got) {
				t.Errorf("%d were dropped of %d, of which %d came back", n, sent, len(got))
			}
		}},
		{"warn", Limits{Over: Warn}, 100, func(t *testing.T, s *Server, c *talker) {
			got, sent, most := c.flood()
			echoes := slices.DeleteFunc(slices.Clone(got), func(text string) bool { return text == "slow down" })
			admitted(t, echoes, most)
			if n := len(got) - len(echoes); n < 1 || n > int(most.Seconds())+1 {
				t.Errorf("warned %d times in %v", n, most)
			}
			if n := countOf(s, "/echo", "messages", "warn"); n != sent-len(echoes) {
				t.Errorf("%d were dropped of %d, of which %d came back", n, sent, len(echoes))
			}
		}},
		{"delay", Limits{Over: Delay}, 100, func(t *testing.T, s *Server, c *talker) {
			const sent = 100 // at once
			begin := time.Now()
			c.conn.Write(append(volley(0, sent), endPing...))
			got, _ := c.upTo(frame.OpPong)
			took := time.Since(begin)
			if !slices.Equal(got, numbers(sent)) {
				t.Errorf("got %q, want all %d in order", got, sent)
			}
			if least := time.Duration(sent-flooded.Burst) * time.Second / 50; took < least-time.Millisecond {
				t.Errorf("took %v, want at least %v", took, least)
			}
			if n := countOf(s, "/echo", "messages", "delay"); n == 0 || n > sent-flooded.Burst+1 { // the ping waits too
				t.Errorf("%d were delayed, want at most %d", n, sent-flooded.Burst+1)
			}
		}},
		{"close", Limits{Over: Disconnect}, 100, func(t *testing.T, s *Server, c *talker) {
			begin := time.Now()
			c.conn.Write(volley(0, 5000))
			got, last := c.upTo(frame.OpClose)
			admitted(t, got, time.Since(begin))
			if len(got) < flooded.Burst || !strings.HasPrefix(last, "\x03\xf0messages_limit; retry-after-ms=") {
				t.Errorf("got %q and close %q", got, last)
			}
			if n := countOf(s, "/echo", "messages", "close"); n != 1 {
				t.Errorf("%d closes, want one", n)
			}
		}},
		{"delay, then close", Limits{Over: Delay, CloseAfter: 10}, 100, func(t *testing.T, s *Server, c *talker) {
			begin := time.Now()
			c.conn.Write(volley(0, 500))
			got, last := c.upTo(frame.OpClose)
			if want := numbers(len(got)); !slices.Equal(got, want) || len(got) < flooded.Burst+9 {
				t.Errorf("got %q, want the first %d and a few", got, flooded.Burst+9)
			}
			admitted(t, got, time.Since(begin))
			if !strings.HasPrefix(last, "\x03\xf0messages_limit; retry-after-ms=") {
				t.Errorf("close %q", last)
			}
			if d, n := countOf(s, "/echo", "messages", "delay"), countOf(s, "/echo", "messages", "close"); d != 9 || n != 1 {
				t.Errorf("%d delays and %d closes, want 9 and 1", d, n)
			}
		}},
		{"drop, then close", Limits{Over: Drop, CloseAfter: 1000}, 100, func(t *testing.T, s *Server, c *talker) {
			c.conn.Write(volley(0, 5000))
			got, _ := c.upTo(frame.OpClose)
			if len(got) < flooded.Burst {
				t.Errorf("got %q", got)
			}
			if d, n := countOf(s, "/echo", "messages", "drop"), countOf(s, "/echo", "messages", "close"); d != 999 || n != 1 {
				t.Errorf("%d drops and %d closes, want 999 and 1", d, n)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &Server{Loops: 2}
			c.limits.Messages = flooded
			s.Route("/echo", Route{Message: echo, Limits: c.limits, OnLimit: func(c Conn, v Violation) {
				if v.RetryAfter <= 0 || v.RetryAfter > time.Second/50 {
					t.Errorf("violation %+v", v)
				}
				c.Send(frame.OpText, []byte("slow down"))
			}})
			addr := start(t, s)
			stop := beside(t, addr, "/echo", c.beside)
			c.flood(t, s, talk(t, addr, "/echo"))
			stop()
		})
	}
}

// TestDelayIsExact: nothing comes faster than the limit. With USHER_TEST_LONG set it
// is ten seconds of it, and as punctual as can be asked of a machine that is not
// busy.
func TestDelayIsExact(t *testing.T) {
	const rate, burst = 1000, 10
	sent := 1000
	long := os.Getenv("USHER_TEST_LONG") != ""
	if long {
		sent = 10_000
	}
	s := &Server{}
	s.Route("/echo", Route{Message: echo, Limits: Limits{Messages: limiter.Rate{Limit: rate, Burst: burst}, Over: Delay}})
	c := talk(t, start(t, s), "/echo")
	begin := time.Now()
	go c.conn.Write(append(volley(0, sent), endPing...))
	got, _ := c.upTo(frame.OpPong)
	took := time.Since(begin)
	if !slices.Equal(got, numbers(sent)) {
		t.Errorf("got %d of %d, or not in order", len(got), sent)
	}
	least := time.Duration(sent-burst) * time.Second / rate
	t.Logf("%d messages at %d/s took %v, that is %v more than they must", sent, rate, took, took-least)
	if took < least-time.Millisecond || long && took > least+200*time.Millisecond {
		t.Errorf("took %v, want %v", took, least)
	}
}

// TestCost: a route says what its messages take.
func TestCost(t *testing.T) {
	rate := limiter.Rate{Limit: 100, Burst: 10}
	cost := func(m Message) int {
		switch m.Data[0] {
		case '!':
			panic("no price")
		case '-':
			return -5
		}
		return int(m.Data[0] - '0')
	}
	s := &Server{MessagesPerUser: limiter.Rate{Limit: 1e6, Burst: 1000}}
	for _, over := range []Action{Drop, Delay} {
		s.Route("/"+over.String(), Route{Guards: []upgrade.Guard{asUser}, Message: echo, Limits: Limits{Messages: rate, Over: over, Cost: cost}})
	}
	addr := start(t, s)
	send := func(c *talker, texts ...string) {
		var b []byte
		for _, text := range texts {
			b = append(b, masked(frame.OpText, []byte(text))...)
		}
		c.conn.Write(append(b, endPing...))
	}
	t.Run("drop", func(t *testing.T) {
		c := talk(t, addr, "/drop?alice")
		send(c, "9a", "9b", "0c", "-d", "0e")
		if got, _ := c.upTo(frame.OpPong); !slices.Equal(got, []string{"9a", "0c", "-d", "0e"}) {
			t.Errorf("got %q", got)
		}
	})
	t.Run("delay", func(t *testing.T) {
		c := talk(t, addr, "/delay?alice")
		begin := time.Now()
		send(c, "9a", "9b", "9c", "9d", "9e", "0f", "1g")
		if got, _ := c.upTo(frame.OpPong); !slices.Equal(got, []string{"9a", "9b", "9c", "9d", "9e", "0f", "1g"}) {
			t.Errorf("got %q", got)
		}
		if took := time.Since(begin); took < (5*9+1-10)*10*time.Millisecond-time.Millisecond {
			t.Errorf("46 tokens took %v at 100/s and 10 at once", took)
		}
	})
	t.Run("panic", func(t *testing.T) {
		c := talk(t, addr, "/drop?alice")
		c.conn.Write(masked(frame.OpText, []byte("!")))
		if _, last := c.upTo(frame.OpClose); !strings.HasPrefix(last, "\x03\xf3internal") {
			t.Errorf("close %q", last)
		}
	})
}

// A message that was over the byte limit with one of its fragments is dropped, also
// when the last one is within it.
func TestFragmentOverByteLimit(t *testing.T) {
	s := &Server{}
	s.Route("/echo", Route{Message: echo, Limits: Limits{Bytes: limiter.Rate{Limit: 1000, Burst: 1000}, Over: Drop}})
	c := talk(t, start(t, s), "/echo")
	first := append(frame.AppendHeader(nil, frame.Header{Opcode: frame.OpText, Masked: true, Length: 5000}), make([]byte, 5000)...)
	c.conn.Write(append(first, endPing...))
	c.upTo(frame.OpPong)
	c.conn.Write(frame.AppendHeader(nil, frame.Header{Fin: true, Opcode: frame.OpContinuation, Masked: true}))
	c.conn.Write(append(volley(7, 8), endPing...))
	if got, _ := c.upTo(frame.OpPong); !slices.Equal(got, []string{"7"}) {
		t.Errorf("got %d texts, want the small one only", len(got))
	}
	if n := countOf(s, "/echo", "bytes", "drop"); n != 1 {
		t.Errorf("%d drops, want one", n)
	}
}

// A message within its limits costs no allocation, with all of them on.
func TestLimitedEchoAllocatesNothing(t *testing.T) {
	rate := limiter.Rate{Limit: 1e9, Burst: 1e6}
	for _, over := range []Action{Drop, Delay} {
		s := &Server{MessagesPerUser: rate, MessagesPerIP: rate}
		b := newBench(t, s)
		s.userMessages.Rate, s.ipMessages.Rate = rate, rate
		b.bring(isOpen)
		l := b.l
		l.networks.set(b.s.Slot(), networkOf(netip.MustParseAddr("192.0.2.1")))
		l.introduce(b.s, &upgrade.Identity{Subject: "alice"}, false)
		r := l.routeOf(b.s)
		r.Limits, r.limited = Limits{Messages: rate, Bytes: rate, Over: over, Cost: func(Message) int { return 2 }}, true
		message, buf := masked(frame.OpText, []byte("hello")), make([]byte, 64)
		round := func() {
			if _, err := unix.Write(b.peer, message); err != nil {
				t.Fatal(err)
			}
			readable(b)
			b.drive.After()
			if n, _ := unix.Read(b.peer, buf); n < 7 {
				t.Fatalf("got % x", buf[:max(n, 0)])
			}
		}
		round()
		if n := testing.AllocsPerRun(200, round); n != 0 {
			t.Errorf("%v: %v allocations a message", over, n)
		}
		if s.userMessages.Len() != 1 || s.ipMessages.Len() != 1 {
			t.Errorf("%v: the shared buckets were not asked", over)
		}
	}
}
