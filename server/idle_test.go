//go:build linux

package server

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/usher-ws/usher/poller"
	"github.com/usher-ws/usher/stream"
	"golang.org/x/sys/unix"
)

// advance lets a tick pass, in as many turns as it takes.
func (b *bench) advance() {
	b.drive.Advance(1)
	for b.drive.Sweep() {
	}
}

// advanceToDue lets ticks pass up to the connection's deadline, and it is acted upon.
func (b *bench) advanceToDue() { b.advanceToDueOf(b.s) }

func (b *bench) advanceToDueOf(s link) {
	if at, now := b.drive.NextDue(s), b.l.Tick(); at > now {
		b.drive.Advance(at - 1 - now)
	}
	b.advance()
}

const pongs = "\x8a\x80\x00\x00\x00\x00"

// cutBy is how much later than it may a deadline is met at most: a tick has begun when
// it counts from there, and one more when it is over.
const cutBy = 3

// duesPerTurn is how many deadlines are acted upon before the connections have their turn.
const duesPerTurn = 256

// TestIdle: whatever the settings, a peer is pinged when it was silent for as long as they
// say, and closed when it was silent for the idle-timeout and did not answer for half of it.
// One that answers stays.
func TestIdle(t *testing.T) {
	for _, c := range []struct {
		interval, timeout time.Duration
		ping              time.Duration // 0: none
	}{
		{0, 0, 25 * time.Second}, // the defaults: 25s, 2m
		{-1, 0, time.Minute},
		{25 * time.Second, 5 * time.Second, 2500 * time.Millisecond},
		{time.Second, time.Minute, time.Second},
		{3 * time.Minute, 2 * time.Minute, time.Minute},
		{time.Hour, 24 * time.Hour, time.Hour},
		{time.Millisecond, 2 * time.Minute, time.Millisecond},
		{time.Millisecond, 100 * time.Millisecond, time.Millisecond},
		{-1, 100 * time.Millisecond, 50 * time.Millisecond},
		{25 * time.Second, 1, 25 * time.Second}, // half of a nanosecond is nothing
		{25 * time.Second, -1, 25 * time.Second},
		{time.Millisecond, -1, time.Millisecond},
		{-1, -1, 0},
	} {
		for _, answers := range []bool{true, false} {
			t.Run(fmt.Sprintf("%v %v %t", c.interval, c.timeout, answers), func(t *testing.T) {
				b := newBench(t, &Server{PingInterval: c.interval, IdleTimeout: c.timeout})
				b.bring(isOpen)
				limit := max(b.l.srv.idleTimeout(), 0)
				life, pinged, pings := b.l.Tick(), uint32(0), 0
				for range 100 {
					b.advanceToDue()
					silence := time.Duration(b.l.Tick()-life) * stream.TickLength
					got := b.receive()
					switch {
					case got == "":
					case got == string(pingFrame):
						pings++
						early := time.Duration(b.l.Tick()-life+1) * stream.TickLength
						if c.ping == 0 || early < c.ping*4/5 || silence > c.ping*6/5+cutBy*stream.TickLength {
							t.Fatalf("ping %d after %v of silence, want %v", pings, silence, c.ping)
						}
						pinged = b.l.Tick()
						if answers || limit == 0 {
							life = b.l.Tick()
						}
						if answers {
							b.send(pongs)
							readable(b)
						}
					case answers || limit == 0 || pings != 1 || !strings.HasSuffix(got, "idle_timeout"):
						t.Fatalf("after %v of silence, pinged %d times: got %q", silence, pings, got)
					default:
						unanswered := time.Duration(b.l.Tick()-pinged) * stream.TickLength
						if silence < limit || unanswered < limit/2 || silence > limit+cutBy*stream.TickLength && unanswered > limit/2+cutBy*stream.TickLength {
							t.Errorf("closed after %v of silence and %v without an answer, want %v", silence, unanswered, limit)
						}
						return
					}
				}
				if !answers && limit > 0 {
					t.Error("it was not closed")
				}
				if (answers || limit == 0) && (pings > 0) != (c.ping > 0) {
					t.Errorf("it was pinged %d times", pings)
				}
			})
		}
	}
}

