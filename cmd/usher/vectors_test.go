//go:build linux

package main_test

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"syscall"
	"testing"

	gobwas "github.com/gobwas/ws"

	"github.com/usher-ws/usher/internal/vectors"
)

// The protocol's vectors against the running program: what arrives is
// written to a socket of its echo, and what the socket says must be what the
// vector says.

// TestVectors groups the vectors of the server's role by their --max-message.
func TestVectors(t *testing.T) {
	t.Parallel()
	all, err := vectors.Load()
	if err != nil {
		t.Fatal(err)
	}
	byMax, n := make(map[int][]*vectors.Case), 0
	for _, v := range all {
		if !v.Client {
			byMax[v.Max] = append(byMax[v.Max], v)
			n++
		}
	}
	if n < 300 {
		t.Errorf("got %d vectors, want 300 or more", n)
	}
	for _, most := range slices.Sorted(maps.Keys(byMax)) {
		t.Run(fmt.Sprintf("max %d", most), func(t *testing.T) {
			flags := []string{"--echo", "/echo", "--deflate", "--loops", "1"}
			if most != 0 {
				flags = append(flags, "--max-message", strconv.Itoa(max(most, 0)))
			}
			var courses []*course
			for _, v := range byMax[most] {
				courses = append(courses, coursesOf(v)...)
			}
			p := serve(t, flags...)
			for batch := range batches(courses) {
				takeCourses(t, p, batch)
			}
			t.Logf("%d connections", len(courses))
		})
	}
}

// course is one run of a vector over a connection of its own.
type course struct {
	v      *vectors.Case
	pieces [][]byte // of the input; the program reads each by itself

	*wire
	heard chan error // of the reading, when all is read
	said  []byte     // what the program said until its FIN
}

// coursesOf cuts a vector's input: not at all, in two at every byte of a short one
// and at some of a long one, and into single bytes.
func coursesOf(v *vectors.Case) (all []*course) {
	all = append(all, &course{v: v, pieces: [][]byte{v.In}})
	n := len(v.In)
	var cuts []int
	switch {
	case n <= everyByte:
		for at := 1; at < n; at++ {
			cuts = append(cuts, at)
		}
	case n <= 1<<16:
		cuts = []int{1, 5, n / 2, n - 1}
	default:
		cuts = []int{n / 2}
	}
	for _, at := range cuts {
		all = append(all, &course{v: v, pieces: [][]byte{v.In[:at], v.In[at:]}})
	}
	if n > 2 && n <= everyByte {
		c := &course{v: v}
		for i := range n {
			c.pieces = append(c.pieces, v.In[i:i+1])
		}
		all = append(all, c)
	}
	return all
}

// everyByte is the longest input that is cut at every byte.
const everyByte = 100

// batches bounds how many connections and bytes are under way at once.
func batches(courses []*course) func(func([]*course) bool) {
	return func(yield func([]*course) bool) {
		first, size := 0, 0
		for i, c := range courses {
			if i-first == 200 || size > 8<<20 {
				if !yield(courses[first:i]) {
					return
				}
				first, size = i, 0
			}
			size += len(c.v.In)
		}
		yield(courses[first:])
	}
}

// takeCourses takes a batch side by side, piece by piece. Between two pieces a
// bystander has its echo: the program has one loop, which reads connections in the
// order in which they became readable, so it has read the piece before.
func takeCourses(t *testing.T, p *program, batch []*course) {
	t.Helper()
	bystander := join(t, p.addr, upgradeTo("/echo")...)
	defer bystander.conn.Close()
	for _, c := range batch {
		c.enter(t, p)
		go func() {
			var err error
			c.said, err = io.ReadAll(c.in)
			c.heard <- err
		}()
	}
	for step, left := 0, batch; len(left) > 0; step++ {
		var more []*course
		for _, c := range left {
			c.send(step)
			if step+1 < len(c.pieces) {
				more = append(more, c)
			}
		}
		bystander.write(masked(opBinary, ""))
		bystander.want(opBinary, "")
		left = more
	}
	for _, c := range batch {
		if err := <-c.heard; err != nil {
			t.Errorf("%s: got %d bytes and %v, want the program's FIN", c, len(c.said), err)
		} else if err := c.judge(); err != nil {
			t.Errorf("%s: %v\nin %x", c, err, head500(c.v.In))
		}
		c.conn.Close()
	}
}

// enter connects, and offers the vector's window.
func (c *course) enter(t *testing.T, p *program) {
	t.Helper()
	lines := upgradeTo("/echo")
	if c.v.Window != 0 {
		lines = append(lines, fmt.Sprintf("Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=%d", c.v.Window))
	}
	c.wire, c.heard = join(t, p.addr, lines...), make(chan error, 1)
}

// piece writes one piece.
func (c *course) piece(step int) {
	_, err := c.conn.Write(c.pieces[step])
	if err != nil && !(c.closes() && (errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET))) {
		c.t.Errorf("%s: %v", c, err)
	}
}

// send is piece, but behind the last one comes our FIN, unless the program has to say its own
// first.
func (c *course) send(step int) {
	c.piece(step)
	if step+1 == len(c.pieces) && !c.closes() {
		c.conn.CloseWrite()
	}
}

