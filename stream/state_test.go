//go:build linux

package stream

import (
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/usher-ws/usher/internal/drawn"
	"github.com/usher-ws/usher/poller"
	"github.com/usher-ws/usher/record/handshake"
	"golang.org/x/sys/unix"
)

// cellRig is a rig with one stream, brought to a state.
type cellRig struct {
	*rig
	s    link
	peer int
	gen  uint32
}

// bring brings a stream into a state, by the way it would come there.
func (c *cellRig) bring(to State) {
	c.Helper()
	switch to {
	case Dialing:
		c.s, c.peer = c.dial()
	case Securing:
		c.s, c.peer = c.adoptTLS()
	default:
		c.s, c.peer = c.adopt()
	}
	switch to {
	case Free:
		c.s.Cut(nil)
	case Held:
		c.s.Write(plenty)
		if c.l.engine.cfg.ReadAlways {
			c.s.Hold(Custom)
		}
	case Finishing:
		c.s.Write(plenty)
		c.s.Finish(nil)
	case Lingering:
		c.s.Finish([]byte("bye"))
	case Gone:
		c.o.ended = func(link, error) bool { return true }
		c.s.Cut(nil)
	}
	if got := c.s.State(); got != to {
		c.Fatalf("set-up: the stream is %v, want %v", got, to)
	}
	c.gen = c.s.Generation()
}

// stimulus is how a test makes an event happen; want is the state it leads to.
type stimulus struct {
	name  string
	state State
	event event
	do    func(c *cellRig)
	want  State
}

// tell lets the loop see the event.
func tell(ev event) func(*cellRig) {
	return func(c *cellRig) {
		switch ev {
		case readable:
			c.d.Readable(c.s)
		case writable:
			c.d.Writable(c.s)
		case hangup:
			c.d.Hangup(c.s)
		case due:
			c.d.Due(c.s)
		}
	}
}

// chain does one after the other.
func chain(steps ...func(*cellRig)) func(*cellRig) {
	return func(c *cellRig) {
		for _, do := range steps {
			do(c)
		}
	}
}

// What an owner does in a callback.
var (
	nothing = func(link) {}
	fill    = func(s link) { s.Write(plenty) }
	hold    = func(s link) { s.Hold(Custom) }
	leave   = func(s link) { s.Write(plenty); s.Finish(nil) }
	finish  = func(s link) { s.Finish([]byte("bye")) }
	cut     = func(s link) { s.Cut(errCut) }
)

var errCut = errors.New("cut")

func keep(c *cellRig) { c.o.ended = func(link, error) bool { return true } }

func onOpened(do func(link)) func(*cellRig) { return func(c *cellRig) { c.o.opened = do } }
func onSecured(do func(link)) func(*cellRig) {
	return func(c *cellRig) { c.o.secured = func(s link, _ *tls.ConnectionState) { do(s) } }
}
func onResume(do func(link)) func(*cellRig) { return func(c *cellRig) { c.o.resume = do } }
func onDue(do func(link)) func(*cellRig)    { return func(c *cellRig) { c.o.due = do } }

// onInput has the owner do something about what is read; the peer has said it.
func onInput(do func(link)) func(*cellRig) {
	return func(c *cellRig) {
		c.o.input = func(s link, _ []byte, _ bool) { do(s) }
		c.send(c.peer, "hello")
	}
}

// What the peer does.
func hello(c *cellRig)  { c.send(c.peer, "hello") }
func ends(c *cellRig)   { unix.Shutdown(c.peer, unix.SHUT_WR) }
func hangUp(c *cellRig) { unix.Shutdown(c.peer, unix.SHUT_RDWR) }
func takes(c *cellRig)  { unix.Read(c.peer, make([]byte, 256<<10)) }

// takesAll has the peer take what waits, and the loop hear of it.
func takesAll(c *cellRig) {
	for st := c.s.State(); c.s.State() == st && c.s.Waiting() > 0; {
		if c.receive(c.peer) == "" {
			c.Fatal("there is nothing to take")
		}
		c.d.Writable(c.s)
	}
}

