//go:build linux

package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/internal/websocket"
	"github.com/usher-ws/usher/upgrade"
)

// audience is a server of three loops, and those that were opened.
func audience(t *testing.T) (s *Server, addr string, opened chan Conn) {
	s = &Server{Loops: 3}
	opened = make(chan Conn, 10_000)
	s.Route("/{user}", Route{
		Guards: []upgrade.Guard{named},
		Open:   func(c Conn) error { opened <- c; return nil },
	})
	return s, start(t, s), opened
}

// TestEach: all that are open are visited once, on their loops, and no two at the same time.
func TestEach(t *testing.T) {
	s, addr, opened := audience(t)
	want := make(map[Conn]bool)
	for range 2 * 3 * connsPerTurn {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, upgradeHead, "/alice")
		want[<-opened] = true
	}
	stop, coming := make(chan bool), sync.WaitGroup{}
	coming.Go(func() { // others come and go
		for {
			select {
			case <-stop:
				return
			default:
			}
			if c, _, err := websocket.DefaultDialer.Dial("ws://"+addr+"/bob", nil); err == nil {
				c.Close()
			}
		}
	})
	for range 3 {
		seen := make(map[Conn]int) // without a lock
		if err := s.Each(func(c Conn) { _ = c.Identity(); seen[c]++ }); err != nil {
			t.Fatal(err)
		}
		for c := range want {
			if seen[c] != 1 {
				t.Fatalf("%v was visited %d times", c.ID(), seen[c])
			}
		}
	}
	seen := make(map[Conn]int)
	var mu sync.Mutex
	if err := s.EachOf(context.Background(), "alice", func(c Conn) {
		mu.Lock()
		defer mu.Unlock()
		seen[c]++
		_ = c.Send(frame.OpText, []byte(c.Identity().Subject))
	}); err != nil {
		t.Fatal(err)
	}
	for c, n := range seen {
		if n != 1 || !want[c] {
			t.Errorf("EachOf visits %v %d times", c.ID(), n)
		}
	}
	if len(seen) != len(want) {
		t.Errorf("EachOf visits %d, want %d", len(seen), len(want))
	}
	close(stop)
	coming.Wait()
	all := s.UserConns("alice")
	for _, c := range all {
		if !want[c] {
			t.Errorf("alice has %v", c.ID())
		}
	}
	if len(all) != len(want) || s.UserConns("carol") != nil || new(Server).UserConns("alice") != nil {
		t.Errorf("alice has %d connections, want %d, and nobody else any", len(all), len(want))
	}
	if n, err := s.CloseUser("alice", 4403, "banned"); n != len(want) || err != nil {
		t.Errorf("CloseUser: %d, %v, want %d", n, err, len(want))
	}
	if n, err := s.CloseUser("alice", 4403, "banned"); n != 0 || err != nil {
		t.Errorf("CloseUser again: %d, %v", n, err)
	}
	if _, err := s.CloseUser("alice", frame.StatusAbnormalClosure, ""); err == nil {
		t.Error("CloseUser says 1006 on the wire")
	}
	if said := fmt.Sprint(panicOf(func() { _ = s.EachOf(context.Background(), "", nil) })); !strings.Contains(said, "Server.EachOf") {
		t.Errorf("EachOf without a function: the panic says %q", said)
	}
	if said := fmt.Sprint(panicOf(func() { _ = s.Each(nil) })); !strings.Contains(said, "Server.Each") {
		t.Errorf("Each(nil): %s", said)
	}
}

// panicOf returns what f panics with.
func panicOf(f func()) (p any) {
	defer func() { p = recover() }()
	f()
	return nil
}

// TestEachThatFails: a panic and a Goexit end the connection they were called for, with 1011,
// and the others are visited all the same.
func TestEachThatFails(t *testing.T) {
	s, addr, opened := audience(t)
	for name, fail := range map[string]func(){"panic": func() { panic("as asked") }, "exit": runtime.Goexit} {
		bad := dial(t, addr, "/bad")
		<-opened
		for range 6 {
			dial(t, addr, "/good")
			<-opened
		}
		var good atomic.Int64
		err := s.Each(func(c Conn) {
			if err := s.Each(func(Conn) {}); err != ErrOnLoop {
				t.Errorf("Each in a callback: %v", err)
			}
			if err := s.EachOf(context.Background(), "good", func(Conn) { t.Error("EachOf does not wait, and visits all the same") }); err != ErrOnLoop {
				t.Errorf("EachOf in a callback: %v", err)
			}
			if n, err := s.CloseUser("nobody", 4403, ""); n != 0 || err != nil {
				t.Errorf("CloseUser in a callback: %d, %v", n, err)
			}
			if c.PathValue("user") == "bad" {
				fail()
			}
			good.Add(1)
		})
		if e := closeOf(t, bad); err != nil || e.Code != 1011 || good.Load() != 6 {
			t.Errorf("%s: %v, %v, %d others were visited", name, err, e, good.Load())
		}
		if n, err := s.CloseUser("good", 4403, ""); n != 6 || err != nil {
			t.Errorf("%s: CloseUser: %d, %v", name, n, err)
		}
	}
}

