//go:build linux

package server

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/usher-ws/usher/internal/drawn"
	"golang.org/x/sys/unix"
)

func TestEveryCell(t *testing.T) {
	var reached [numStates][numEvents + 1][numStates]bool
	run := func(c stimulus, busy bool, wire string) {
		reached[c.from.session][c.event][c.want.session] = true
		name := "nothing"
		if c.event != nothing {
			name = c.event.String()
		}
		t.Run(fmt.Sprintf("%v/%s/%s/busy=%v/%s", c.from, name, c.name, busy, wire), func(t *testing.T) {
			b := newBench(t, &Server{MaxBacklog: 3 << 19})
			if wire != "clear" {
				b.far = &farEnd{isPolite: wire == "TLS"}
			}
			if busy {
				b.keepBusy()
			}
			b.bring(c.from)
			tok := b.s.Token()
			c.do(b)
			got := b.at()
			if got != c.want {
				t.Fatalf("it is %v, want %v", got, c.want)
			}
			if c.event == nothing && got.session != c.from.session {
				t.Errorf("from %v to %v without an event", c.from, got)
			}
			if c.event != nothing {
				if cell := table[c.from.session][c.event]; !slices.Contains(cell.next, got.session) {
					t.Errorf("the table does not lead from %v to %v by %v", c.from, got, c.event)
				}
			}
			if c.from != isFree && got == isFree && b.s.Token() == tok {
				t.Error("the slot was freed and kept its generation")
			}
			users := 0
			for s := range b.l.All() {
				if s.Data().facts.isUsers() {
					users++
				}
			}
			if b.opened-b.closed != users {
				t.Errorf("Open was called %d times and Close %d times, and %d connections are the user's", b.opened, b.closed, users)
			}
			b.checkInterest(c.name == "too much")
		})
	}
	for _, wire := range []string{"clear", "TLS", "TLS cut short"} {
		for _, c := range stimuli {
			run(c, false, wire)
		}
		for _, c := range whileBusy {
			run(c, true, wire)
		}
	}
	for s := range numStates {
		for e := range numEvents {
			for _, next := range table[s][e].next {
				if !reached[s][e][next] {
					t.Errorf("nothing leads from %v to %v by %v", s, next, e)
				}
			}
		}
	}
}

// keepBusy has another connection's job take the worker there is.
func (b *bench) keepBusy() {
	b.connect()
	peer := b.peer
	b.Cleanup(func() { unix.Close(peer) })
	b.ask("/work", b.message("0"))
	<-b.begun
	b.isBusy = true
}

// An authorizer is told when the client it is asked about hangs up.
func TestHangUpCancelsAuthorize(t *testing.T) {
	b := newBench(t, &Server{})
	b.bring(isAsked)
	hangUp(b)
	readable(b)
	for b.l.srv.asking.InUse() > 0 {
		time.Sleep(time.Millisecond) // ctx.Done is what ends it
	}
	if got := b.at(); got != isFree {
		t.Errorf("it is %v, want %v", got, isFree)
	}
}

func TestSizes(t *testing.T) {
	b := newBench(t, &Server{})
	slot, each := b.drive.Sizes()
	if slot != 56 {
		t.Errorf("slot is %d bytes, want 56", slot)
	}
	if each > 64 {
		t.Errorf("a connection costs %d bytes of table, want at most 64", each)
	}
	if got := unsafe.Sizeof(session{}); got != 40 {
		t.Errorf("session is %d bytes, want 40", got)
	}
	if got := unsafe.Sizeof(Conn{}); got != 16 {
		t.Errorf("Conn is %d bytes, want 16", got)
	}
}

// The path of a message from the kernel and back allocates nothing.
func TestEchoAllocatesNothing(t *testing.T) {
	b := newBench(t, &Server{})
	b.bring(isOpen)
	for _, size := range []int{0, 20, 512, 16 << 10} {
		message := []byte(b.message(strings.Repeat("x", size)))
		buf := make([]byte, size+16)
		round := func() {
			if _, err := unix.Write(b.peer, message); err != nil {
				t.Fatal(err)
			}
			readable(b)
			b.drive.After()
			if n, _ := unix.Read(b.peer, buf); n < size {
				t.Fatalf("echo of %d bytes, want %d", n, size)
			}
		}
		if n := testing.AllocsPerRun(200, round); n != 0 {
			t.Errorf("%v allocations per echo of %d bytes, want 0", n, size)
		}
	}
}

// docs/ARCHITECTURE.md shows the table; go test ./server -run Architecture -update draws it
// again.
func TestArchitectureShowsTheTable(t *testing.T) {
	drawn.Section(t, "../docs/ARCHITECTURE.md", "states", tableMarkdown())
}

// tableMarkdown draws the table for docs/ARCHITECTURE.md.
func tableMarkdown() string {
	var b strings.Builder
	b.WriteString(drawn.Table(numStates, numEvents, func(s state, e event) (do string, next []state) {
		if c := table[s][e]; c.do != ignore {
			do, next = c.do.String(), c.next
		}
		return do, next
	}))
	b.WriteString("\n| state | deadline | memory beside the stream's |\n|---|---|---|\n")
	for s := range numStates {
		fmt.Fprintf(&b, "| **%v** | %s | %s |\n", s, aboutOf[s].deadline, aboutOf[s].memory)
	}
	return b.String()
}
