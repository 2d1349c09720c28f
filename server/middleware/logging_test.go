//go:build linux

package middleware

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/usher-ws/usher/internal/websocket"
	"github.com/usher-ws/usher/server"
	"github.com/usher-ws/usher/upgrade"
)

// TestLogging: a line for each attempt, accepted or refused by whomever, and one for
// each end, with what there was to it.
func TestLogging(t *testing.T) {
	said := new(journal)
	s := &server.Server{MaxConnsPerUser: 1, Loops: 2}
	s.Use(Logging(ringTo(t, slog.NewJSONHandler(said, nil))))
	s.Route("/echo", server.Route{Guards: []upgrade.Guard{asUser}, Message: echo})
	s.Route("/never", server.Route{Authorize: func(context.Context, *upgrade.Request) error {
		return upgrade.Reject(403, "not_today", "")
	}})
	addr := start(t, s)

	c := dial(t, addr, "/echo?alice")
	remote := c.LocalAddr().String()
	for _, text := range []string{"one", "three", ""} {
		say(t, c, text)
		read(t, c)
	}
	for path, want := range map[string]int{"/echo?alice": 429, "/never": 403, "/nowhere": 404} {
		if _, resp, _ := websocket.DefaultDialer.Dial("ws://"+addr+path, nil); resp == nil || resp.StatusCode != want {
			t.Errorf("%s: got %v, want %d", path, resp, want)
		}
	}
	junk, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer junk.Close()
	fmt.Fprint(junk, "junk\r\n\r\n")
	c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, "bye"), time.Now().Add(time.Second))
	closeOf(t, c)
	reset := dial(t, addr, "/echo?bob")
	gone := reset.LocalAddr().String()
	reset.UnderlyingConn().(*net.TCPConn).SetLinger(0)
	reset.Close()

	var lines []string
	eventually(t, "the log", func() bool {
		lines = strings.Split(strings.TrimSpace(said.String()), "\n")
		return len(lines) == 8
	})
	var got []string
	for _, line := range lines {
		var r struct {
			Msg, Route, Remote, User, Request, Reason string
			Code                                      any
			Status, Messages, Bytes                   int
			Duration                                  *int64
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if (r.Duration != nil) != (r.Msg == "closed") || r.Remote == "" {
			t.Errorf("got %s", line)
		}
		switch r.Remote {
		case remote:
			r.Remote = "first"
		case gone:
			r.Remote = "second"
		default:
			r.Remote = "other"
		}
		got = append(got, fmt.Sprint(r.Msg, " ", r.Route, " ", r.Remote, " ", r.User, " ", r.Request, " ", r.Status, " ", r.Code, " ", r.Messages, " ", r.Bytes, " ", r.Reason))
	}
	want := []string{
		"accepted /echo first alice  0 <nil> 0 0 ",
		"closed /echo first alice  0 1000 3 8 bye",
		"accepted /echo second bob  0 <nil> 0 0 ",
		"closed /echo second bob  0 1006 0 0 ",
		"refused  other alice GET /echo?alice 429 too_many_requests 0 0 ",
		"refused  other  GET /never 403 not_today 0 0 ",
		"refused  other  GET /nowhere 404 not_found 0 0 ",
		"refused  other   400 bad_request 0 0 ",
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestSlowLogHoldsNobodyUp: a log that takes nothing costs its records, not the echoes.
func TestSlowLogHoldsNobodyUp(t *testing.T) {
	const room = 1024 // of a ring
	stuck := make(chan bool)
	ring := ringTo(t, slog.NewTextHandler(writerFunc(func(b []byte) (int, error) { <-stuck; return len(b), nil }), nil))
	s := &server.Server{Logger: slog.New(ring)}
	s.Use(Logging(ring))
	s.Route("/echo", server.Route{Message: echo})
	addr := start(t, s)
	for range room {
		c := dial(t, addr, "/echo")
		say(t, c, "hi")
		if got := read(t, c); got != "hi" {
			t.Fatalf("got %q", got)
		}
		c.Close()
	}
	eventually(t, "records are dropped, and counted", func() bool { return s.Stats().LogDropped > room/2 })
	close(stuck)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// An outer middleware that does not let a connection in leaves nothing for Logging to
// close.
func TestLoggingInsideOfWhoRefuses(t *testing.T) {
	said := new(journal)
	refuse := server.Middleware{Open: func(server.OpenFunc) server.OpenFunc {
		return func(server.Conn) error { return &server.CloseError{Code: 4000, Reason: "not you"} }
	}}
	s := &server.Server{}
	s.Route("/", server.Route{Middleware: []server.Middleware{refuse, Logging(ringTo(t, slog.NewTextHandler(said, nil)))}})
	c := dial(t, start(t, s), "/")
	if e := closeOf(t, c); e.Code != 4000 {
		t.Errorf("got %v", e)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := said.String(); got != "" {
		t.Errorf("got %q", got)
	}
}

// TestLoggingTellsWhatWasAnswered: a guard's Rejection without a status is a 500 to the client
// and in the log.
func TestLoggingTellsWhatWasAnswered(t *testing.T) {
	said := new(journal)
	s := new(server.Server)
	s.Use(Logging(ringTo(t, slog.NewJSONHandler(said, nil))))
	s.Route("/", server.Route{Guards: []upgrade.Guard{{OnRequest: func(*upgrade.Request) error {
		return &upgrade.Rejection{Code: "odd"}
	}}}})
	addr := start(t, s)
	if _, resp, _ := websocket.DefaultDialer.Dial("ws://"+addr+"/", nil); resp == nil || resp.StatusCode != 500 {
		t.Fatalf("got %v, want 500", resp)
	}
	eventually(t, "the log", func() bool { return strings.Contains(said.String(), "\n") })
	if line := said.String(); !strings.Contains(line, `"status":500,"code":"odd"`) {
		t.Errorf("logged %s", line)
	}
}
