//go:build linux

package main_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// burst returns n text messages, and a ping that marks their end.
func burst(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(masked(opText, strconv.Itoa(i)))
	}
	return b.String() + masked(opPing, "end")
}

// upTo reads frames until the pong behind a burst, or the end. It returns the
// texts and the close code, if one came.
func (w *wire) upTo(op byte) (texts []string, last frame) {
	w.t.Helper()
	for {
		f, err := w.next()
		switch {
		case err != nil:
			w.t.Fatalf("behind %q: %v", texts, err)
		case f.op == op:
			return texts, f
		case f.op == opText:
			texts = append(texts, f.payload)
		}
	}
}

func numbers(n int) (texts []string) {
	for i := range n {
		texts = append(texts, strconv.Itoa(i))
	}
	return texts
}

// TestRate: ten messages a minute pass, and the eleventh does what --over-limit says.
func TestRate(t *testing.T) {
	t.Parallel()
	limited := func(t *testing.T, flags ...string) *wire {
		p := serve(t, append([]string{"--echo-auth", "/auth", "--rate", "10/m", "--burst", "10"}, flags...)...)
		return join(t, p.addr, upgradeTo("/auth", bearer(token("alice")))...)
	}
	t.Run("drop", func(t *testing.T) {
		t.Parallel()
		w := limited(t, "--over-limit", "drop")
		w.write(burst(15))
		if got, _ := w.upTo(opPong); !slices.Equal(got, numbers(10)) {
			t.Errorf("got %q, want the first ten", got)
		}
	})
	t.Run("close", func(t *testing.T) {
		t.Parallel()
		w := limited(t, "--over-limit", "close")
		w.write(burst(15))
		got, last := w.upTo(opClose)
		if !slices.Equal(got, numbers(10)) || last.closeCode() != 1008 {
			t.Errorf("got %q and %v, want the first ten and close 1008", got, last)
		}
		reason, hint, _ := strings.Cut(last.payload[2:], "; retry-after-ms=")
		if ms, err := strconv.Atoi(hint); reason != "messages_limit" || err != nil || ms < 1 || ms > 6000 {
			t.Errorf("got the reason %q, want messages_limit and up to 6 s", last.payload[2:])
		}
	})
	t.Run("drop, then close", func(t *testing.T) {
		t.Parallel()
		w := limited(t, "--over-limit", "drop", "--close-after", "5")
		w.write(burst(14))
		w.upTo(opPong)
		w.write(burst(1))
		if got, last := w.upTo(opClose); len(got) > 0 || last.closeCode() != 1008 || !strings.HasPrefix(last.payload[2:], "messages_limit; ") {
			t.Errorf("got %q and %v, want close 1008 at the fifth", got, last)
		}
	})
	t.Run("dry run", func(t *testing.T) {
		t.Parallel()
		p := serve(t, "--echo-auth", "/auth", "--rate", "10/m", "--burst", "10", "--over-limit", "close",
			"--limit-dry-run", "--max-conns-per-user", "1", "--max-conns-per-ip", "1")
		for range 2 {
			w := join(t, p.addr, upgradeTo("/auth", bearer(token("alice")))...)
			w.write(burst(15))
			if got, _ := w.upTo(opPong); !slices.Equal(got, numbers(15)) {
				t.Errorf("got %q, want all 15", got)
			}
		}
		for _, told := range []string{"code=messages_limit action=close enforced=false", "code=too_many_requests action=refuse enforced=false"} {
			select {
			case <-p.stderr.await(told):
			case <-time.After(patience):
				t.Errorf("the log does not say %q", told)
			}
		}
	})
	t.Run("pings are not messages", func(t *testing.T) {
		t.Parallel()
		w := limited(t, "--over-limit", "close")
		for i := range 30 {
			w.write(masked(opPing, strconv.Itoa(i)))
			w.want(opPong, strconv.Itoa(i))
		}
	})
	t.Run("fragments are one message", func(t *testing.T) {
		t.Parallel()
		w := limited(t, "--over-limit", "close")
		first := masked(opText, "a")
		w.write("\x01"+first[1:], strings.Repeat("\x00"+first[1:], 30), masked(0, "z"))
		w.want(opText, strings.Repeat("a", 31)+"z")
	})
}

// TestDelay: over the rate the server stops reading; nothing is lost, and
// nothing overtakes.
func TestDelay(t *testing.T) {
	t.Parallel()
	p := serve(t, "--echo-auth", "/auth", "--rate", "50/s", "--burst", "5", "--over-limit", "delay")
	w := join(t, p.addr, upgradeTo("/auth", bearer(token("alice")))...)
	before := time.Now()
	w.write(burst(55))
	got, _ := w.upTo(opPong)
	took := time.Since(before)
	if !slices.Equal(got, numbers(55)) {
		t.Errorf("got %q, want all 55 in order", got)
	}
	if took < 950*time.Millisecond {
		t.Errorf("50 messages over the burst took %v, want 1s at least", took)
	}
}

