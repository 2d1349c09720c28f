//go:build linux

package server

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/limiter"
	"golang.org/x/sys/unix"
)

// A script is what a peer says, a letter a frame, and what it is to be told, in order. p is
// a ping, t a text, f, c and l the first, a further and the last fragment of one. Each
// carries its place in the script.
func script(steps string) (said, want string) {
	var in, out []byte
	message := ""
	for k, step := range steps {
		text := fmt.Sprint(k)
		var f []byte
		switch step {
		case 'p':
			f = masked(frame.OpPing, []byte(text))
			out = frame.AppendFrame(out, frame.OpPong, []byte(text))
		case 't':
			f = masked(frame.OpText, []byte(text))
			out = frame.AppendFrame(out, frame.OpText, []byte(text))
		case 'f', 'c', 'l':
			op := frame.OpContinuation
			if step == 'f' {
				op, message = frame.OpText, ""
			}
			f = masked(op, []byte(text))
			if message += text; step == 'l' {
				out = frame.AppendFrame(out, frame.OpText, []byte(message))
			} else {
				f[0] &^= 0x80
			}
		}
		in = append(in, f...)
	}
	return string(in), string(out)
}

// Every ping is answered in its place, however the bytes come: Autobahn 2.10, 2.11, 5.6 to
// 5.8, 5.19, 5.20, and more of the kind.
func TestPongsInOrder(t *testing.T) {
	for _, steps := range []string{
		"pppppppppp",
		"fpl",
		"fcpccpl",
		"tptptptp", "ptptptpt",
		"ppttppttfppcpplptpfplp",
		strings.Repeat("p", 16), "t" + strings.Repeat("p", 16) + "t", strings.Repeat("pt", 16), strings.Repeat("fpl", 16),
	} {
		said, want := script(steps)
		for _, window := range []frame.Window{0, 9, frame.MaxWindow} {
			t.Run(fmt.Sprint(steps, ", window ", window), func(t *testing.T) {
				b := newBench(t, &Server{Deflate: true})
				for at := range len(said) + 1 {
					chunks := []string{said[:at], said[at:]}
					if at == len(said) { // byte by byte
						chunks = strings.Split(said, "")
					}
					b.openWith("/echo", window)
					got := ""
					for _, chunk := range chunks {
						if chunk != "" {
							b.send(chunk)
							readable(b)
							got += b.receive()
						}
					}
					if got != want {
						t.Fatalf("in %d chunks, the first of %d bytes:\n got %x\nwant %x", len(chunks), at, got, want)
					}
					b.gone()
				}
			})
		}
	}
}

// openWith opens a connection to path that has agreed on a window, if it is not 0.
func (b *bench) openWith(path string, w frame.Window) {
	b.Helper()
	head := fmt.Sprintf(upgradeHead, path)
	if w != 0 {
		head = strings.Replace(head, "\r\n", fmt.Sprintf("\r\nSec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=%d\r\n", w), 1)
	}
	b.open(head)
	if got := b.conn().window(); got != w || b.s.Data().frame.Window() != w {
		b.Fatalf("the window is %d, and %d, want %d", got, b.s.Data().frame.Window(), w)
	}
}

// gone hangs up.
func (b *bench) gone() {
	unix.Close(b.peer)
	readable(b)
	b.peer = -1
}

// turns has the loop take turn after turn until it is idle, and returns what each says.
func (b *bench) turns() (said []string) {
	readable(b)
	said = append(said, b.receive())
	for b.drive.After(); b.drive.Ripe() > 0; b.drive.After() {
		b.drive.Wake()
		said = append(said, b.receive())
	}
	return said
}

// pongsIn returns the payloads of the pongs.
func pongsIn(t *testing.T, wire string) (all []string) {
	t.Helper()
	for b := []byte(wire); len(b) > 0; {
		h, n, err := frame.ParseHeader(b)
		if err != nil || n == 0 {
			t.Fatalf("no frame: %x", b)
		}
		if h.Opcode == frame.OpPong {
			all = append(all, string(b[n:][:h.Length]))
		}
		b = b[n+int(h.Length):]
	}
	return all
}

