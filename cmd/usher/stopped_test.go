//go:build linux

package main_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestStopped: a program that the machine had stopped has missed deadlines and events alike.
// A client that spoke in time is read first, to the end of what it said.
func TestStopped(t *testing.T) {
	t.Parallel()
	p := serve(t, "--loops", "1", "--echo", "/echo", "--handshake-timeout", "5s", "--message-timeout", "5s")
	newcomer, request := dial(t, p.addr), head(upgradeTo("/echo")...)
	newcomer.write(request[:20])
	speaker, message := join(t, p.addr, upgradeTo("/echo")...), masked(opText, "Hello")
	speaker.write(message[:3])
	// One loop takes them in their order: when the last is in, it has read the others.
	leaver, large := join(t, p.addr, upgradeTo("/echo")...), strings.Repeat("x", 40_000)

	p.signal(t, syscall.SIGSTOP)
	time.Sleep(1200 * time.Millisecond) // a tick is behind, so that the timer comes before what is sent now
	newcomer.write(request[20:])
	speaker.write(message[3:])
	leaver.write(strings.Repeat(masked(opBinary, large), 3))
	leaver.conn.CloseWrite()
	time.Sleep(5 * time.Second) // and now the deadlines have passed
	p.signal(t, syscall.SIGCONT)

	if a := newcomer.answer(); a.status != http.StatusSwitchingProtocols {
		t.Errorf("a head that ended in time: got %s, want 101", a)
	}
	speaker.want(opText, "Hello")
	for range 3 {
		leaver.want(opBinary, large)
	}
	if f, err := leaver.next(); !errors.Is(err, io.EOF) {
		t.Errorf("behind the last echo: got %v (error %v), want EOF", f, err)
	}
}
