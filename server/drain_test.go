//go:build linux

package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/usher-ws/usher/frame"
	"golang.org/x/sys/unix"
)

// TestDrainIsEven: at every moment of the window as many are closed as it is old.
func TestDrainIsEven(t *testing.T) {
	const conns, window = 100, 80 * time.Second
	b := newBench(t, &Server{Drain: 100 * time.Second})
	var all []pair
	for range conns {
		all = append(all, b.open(fmt.Sprintf(upgradeHead, "/echo")))
	}
	defer func() {
		for _, p := range all[:conns-1] {
			unix.Close(p.peer)
		}
	}()
	b.l.srv.drainWindow = window
	b.l.drain.begin()
	for passed := time.Duration(0); passed <= window; passed += window / 200 {
		b.l.drain.start = b.l.Now() - passed
		b.l.drain.goOn(b.l.Now())
		left := 0
		for _, p := range all {
			if stageOf(p.s) == isOpen {
				left++
			}
		}
		if want := conns - int(float64(conns)*float64(passed)/float64(window)+0.5); left != want {
			t.Fatalf("after %v of %v: %d are left of %d, want %d", passed, window, left, conns, want)
		}
	}
}

// TestDrainEnds: newcomers are told to come back as long as some are to be sent away,
// every one of them, then there is no listener any more, and who then remains is cut two
// seconds after the drain.
func TestDrainEnds(t *testing.T) {
	const drain = time.Second
	s := &Server{Loops: 2, Drain: drain}
	ended := make(chan error, 1)
	s.Route("/big", Route{ // of which the client takes nothing
		Open:  func(c Conn) error { return c.Send(frame.OpBinary, make([]byte, 32<<20)) },
		Close: func(_ Conn, err error) { ended <- err },
	})
	addr := start(t, s)
	rawDial(t, addr, "/big")
	begin, done := time.Now(), make(chan error, 1)
	go func() { done <- s.Shutdown(context.Background()) }()
	for !s.life.isDraining() {
		time.Sleep(time.Millisecond)
	}
	told := 0
	for {
		c, err := net.Dial("tcp", addr)
		if errors.Is(err, syscall.ECONNREFUSED) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, upgradeHead, "/big")
		answer, err := io.ReadAll(c)
		c.Close()
		if !strings.HasPrefix(string(answer), "HTTP/1.1 503 ") || !strings.Contains(string(answer), "\r\nRetry-After: ") {
			t.Fatalf("got %q, %v, want a 503", answer, err)
		}
		told++
	}
	if took := time.Since(begin); told == 0 || took < drain*8/10 {
		t.Errorf("%d were told to come back; there was no listener after %v, want %v", told, took, drain*8/10)
	}
	var e *CloseError
	if err := <-ended; !errors.As(err, &e) || e.Code != frame.StatusGoingAway {
		t.Errorf("Close: got %v, want 1001", err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took < drain+DrainGrace {
		t.Errorf("the end came after %v, want %v", took, drain+DrainGrace)
	}
}

// TestBacklogIsTold: clients that are in the listener's backlog when it is closed are
// answered, and not reset.
func TestBacklogIsTold(t *testing.T) {
	const waiting = 200 // more than one turn of the acceptor
	s := &Server{Loops: 2, Drain: time.Hour}
	s.Route("/echo", Route{Message: echo})
	addr := start(t, s)
	held, goOn := make(chan bool), make(chan bool)
	_ = s.loops[0].Post(func() { close(held); <-goOn })
	<-held
	var all []net.Conn
	for range waiting {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, upgradeHead, "/echo")
		all = append(all, c)
	}
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(context.Background()) }() // of nobody, so it closes the listener first
	for !s.life.isDraining() {
		time.Sleep(time.Millisecond)
	}
	close(goOn)
	for _, c := range all {
		if answer, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 503 ") {
			t.Fatalf("got %q, %v, want a 503", answer, err)
		}
		c.Close()
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestFewLeaveSoon: what a drain takes for a few connections follows their number.
func TestFewLeaveSoon(t *testing.T) {
	for conns, want := range map[int]time.Duration{
		0: 0, 1: drainSpacing, 3: 3 * drainSpacing, 40: 8 * time.Second, 100: 8 * time.Second,
	} {
		b := newBench(t, &Server{Drain: 10 * time.Second})
		for range conns {
			b.connect()
			defer unix.Close(b.peer)
		}
		b.peer = -1
		if got := b.l.srv.pace(); got != want {
			t.Errorf("%d connections: paced over %v, want %v", conns, got, want)
		}
	}
	s := &Server{Drain: time.Hour}
	s.Route("/echo", Route{Message: echo})
	c := dial(t, start(t, s), "/echo")
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(context.Background()) }()
	if e := closeOf(t, c); e.Code != 1001 {
		t.Errorf("got %v", e)
	}
	c.Close()
	if err := <-done; err != nil { // not after an hour
		t.Error(err)
	}
}

// TestHTTPIsCut: requests to Handler have the same end as everybody, however far they
// are, and no socket is open when Shutdown returns.
func TestHTTPIsCut(t *testing.T) {
	s := &Server{Drain: -1}
	quit := make(chan bool)
	busy := make(chan bool, 3)
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		busy <- true
		switch r.URL.Path {
		case "/body":
			_, _ = io.Copy(io.Discard, r.Body)
		case "/page":
			for err := error(nil); err == nil; {
				_, err = w.Write(make([]byte, 1<<20))
			}
		case "/hijack":
			c, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			c.Close() // which lingers
		case "/compute":
			<-quit
		}
	})
	defer close(quit)
	addr := start(t, s)
	paths := []string{"/body", "/page", "/hijack", "/compute"}
	for _, path := range paths {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nx", path)
		<-busy
	}
	begin := time.Now()
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took < DrainGrace {
		t.Errorf("it took %v, and they had %v", took, DrainGrace)
	}
	if n := s.Sockets(); n != 0 {
		t.Errorf("%d sockets are open", n)
	}
}

// TestStuckCallback: a callback that never returns keeps its loop, and nobody else: the
// others are sent away, and Shutdown says what it left.
func TestStuckCallback(t *testing.T) {
	s := &Server{Loops: 2, Drain: -1, Logger: slog.New(slog.DiscardHandler)}
	stuck, in := make(chan bool), make(chan *loop, 1)
	s.Route("/stuck", Route{Message: func(c Conn, _ Message) error { in <- c.loop; <-stuck; return nil }})
	s.Route("/echo", Route{Message: echo})
	s.Addr = "127.0.0.1:0"
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	addr := s.Addrs()[0].String()
	other := dial(t, addr, "/echo") // the loops take turns
	c := dial(t, addr, "/stuck")
	say(t, c, "x")
	l := <-in
	err := s.Shutdown(context.Background())
	if err == nil || !strings.Contains(err.Error(), "hold up 1 of 2 loops") {
		t.Errorf("got %v", err)
	}
	if e := closeOf(t, other); e.Code != 1001 {
		t.Errorf("got %v", e)
	}
	if err := s.Wait(); err != nil {
		t.Errorf("Wait: got %v", err)
	}
	close(stuck)
	eventually(t, "the loop ends, too", func() bool { return l.Post(func() {}) != nil && s.Sockets() == 0 })
}
