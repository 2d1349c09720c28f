package ring_test

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/usher-ws/usher/internal/logtext"
	"github.com/usher-ws/usher/server/internal/ring"
)

// journal is text that may be written and read at once.
type journal = logtext.Text

// oddHandler does with records what they say.
type oddHandler struct {
	slog.Handler
	entered, stuck chan bool
}

func (h oddHandler) Handle(ctx context.Context, r slog.Record) error {
	switch r.Message {
	case "panic":
		panic("in a handler")
	case "exit":
		runtime.Goexit()
	case "fail":
		return errors.New("disk full")
	case "stick":
		h.entered <- true
		<-h.stuck
	}
	return h.Handler.Handle(ctx, r)
}

func record(msg string) slog.Record { return slog.NewRecord(time.Time{}, slog.LevelInfo, msg, 0) }

// A record that a handler does not write, whatever it does instead, is counted and told
// of, and those behind it are written.
func TestLost(t *testing.T) {
	said := new(journal)
	odd := oddHandler{Handler: slog.NewTextHandler(said, nil)}
	r := ring.New(odd)
	for _, what := range []string{"fail", "panic", "exit", "fail", "hello"} {
		r.Hand(odd, record(what))
	}
	r.Stop(time.Now().Add(time.Minute))
	<-r.Ended()
	if got := said.String(); !strings.Contains(got, "msg=hello") ||
		!strings.Contains(got, `msg="server: log records were dropped" count=4`) || r.Lost() != 4 {
		t.Errorf("got %q, and %d lost, want 4", got, r.Lost())
	}
	r.Hand(odd, record("too late")) // and harmless
	r.Stop(time.Now())
}

// What comes when the ring is full is lost, and nobody waits for a handler that is stuck,
// whatever time there is: neither Hand nor Stop.
func TestStuck(t *testing.T) {
	said := new(journal)
	odd := oddHandler{slog.NewTextHandler(said, nil), make(chan bool), make(chan bool)}
	r := ring.New(odd)
	r.Hand(odd, record("stick"))
	<-odd.entered
	for range ring.Size + 10 {
		r.Hand(odd, record("x"))
	}
	if n := r.Lost(); n != 10 {
		t.Errorf("%d were lost, want 10", n)
	}
	r.Stop(time.Now().Add(time.Hour))
	close(odd.stuck)
	<-r.Ended()
	if got := said.String(); strings.Count(got, "msg=x") != ring.Size || strings.Count(got, "count=10") != 1 {
		t.Errorf("%d were written, want %d, and that 10 were dropped", strings.Count(got, "msg=x"), ring.Size)
	}
}

// moody panics when it is asked whether it wants a record.
type moody struct{ slog.Handler }

func (moody) Enabled(context.Context, slog.Level) bool { panic("in Enabled") }

// A handler that cannot say what it wants gets nothing, and is no obstacle to another.
func TestMoody(t *testing.T) {
	if ring.Enabled(moody{}, slog.LevelError) {
		t.Error("a panic is a yes")
	}
	said := new(journal)
	text := slog.NewTextHandler(said, nil)
	r := ring.New(moody{})
	r.Hand(oddHandler{Handler: text}, record("fail"))
	r.Hand(text, record("x"))
	r.Stop(time.Now().Add(time.Minute))
	<-r.Ended()
	if got := said.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "msg=x") {
		t.Errorf("got %q", got)
	}
}