// leaveWaiting has bytes wait for the peer while the stream is Flowing.
func leaveWaiting(c *cellRig) {
	c.l.engine.cfg.ReadAlways = true
	c.s.Write(plenty)
	if c.s.State() != Flowing || c.s.Waiting() == 0 {
		c.Fatalf("the stream is %v, %d bytes wait", c.s.State(), c.s.Waiting())
	}
	c.checkArmed()
}

// reason has the stream held by its owner alone.
func reason(c *cellRig) {
	c.s.Hold(Custom)
	takesAll(c)
	if c.s.State() != Held || c.s.Waiting() != 0 {
		c.Fatalf("the stream is %v, %d bytes wait", c.s.State(), c.s.Waiting())
	}
	c.checkArmed()
}

// heldWaiting has a stream that is read from while bytes wait held for a reason, too.
func heldWaiting(c *cellRig) {
	c.l.engine.cfg.ReadAlways = true
	c.s.Hold(Custom)
}

func longAfter(c *cellRig) { c.d.Advance(Ticks(24 * time.Hour)) }

// has stubs what the kernel says of the bytes sent.
func kernelHas(o poller.Outgoing) func(*cellRig) {
	return func(c *cellRig) { c.l.engine.cfg.Progress = func(int) poller.Outgoing { return o } }
}

// the checks that a stimulus may end with.
func told(what ...string) func(*cellRig) {
	return func(c *cellRig) {
		if !c.o.has(what...) {
			c.Errorf("the owner was told %q, want %q", c.o.log, what)
		}
	}
}

func untold(what string) func(*cellRig) {
	return func(c *cellRig) {
		if c.o.has(what) {
			c.Errorf("the owner was told %q", c.o.log)
		}
	}
}

func because(want error) func(*cellRig) {
	return func(c *cellRig) {
		if got := c.o.causes[Token(c.s.Slot(), c.gen)]; got != want {
			c.Errorf("ended with %v, want %v", got, want)
		}
	}
}

