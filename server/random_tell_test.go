//go:build linux

package server

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/usher-ws/usher/frame"
	"golang.org/x/sys/unix"
)

// TestToldAtRandom: whatever the other server says, in whatever pieces, however slowly the client
// takes it, and whatever is said to that meanwhile: without our messages what the client hears is
// what the other server has said, to the byte; with them it is what a client may hear; and they are
// all there, in their order. The seed is that of TestAtRandom.
func TestToldAtRandom(t *testing.T) {
	seed, err := strconv.ParseUint(os.Getenv(randomSeedEnv), 10, 64)
	if err != nil {
		seed = rand.Uint64()
	}
	for range 200 {
		if seed++; !t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { tellAtRandom(t, seed) }) {
			return
		}
	}
}

func tellAtRandom(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 0))
	b := newBench(t, &Server{MaxBacklog: 16 << 20})
	b.opens("")
	b.client.Data().frame, b.s.Data().frame = frame.NewState(frame.MaxWindow), frame.NewState(frame.MaxWindow)
	said := chatter(rng)
	var ours []string
	var heard strings.Builder
	for rest := said; len(rest) > 0; {
		switch rng.IntN(4) {
		case 0:
			ours = append(ours, fmt.Sprintf("%s%d %s", marker, len(ours), strings.Repeat("a", rng.IntN(1<<rng.IntN(15)))))
			b.says(ours[len(ours)-1])
		case 1:
			heard.WriteString(b.told())
			b.drive.Writable(b.client)
		default:
			n, err := unix.Write(b.peer, rest[:min(1+rng.IntN(1<<(1+rng.IntN(15))), len(rest))])
			if err == nil {
				rest = rest[n:]
			}
			readable(b)
		}
		b.drive.After()
	}
	for last := -1; heard.Len() > last || b.client.Waiting() > 0; readable(b) {
		last = heard.Len()
		heard.WriteString(b.told())
		b.drive.Writable(b.client)
	}
	theirs, told := apart(t, []byte(heard.String()))
	if !bytes.Equal(theirs, said) {
		t.Errorf("of the other server's %d bytes the client heard %d", len(said), len(theirs))
	}
	if !slices.Equal(told, ours) {
		t.Errorf("of our %d messages the client heard %d: %.100q", len(ours), len(told), told)
	}
	b.client.Cut(unix.ECONNRESET)
}

// marker is how our messages begin, and none of the other server's do.
const marker = "ours "

// chatter is what the other server says: whole messages in fragments, some that came compressed, with
// control frames between.
func chatter(rng *rand.Rand) (out []byte) {
	one := func(h frame.Header) {
		h.Length = int64(rng.IntN(1 << rng.IntN(16)))
		if h.Opcode.IsControl() {
			h.Fin, h.Length = true, h.Length%126
		}
		out = frame.AppendHeader(out, h)
		for range h.Length {
			out = append(out, byte('A'+rng.IntN(26)))
		}
	}
	controls := func() {
		for rng.IntN(4) == 0 {
			one(frame.Header{Opcode: []frame.Opcode{frame.OpPing, frame.OpPong}[rng.IntN(2)]})
		}
	}
	for range rng.IntN(40) {
		h := frame.Header{Opcode: []frame.Opcode{frame.OpText, frame.OpBinary}[rng.IntN(2)], Fin: rng.IntN(2) == 0}
		if rng.IntN(2) == 0 {
			h.Rsv = 4
		}
		controls()
		one(h)
		for !h.Fin {
			controls()
			h = frame.Header{Opcode: frame.OpContinuation, Fin: rng.IntN(3) == 0}
			one(h)
		}
	}
	return out
}

// apart parts what a client heard into what the other server has said, and what we have.
func apart(t *testing.T, heard []byte) (theirs []byte, ours []string) {
	t.Helper()
	inMessage := false
	for len(heard) > 0 {
		h, n, err := frame.ParseHeader(heard)
		if err != nil || n == 0 || h.Length > int64(len(heard)-n) {
			t.Fatalf("header %+v, %v, with %d bytes behind it", h, err, len(heard)-n)
		}
		whole := heard[:n+int(h.Length)]
		heard = heard[len(whole):]
		if payload := string(whole[n:]); strings.HasPrefix(payload, marker) {
			if h.Opcode != frame.OpText || !h.Fin || h.Rsv != 0 || h.Masked || inMessage {
				t.Fatalf("ours came as %+v; in a message: %v", h, inMessage)
			}
			ours = append(ours, payload)
			continue
		}
		theirs = append(theirs, whole...)
		if !h.Opcode.IsControl() {
			if (h.Opcode == frame.OpContinuation) != inMessage {
				t.Fatalf("%+v came; in a message: %v", h, inMessage)
			}
			inMessage = !h.Fin
		}
	}
	return theirs, ours
}