// TestIdleCrowd: pings follow the number of connections. Of a crowd that came at once
// nobody is closed who answers, and the pings are spread; no turn has more than others.
func TestIdleCrowd(t *testing.T) {
	const crowd, timeout = 1000, 5 * time.Second
	b := newBench(t, &Server{IdleTimeout: timeout})
	var conns []pair
	for range crowd {
		conns = append(conns, b.open(fmt.Sprintf(upgradeHead, "/echo")))
	}
	defer func() {
		for _, p := range conns[:crowd-1] {
			unix.Close(p.peer)
		}
	}()
	even := crowd * int(stream.TickLength) / int(timeout/2*2/5) // of a crowd's pings in a tick
	buf := make([]byte, 64)
	total := 0
	for range stream.Ticks(4 * timeout) {
		b.advance()
		pings := 0
		for k, p := range conns {
			n, _ := unix.Read(p.peer, buf)
			if n <= 0 {
				continue
			}
			if string(buf[:n]) != string(pingFrame) {
				t.Fatalf("connection %d got %q", k, buf[:n])
			}
			pings++
			unix.Write(p.peer, []byte(pongs))
		}
		b.pass(conns)
		if total += pings; pings > 2*even {
			t.Fatalf("%d pings in one tick, want about %d at most", pings, even)
		}
	}
	if least := crowd * 4; total < least {
		t.Errorf("%d pings, want %d", total, least)
	}

	b.drive.Advance(stream.Ticks(timeout / 2)) // all at once
	for _, p := range conns {
		p.s.SetDue(b.l.Tick())
	}
	b.drive.Advance(1)
	for turns := 1; ; turns++ {
		more := b.drive.Sweep()
		pings := 0
		for _, p := range conns {
			if n, _ := unix.Read(p.peer, buf); n > 0 {
				pings++
			}
		}
		if want := min(duesPerTurn, crowd-(turns-1)*duesPerTurn); pings != max(want, 0) {
			t.Fatalf("turn %d: %d pings, want %d", turns, pings, want)
		}
		if !more {
			break
		}
	}
}

// TestTakingIsLife: bytes that the peer takes are signs of life, those of the ping are
// none, and one that has no room for the ping was not asked.
func TestTakingIsLife(t *testing.T) {
	const limit, ping, write = 100 * time.Second, 20 * time.Second, 300 * time.Second
	long := time.Duration(math.MaxInt64)
	for _, c := range []struct {
		name string
		// told is what the kernel says, at a time at which the ping was sent (0: not yet).
		told       func(now, pinged time.Duration) poller.Outgoing
		end        string
		from, upTo time.Duration // of its end
	}{
		{"nothing is sent to it", func(now, pinged time.Duration) poller.Outgoing {
			return poller.Outgoing{Sent: now - pinged, Acked: now - pinged}
		}, "idle_timeout", limit, limit},
		{"its network is gone", func(now, pinged time.Duration) poller.Outgoing {
			return poller.Outgoing{Unacked: true, Sent: time.Millisecond, Acked: now} // sent again and again
		}, "idle_timeout", limit, limit},
		{"its network is gone, and much waits", func(now, pinged time.Duration) poller.Outgoing {
			return poller.Outgoing{Unsent: 1 << 20, Unacked: true, Sent: time.Millisecond, Acked: now}
		}, "idle_timeout", limit, limit},
		{"it is sent something now and then", func(now, pinged time.Duration) poller.Outgoing {
			return poller.Outgoing{Sent: now % (50 * time.Second), Acked: now % (50 * time.Second)}
		}, "", 0, 0},
		{"it was sent something before the ping, and took it", func(now, pinged time.Duration) poller.Outgoing {
			last := 15 * time.Second
			if pinged != 0 {
				last = pinged
			}
			return poller.Outgoing{Sent: max(0, now-last), Acked: max(0, now-last)}
		}, "idle_timeout", 15*time.Second + limit, 16*time.Second + limit},
		{"it was sent something soon after the ping, and took it", func(now, pinged time.Duration) poller.Outgoing {
			last := max(pinged, min(now, 40*time.Second))
			return poller.Outgoing{Sent: max(0, now-last), Acked: max(0, now-last)}
		}, "idle_timeout", 40*time.Second + limit, 42*time.Second + limit},
		{"it reads slowly, and much waits", func(now, pinged time.Duration) poller.Outgoing {
			return poller.Outgoing{Unsent: 1 << 20, Unacked: true, Sent: 3 * time.Second, Acked: 3 * time.Second}
		}, "", 0, 0},
		{"it takes what has left slowly", func(now, pinged time.Duration) poller.Outgoing {
			return poller.Outgoing{Unacked: true, Sent: long, Acked: 3 * time.Second}
		}, "", 0, 0},
		{"it has no room, and says so", func(now, pinged time.Duration) poller.Outgoing {
			return poller.Outgoing{Unsent: 1 << 20, Sent: now, Acked: time.Second}
		}, "1006", write, write + limit/2},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &Server{PingInterval: ping, IdleTimeout: limit, WriteTimeout: write}
			b := newBench(t, s)
			b.bring(isOpen)
			begun := b.l.Tick()
			pinged := time.Duration(0)
			now := func() time.Duration { return time.Duration(b.l.Tick()-begun) * stream.TickLength }
			b.drive.Tell(func(int) poller.Outgoing { return c.told(now(), pinged) })
			for b.at() == isOpen && now() < 10*limit {
				b.advanceToDue()
				got := b.receive()
				switch {
				case got == string(pingFrame):
					pinged = now()
				case got != "" && !strings.HasSuffix(got, c.end), got != "" && c.end == "":
					t.Fatalf("after %v: got %q", now(), got)
				}
			}
			ended := b.at() != isOpen
			if ended != (c.end != "") {
				t.Fatalf("after %v: it is %v", now(), b.at())
			}
			if ended && (now() < c.from || now() > c.upTo+2*cutBy*stream.TickLength) {
				t.Errorf("ended after %v, want %v to %v", now(), c.from, c.upTo)
			}
			if ended && (c.end == "1006") != (b.at() == isFree) {
				t.Errorf("it is %v", b.at())
			}
		})
	}
}

