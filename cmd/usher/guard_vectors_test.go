//go:build linux

package main_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	gobwas "github.com/gobwas/ws"
	"github.com/usher-ws/usher/internal/vectors"
)

// TestGuardVectors has the vectors of TestVectors go through a guard to a program that echoes: what
// comes back is the same as without the guard, but for vectors that end with an error. There the
// guard says so as soon as it sees it, and the echoes of the messages before that are still under
// way then: a client hears some of them, or all, or none.
func TestGuardVectors(t *testing.T) {
	t.Parallel()
	all, err := vectors.Load()
	if err != nil {
		t.Fatal(err)
	}
	byMax := make(map[int][]*vectors.Case)
	for _, v := range all {
		if !v.Client {
			byMax[v.Max] = append(byMax[v.Max], v)
		}
	}
	for _, most := range slices.Sorted(maps.Keys(byMax)) {
		t.Run(fmt.Sprintf("max %d", most), func(t *testing.T) {
			t.Parallel()
			size := "64KiB" // the default of serve
			if most != 0 {
				size = strconv.Itoa(max(most, 0))
			}
			app := serve(t, "--echo", "/echo", "--deflate", "--max-message", size)
			p := guardOf(t, "http://"+app.addr, "--public", "/echo", "--max-message", size, "--check-utf8", "--loops", "1")
			var courses []*course
			for _, v := range byMax[most] {
				cuts := coursesOf(v) // each cut of frame.Relay is tested there
				courses = append(courses, cuts[0])
				if len(cuts) > 1 {
					courses = append(courses, cuts[len(cuts)/2], cuts[len(cuts)-1])
				}
			}
			for batch := range batches(slices.Compact(courses)) {
				takeGuarded(t, p, batch)
			}
			t.Logf("%d connections", len(courses))
		})
	}
}

// takeGuarded is takeCourses through a guard. A client that hangs up there hears no more, as the
// echoes come from elsewhere: each waits for what it is to hear first.
func takeGuarded(t *testing.T, p *program, batch []*course) {
	t.Helper()
	bystander := join(t, p.addr, upgradeTo("/echo")...)
	defer bystander.conn.Close()
	whole := make(map[*course]chan bool)
	for _, c := range batch {
		c.enter(t, p)
		heard := make(chan bool)
		whole[c] = heard
		go func() { c.heard <- c.listen(heard) }()
	}
	for step, left := 0, batch; len(left) > 0; step++ {
		var more []*course
		for _, c := range left {
			if step+1 < len(c.pieces) {
				more = append(more, c)
			}
			c.piece(step)
		}
		bystander.write(masked(opBinary, ""))
		bystander.want(opBinary, "")
		left = more
	}
	for _, c := range batch {
		if !c.closes() {
			<-whole[c]
			c.conn.CloseWrite()
		}
		if err := <-c.heard; err != nil {
			t.Errorf("%s: got %d bytes and %v, want the guard's FIN", c, len(c.said), err)
		} else if err := c.judgeGuarded(); err != nil {
			t.Errorf("%s: %v\nin %x", c, err, head500(c.v.In))
		}
		c.conn.Close()
	}
}

// listen keeps what is said until the FIN. It closes whole when there is no more to come.
func (c *course) listen(whole chan bool) error {
	b, isWhole := make([]byte, 64<<10), false
	for at := 0; ; {
		if at = c.behind(at); !isWhole && at == len(c.said) && c.isWhole() {
			isWhole = true
			close(whole)
		}
		n, err := c.in.Read(b)
		c.said = append(c.said, b[:n]...)
		if err != nil {
			if !isWhole {
				close(whole)
			}
			if err == io.EOF {
				return nil
			}
			return err
		}
	}
}

// behind returns where the whole frames end that were said from at on.
func (c *course) behind(at int) int {
	for {
		r := bytes.NewReader(c.said[at:])
		h, err := gobwas.ReadHeader(r)
		if err != nil || h.Length > int64(r.Len()) {
			return at
		}
		at = len(c.said) - r.Len() + int(h.Length)
	}
}

// isWhole reports whether all was said that the vector has, or more.
func (c *course) isWhole() bool {
	if c.judge() == nil {
		return true
	}
	got, err := split(c.said)
	want, errWant := c.wanted()
	return err == nil && errWant == nil && len(got) >= len(want) && len(want) > 0
}

// judgeGuarded is judge, but that echoes may be missing in front of the close frame of an error.
func (c *course) judgeGuarded() error {
	err := c.judge()
	if n := len(c.v.Events); err == nil || n == 0 || c.v.Events[n-1].Kind != "error" {
		return err
	}
	got, errGot := split(c.said)
	want, errWant := c.wanted()
	if len(got) == 0 || len(got) > len(want) || errGot != nil || errWant != nil {
		return errors.Join(err, errGot, errWant)
	}
	echoes := len(got) - 1
	for i, s := range got[:echoes] {
		if err := s.differs(want[i]); err != nil {
			return fmt.Errorf("frame %d: %w", i, err)
		}
	}
	return got[echoes].differs(want[len(want)-1])
}

// TestGuardTakeover: both sides compress with what they have said before, which nobody between
// them could read, and the guard passes it on all the same.
func TestGuardTakeover(t *testing.T) {
	t.Parallel()
	interpreter := node(t, "ws", "ws")
	modules, err := filepath.Abs(clientsDir)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(interpreter, "node_echo.mjs")
	cmd.Dir, cmd.Env = guardDir, append(cmd.Environ(), "NODE_APP_MODULES="+modules)
	r := newRelay(t, guardOf(t, foreignService(t, cmd), "--public", "/echo"))
	const size, messages = 4000, 10
	rng, letters := rand.New(rand.NewPCG(7692, 0)), make([]byte, size) // of which nothing is there twice
	for i := range letters {
		letters[i] = byte(' ' + rng.IntN(95))
	}
	j := job{Echo: "ws://" + r.addr + "/echo", Sentence: string(letters), Sizes: slices.Repeat([]int{size}, messages/2)}
	s := run(t, j, python(t), "python_deflate.py")
	r.wait()
	want := slices.Repeat([]string{fmt.Sprint("text ", size), fmt.Sprint("binary ", size)}, messages/2)
	if !slices.Equal(s.Echoed, want) {
		t.Errorf("echoed: got %q, want %q", s.Echoed, want)
	}
	t.Logf("%d bytes of messages were %d on the way up, %d down", messages*size, r.up.Len(), r.down.Len())
	if up, down := r.up.Len(), r.down.Len(); up > 2*size || down > 2*size {
		t.Errorf("%d bytes up and %d down: want the first message, and references to it", up, down)
	}
}