// stimuli has at least one entry for every cell of the table, and for every state that a
// cell may lead to.
var stimuli = []stimulus{
	{"stale", Free, readable, tell(readable), Free},
	{"stale", Free, writable, tell(writable), Free},
	{"stale", Free, hangup, tell(hangup), Free},
	{"stale", Free, due, tell(due), Free},

	{"not asked for", Dialing, readable, chain(hello, tell(readable), untold("input")), Dialing},
	{"connected", Dialing, writable, chain(tell(writable), told("opened")), Flowing},
	{"connected, and much is said", Dialing, writable, chain(onOpened(fill), tell(writable)), Held},
	{"connected, and all is said", Dialing, writable, chain(onOpened(leave), tell(writable)), Finishing},
	{"connected, and left alone", Dialing, writable, chain(onOpened(finish), tell(writable)), Lingering},
	{"connected, and not wanted", Dialing, writable, chain(onOpened(cut), tell(writable), because(errCut)), Free},
	{"connected, and kept", Dialing, writable, chain(onOpened(cut), keep, tell(writable)), Gone},
	{"reset", Dialing, hangup, chain(peerResets, tell(hangup), untold("opened"), because(unix.ECONNRESET)), Free},
	{"reset, and kept", Dialing, hangup, chain(peerResets, keep, tell(hangup)), Gone},
	{"its owner is patient", Dialing, due, chain(tell(due), told("due")), Dialing},
	{"its owner is not", Dialing, due, chain(onDue(cut), tell(due), untold("opened"), because(errCut)), Free},
	{"kept", Dialing, due, chain(onDue(cut), keep, tell(due)), Gone},

	{"nothing there", Securing, readable, tell(readable), Securing},
	{"some of its hello", Securing, readable, chain(says("\x16\x03\x01\x02"), tell(readable), untold("input")), Securing},
	{"its hello", Securing, readable, chain(greets, tell(readable)), Securing},
	{"half an end behind its hello", Securing, readable, chain(greets, tell(readable), ends, tell(readable)), Securing},
	{"HTTP, and room for no answer", Securing, readable, chain(says("GET / HTTP/1.1\r\n"), answers(plenty), tell(readable)), Finishing},
	{"HTTP", Securing, readable, chain(says("GET / HTTP/1.1\r\n"), answers([]byte("no")), tell(readable)), Lingering},
	{"neither", Securing, readable, chain(says("\x80hello"), tell(readable), because(handshake.ErrNotTLS)), Free},
	{"a hello without an end", Securing, readable, chain(says("\x16\x03\x01\x00\x04\x01\x00\xff\xff"), floods, because(ErrLongHello)), Free},
	{"its end", Securing, readable, chain(ends, tell(readable), because(ErrHangup)), Free},
	{"its end, and kept", Securing, readable, chain(ends, keep, tell(readable)), Gone},
	{"stale", Securing, writable, tell(writable), Securing},
	{"some taken", Securing, writable, chain(fullWire, greets, tell(readable), answered, checkWrites, takes, tell(writable)), Securing},
	{"secure", Securing, writable, chain(shakes, tell(writable), told("secured")), Flowing},
	{"secure, and held before", Securing, writable, chain(func(c *cellRig) { c.s.Hold(Custom) }, shakes, tell(writable), told("secured")), Held},
	{"secure, and much is said", Securing, writable, chain(onSecured(fill), shakes, tell(writable)), Held},
	{"secure, and all is said", Securing, writable, chain(onSecured(leave), shakes, tell(writable)), Finishing},
	{"secure, and left alone", Securing, writable, chain(onSecured(finish), shakes, tell(writable)), Lingering},
	{"secure, and not wanted", Securing, writable, chain(onSecured(cut), shakes, tell(writable), because(errCut)), Free},
	{"secure, and kept", Securing, writable, chain(onSecured(cut), keep, shakes, tell(writable)), Gone},
	{"refused", Securing, writable, chain(says("\x16\x03\x01\x00\x04\x01\x00\x00\x00"), tell(readable), isOver, tell(writable), untold("secured")), Lingering},
	{"its alert, and hung up", Securing, writable, chain(greets, tell(readable), answered, says(refusal), hangUp, tell(hangup), isOver, leaves, alerted), Free},
	{"its alert, and takes nothing", Securing, writable, chain(greets, tell(readable), says(refusal), hangUp, answered, isOver, leaves, alerted), Free},
	{"hung up", Securing, hangup, chain(hangUp, tell(hangup), because(ErrHangup)), Free},
	{"hung up, and its hello is unread", Securing, hangup, chain(greets, hangUp, tell(hangup), because(ErrHangup)), Free},
	{"hung up behind its hello", Securing, hangup, chain(greets, tell(readable), hangUp, tell(hangup), tell(hangup)), Securing},
	{"hung up, and kept", Securing, hangup, chain(hangUp, keep, tell(hangup)), Gone},
	{"its owner is patient", Securing, due, chain(tell(due), told("due")), Securing},
	{"its owner is not", Securing, due, chain(onDue(cut), tell(due), untold("secured"), because(errCut)), Free},
	{"its owner has a last word", Securing, due, chain(onDue(finish), tell(due), because(ErrNotSecured)), Free},
	{"kept", Securing, due, chain(onDue(cut), keep, tell(due)), Gone},

	{"nothing there", Flowing, readable, chain(tell(readable), untold("input")), Flowing},
	{"bytes", Flowing, readable, chain(onInput(nothing), tell(readable), told("input")), Flowing},
	{"half an end", Flowing, readable, chain(onInput(nothing), tell(readable), ends, tell(readable), told("input", "input")), Flowing},
	{"more than the peer takes", Flowing, readable, chain(onInput(fill), tell(readable)), Held},
	{"a reason of the owner's", Flowing, readable, chain(onInput(hold), tell(readable)), Held},
	{"its turn is over", Flowing, readable, chain(onInput(link.Yield), tell(readable)), Held},
	{"the last words are many", Flowing, readable, chain(onInput(leave), tell(readable)), Finishing},
	{"the last words", Flowing, readable, chain(onInput(finish), tell(readable)), Lingering},
	{"its end", Flowing, readable, chain(ends, tell(readable), told("input")), Lingering},
	{"cut", Flowing, readable, chain(onInput(cut), tell(readable), because(errCut)), Free},
	{"kept", Flowing, readable, chain(onInput(cut), keep, tell(readable)), Gone},
	{"stale", Flowing, writable, tell(writable), Flowing},
	{"some taken", Flowing, writable, chain(leaveWaiting, takes, tell(writable), untold("resume")), Flowing},
	{"all taken", Flowing, writable, chain(leaveWaiting, takesAllFlowing, told("resume")), Flowing},
	{"all taken, and held", Flowing, writable, chain(leaveWaiting, onResume(hold), takesAllFlowing), Held},
	{"all taken, and all is said", Flowing, writable, chain(leaveWaiting, onResume(leave), takesAllFlowing), Finishing},
	{"all taken, and left alone", Flowing, writable, chain(leaveWaiting, onResume(finish), takesAllFlowing), Lingering},
	{"all taken, and cut", Flowing, writable, chain(leaveWaiting, onResume(cut), takesAllFlowing, because(errCut)), Free},
	{"all taken, and kept", Flowing, writable, chain(leaveWaiting, onResume(cut), keep, takesAllFlowing), Gone},
	{"bytes before the end", Flowing, hangup, chain(onInput(nothing), hangUp, tell(hangup), told("input")), Flowing},
	{"bytes before the end, and held", Flowing, hangup, chain(onInput(hold), hangUp, tell(hangup)), Held},
	{"bytes before the end, and much waits", Flowing, hangup, chain(leaveWaiting, onInput(finish), hangUp, tell(hangup)), Finishing},
	{"its end", Flowing, hangup, chain(hangUp, tell(hangup), told("input")), Lingering},
	{"bytes before the end, and cut", Flowing, hangup, chain(onInput(cut), hangUp, tell(hangup), because(errCut)), Free},
	{"bytes before the end, and kept", Flowing, hangup, chain(onInput(cut), keep, hangUp, tell(hangup)), Gone},
	{"said", Flowing, due, chain(tell(due), told("due")), Flowing},
	{"held", Flowing, due, chain(onDue(hold), tell(due)), Held},
	{"all is said", Flowing, due, chain(onDue(leave), tell(due)), Finishing},
	{"left alone", Flowing, due, chain(onDue(finish), tell(due)), Lingering},
	{"cut", Flowing, due, chain(onDue(cut), tell(due), because(errCut)), Free},
	{"kept", Flowing, due, chain(onDue(cut), keep, tell(due)), Gone},

	{"not asked for", Held, readable, chain(hello, tell(readable), untold("input")), Held},
	{"some taken", Held, writable, chain(takes, tell(writable), untold("resume")), Held},
	{"all taken", Held, writable, chain(takesAll, told("resume")), Flowing},
	{"all taken, but held", Held, writable, chain(reason, told("resume")), Held},
	{"all taken, and more", Held, writable, chain(onResume(fill), takesAllHeld), Held},
	{"all taken, and all is said", Held, writable, chain(onResume(leave), takesAll), Finishing},
	{"all taken, and left alone", Held, writable, chain(onResume(finish), takesAll), Lingering},
	{"hung up", Held, writable, chain(hangUp, tell(writable), because(unix.EPIPE)), Free},
	{"hung up, and kept", Held, writable, chain(hangUp, keep, tell(writable)), Gone},
	{"hung up", Held, hangup, chain(hangUp, tell(hangup), because(ErrHangup)), Free},
	{"hung up, and kept", Held, hangup, chain(hangUp, keep, tell(hangup)), Gone},
	{"hung up, and is heard", Held, hangup, chain(heldWaiting, hangUp, tell(hangup), untold("input")), Flowing},
	{"too early", Held, due, chain(tell(due), untold("due")), Held},
	{"the owner's", Held, due, chain(ownersDue, tell(due), told("due")), Held},
	{"taken meanwhile", Held, due, chain(longAfter, kernelHas(poller.Outgoing{Unsent: 1}), tell(due), untold("due")), Held},
	{"its reason ends", Held, due, chain(reason, onDue(func(s link) { s.Go(Custom) }), tell(due)), Flowing},
	{"all is said", Held, due, chain(ownersDue, onDue(finish), tell(due)), Finishing},
	{"left alone", Held, due, chain(reason, onDue(finish), tell(due)), Lingering},
	{"took it, and nobody looked", Held, due, chain(takesUnseen, told("resume")), Flowing},
	{"takes nothing", Held, due, chain(longAfter, tell(due), untold("due"), because(ErrWriteTimeout)), Free},
	{"takes nothing, and the kernel has room", Held, due, chain(longAfter, takes, kernelHas(poller.Outgoing{Unsent: 1, Sent: time.Hour}), tell(due), because(ErrWriteTimeout)), Free},
	{"takes nothing, and kept", Held, due, chain(longAfter, keep, tell(due)), Gone},

	{"not asked for", Finishing, readable, chain(hello, tell(readable), untold("input")), Finishing},
	{"some taken", Finishing, writable, chain(takes, tell(writable)), Finishing},
	{"all taken", Finishing, writable, chain(takesAll, untold("resume")), Lingering},
	{"hung up", Finishing, writable, chain(hangUp, tell(writable), because(unix.EPIPE)), Free},
	{"hung up, and kept", Finishing, writable, chain(hangUp, keep, tell(writable)), Gone},
	{"hung up", Finishing, hangup, chain(hangUp, tell(hangup), because(ErrHangup)), Free},
	{"hung up, and kept", Finishing, hangup, chain(hangUp, keep, tell(hangup)), Gone},
	{"too early", Finishing, due, chain(tell(due), untold("due")), Finishing},
	{"taken meanwhile", Finishing, due, chain(longAfter, kernelHas(poller.Outgoing{Unsent: 1}), tell(due)), Finishing},
	{"took it, and nobody looked", Finishing, due, takesUnseen, Lingering},
	{"takes nothing", Finishing, due, chain(longAfter, tell(due), untold("due"), because(ErrWriteTimeout)), Free},
	{"takes nothing, and the kernel has room", Finishing, due, chain(longAfter, takes, kernelHas(poller.Outgoing{Unsent: 1, Sent: time.Hour}), tell(due), because(ErrWriteTimeout)), Free},
	{"takes nothing, and kept", Finishing, due, chain(longAfter, keep, tell(due)), Gone},

	{"still talking", Lingering, readable, chain(hello, tell(readable), untold("input")), Lingering},
	{"too much", Lingering, readable, talksOn, Lingering},
	{"its end", Lingering, readable, chain(hangUp, tell(readable), because(ErrHangup)), Free},
	{"its end, and kept", Lingering, readable, chain(hangUp, keep, tell(readable)), Gone},
	{"stale", Lingering, writable, tell(writable), Lingering},
	{"bytes before the end", Lingering, hangup, chain(hello, hangUp, tell(hangup)), Lingering},
	{"bytes, and the end", Lingering, hangup, chain(hello, hangUp, tell(hangup), tell(hangup), because(ErrHangup)), Free},
	{"kept", Lingering, hangup, chain(hangUp, keep, tell(hangup)), Gone},
	{"long enough", Lingering, due, chain(tell(due), untold("due"), because(ErrHangup)), Free},
	{"kept", Lingering, due, chain(keep, tell(due)), Gone},
	{"it still takes", Lingering, due, chain(kernelHas(poller.Outgoing{Unsent: 1}), tell(due)), Lingering},
	{"the last has only just left", Lingering, due, chain(kernelHas(poller.Outgoing{}), tell(due)), Lingering},
	{"takes nothing", Lingering, due, chain(kernelHas(poller.Outgoing{Unsent: 1, Sent: time.Hour}), tell(due), because(ErrWriteTimeout)), Free},

	{"stale", Gone, readable, tell(readable), Gone},
	{"stale", Gone, writable, tell(writable), Gone},
	{"stale", Gone, hangup, tell(hangup), Gone},
	{"stale", Gone, due, chain(tell(due), untold("due")), Gone},
}