// TestSlowTakerIsHeld: a peer that takes bytes so slowly that the kernel asks for no more
// meanwhile is not cut by the write-timeout.
func TestSlowTakerIsHeld(t *testing.T) {
	b := newBench(t, &Server{})
	b.bring(isHeld)
	b.drive.Tell(func(int) poller.Outgoing { return poller.Outgoing{Unsent: 1, Sent: 20 * time.Second} })
	for range stream.Ticks(10 * b.l.srv.writeTimeout()) {
		b.advance()
	}
	if got := b.at(); got != isHeld {
		t.Fatalf("it takes something every 20 s: it is %v, want %v", got, isHeld)
	}
	b.drive.Tell(func(int) poller.Outgoing { return poller.Outgoing{Unsent: 1, Sent: time.Hour} })
	for range stream.Ticks(b.l.srv.writeTimeout()) + 1 {
		b.advance()
	}
	if got := b.at(); got != isFree {
		t.Errorf("it takes nothing: it is %v, want %v", got, isFree)
	}
}

// TestHeldIsNotIdle: time in which a peer is not read does not count.
func TestHeldIsNotIdle(t *testing.T) {
	b := newBench(t, &Server{WriteTimeout: -1})
	b.bring(isHeld)
	for range stream.Ticks(10 * b.l.srv.idleTimeout()) {
		b.advance()
	}
	b.empty()
	b.receive()
	for range stream.Ticks(b.l.srv.pingAfter() * 3 / 4) {
		b.advance()
	}
	if got := b.receive(); got != "" || b.at() != isOpen {
		t.Errorf("right after it was held: got %q, it is %v", got, b.at())
	}
}

// TestIdleClockStops: the clock of a silence stands while we do not read, and goes on from where
// it was: a peer that is held now and then is pinged after as much silence as any other.
func TestIdleClockStops(t *testing.T) {
	const ping = 20 * time.Second
	for _, why := range []stream.Hold{stream.Backlog, byDelay, byJobs, stream.Turn, byDelay | stream.Turn} {
		b := newBench(t, &Server{PingInterval: ping, IdleTimeout: 10 * ping, WriteTimeout: -1})
		b.bring(isOpen)
		heard := uint32(0) // ticks
		for b.receive() == "" && heard < 3*stream.Ticks(ping) {
			for range stream.Ticks(ping / 10) {
				b.advance()
				heard++
			}
			b.s.Hold(why) // also for a backlog that is none
			b.l.transmit(b.s, nil)
			for range stream.Ticks(3 * ping) {
				b.advance()
			}
			b.s.Go(why)
			b.l.proceed(b.s)
		}
		if silence := time.Duration(heard) * stream.TickLength; silence < ping*8/10 || silence > ping*13/10+cutBy*stream.TickLength {
			t.Errorf("held for %b: pinged after %v of silence, want %v", why, silence, ping)
		}
	}
}

