//go:build linux

package play

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/usher-ws/usher/bench/internal/load"
)

func attacking(a Attack) func(*load.Client) player {
	return func(c *load.Client) player { return NewHostile(c, a) }
}

// TestFlood: the flood ends with a ping, and what comes until the pong counts.
func TestFlood(t *testing.T) {
	const allowed = 50
	var seen, passed, told atomic.Int64
	target := serve(t, func(conn *websocket.Conn) {
		for n := 0; ; n++ {
			kind, data, err := conn.ReadMessage()
			if err != nil {
				return
			}
			seen.Add(1)
			if n < allowed {
				passed.Add(1)
			} else {
				told.Add(1)
				kind, data = websocket.TextMessage, []byte("slow down")
			}
			if conn.WriteMessage(kind, data) != nil {
				return
			}
		}
	})
	g := begin(t, load.Config{Conns: 3, Targets: []load.Target{target}}, func(c *load.Client) player { return NewFlood(c, 20, false) })
	g.open()
	g.do(g.player.Start)
	g.await("warnings", func() bool { return g.tally.Other > 0 })
	g.over()
	got := [...]int64{int64(g.tally.Sent), int64(g.tally.Received), int64(g.tally.Other)}
	if want := [...]int64{seen.Load(), passed.Load(), told.Load()}; got != want {
		t.Errorf("sent, passed, told: got %d, want %d", got, want)
	}
	g.want(nil)
}

func TestAttackNames(t *testing.T) {
	for _, a := range Attacks() {
		var back Attack
		if err := back.UnmarshalText([]byte(a.String())); err != nil || back != a {
			t.Errorf("%v: got %v, %v", a, back, err)
		}
	}
	if err := new(Attack).UnmarshalText([]byte("none")); err == nil {
		t.Error("none: got no error")
	}
}

// TestSlowHead: the request grows, and does not end.
func TestSlowHead(t *testing.T) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	const first, more = 20, 3
	grown := make(chan []byte, 1)
	var all sync.WaitGroup
	all.Go(func() {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		head := make([]byte, first+more)
		if _, err := io.ReadFull(conn, head); err == nil {
			grown <- head
		}
	})
	g := begin(t, load.Config{Conns: 1, Targets: []load.Target{at(ln)}, Request: load.Request{First: first}}, attacking(SlowHead))
	g.do(g.player.Start)
	select {
	case head := <-grown:
		if got := string(head[first:]); got != "xxx" {
			t.Errorf("after the first bytes: got %q, want x after x", got)
		}
	case <-time.After(patience):
		t.Error("the head does not grow")
	}
	ln.Close()
	all.Wait()
}

// TestResetStorm: a connection that is let in leaves with a RST, and comes again.
func TestResetStorm(t *testing.T) {
	var resets atomic.Int64
	target := serve(t, func(conn *websocket.Conn) {
		if _, _, err := conn.ReadMessage(); errors.Is(err, syscall.ECONNRESET) {
			resets.Add(1)
		}
	})
	g := begin(t, load.Config{Conns: 2, Targets: []load.Target{target}}, attacking(ResetStorm))
	g.do(g.player.Start)
	g.await("resets", func() bool { return resets.Load() >= 10 })
	g.do(g.player.Stop)
	if g.tally.Opened < 10 {
		t.Errorf("let in: got %d, want at least 10", g.tally.Opened)
	}
	g.want(nil)
}

// TestFragments: one message, a byte at a time, without an end.
func TestFragments(t *testing.T) {
	const enough = 5000
	read := make(chan []byte, 1)
	target := serve(t, func(conn *websocket.Conn) {
		_, r, err := conn.NextReader()
		if err != nil {
			return
		}
		b := make([]byte, enough)
		if _, err := io.ReadFull(r, b); err == nil {
			read <- b
		}
		_, _ = io.Copy(io.Discard, r)
	})
	g := begin(t, load.Config{Conns: 1, Targets: []load.Target{target}}, attacking(Fragments))
	g.do(g.player.Start)
	select {
	case b := <-read:
		for _, c := range b {
			if c != 'x' {
				t.Fatalf("got %q, want x after x", b)
			}
		}
	case <-time.After(patience):
		t.Error("the message does not grow")
	}
	g.do(g.player.Stop)
}

// TestDeaf: slow readers and half-open connections take nothing: whoever writes to
// them is stuck in the end.
func TestDeaf(t *testing.T) {
	for _, a := range []Attack{SlowReader, HalfOpen} {
		stuck := make(chan int, 1)
		target := serve(t, func(conn *websocket.Conn) {
			block := make([]byte, 1<<20)
			for n := 0; ; n++ {
				_ = conn.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
				if err := conn.WriteMessage(websocket.BinaryMessage, block); err != nil {
					if isTimeout(err) {
						stuck <- n
					}
					return
				}
			}
		})
		g := begin(t, load.Config{Conns: 1, Targets: []load.Target{target}}, attacking(a))
		g.do(g.player.Start)
		select {
		case <-stuck:
		case <-time.After(patience):
			t.Errorf("%v: it takes all that is said", a)
		}
		g.do(g.player.Stop)
	}
}