// peerResets has the peer of a stream that is Dialing reset it.
func peerResets(c *cellRig) {
	c.reset(c.peer)
	await(c, int(c.s.slot.fd), unix.POLLHUP)
}

// takesAllFlowing has the peer take what waits of a stream that is read from meanwhile.
func takesAllFlowing(c *cellRig) {
	for c.s.State() == Flowing && c.s.Waiting() > 0 {
		c.receive(c.peer)
		c.d.Writable(c.s)
	}
}

// takesAllHeld has the peer take what waits until the owner is told.
func takesAllHeld(c *cellRig) {
	for !c.o.has("resume") {
		c.receive(c.peer)
		c.d.Writable(c.s)
	}
}

// takesUnseen has the peer take what waits. The loop was late each time: it looks at the
// deadlines before it hears that there is room.
func takesUnseen(c *cellRig) {
	for st := c.s.State(); c.s.State() == st; c.d.Due(c.s) {
		if c.receive(c.peer) == "" {
			c.Fatal("there is nothing to take")
		}
		longAfter(c)
	}
}

// ownersDue has a deadline of the owner's come while bytes wait.
func ownersDue(c *cellRig) {
	c.s.SetDue(c.l.Deadline(time.Second))
	c.d.Advance(Ticks(time.Second))
}