// TestEachAtTheEnd: an Each that a callback holds up ends with the server, and a user can be
// closed on the other loops meanwhile; later there is nobody.
func TestEachAtTheEnd(t *testing.T) {
	s := &Server{Loops: 2, Drain: -1, Addr: "127.0.0.1:0"}
	opened, gate, stuck := make(chan Conn, 1), make(chan bool), make(chan bool)
	s.Route("/{user}", Route{
		Guards:  []upgrade.Guard{named},
		Open:    func(c Conn) error { opened <- c; return nil },
		Message: func(Conn, Message) error { close(stuck); <-gate; return nil },
	})
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	addr := s.Addrs()[0].String()
	first := dial(t, addr, "/alice")
	held := <-opened
	second := dial(t, addr, "/alice")
	if other := <-opened; other.loop == held.loop {
		t.Fatal("one loop has both")
	}
	say(t, first, "x")
	<-stuck
	ended := make(chan error, 3)
	go func() { _, err := s.CloseUser("alice", 4403, ""); ended <- err }()
	if e := closeOf(t, second); e.Code != 4403 {
		t.Errorf("on the other loop: %v", e)
	}
	go func() { ended <- s.Each(func(Conn) {}) }()
	go func() { ended <- s.EachOf(context.Background(), "alice", func(Conn) { t.Error("EachOf has waited") }) }()
	if err := s.Shutdown(context.Background()); err == nil {
		t.Error("Shutdown does not tell of the callback")
	}
	for range 3 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	close(gate)
	<-s.loops[held.loop.ID()].ended()
	if err := s.Each(func(Conn) { t.Error("somebody is there") }); err != nil {
		t.Errorf("Each at the end: %v", err)
	}
}

// ended is closed when the loop has nothing left to do.
func (l *loop) ended() <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for l.CanTell() {
			runtime.Gosched()
		}
	}()
	return done
}

// TestID: an ID is found as long as its connection is open, and by its own Server; nothing
// else is an ID.
func TestID(t *testing.T) {
	s, addr, opened := audience(t)
	other, elsewhere, _ := audience(t)
	client := dial(t, addr, "/alice")
	dial(t, elsewhere, "/alice")
	c := <-opened
	id := c.ID()
	if got, ok := s.Conn(id); !ok || got != c {
		t.Errorf("Conn(%q): %v, %v", id, got, ok)
	}
	if _, ok := other.Conn(id); ok {
		t.Error("another Server has a connection of the same ID")
	}
	parts := strings.Split(id, "-")
	bad := []string{"", "-", "---", "0-0-0-0", "x" + id, id + "-", id + "-0", "0" + id, " " + id, "+" + id, strings.ToUpper(id) + "G"}
	for k := 1; k < len(parts); k++ {
		for _, n := range []string{"", "0", "00" + parts[k], "+" + parts[k], "-1", "ffffffff", "100000001", "ffffffffffffffff", "10000000000000001"} {
			if n != parts[k] {
				bad = append(bad, strings.Join(slices.Concat(parts[:k], []string{n}, parts[k+1:]), "-"))
			}
		}
	}
	asked := Conn{c.loop, c.slot, c.gen | closeAsked}
	for _, text := range append(bad, asked.ID()) {
		if got, ok := s.Conn(text); ok || got != (Conn{}) {
			t.Errorf("Conn(%q): %v", text, got)
		}
	}
	c.Close(4403, "banned")
	if _, ok := s.Conn(id); ok {
		t.Error("it is there when Close was called")
	}
	for _, text := range []string{id, asked.ID()} {
		if _, ok := s.Conn(text); ok {
			t.Errorf("Conn(%q) is there when Close was called", text)
		}
	}
	closeOf(t, client)
	client.Close()
	eventually(t, "its slot is free", func() bool { return s.total() == 0 })
	for range 3 {
		dial(t, addr, "/next")
		if next := <-opened; next.ID() == id {
			t.Error("an ID came twice")
		}
		if _, ok := s.Conn(id); ok {
			t.Error("another connection answers to it")
		}
	}
}

// TestNobodysLoop: a goroutine that has the number of a loop's that has ended is not taken for
// it.
func TestNobodysLoop(t *testing.T) {
	s := &Server{Loops: 20, Drain: -1, Addr: "127.0.0.1:0"}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	if err := s.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var wrong atomic.Int64
	gate := make(chan bool)
	for range 1000 {
		wg.Go(func() {
			<-gate
			if errors.Is(s.Wait(), ErrOnLoop) {
				wrong.Add(1)
			}
		})
	}
	close(gate)
	if wg.Wait(); wrong.Load() > 0 {
		t.Errorf("%d of 1,000 goroutines were taken for a loop", wrong.Load())
	}
}