// Of more than 16 pings in one turn, 15 are answered and the last, which keeps its place.
func TestManyPings(t *testing.T) {
	const many = 1000
	for name, unit := range map[string]string{"pings alone": "p", "between messages": "pt", "within messages": "fpppl", "by the dozen": "tpppppppppppp"} {
		t.Run(name, func(t *testing.T) {
			steps := strings.Repeat(unit, many/strings.Count(unit, "p"))
			said, _ := script(steps)
			b := newBench(t, &Server{})
			b.openWith("/echo", 0)
			b.send(said)
			turn := 0 // where in steps
			for _, out := range b.turns() {
				end := min(turn+framesPerTurn, len(steps))
				var pings []string
				for k := turn; k < end; k++ {
					if steps[k] == 'p' {
						pings = append(pings, fmt.Sprint(k))
					}
				}
				want := pings
				if len(pings) > pongsPerTurn {
					want = append(pings[:pongsPerTurn-1:pongsPerTurn-1], pings[len(pings)-1])
				}
				if got := pongsIn(t, out); fmt.Sprint(got) != fmt.Sprint(want) {
					t.Fatalf("steps %d to %d: got the pongs %v, want %v", turn, end, got, want)
				}
				// What is left of the script is in order.
				kept := []byte(steps[turn:end])
				for i, k := 0, turn; k < end; k++ {
					if steps[k] == 'p' && (i == len(want) || want[i] != fmt.Sprint(k)) {
						kept[k-turn] = '-'
					} else if steps[k] == 'p' {
						i++
					}
				}
				if !orderly(t, out, turn, string(kept)) {
					t.Fatalf("steps %d to %d: out of order: %x", turn, end, out)
				}
				turn = end
			}
			if turn != len(steps) {
				t.Fatalf("%d of %d frames were read", turn, len(steps))
			}
		})
	}
}

// orderly reports whether out answers the pings and ends of messages of steps in their
// order.
func orderly(t *testing.T, out string, first int, steps string) bool {
	t.Helper()
	b := []byte(out)
	for k, step := range steps {
		if step != 'p' && step != 't' && step != 'l' {
			continue
		}
		h, n, err := frame.ParseHeader(b)
		if err != nil || n == 0 || (h.Opcode == frame.OpPong) != (step == 'p') ||
			step != 'l' && string(b[n:][:h.Length]) != fmt.Sprint(first+k) {
			return false
		}
		b = b[n+int(h.Length):]
	}
	return len(b) == 0
}

// A pong does not overtake what its connection was told by way of the mailbox, and is no
// message.
func TestPongsBehindTheMailbox(t *testing.T) {
	var other Conn
	g := NewGroup()
	s := &Server{}
	s.Route("/room", Route{
		Open: func(c Conn) error { return g.Join(c) },
		Message: func(c Conn, m Message) error {
			if string(m.Data) == "all" {
				return g.Send(m.Opcode, m.Data)
			}
			other.Send(m.Opcode, []byte("x")) // now something waits in the mailbox
			return c.Send(m.Opcode, m.Data)
		},
	})
	b := newBench(t, s)
	b.openWith("/echo", 0)
	other = b.conn()
	defer unix.Close(b.peer)
	b.openWith("/room", 0)
	b.drive.Wake()
	said := bytes.Join([][]byte{
		masked(frame.OpPing, []byte("1")), masked(frame.OpText, []byte("all")),
		masked(frame.OpPing, []byte("2")), masked(frame.OpText, []byte("me")),
		masked(frame.OpPing, []byte("3")),
	}, nil)
	b.send(string(said))
	readable(b)
	b.drive.Wake()
	if got, want := b.receive(), "\x8a\x011\x81\x03all\x8a\x012\x81\x02me\x8a\x013"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := b.l.routeOf(b.s).tally.MessagesOut; got != 2 {
		t.Errorf("%d messages are counted, want 2", got)
	}
	// However many there are, and wherever they go.
	b.send(string(masked(frame.OpText, []byte("me"))) + strings.Repeat(string(masked(frame.OpPing, nil)), 99) +
		string(masked(frame.OpPing, []byte("last"))))
	readable(b)
	b.drive.Wake()
	got := pongsIn(t, b.receive())
	if len(got) != pongsPerTurn || !strings.Contains(strings.Join(got, " "), "last") {
		t.Errorf("got the pongs %q", got)
	}
}

