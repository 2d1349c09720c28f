//go:build linux

package main_test

import (
	"bytes"
	"compress/flate"
	"io"
	"strings"
	"testing"

	gorilla "github.com/gorilla/websocket"
)

// Large messages, large numbers of fragments, and what is too large.

// TestLargeMessages: a message that --max-message allows is echoed, however it comes.
func TestLargeMessages(t *testing.T) {
	t.Parallel()
	p := serve(t, "--echo", "/echo", "--max-message", "16MiB")
	text := strings.Repeat("four hundred and nineteen thousand four hundred and thirty ", 16<<20/59+1)
	for _, c := range []struct {
		name    string
		size, n int // of a fragment; fragments
	}{
		{"4 MiB in fragments of 64 bytes", 64, 4 << 20 / 64},
		{"100,000 fragments of one byte", 1, 100_000},
		{"16 MiB in one frame", 16 << 20, 1},
		{"16 MiB in frames of 1 MiB", 1 << 20, 16},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := join(t, p.addr, upgradeTo("/echo")...)
			sent := text[:c.size*c.n]
			w.write(fragmented(opText, sent, c.size))
			w.want(opText, sent)
			w.write(masked(opClose, "\x03\xe8"))
			w.wantEnd(1000)
		})
	}
}

// fragmented returns a message as a client sends it in frames of size bytes.
func fragmented(op byte, payload string, size int) string {
	var b strings.Builder
	for rest := payload; ; op = 0 {
		n := min(size, len(rest))
		f := masked(op, rest[:n])
		if rest = rest[n:]; rest == "" {
			b.WriteString(f)
			return b.String()
		}
		b.WriteByte(f[0] &^ 0x80)
		b.WriteString(f[1:])
	}
}

// TestTooLarge: 1009 comes as soon as a header, or the inflated bytes, exceed the limit, and
// no sooner.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	p := serve(t, "--echo", "/echo", "--deflate", "--max-message", "16MiB")
	half := strings.Repeat("x", 8<<20)
	begun := masked(opBinary, half)
	begun = string(begun[0]&^0x80) + begun[1:]
	for _, c := range []struct{ name, sent string }{
		{"16 MiB + 1, its header alone", string(frameHead(opBinary, 16<<20+1, 0x80))},
		{"8 MiB, then the header of 8 MiB + 1", begun + string(frameHead(0, 8<<20+1, 0x80))},
		{"3 MiB that would become 2 GiB", bomb(3<<20, 2<<30)},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := join(t, p.addr, upgradeTo("/echo", "Sec-WebSocket-Extensions: permessage-deflate")...)
			w.write(c.sent)
			w.wantEnd(1009)
		})
	}
}

// bomb returns a compressed message that promises size bytes, in no more than wire
// of them.
func bomb(wire, size int) string {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression)
	w.Write(make([]byte, 1<<20))
	w.Flush()
	once := b.Len()
	w.Write(make([]byte, 1<<20))
	w.Flush()
	again := b.String()[once:] // with the window as it is from now on
	z := b.String() + strings.Repeat(again, size>>20-2)
	z = strings.TrimSuffix(z, "\x00\x00\xff\xff")
	if len(z) > wire {
		panic("not much of a bomb")
	}
	f := masked(opBinary, z)
	return string([]byte{f[0] | 0x40}) + f[1:]
}

// wantEnd reads a close frame with the code, and the program's FIN before any of
// ours: also while we go on sending, which nobody listens to.
func (w *wire) wantEnd(code int) {
	w.t.Helper()
	f, err := w.next()
	if err != nil || f.closeCode() != code {
		w.t.Fatalf("got %v (error %v), want close %d", f, err, code)
	}
	w.write(masked(opText, "still there?"), "\xff\xff\xff\xff", strings.Repeat("x", 100<<10))
	if rest, err := io.ReadAll(w.in); err != nil || len(rest) > 0 {
		w.t.Fatalf("behind the close frame: got % x (error %v), want the end", rest, err)
	}
}

// TestEnds: whichever side ends a connection and why, a close frame comes before the FIN, the
// server's FIN before ours, and what is sent after the reason is discarded.
func TestEnds(t *testing.T) {
	t.Parallel()
	p := serve(t, "--echo", "/echo", "--deflate")
	behind := masked(opText, "never heard") + masked(opPing, "?") + "\xff\xff" + strings.Repeat("x", 100<<10)
	for _, c := range []struct {
		name, sent string
		code       int
	}{
		{"close", masked(opClose, "\x03\xe9bye"), 1001},
		{"reserved bit", "\xa1\x80", 1002},
		{"not UTF-8", masked(opText, "\xff"), 1007},
		{"not UTF-8, and the frame goes on", masked(opText, "\xff"+strings.Repeat("x", 1000))[:20], 1007},
		{"not to be inflated", "\xc2\x82\x00\x00\x00\x00\x06\x00", 1007},
		{"too big", string(frameHead(opText, 1<<40, 0x80)), 1009},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, after := range []string{"", behind} {
				w := join(t, p.addr, upgradeTo("/echo", "Sec-WebSocket-Extensions: permessage-deflate")...)
				w.write(masked(opText, "first"), c.sent, after)
				w.want(opText, "first")
				w.wantEnd(c.code)
			}
		})
	}
}

// TestChatDeflate: a member that asked for compression gets the chat compressed, and the
// others get it as it is.
func TestChatDeflate(t *testing.T) {
	t.Parallel()
	p := serve(t, "--deflate")
	path := "/ws/lobby?token="
	r := newRelay(t, p)
	squeezed, _, err := dialGorillaWith(&gorilla.Dialer{EnableCompression: true}, "ws://"+r.addr+path+token("alice"))
	if err != nil {
		t.Fatal(err)
	}
	hears := func(who string, c library, want string) {
		t.Helper()
		if _, got, err := c.hear(); err != nil || got != want {
			t.Errorf("%s: got %q (error %v), want %q", who, got, err, want)
		}
	}
	hears("alice", squeezed, "Server: alice has joined the chat")
	plain, _, err := dialGorilla("ws://" + p.addr + path + token("bob"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]library{"alice": squeezed, "bob": plain} {
		hears(name, c, "Server: bob has joined the chat")
	}
	long := sentences(2000)
	plain.say(true, long)
	for name, c := range map[string]library{"alice": squeezed, "bob": plain} {
		hears(name, c, "bob: "+long)
	}
	for _, c := range []library{squeezed, plain} {
		if code, err := c.bye(); code != 1000 || err != nil {
			t.Errorf("close: got %d, %v", code, err)
		}
	}
	r.wait()
	_, down := messagesIn(t, r.down.Bytes(), "")
	if last := down[2]; !last.deflated || last.size > len(long)/4 {
		t.Errorf("on the wire: got %+v, want less than a quarter of %d bytes", last, len(long))
	}
}
