//go:build linux

package server

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/usher-ws/usher/frame"
	"golang.org/x/sys/unix"
)

// member is a connection of a bench that has joined a group.
type member struct {
	conn Conn
	peer int
}

// members opens connections that join g.
func (b *bench) members(g *Group, n int) []member {
	b.Helper()
	all := make([]member, n)
	for k := range all {
		b.open(fmt.Sprintf(upgradeHead, "/echo"))
		all[k] = member{b.conn(), b.peer}
		b.Cleanup(func() { unix.Close(all[k].peer) })
		if err := g.Join(b.conn()); err != nil {
			b.Fatal(err)
		}
		b.receive() // the 101
		b.peer = -1
	}
	b.settle()
	return all
}

// settle lets the loop do all it was asked for, and returns in how many turns.
func (b *bench) settle() (turns int) {
	for b.l.mail.queued.Load() {
		b.drive.Wake()
		turns++
	}
	return turns
}

// heard is what a member can read now.
func (b *bench) heard(m member) string {
	b.peer = m.peer
	defer func() { b.peer = -1 }()
	return b.receive()
}

// A message to a large group is sent in turns, which count members and bytes. Who joins
// meanwhile is not sent it, nor is anyone who leaves; what was asked for behind it waits.
func TestFanOutTakesTurns(t *testing.T) {
	b := newBench(t, new(Server))
	var g Group
	all := b.members(&g, 2*deliveriesPerTurn+10)
	if err := g.Send(frame.OpText, []byte("one")); err != nil {
		t.Fatal(err)
	}
	b.drive.Wake()
	first := deliveriesPerTurn
	for k, m := range all {
		if got, want := b.heard(m) != "", k < first; got != want {
			t.Fatalf("after a turn member %d has heard it: %v", k, got)
		}
	}
	left, ended := all[first], all[first+1]
	s, _ := b.l.Find(ended.conn.token())
	s.Cut(nil)
	if err := g.Send(frame.OpText, []byte("two")); err != nil {
		t.Fatal(err)
	}
	if err := all[first+2].conn.Send(frame.OpText, []byte("three")); err != nil {
		t.Fatal(err)
	}
	if err := g.Leave(left.conn); err != nil {
		t.Fatal(err)
	}
	late := b.members(&g, 1)[0]
	for k, m := range all {
		want := "\x81\x03one\x81\x03two"
		switch {
		case k < first:
			want = "\x81\x03two"
		case k == first+1:
			want = ""
		case k == first+2:
			want += "\x81\x05three"
		}
		if got := b.heard(m); got != want {
			t.Fatalf("member %d: got %q, want %q", k, got, want)
		}
	}
	if got := b.heard(late); got != "" {
		t.Errorf("the one that joined last: got %q", got)
	}
	if err := g.Send(frame.OpText, []byte("four")); err != nil {
		t.Fatal(err)
	}
	b.settle()
	if got := b.heard(left); got != "" {
		t.Errorf("the one that has left: got %q", got)
	}
	if got := b.heard(late); got != "\x81\x04four" {
		t.Errorf("the one that joined last: got %q", got)
	}

	if err := g.Send(frame.OpText, make([]byte, mailBytesPerTurn/10)); err != nil {
		t.Fatal(err)
	}
	if got, want := b.settle(), g.Len()/10; got < want || got > want+2 {
		t.Errorf("a large message to %d took %d turns, want about %d", g.Len(), got, want)
	}
	if err := g.Close(4000, "bye"); err != nil {
		t.Fatal(err)
	}
	if got, want := b.settle(), (len(all)-1)/deliveriesPerTurn+1; got != want || g.Len() != 0 {
		t.Errorf("the end of the group took %d turns and left %d, want %d and none", got, g.Len(), want)
	}
}