// talksOn has the peer say as much as is read of it while it lingers.
func talksOn(c *cellRig) {
	for read, _ := c.d.Armed(c.s); read; read, _ = c.d.Armed(c.s) {
		c.send(c.peer, strings.Repeat("x", 32<<10))
		c.d.Readable(c.s)
	}
	if got := c.l.exts.get(c.s.slot.ext).discarded; got <= lingerBytes || got > lingerBytes+readSize {
		c.Errorf("%d bytes were discarded, want %d", got, lingerBytes)
	}
}

func TestEveryCell(t *testing.T) {
	var seen [numStates][numEvents][numStates]bool
	for _, st := range stimuli {
		seen[st.state][st.event][st.want] = true
		t.Run(fmt.Sprintf("%v/%v/%s", st.state, st.event, st.name), func(t *testing.T) {
			c := &cellRig{rig: newRig(t, withTLS(t, roomy()))}
			c.bring(st.state)
			c.checkArmed()
			st.do(c)
			got := c.s.State()
			if got != st.want {
				t.Fatalf("state: got %v, want %v; the owner was told %q", got, st.want, c.o.log)
			}
			if cell := table[st.state][st.event]; !slices.Contains(cell.next, got) {
				t.Errorf("the table does not lead from %v to %v by %v", st.state, got, st.event)
			}
			c.checkArmed()
			c.checkSlot(st.state)
		})
	}
	for s := range numStates {
		for e := range numEvents {
			for _, next := range table[s][e].next {
				if !seen[s][e][next] {
					t.Errorf("no stimulus leads from %v to %v by %v", s, next, e)
				}
			}
		}
	}
}

