//go:build linux

package main_test

import (
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestCloseCodes: each way to break the protocol has its close code.
func TestCloseCodes(t *testing.T) {
	t.Parallel()
	p := serve(t, "--echo", "/echo", "--max-message", "1KiB")
	room := upgradeTo("/ws/lobby", bearer(token("alice")))
	echo := upgradeTo("/echo")
	for _, c := range []struct {
		name string
		to   []string
		sent string
		code int
	}{
		{"normal", echo, masked(opClose, "\x03\xe8bye"), 1000},
		{"unmasked", echo, string(frameHead(opText, 5, 0)) + "Hello", 1002},
		{"reserved opcode", echo, masked(3, "Hello"), 1002},
		{"reserved bit", echo, "\xc1\x80\x00\x00\x00\x00", 1002},
		{"a ping of 126 bytes", echo, masked(opPing, strings.Repeat("x", 126)), 1002},
		{"a ping in two frames", echo, "\x09\x80\x00\x00\x00\x00", 1002},
		{"continuation of nothing", echo, masked(0, "Hello"), 1002},
		{"close code 1005", echo, masked(opClose, "\x03\xed"), 1002},
		{"bad UTF-8", echo, masked(opText, "caf\xe9"), 1007},
		{"bad UTF-8 in a close reason", echo, masked(opClose, "\x03\xe8\xff"), 1007},
		{"one byte too big", echo, masked(opBinary, strings.Repeat("x", 1025)), 1009},
		{"far too big, and only its head", echo, string(frameHead(opBinary, 1<<40, 0x80)), 1009},
		{"binary in a chat", room, masked(opBinary, "Hello"), 1003},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := join(t, p.addr, c.to...)
			w.write(c.sent)
			for {
				f, err := w.next()
				if err != nil {
					t.Fatalf("got %v, want close %d", err, c.code)
				}
				if f.op != opClose {
					continue // the chat's own words
				}
				if f.closeCode() != c.code {
					t.Errorf("got %v, want close %d\nsent % x", f, c.code, tail(c.sent, 64))
				}
				return
			}
		})
	}
}

// TestMessageCap: a message of --max-message bytes passes, one byte more does not.
func TestMessageCap(t *testing.T) {
	t.Parallel()
	p := serve(t, "--echo", "/echo")
	w := join(t, p.addr, upgradeTo("/echo")...)
	for _, n := range []int{0, 1, 125, 126, 65535, 65536} {
		w.write(masked(opBinary, strings.Repeat("x", n)))
		w.want(opBinary, strings.Repeat("x", n))
	}
	w.write(masked(opBinary, strings.Repeat("x", 65537)))
	w.wantClose(1009)
}

var drainReason = regexp.MustCompile(`^draining; retry-after-ms=[1-9][0-9]*$`)

// TestDrain: SIGTERM and SIGINT send everybody a close frame, and the program exits with 0.
func TestDrain(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			const drain = 2 * time.Second
			p := serve(t, "--echo", "/echo", "--drain", drain.String())
			var seated []*wire
			for range 30 {
				seated = append(seated, join(t, p.addr, upgradeTo("/echo")...))
			}
			before := time.Now()
			p.signal(t, sig)
			reasons := map[string]bool{}
			for _, w := range seated {
				reason := w.wantClose(1001)
				if !drainReason.MatchString(reason) {
					t.Errorf("got %q, want %s", reason, drainReason)
				}
				reasons[reason] = true
			}
			if took := time.Since(before); took < drain*4/10 {
				t.Errorf("all were sent away within %v, want that paced over 80 %% of %v", took, drain)
			}
			if len(reasons) < 2 {
				t.Errorf("got one reason for all %d, want a jittered time", len(seated))
			}
			if code := p.exit(t, patience); code != 0 {
				t.Errorf("exit code: got %d, want 0", code)
			}
		})
	}
}

// TestDrainCutsOff: a client that ignores the close frame is cut at drain + 2 s.
func TestDrainCutsOff(t *testing.T) {
	t.Parallel()
	p := serve(t, "--echo", "/echo", "--drain", "1s")
	w := join(t, p.addr, upgradeTo("/echo")...)
	p.signal(t, syscall.SIGTERM)
	if f, err := w.next(); err != nil || f.closeCode() != 1001 {
		t.Fatalf("got %v (error %v), want close 1001", f, err)
	}
	if code := p.exit(t, patience); code != 0 {
		t.Errorf("exit code: got %d, want 0", code)
	}
}

// TestSecondSignal: a second signal ends the program without waiting.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	p := serve(t, "--echo", "/echo", "--drain", "10m")
	for range 100 {
		join(t, p.addr, upgradeTo("/echo")...)
	}
	p.signal(t, syscall.SIGTERM)
	eventually(t, "draining", func() bool { return ask(t, p.addr, head(upgradeTo("/echo")...)).status == 503 })
	p.signal(t, syscall.SIGTERM)
	p.exit(t, patience)
}