// A ping is answered whatever the limits do about messages, but for Close: before the
// answer of a message that waits for a worker, and in order when the connection waited.
func TestPongsAndLimits(t *testing.T) {
	few := limiter.Rate{Limit: 1e-3, Burst: 1}
	for name, c := range map[string]struct {
		limits Limits
		want   string // of "pttpttp"
	}{
		"warn, messages":  {Limits{Messages: few, Over: Warn}, "\x8a\x010\x81\x011\x8a\x013\x8a\x016"},
		"drop, messages":  {Limits{Messages: few, Over: Drop}, "\x8a\x010\x81\x011\x8a\x013\x8a\x016"},
		"warn, bytes":     {Limits{Bytes: limiter.Rate{Limit: 1, Burst: 128}, Over: Warn}, "\x8a\x010\x81\x011\x8a\x013\x8a\x016"},
		"drop, bytes":     {Limits{Bytes: limiter.Rate{Limit: 1, Burst: 128}, Over: Drop}, "\x8a\x010\x81\x011\x8a\x013\x8a\x016"},
		"delay, messages": {Limits{Messages: limiter.Rate{Limit: 1e5, Burst: 1}, Over: Delay}, "\x8a\x010\x81\x011\x81\x012\x8a\x013\x81\x014\x81\x015\x8a\x016"},
		"delay, bytes":    {Limits{Bytes: limiter.Rate{Limit: 1e6, Burst: 64}, Over: Delay}, "\x8a\x010\x81\x011\x81\x012\x8a\x013\x81\x014\x81\x015\x8a\x016"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &Server{}
			s.Route("/limited", Route{Message: echo, Limits: c.limits})
			said, _ := script("pttpttp")
			conn := rawDial(t, start(t, s), "/limited")
			conn.SetDeadline(time.Now().Add(time.Hour))
			conn.Write([]byte(said))
			got := make([]byte, len(c.want))
			n, _ := io.ReadFull(conn, got)
			if string(got[:n]) != c.want {
				t.Errorf("got %q, want %q", got[:n], c.want)
			}
		})
	}
}

// What comes with the head is answered like all else, behind the 101.
func TestEarlyPings(t *testing.T) {
	for _, steps := range []string{"ptfpl", strings.Repeat("pt", 16), strings.Repeat("p", 100) + "t"} {
		said, want := script(steps)
		if n := strings.Count(steps, "p"); n > pongsPerTurn {
			want = want[:0]
			for k := range pongsPerTurn - 1 {
				want += string(frame.AppendFrame(nil, frame.OpPong, fmt.Append(nil, k)))
			}
			want += string(frame.AppendFrame(nil, frame.OpPong, fmt.Append(nil, n-1))) + "\x81\x03100"
		}
		b := newBench(t, &Server{})
		b.connect()
		b.send(fmt.Sprintf(upgradeHead, "/echo") + said)
		readable(b)
		head, got, _ := strings.Cut(b.receive(), "\r\n\r\n")
		if !strings.HasPrefix(head, "HTTP/1.1 101 ") || got != want {
			t.Errorf("%s: got %q and %x, want %x", steps, head, got, want)
		}
	}
}

// Neither a pong in its place nor one that makes way allocates.
func TestPongsAllocateNothing(t *testing.T) {
	b := newBench(t, &Server{})
	b.bring(isOpen)
	said, _ := script(strings.Repeat("pt", 50))
	message, buf := []byte(said), make([]byte, 64<<10)
	round := func() {
		if _, err := unix.Write(b.peer, message); err != nil {
			t.Fatal(err)
		}
		readable(b)
		b.drive.After()
		if n, _ := unix.Read(b.peer, buf); n < 50+pongsPerTurn {
			t.Fatalf("%d bytes were said", n)
		}
	}
	if n := testing.AllocsPerRun(200, round); n != 0 {
		t.Errorf("%v allocations for 50 pings, want 0", n)
	}
}
