//go:build linux

package server

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/poller"
	"golang.org/x/sys/unix"
)

// pair is a connection of a bench, and the peer's end of it.
type pair struct {
	s    link
	peer int
}

// open adds an open connection, whose peer's end is the caller's to close unless it
// is the last.
func (b *bench) open(head string) pair {
	b.Helper()
	b.connect()
	p := pair{b.s, b.peer}
	b.send(head)
	readable(b)
	if !strings.HasPrefix(b.receive(), "HTTP/1.1 101 ") {
		b.Fatal("not upgraded")
	}
	return p
}

// pass is one pass of the loop over conns, all of which are ready.
func (b *bench) pass(conns []pair) {
	for _, p := range conns {
		if read, _ := b.drive.Armed(p.s); read {
			b.drive.Ready(p.s, poller.Readable)
		}
		if _, write := b.drive.Armed(p.s); write {
			b.drive.Ready(p.s, poller.Writable)
		}
	}
	b.drive.Wake()
	b.drive.After()
}

// One connection pipelines flat out, in frames of the worst kind: in every turn of
// the loop it gets its share and no more, and 1,000 others are served.
func TestTurns(t *testing.T) {
	const others, passes = 1000, 40
	message := func(op frame.Opcode, payload []byte) string { return string(masked(op, payload)) }
	fragment := func(op frame.Opcode) string { f := masked(op, []byte("x")); f[0] = byte(op); return string(f) }
	deflated := frame.AppendDeflated(nil, frame.OpBinary, make([]byte, 60<<10), frame.MaxWindow)
	_, at, err := frame.ParseHeader(deflated)
	if err != nil {
		t.Fatal(err)
	}
	squeezed := masked(frame.OpBinary, deflated[at:])
	squeezed[0] |= 1 << 6 // RSV1: compressed
	for _, c := range []struct {
		name   string
		unit   string
		frames int // in a unit, that is one message
		bytes  int // of the message
	}{
		{"empty messages", message(frame.OpText, nil), 1, 0},
		{"fragments", fragment(frame.OpText) + strings.Repeat(fragment(frame.OpContinuation), 198) + message(frame.OpContinuation, nil), 200, 199},
		{"pings", strings.Repeat(message(frame.OpPing, nil), 99) + message(frame.OpText, nil), 100, 0},
		{"large messages", message(frame.OpBinary, make([]byte, 60<<10)), 1, 60 << 10},
		{"compressed messages", string(squeezed), 1, 60 << 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &Server{Deflate: true}
			handled, spent := 0, 0
			s.Route("/flood", Route{Message: func(Conn, Message) error { handled++; return nil }})
			b := newBench(t, s)
			upgrade := fmt.Sprintf(upgradeHead, "/flood")
			flooder := b.open(strings.Replace(upgrade, "\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n", 1))
			conns := []pair{flooder}
			for range others {
				conns = append(conns, b.open(fmt.Sprintf(upgradeHead, "/echo")))
			}
			defer func() {
				for _, p := range conns[:others] {
					unix.Close(p.peer)
				}
			}()
			hello, buf := masked(frame.OpText, []byte("hi")), make([]byte, 64)
			flood, rest := bytes.Repeat([]byte(c.unit), 1+(256<<10)/len(c.unit)), []byte(nil)
			for n := range passes {
				for { // as much as the kernel takes
					if len(rest) == 0 {
						rest = flood
					}
					k, err := unix.Write(flooder.peer, rest)
					if err != nil {
						break
					}
					rest = rest[k:]
				}
				for _, p := range conns[1:] {
					if _, err := unix.Write(p.peer, hello); err != nil {
						t.Fatal(err)
					}
				}
				before := handled
				b.pass(conns)
				for k, p := range conns[1:] {
					if n, _ := unix.Read(p.peer, buf); n != 4 {
						t.Fatalf("connection %d got %d bytes of its echo in this pass, want 4", k, n)
					}
				}
				if spent++; handled > before {
					spent = 0
				}
				if spent > 1 { // one turn may be the end of a read, and less than a message
					t.Fatalf("nothing of the flood was handled in two turns up to %d", n)
				}
				// A turn may end what an earlier one began.
				if got := (handled - before - 1) * c.frames; got > framesPerTurn {
					t.Fatalf("%d frames in one turn", got)
				}
				if got := (handled - before - 1) * c.bytes; got > bytesPerTurn {
					t.Fatalf("%d bytes in one turn", got)
				}
			}
		})
	}
}