// closes reports whether the vector ends with a close frame of the program's.
func (c *course) closes() bool {
	n := len(c.v.Events)
	return n > 0 && (c.v.Events[n-1].Kind == "close" || c.v.Events[n-1].Kind == "error")
}

// String returns the vector's name and how it is cut.
func (c *course) String() string {
	switch len(c.pieces) {
	case 1:
		return c.v.Name + ", whole"
	case 2:
		return fmt.Sprintf("%s, cut at %d", c.v.Name, len(c.pieces[0]))
	default:
		return c.v.Name + ", byte by byte"
	}
}

// judge compares what was said with the vector. Where there are more pings than one turn
// has pongs, pongs may be missing, but for the last (RFC 6455 §5.5.3).
func (c *course) judge() error {
	got, err := split(c.said)
	if err != nil {
		return err
	}
	want, err := c.wanted()
	if err != nil {
		return err
	}
	want = c.withoutPongs(want, got)
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) {
			return fmt.Errorf("got %d frames, want %d: %v and %v", len(got), len(want), got[min(i, len(got)):], want[min(i, len(want)):])
		}
		if err := got[i].differs(want[i]); err != nil {
			return fmt.Errorf("frame %d: %w", i, err)
		}
		if got[i].far > 1<<c.v.Window {
			return fmt.Errorf("frame %d refers back %d bytes, past a window of %d bits", i, got[i].far, c.v.Window)
		}
	}
	return nil
}

// wanted are the frames that the vector has the program say.
func (c *course) wanted() (want []saying, err error) {
	for _, o := range c.v.Out {
		switch o.Deflated {
		case "text":
			want = append(want, saying{op: opText, payload: string(o.Bytes), deflated: true})
		case "binary":
			want = append(want, saying{op: opBinary, payload: string(o.Bytes), deflated: true})
		default:
			s, err := split(o.Bytes)
			if err != nil {
				return nil, fmt.Errorf("the vector itself: %w", err)
			}
			want = append(want, s...)
		}
	}
	return want, nil
}

// saying is a frame from the program, or a vector, inflated.
type saying struct {
	op       byte
	payload  string
	deflated bool
	far      int // how many bytes it refers back
}

// String returns the frame for failures.
func (s saying) String() string {
	return fmt.Sprintf("%v, deflated %t", frame{s.op, s.payload}, s.deflated)
}

func (s saying) differs(want saying) error {
	if s.op != want.op || s.payload != want.payload || s.deflated && !want.deflated {
		return fmt.Errorf("got %v, want %v", s, want)
	}
	if want.deflated && !s.deflated {
		if n := deflatedLength(s.payload); n < len(s.payload) {
			return fmt.Errorf("got %d bytes as they are, want them compressed to about %d", len(s.payload), n)
		}
	}
	return nil
}

// split reads frames, which must be final and unmasked, and a close frame the last.
func split(b []byte) (all []saying, err error) {
	for r := bytes.NewReader(b); r.Len() > 0; {
		h, err := gobwas.ReadHeader(r)
		if err != nil || !h.Fin || h.Masked || h.Rsv&3 != 0 || h.Length > int64(r.Len()) {
			return all, fmt.Errorf("header %+v, %v, with %d bytes behind it", h, err, r.Len())
		}
		payload := make([]byte, h.Length)
		io.ReadFull(r, payload)
		s := saying{op: byte(h.OpCode), deflated: h.Rsv != 0}
		if s.deflated {
			if s.op != opText && s.op != opBinary {
				return all, fmt.Errorf("RSV1 on opcode %d", s.op)
			}
			n := len(payload)
			if payload, s.far, err = vectors.Inflate(payload); err != nil {
				return all, err
			}
			if len(payload) < 512 || n >= len(payload) {
				return all, fmt.Errorf("%d bytes were compressed to %d", len(payload), n)
			}
		}
		s.payload = string(payload)
		all = append(all, s)
		if s.op == opClose && r.Len() > 0 {
			return all, fmt.Errorf("%d bytes behind the close frame", r.Len())
		}
	}
	return all, nil
}

// pongsPerTurn is how many pongs the program says at most in one turn.
const pongsPerTurn = 16

// withoutPongs returns want without the pongs that may be missing and are.
func (c *course) withoutPongs(want, got []saying) []saying {
	var pongs []int
	for i, s := range want {
		if s.op == opPong {
			pongs = append(pongs, i)
		}
	}
	if len(pongs) <= pongsPerTurn {
		return want
	}
	last := pongs[len(pongs)-1]
	var left []saying
	for i, s := range want {
		if s.op == opPong && i < last && (len(left) >= len(got) || s != got[len(left)]) {
			continue
		}
		left = append(left, s)
	}
	return left
}

// deflatedLength returns what compress/flate makes of a message.
func deflatedLength(message string) int {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestSpeed)
	io.WriteString(w, message)
	w.Flush()
	return b.Len() - len("\x00\x00\xff\xff")
}

func head500(b []byte) []byte { return b[:min(len(b), 500)] }
