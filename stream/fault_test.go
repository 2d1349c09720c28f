//go:build linux

package stream

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"
)

// A callback that panics or ends its goroutine costs its stream, and the owner is told
// which; the loop goes on, and nothing is left.
func TestFaults(t *testing.T) {
	bang := map[string]func(){
		"panic":  func() { panic("bang") },
		"Goexit": runtime.Goexit,
	}
	for how, fail := range bang {
		for _, where := range []string{"opened", "dialled", "input", "resume", "turn came", "due", "exactly", "ended", "victim", "mail", "turn", "post"} {
			t.Run(fmt.Sprintf("%s in %s", how, where), func(t *testing.T) {
				cfg := roomy()
				if where == "victim" {
					cfg.MaxBuffered = 1 << 20
				}
				var o *owner
				armed := false // for what is about no stream, once
				once := func() {
					if armed {
						armed = false
						fail()
					}
				}
				about := "none"
				asked := false // the stream whose name is "bad" is the one that fails
				e, owners, addr := serve(t, cfg, func(o *owner) {
					o.mail = func() {
						if where == "mail" {
							once()
						}
					}
					o.turn = func(time.Duration) time.Duration {
						if where == "turn" {
							once()
						}
						return 0
					}
				})
				o = owners[0]
				l := e.Loops()[0]
				bad := func(s link) {
					about = fmt.Sprint(s.Slot(), " ", s.Generation())
					fail()
				}
				_, elsewhere := listenTCP(t)
				on(t, l, func() {
					o.faulted = func(s link, err error) {
						want := any("bang")
						if how == "Goexit" {
							want = ErrExited
						}
						var e *PanicError
						if !errors.As(err, &e) || e.Value != want || len(e.Stack) == 0 {
							t.Errorf("told of %v, want %v", err, want)
						}
						got := "none"
						if !s.IsZero() {
							got = fmt.Sprint(s.Slot(), " ", s.Generation())
							if s.State() == Free {
								got = fmt.Sprint(s.Slot(), " ", s.Generation()-1) // its end came to its end
							}
						}
						if got != about {
							t.Errorf("told of stream %s, want %s", got, about)
						}
						if !s.IsZero() {
							s.Cut(err)
						}
					}
					o.opened = func(s link) {
						if where == "dialled" && s.slot.flags&uncounted != 0 {
							bad(s)
						}
					}
					o.input = func(s link, b []byte, eof bool) {
						if asked = asked || string(b) == "bad"; string(b) != "bad" {
							echo(s, b, eof)
							return
						}
						switch where {
						case "opened":
							o.opened = func(s link) { o.opened = nil; bad(s) }
						case "dialled":
							s, err := l.Dial(elsewhere, netip.Addr{}, mark{})
							if err != nil {
								t.Error(err)
							}
							o.born(s)
						case "input":
							bad(s)
						case "resume":
							o.resume = func(s link) { o.resume = nil; bad(s) }
							s.Write(plenty)
						case "turn came":
							o.resume = func(s link) { o.resume = nil; bad(s) }
							s.Yield()
						case "due":
							o.due = func(s link) { o.due = nil; bad(s) }
							s.SetDue(l.Tick() + 1)
						case "exactly":
							o.due = func(s link) { o.due = nil; bad(s) }
							s.DueAt(l.Now() + time.Millisecond)
						case "ended":
							o.ended = func(s link, _ error) bool { o.ended = nil; bad(s); return false }
							s.Finish(nil)
						case "victim":
							o.victim = func(s link) { o.victim = nil; bad(s) }
							s.Write(plenty)
						}
						armed = true
					}
				})
				other := client(t, addr)
				ping := func(what string) {
					t.Helper()
					if _, err := io.WriteString(other, what); err != nil {
						t.Fatal(err)
					}
					got := make([]byte, len(what))
					if _, err := io.ReadFull(other, got); err != nil || string(got) != what {
						t.Fatalf("got %q, %v", got, err)
					}
				}
				ping("hello")
				c := client(t, addr)
				if _, err := io.WriteString(c, "bad"); err != nil {
					t.Fatal(err)
				}
				eventually(t, "it is asked for", func() (ok bool) { on(t, l, func() { ok = asked }); return ok })
				switch where {
				case "resume", "ended":
					go func() { io.Copy(io.Discard, c); c.Close() }()
				case "opened":
					client(t, addr)
				case "post":
					if err := l.Post(fail); err != nil {
						t.Error(err)
					}
				case "mail":
					l.Wake()
				}
				eventually(t, "the owner is told", func() (told bool) {
					ping("still here")
					on(t, l, func() { told = len(o.faults) > 0 })
					return told
				})
				for range 3 {
					ping(strings.Repeat("x", 1000))
				}
				on(t, l, func() {
					if len(o.faults) != 1 {
						t.Errorf("told of %d faults: %v", len(o.faults), o.faults)
					}
					if !l.IsHere() && l.CanTell() {
						t.Error("the loop does not know its goroutine")
					}
				})
			})
		}
	}
}