// TestAskedAgain: an answer may be behind what was not read, so a peer that was held is asked
// again before it is closed, and has time to answer.
func TestAskedAgain(t *testing.T) {
	const limit = 20 * time.Second
	b := newBench(t, &Server{IdleTimeout: limit})
	b.bring(isOpen)
	for b.receive() != string(pingFrame) {
		b.advance()
	}
	b.s.Hold(byDelay)
	b.l.transmit(b.s, nil)
	b.drive.Advance(stream.Ticks(10 * limit))
	b.s.Go(byDelay)
	b.l.proceed(b.s)
	for b.receive() != string(pingFrame) {
		if b.advance(); b.at() != isOpen {
			t.Fatalf("it was not asked again: it is %v", b.at())
		}
	}
	for range stream.Ticks(limit/2) - 1 {
		if b.advance(); b.at() != isOpen {
			t.Fatalf("it had no time to answer: it is %v", b.at())
		}
	}
	for range stream.Ticks(limit/10) + cutBy + 2 { // it may have been asked a fifth of half the limit early
		b.advance()
	}
	if got := b.receive(); !strings.HasSuffix(got, "idle_timeout") {
		t.Errorf("it does not answer: got %q", got)
	}
}

// TestLateHead: what holds up the loop is no time in which a request is late.
func TestLateHead(t *testing.T) {
	const limit = 5 * time.Second
	b := newBench(t, &Server{HandshakeTimeout: limit})
	b.bring(isHead)
	b.send("GET /echo HT")
	readable(b)
	for range 3 { // the first late look is left out
		b.drive.Late(time.Minute)
	}
	if got := b.at(); got != isHead {
		t.Fatalf("a client that had no time: it is %v, want %v", got, isHead)
	}
	for range stream.Ticks(limit) + 1 {
		b.advance()
	}
	if got := b.receive(); !strings.HasPrefix(got, "HTTP/1.1 408 ") {
		t.Errorf("a client that had its time: got %q", got)
	}
}

// TestAskedHasItsTime: a client that was slow with its request does not take the time of those
// that are asked about it.
func TestAskedHasItsTime(t *testing.T) {
	const limit = 5 * time.Second
	b := newBench(t, &Server{HandshakeTimeout: limit})
	b.bring(isHead)
	for range stream.Ticks(limit) - 2 {
		b.advance()
	}
	b.ask("/ask")
	for range stream.Ticks(limit) - 2 {
		b.advance()
	}
	if got := b.at(); got != isAsked {
		t.Fatalf("the authorizer has had almost its time: it is %v, want %v", got, isAsked)
	}
	for range 4 {
		b.advance()
	}
	if got := b.receive(); !strings.HasPrefix(got, "HTTP/1.1 503 ") {
		t.Errorf("nobody has answered: got %q", got)
	}
}

// TestLateLooks: a look at the deadlines that comes late is left out, the next one is not,
// and what a sender could not be heard with is not held against it.
func TestLateLooks(t *testing.T) {
	b := newBench(t, &Server{MessageTimeout: 2 * time.Second})
	b.bring(isOpen)
	b.send(b.message("hello")[:8])
	readable(b)
	b.advance()
	b.drive.Late(time.Minute) // the process was stopped
	b.drive.Late(time.Second) // and is slow
	if got := b.at(); got != isOpen {
		t.Fatalf("a sender that had no time: it is %v, want %v", got, isOpen)
	}
	for range stream.Ticks(2*time.Second) + 1 {
		b.advance()
	}
	if got := b.receive(); !strings.HasSuffix(got, "message_timeout") {
		t.Errorf("a sender that had its time: got %q", got)
	}
	if n := b.l.LateTicks(); n != 2 {
		t.Errorf("%d late ticks, want 2", n)
	}
}
