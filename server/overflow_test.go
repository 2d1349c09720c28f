//go:build linux

package server

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"testing"

	"github.com/usher-ws/usher/frame"
)

// frames reads what a server sends.
type frames struct{ *bufio.Reader }

func (r frames) next(t *testing.T) (frame.Opcode, []byte) {
	t.Helper()
	var head []byte
	for {
		b, err := r.ReadByte()
		if err != nil {
			t.Fatalf("within a header: %v", err)
		}
		head = append(head, b)
		h, n, err := frame.ParseHeader(head)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			continue
		}
		payload := make([]byte, h.Length)
		if _, err := io.ReadFull(r, payload); err != nil {
			t.Fatal(err)
		}
		return h.Opcode, payload
	}
}

// A member that does not read loses what came when its backlog was full, and no more:
// it stays, and the messages it gets are whole and in order.
func TestDropNewest(t *testing.T) {
	const size = 50_000
	s := &Server{Loops: 1, MaxBacklog: 256 << 10}
	g := NewGroup()
	drained := make(chan Conn, 100)
	s.Route("/room", Route{
		Overflow: DropNewest,
		Open:     func(c Conn) error { return g.Join(c) },
		Message:  func(_ Conn, m Message) error { return g.Send(m.Opcode, m.Data) },
		Writable: func(c Conn) { drained <- c },
	})
	addr := start(t, s)
	lazy := rawDial(t, addr, "/room")
	c := dial(t, addr, "/room")
	message := make([]byte, size)
	sent := 0
	publish := func() {
		sent++
		binary.BigEndian.PutUint32(message, uint32(sent))
		say(t, c, string(message))
		if got := read(t, c); len(got) != size {
			t.Fatalf("got %d bytes", len(got))
		}
	}
	for s.Stats().Total.Dropped < 10 {
		if publish(); sent > 1000 {
			t.Fatal("50 MB were sent to a member that reads nothing")
		}
	}
	if st := s.Stats(); st.Overflowed != 0 || g.Len() != 2 || st.Buffered > 1<<20 {
		t.Errorf("%d were closed, %d stayed, %d bytes wait", st.Overflowed, g.Len(), st.Buffered)
	}
	r := frames{bufio.NewReader(lazy)}
	kept := sent - int(s.Stats().Total.Dropped)
	for k := 1; k <= kept; k++ {
		if _, got := r.next(t); binary.BigEndian.Uint32(got) != uint32(k) || len(got) != size {
			t.Fatalf("message %d of %d: got %d, %d bytes", k, kept, binary.BigEndian.Uint32(got), len(got))
		}
	}
	<-drained
	publish()
	if _, got := r.next(t); binary.BigEndian.Uint32(got) != uint32(sent) {
		t.Errorf("after the drain: got message %d, want %d", binary.BigEndian.Uint32(got), sent)
	}
}

// With DropNewest an answer that is too much is refused, and the connection goes on.
func TestDropNewestAnswers(t *testing.T) {
	s := &Server{Loops: 1, MaxBacklog: 64 << 10}
	s.Route("/many", Route{Overflow: DropNewest, Message: func(c Conn, m Message) (err error) {
		for n := 0; err == nil; n++ {
			err = c.Send(frame.OpBinary, make([]byte, 1<<10))
		}
		if err != ErrBacklog {
			t.Errorf("got %v", err)
		}
		return nil
	}})
	c := dial(t, start(t, s), "/many")
	for range 2 {
		say(t, c, "go")
		for range 63 {
			read(t, c)
		}
	}
	if n := s.Stats().Total.Dropped; n != 2 {
		t.Errorf("%d were dropped, want 2", n)
	}
}

// A callback that sends until it is refused, and goes on in Drain, sends far more than
// may wait; nothing is lost, and others have their turns.
func TestDrainPaces(t *testing.T) {
	const size, pieces = 10 << 10, 3000
	s := &Server{Loops: 1, MaxBacklog: 128 << 10}
	most := 0
	pump := func(c Conn) {
		most = max(most, c.Buffered())
		n, _ := c.Data().(int)
		for n < pieces && c.Send(frame.OpBinary, fmt.Appendf(nil, "%-*d", size, n)) == nil {
			n++
		}
		c.SetData(n)
	}
	s.Route("/file", Route{
		Overflow: DropNewest,
		Message:  func(c Conn, _ Message) error { pump(c); return nil },
		Writable: pump,
	})
	s.Route("/echo", Route{Message: echo})
	addr := start(t, s)
	raw, other := rawDial(t, addr, "/file"), dial(t, addr, "/echo")
	raw.Write(masked(frame.OpText, nil))
	r := frames{bufio.NewReader(raw)}
	for n := range pieces {
		if _, got := r.next(t); string(got) != fmt.Sprintf("%-*d", size, n) {
			t.Fatalf("piece %d: got %.10q", n, got)
		}
		if n%100 == 0 {
			say(t, other, "still here")
			read(t, other)
		}
	}
	if st := s.Stats(); most != 0 || st.Buffered > 256<<10 {
		t.Errorf("%d bytes waited when the callback was called, %d now", most, st.Buffered)
	}
}

// A loop's mailbox has a bound, whatever the settings are.
func TestMailboxLimit(t *testing.T) {
	for _, c := range []struct{ backlog, buffered, want int }{
		{0, 0, 32 << 20}, {0, 64 << 10, 1 << 20}, {-1, -1, 16 << 20}, {64 << 20, -1, 64 << 20}, {-1, 64 << 10, 8 << 10},
	} {
		b := newBench(t, &Server{MaxBacklog: c.backlog, MaxBuffered: c.buffered})
		if got := b.l.mail.limit; got != c.want {
			t.Errorf("MaxBacklog %d, MaxBuffered %d: got %d, want %d", c.backlog, c.buffered, got, c.want)
		}
	}
}