// However often callbacks end their goroutine, deadlines are looked at.
func TestDeadlinesOutliveGoexits(t *testing.T) {
	e, owners, addr := serve(t, roomy(), nil)
	l := e.Loops()[0]
	due := false
	on(t, l, func() {
		owners[0].opened = func(s link) { s.SetDue(l.Deadline(500 * time.Millisecond)) }
		owners[0].due = func(link) { due = true }
		owners[0].faulted = func(link, error) {}
	})
	client(t, addr)
	eventually(t, "the deadline comes", func() (ok bool) {
		if err := l.Post(func() { l.NoteExit(); runtime.Goexit() }); err != nil {
			t.Fatal(err)
		}
		on(t, l, func() { ok = due })
		return ok
	})
}

// TestFaultAgain: a stream whose owner does not end it, whatever goes wrong, is cut when it is
// at fault again, and no other notices.
func TestFaultAgain(t *testing.T) {
	e, owners, addr := serve(t, roomy(), nil)
	l, o := e.Loops()[0], owners[0]
	on(t, l, func() {
		o.input = func(s link, b []byte, eof bool) {
			if string(b) == "bad" {
				panic("again")
			}
			echo(s, b, eof)
		}
		o.faulted = func(link, error) {} // it should end the stream
	})
	other, c := client(t, addr), client(t, addr)
	for k := range 2 {
		if _, err := io.WriteString(c, "bad"); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the owner is told", func() (told bool) {
			on(t, l, func() { told = len(o.faults) == k+1 })
			return told
		})
	}
	if n, err := c.Read(make([]byte, 1)); err == nil {
		t.Errorf("read %d bytes, want the end", n)
	}
	got := make([]byte, len("still here"))
	io.WriteString(other, "still here")
	if _, err := io.ReadFull(other, got); err != nil || string(got) != "still here" {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestFaultOfTheGone: a slot that its owner keeps, and that is at fault in each pass, is no
// stream's fault in the end.
func TestFaultOfTheGone(t *testing.T) {
	cfg := roomy()
	cfg.MaxBuffered = 1 << 16
	e, owners, addr := serve(t, cfg, nil)
	l, o := e.Loops()[0], owners[0]
	loops := false
	on(t, l, func() {
		o.ended = func(link, error) bool { return true }
		o.input = func(s link, _ []byte, _ bool) {
			s.Cut(nil)
			s.NeedExtra().b = l.Buffers.Get(1 << 20) // of what it has begun
		}
		o.victim = func(s link) {
			if !loops {
				panic("again")
			}
		}
		o.faulted = func(s link, _ error) { loops = loops || s.IsZero() }
	})
	if _, err := io.WriteString(client(t, addr), "hello"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is the loop's fault", func() (is bool) { on(t, l, func() { is = loops }); return is })
	on(t, l, func() {
		for s := range l.All() {
			l.Buffers.Put(s.Extra().b)
			s.NeedExtra().b = nil
			s.Free()
		}
	})
}

// TestExitInFault: a Fault that ends the goroutine leaves a loop that knows where it runs.
func TestExitInFault(t *testing.T) {
	e, owners, addr := serve(t, roomy(), nil)
	l, o := e.Loops()[0], owners[0]
	on(t, l, func() {
		o.input = func(link, []byte, bool) { panic("bang") }
		o.faulted = func(s link, _ error) {
			s.Cut(nil)
			l.NoteExit()
			runtime.Goexit()
		}
	})
	c := client(t, addr)
	if _, err := io.WriteString(c, "hello"); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); err == nil {
		t.Errorf("read %d bytes, want the end", n)
	}
	on(t, l, func() {
		if !l.IsHere() && l.CanTell() {
			t.Error("the loop does not know its goroutine")
		}
	})
}