// What is published while a message is on its way goes along: whoever has not had the first
// gets both in one send, and the others the second alone.
func TestFanOutTakesAlong(t *testing.T) {
	b := newBench(t, new(Server))
	var g Group
	const n = deliveriesPerTurn
	all := b.members(&g, 3*n)
	say := func(text string) {
		if err := g.Send(frame.OpText, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	for turn, want := range [][3]string{
		{"a", "", ""},
		{"", "ab", ""},
		{"", "", "abc"},
		{"bcd", "", ""},
		{"", "cd", ""},
		{"", "", "d"},
	} {
		if turn < 4 {
			say(string(rune('a' + turn)))
		}
		b.drive.Wake()
		for k, m := range all {
			got := strings.ReplaceAll(b.heard(m), "\x81\x01", "")
			if got != want[k/n] {
				t.Fatalf("in turn %d member %d heard %q, want %q", turn, k, got, want[k/n])
			}
		}
	}
	if b.drive.Wake(); b.l.mail.queued.Load() {
		t.Error("there is something left")
	}
}

// More messages than one go takes of a flow are heard all the same, once and in their order, where
// the walk began with all that had come and goes on with what was put off.
func TestFanOutOfMany(t *testing.T) {
	const many = 3*maxRun + 5
	b := newBench(t, new(Server))
	var g Group
	all := b.members(&g, 2*deliveriesPerTurn+1)
	var want strings.Builder
	for n := range many {
		text := fmt.Sprintf("%03d ", n)
		want.WriteString(text)
		if err := g.Send(frame.OpText, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	b.settle()
	for k, m := range all {
		var got strings.Builder
		for heard := b.heard(m); heard != ""; {
			got.WriteString(heard[2:6])
			heard = heard[6:]
		}
		if got.String() != want.String() {
			t.Fatalf("member %d heard %q", k, got.String())
		}
	}
}

// Whatever turns it takes, a member hears what is published between its Join and its Leave,
// in that order.
func TestFanOutWithMembersThatComeAndGo(t *testing.T) {
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 3))
		b := newBench(t, new(Server))
		var g Group
		all := b.members(&g, 5*deliveriesPerTurn)
		want, in := make([]string, len(all)), make([]bool, len(all))
		for k := range in {
			in[k] = true
		}
		for said := 0; said < 200; {
			switch k := rng.IntN(len(all)); rng.IntN(8) {
			case 0:
				if in[k] {
					_ = g.Leave(all[k].conn)
				} else {
					_ = g.Join(all[k].conn)
				}
				in[k] = !in[k]
			case 1, 2, 3:
				text := string(rune('0' + said%10))
				if err := g.Send(frame.OpText, []byte(text)); err != nil {
					t.Fatal(err)
				}
				said++
				for k := range want {
					if in[k] {
						want[k] += "\x81\x01" + text
					}
				}
			default:
				b.drive.Wake()
			}
		}
		b.settle()
		for k, m := range all {
			if got := b.heard(m); got != want[k] {
				t.Fatalf("seed %d: member %d heard %q, want %q", seed, k, got, want[k])
			}
		}
	}
}

// What many members do not take is kept once for all of them, one message as well as several
// that leave together, and what they take of it is counted no more.
func TestFanOutIsKeptOnce(t *testing.T) {
	const size, members = 200 << 10, 50
	b := newBench(t, new(Server))
	var g Group
	all := b.members(&g, members)
	text := []byte(strings.Repeat("x", size))
	for range 4 {
		if err := g.Send(frame.OpText, text); err != nil {
			t.Fatal(err)
		}
	}
	b.settle()
	if n := b.l.Buffers.InUse(); n < size || n > 5*size {
		t.Errorf("%d bytes are kept, want those of the messages", n)
	}
	for got := range members {
		n := 0
		for n < 4*(size+4) {
			n += len(b.heard(all[got]))
			s, _ := b.l.Find(all[got].conn.token())
			b.drive.Writable(s)
		}
	}
	if n := b.l.Buffers.InUse() - b.l.tables; n != 0 {
		t.Errorf("%d bytes are kept of what was taken", n)
	}
}

// A history that is sent to each that joins is kept once, too, and so is a message to
// many connections.
func TestSendPreparedIsKeptOnce(t *testing.T) {
	const size, members = 300 << 10, 20
	past := frame.Prepare(frame.OpText, []byte(strings.Repeat("x", size)))
	s := new(Server)
	s.Route("/joins", Route{Open: func(c Conn) error { return c.SendPrepared(past) }})
	b := newBench(t, s)
	var all []member
	for range members {
		b.connect()
		all = append(all, member{peer: b.peer})
		b.ask("/joins")
		all[len(all)-1].conn = b.conn()
		b.peer = -1
	}
	if n := b.l.Buffers.InUse(); n < size || n > 2*size {
		t.Errorf("%d bytes are kept for those that joined, want those of the history", n)
	}
	for _, m := range all {
		if err := m.conn.SendPrepared(past); err != nil {
			t.Fatal(err)
		}
	}
	b.settle()
	if n := b.l.Buffers.InUse(); n > 2*size {
		t.Errorf("%d bytes are kept, want those of the message", n)
	}
	for _, m := range all {
		unix.Close(m.peer)
	}
}
