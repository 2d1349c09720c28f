//go:build linux

package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
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
	b.l.startDrain()
	for passed := time.Duration(0); passed <= window; passed += window / 200 {
		b.l.drain.start = b.l.poll.Now() - passed
		b.l.drainOn()
		left := 0
		for _, p := range all {
			if b.l.slab.at(p.i).state == open {
				left++
			}
		}
		if want := conns - int(float64(conns)*float64(passed)/float64(window)+0.5); left != want {
			t.Fatalf("after %v of %v: %d are left of %d, want %d", passed, window, left, conns, want)
		}
	}
}

// TestDrainEnds: newcomers are told to come back as long as some are to be sent away,
// then there is no listener any more, and who then remains is cut two seconds after
// the drain.
func TestDrainEnds(t *testing.T) {
	const drain = time.Second
	s := &Server{Loops: 2, Drain: drain}
	ended := make(chan error, 1)
	s.Route("/echo", Route{Message: echo, Close: func(_ Conn, err error) { ended <- err }})
	addr := start(t, s)
	stubborn := rawDial(t, addr, "/echo")
	stubborn.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
	for err := error(nil); err == nil; { // until nothing of it is taken any more, either
		_, err = stubborn.Write(masked(frame.OpBinary, make([]byte, 60<<10)))
	}
	begin, done := time.Now(), make(chan error, 1)
	go func() { done <- s.Shutdown(context.Background()) }()
	told := 0
	for {
		c, err := net.Dial("tcp", addr)
		if errors.Is(err, syscall.ECONNREFUSED) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(5 * time.Second))
		fmt.Fprintf(c, upgradeHead, "/echo")
		answer, err := io.ReadAll(c)
		c.Close()
		if errors.Is(err, syscall.ECONNRESET) {
			continue // it was in the backlog of the listener that was closed
		}
		if !s.isDraining() || strings.HasPrefix(string(answer), "HTTP/1.1 101 ") {
			continue // it came before
		}
		if !strings.HasPrefix(string(answer), "HTTP/1.1 503 ") || !strings.Contains(string(answer), "\r\nRetry-After: ") {
			t.Fatalf("got %q, %v, want a 503", answer, err)
		}
		told++
	}
	if took := time.Since(begin); told == 0 || took < drain*8/10 {
		t.Errorf("%d were told to come back; there was no listener after %v, want %v", told, took, drain*8/10)
	}
	select {
	case err := <-done:
		t.Fatalf("the end came before the cut: %v", err)
	default:
	}
	var e *CloseError
	if err := <-ended; !errors.As(err, &e) || e.Code != frame.StatusGoingAway {
		t.Errorf("Close: got %v, want 1001", err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took < drain+DrainGrace || took > drain+DrainGrace+5*time.Second {
		t.Errorf("the end came after %v, want %v", took, drain+DrainGrace)
	}
}