// TestUnlimitedEcho: --echo has no limit unless --rate is given.
func TestUnlimitedEcho(t *testing.T) {
	t.Parallel()
	p := serve(t, "--echo", "/echo", "--over-limit", "close")
	w := join(t, p.addr, upgradeTo("/echo")...)
	w.write(burst(500))
	if got, _ := w.upTo(opPong); !slices.Equal(got, numbers(500)) {
		t.Errorf("got %d of 500 messages", len(got))
	}
}

// TestSharedRates: the rates that all connections of a user or of an address share.
func TestSharedRates(t *testing.T) {
	t.Parallel()
	total := func(w ...*wire) (n int) {
		for _, w := range w {
			w.write(burst(8))
			texts, _ := w.upTo(opPong)
			n += len(texts)
		}
		return n
	}
	t.Run("user", func(t *testing.T) {
		t.Parallel()
		p := serve(t, "--echo-auth", "/auth", "--user-rate", "10/h", "--burst", "10", "--over-limit", "drop")
		from := func(name string) *wire { return join(t, p.addr, upgradeTo("/auth", bearer(token(name)))...) }
		if n := total(from("alice"), from("alice"), from("alice")); n != 10 {
			t.Errorf("%d messages of alice passed, want ten", n)
		}
		if n := total(from("bob")); n != 8 {
			t.Errorf("%d messages of bob passed, want all eight", n)
		}
	})
	t.Run("address", func(t *testing.T) {
		t.Parallel()
		p := serve(t, "--echo", "/echo", "--echo-auth", "/auth", "--ip-rate", "10/h", "--burst", "10", "--over-limit", "drop")
		if n := total(join(t, p.addr, upgradeTo("/echo")...), join(t, p.addr, upgradeTo("/auth", bearer(token("alice")))...)); n != 10 {
			t.Errorf("%d messages passed, want ten", n)
		}
	})
}

const slowDown = "Server: Rate limit exceeded. Please slow down."

// TestWarn: the default in a chat. The sender is told once, the room is told nothing, and
// the message is gone.
func TestWarn(t *testing.T) {
	t.Parallel()
	p := serve(t, "--rate", "10/m", "--burst", "10")
	bob := join(t, p.addr, upgradeTo("/ws/lobby", bearer(token("bob")))...)
	bob.want(opText, "Server: bob has joined the chat")
	alice := join(t, p.addr, upgradeTo("/ws/lobby", bearer(token("alice")))...)
	alice.want(opText, "Server: alice has joined the chat")
	alice.write(burst(15))
	var heard []string
	for range 10 + 1 {
		f, err := alice.next()
		for err == nil && f.op == opPong {
			f, err = alice.next()
		}
		if err != nil || f.op != opText {
			t.Fatalf("behind %q: got %v (error %v), want eleven lines", heard, f, err)
		}
		heard = append(heard, f.payload)
	}
	if i := slices.Index(heard, slowDown); i < 0 || slices.Contains(heard[i+1:], slowDown) {
		t.Errorf("alice got %q, want once %q", heard, slowDown)
	}
	alice.write(masked(opClose, "\x03\xe8"))
	if more, last := alice.upTo(opClose); len(more) > 0 || last.closeCode() != 1000 {
		t.Errorf("alice got %q and %v behind %q, want close 1000", more, last, heard)
	}
	bob.want(opText, "Server: alice has joined the chat")
	for i := range 10 {
		bob.want(opText, fmt.Sprintf("alice: %d", i))
	}
	bob.want(opText, "Server: alice has left the chat")
}

// TestJoinsOverTheRate: a user hears the history of rooms as often as they may speak, in
// either dialect; beyond that they join without.
func TestJoinsOverTheRate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		flags []string
		told  int // of four joins
	}{
		{[]string{"--rate", "10/h", "--burst", "3"}, 3},
		{[]string{"--rate", "0", "--user-rate", "10/h", "--burst", "2"}, 2},
		{[]string{"--rate", "10/h", "--burst", "1", "--limit-dry-run"}, 4},
		{[]string{"--rate", "0", "--burst", "1"}, 4},
	} {
		p := serve(t, c.flags...)
		alice := join(t, p.addr, upgradeTo("/ws/lobby", bearer(token("alice")))...)
		alice.want(opText, "Server: alice has joined the chat")
		alice.write(masked(opText, "hi"))
		alice.want(opText, "alice: hi")
		for k, isJSON := range []bool{false, true, false, true} {
			head := []string{bearer(token("bob"))}
			if isJSON {
				head = append(head, "Sec-WebSocket-Protocol: chat.usher.v1+json")
			}
			f, err := join(t, p.addr, upgradeTo("/ws/lobby", head...)...).next()
			told, joined := f.payload == "alice: hi", f.payload == "Server: bob has joined the chat"
			if isJSON {
				told, joined = strings.HasPrefix(f.payload, `{"type":"history",`), strings.HasPrefix(f.payload, `{"type":"joined",`)
			}
			if want := k < c.told; err != nil || told != want || joined == want {
				t.Errorf("%v: join %d first heard %q (%v); want the history: %v", c.flags, k+1, f.payload, err, want)
			}
		}
	}
}
