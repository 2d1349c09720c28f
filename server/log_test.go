//go:build linux

package server

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/usher-ws/usher/server/internal/ring"
)

// oddHandler does with records what they say.
type oddHandler struct {
	slog.Handler
	stuck chan bool
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
		<-h.stuck
	}
	return h.Handler.Handle(ctx, r)
}

// A record that a handler does not write, whatever it does instead, is counted and told
// of, and those behind it are written.
func TestLogThatFails(t *testing.T) {
	said := new(journal)
	r := NewLogRing(oddHandler{slog.NewTextHandler(said, nil), nil})
	log := slog.New(r)
	for _, what := range []string{"fail", "panic", "exit", "fail"} {
		log.Info(what)
	}
	log.With("a", 1).WithGroup("g").Info("hello", "b", 2)
	r.Close(time.Minute)
	if got := said.String(); !strings.Contains(got, "msg=hello a=1 g.b=2") ||
		!strings.Contains(got, `msg="server: log records were dropped" count=4`) {
		t.Errorf("got %q", got)
	}
	log.Info("too late") // and harmless
}

// moody panics when it is asked whether it wants a record.
type moody struct{ slog.Handler }

func (moody) Enabled(context.Context, slog.Level) bool { panic("in Enabled") }

// A log that cannot say what it wants gets nothing, and hurts nobody.
func TestMoodyLog(t *testing.T) {
	given := NewLogRing(moody{})
	defer given.Close(time.Minute)
	for _, h := range []slog.Handler{moody{}, given} {
		s := &Server{Loops: 1, Logger: slog.New(h)}
		s.Route("/", Route{Message: func(c Conn, m Message) error {
			switch string(m.Data) {
			case "panic":
				panic("x")
			case "fail":
				return errors.New("x")
			}
			return echo(c, m)
		}})
		addr := start(t, s)
		for _, what := range []string{"panic", "fail"} {
			c := dial(t, addr, "/")
			say(t, c, what)
			if e := closeOf(t, c); e.Code != 1011 {
				t.Errorf("%s: closed with %v", what, e)
			}
		}
		c := dial(t, addr, "/")
		say(t, c, "hi")
		if got := read(t, c); got != "hi" {
			t.Errorf("got %q", got)
		}
	}
}

// What a value stands for is asked before the caller goes on, who may change it.
func TestLogRingResolves(t *testing.T) {
	said := new(journal)
	r := NewLogRing(slog.NewTextHandler(said, nil))
	text := "before"
	slog.New(r).Info("x", "v", valuer(func() slog.Value { return slog.StringValue(text) }))
	text = "after"
	r.Close(time.Minute)
	if got := said.String(); !strings.Contains(got, "v=before") {
		t.Errorf("got %q", got)
	}
}

type valuer func() slog.Value

func (v valuer) LogValue() slog.Value { return v() }

// A log that is stuck keeps neither a drain nor anybody who logs. The server counts what
// was lost also if the ring is another's.
func TestStuckLog(t *testing.T) {
	for _, given := range []bool{false, true} {
		odd := oddHandler{slog.NewTextHandler(new(journal), nil), make(chan bool)}
		var handler slog.Handler = odd
		if given {
			handler = NewLogRing(odd)
		}
		log := slog.New(handler)
		s := &Server{Logger: log, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("told of") })}
		s.Use(telling(s))
		s.Route("/echo", Route{Message: echo})
		addr := start(t, s)
		s.log.add(slog.LevelError, "stick")
		for range 2 * ring.Size {
			s.log.add(slog.LevelInfo, "x")
		}
		if resp, err := http.Get("http://" + addr + "/"); err == nil {
			t.Errorf("got %v from a handler that panics", resp)
		}
		c := dial(t, addr, "/echo")
		say(t, c, "hi")
		if got := read(t, c); got != "hi" {
			t.Errorf("got %q", got)
		}
		c.Close()
		if n := s.Stats().LogDropped; n < ring.Size/2 {
			t.Errorf("%d were lost, want most of %d", n, ring.Size)
		}
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if r, ok := handler.(*LogRing); ok {
			r.Close(time.Hour) // it does not wait for what does not move
		}
		close(odd.stuck)
		<-s.log.Ended()
	}
}
