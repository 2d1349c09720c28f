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