// checkArmed holds what epoll was asked for against what the state allows.
func (c *cellRig) checkArmed() {
	c.Helper()
	waiting := c.s.Waiting() > 0
	var read, write bool
	switch c.s.State() {
	case Free, Gone:
		if fd := c.s.slot.fd; fd >= 0 {
			c.Errorf("a stream that is %v has the descriptor %d", c.s.State(), fd)
		}
		return
	case Dialing:
		write = true
	case Securing:
		h := c.l.exts.get(c.s.slot.ext).sealed.shake
		read, write = h == nil || h.isHearing(), h != nil && len(h.unsent) > 0
	case Flowing:
		read, write = true, waiting
	case Held:
		write = waiting
	case Finishing:
		write = true
	case Lingering:
		read = c.l.exts.get(c.s.slot.ext).discarded <= lingerBytes
	}
	if r, w := c.d.Armed(c.s); r != read || w != write {
		c.Errorf("%v, waiting %v: armed for reading %v and writing %v, want %v and %v", c.s.State(), waiting, r, w, read, write)
	}
}

// checkSlot says that the slot of a stream that has ended cannot be mistaken, and is kept
// as long as its owner wants.
func (c *cellRig) checkSlot(from State) {
	c.Helper()
	tok := Token(c.s.Slot(), c.gen)
	state := c.s.State()
	if (state == Free) != (c.s.Generation() != c.gen) && from != Free {
		c.Errorf("%v: generation %d, it was %d", state, c.s.Generation(), c.gen)
	}
	if _, ok := c.l.Find(tok); ok != (state != Free && state != Gone) {
		c.Errorf("%v: found %v", state, ok)
	}
	ends := 0
	for _, what := range c.o.log {
		if what == "ended" {
			ends++
		}
	}
	if (ends == 1) != (state == Free || state == Gone) || ends > 1 {
		c.Errorf("%v: ended %d times", state, ends)
	}
	if state != Gone {
		return
	}
	if n := c.l.Streams(); n != 1 {
		c.Errorf("%d streams are counted, want the one that is gone", n)
	}
	accepted := 0
	if c.s.slot.flags&uncounted == 0 {
		accepted = 1
	}
	if n := c.e.Sockets(); n != accepted {
		c.Errorf("%d sockets are counted, want %d: what is gone goes on counting", n, accepted)
	}
	if other, _ := c.adopt(); other.Slot() == c.s.Slot() {
		c.Error("the slot of a stream that is gone was given away")
	}
	c.s.Free()
	if n := c.e.Sockets(); n != 1 {
		c.Errorf("freed: %d sockets are counted, want that of the other", n)
	}
	if c.s.State() != Free || c.s.Generation() == c.gen {
		c.Errorf("freed: %v, generation %d as before", c.s.State(), c.s.Generation())
	}
	if next, _ := c.adopt(); next.Slot() != c.s.Slot() || next.Token() == tok {
		c.Error("the slot of a stream that is gone was not used again, or cannot be told from the one before")
	}
	if _, ok := c.l.Find(tok); ok {
		c.Error("the token of a stream that has ended finds another")
	}
}

// docs/ARCHITECTURE.md shows the table; go test ./stream -run Architecture -update draws it
// again.
func TestArchitectureShowsTheTable(t *testing.T) {
	drawn.Section(t, "../docs/ARCHITECTURE.md", "stream states", tableMarkdown())
}

// tableMarkdown draws the table for docs/ARCHITECTURE.md.
func tableMarkdown() string {
	var b strings.Builder
	b.WriteString(drawn.Table(numStates, numEvents, func(s State, e event) (do string, next []State) {
		if c := table[s][e]; c.do != ignore {
			do, next = c.do.String(), c.next
		}
		return do, next
	}))
	b.WriteString("\n| state | epoll interest | deadline | memory beyond the slot |\n|---|---|---|---|\n")
	for s := range numStates {
		f := factsOf[s]
		fmt.Fprintf(&b, "| **%v** | %s | %s | %s |\n", s, f.interest, f.deadline, f.memory)
	}
	return b.String()
}
