//go:build linux

package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/usher-ws/usher/internal/logtext"
	jwt "github.com/usher-ws/usher/server/internal/tokens"
	"github.com/usher-ws/usher/upgrade"
)

// journal is a log that a test reads. Any goroutine may write.
type journal = logtext.Text

// telling is middleware that logs what comes and goes.
func telling(s *Server) Middleware {
	return Middleware{
		Name: "telling", OnLoop: true,
		Refused: func(r *upgrade.Request, e *upgrade.Rejection) {
			s.log.add(slog.LevelInfo, "refused", "request", r.String(), "code", e.Word())
		},
		Open: func(next OpenFunc) OpenFunc {
			return func(c Conn) error { s.log.add(slog.LevelInfo, "accepted"); return next(c) }
		},
		Close: func(next CloseFunc) CloseFunc {
			return func(c Conn, err error) { s.log.add(slog.LevelInfo, "closed", "err", err); next(c, err) }
		},
	}
}

// TestNoTokenIsLogged: however a request with a token ends, at the lowest level
// of the log, the token is not in it; nor in what is answered.
func TestNoTokenIsLogged(t *testing.T) {
	const token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2VjcmV0LXNlY3JldA"
	keys, err := jwt.HS256([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	said := new(journal)
	s := &Server{
		MaxConnsPerUser: 1,
		Logger:          slog.New(slog.NewTextHandler(said, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Handler:         http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("handler") }),
	}
	s.Use(telling(s))
	guard := func(err error) Route {
		return Route{Guards: []upgrade.Guard{{OnBeforeUpgrade: func(r *upgrade.Request) (http.Header, error) { return nil, err }}}}
	}
	ask := func(err error) Route {
		return Route{Authorize: func(context.Context, *upgrade.Request) error { return err }}
	}
	s.Route("/bearer", Route{Guards: []upgrade.Guard{upgrade.Bearer(keys)}})
	s.Route("/page", Route{Guards: []upgrade.Guard{upgrade.Bearer(keys)}, AcceptClose: true})
	s.Route("/guard", guard(errors.New("guard failed")))
	s.Route("/ask", ask(errors.New("authorizer failed")))
	s.Route("/no", ask(upgrade.Reject(403, "no", "No.")))
	s.Route("/panic", Route{Authorize: func(context.Context, *upgrade.Request) error { panic("authorizer") }})
	s.Route("/open", Route{Open: func(Conn) error { return errors.New("open failed") }})
	addr := start(t, s)

	const head = "GET %s HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n"
	asked := 0
	for _, path := range []string{"/bearer", "/page", "/guard", "/ask", "/no", "/panic", "/open", "/handler"} {
		for _, source := range []struct{ query, line string }{
			{"?token=" + token, ""},
			{"?ticket=" + token + "&x=y", ""},
			{"?q=" + token, ""},
			{"/" + token, ""},
			{"", "Authorization: Bearer " + token + "\r\n"},
			{"", "Cookie: a=b; token=" + token + "\r\n"},
			{"", "Sec-WebSocket-Protocol: bearer, " + token + "\r\n"},
			{"?token=" + token, "Authorization: Bearer other\r\n"},
			{"?token=" + token, "Origin: https://evil.example\r\n"},
			{"?token=" + token, "Bad Line " + token + "\r\n"},
			{"?token=" + token, "X-Fill: " + strings.Repeat("x", 17000) + "\r\n"},
		} {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			c.SetDeadline(time.Now().Add(time.Hour))
			fmt.Fprintf(c, head, path+source.query, source.line)
			answer, _ := io.ReadAll(c)
			c.Close()
			if strings.Contains(string(answer), token) {
				t.Errorf("%s%s: the answer has the token:\n%s", path, source.query, answer)
			}
			asked++
		}
	}
	if err := s.Shutdown(context.Background()); err != nil { // all records are written
		t.Fatal(err)
	}
	log := said.String()
	for _, part := range append(strings.Split(token, "."), "c2VjcmV0") {
		if at := strings.Index(log, part); at >= 0 {
			t.Errorf("the log has a part of the token:\n%s", log[max(0, at-300):min(len(log), at+300)])
		}
	}
	if n := strings.Count(log, "was refused"); n < asked/2 {
		t.Errorf("%d of %d requests left a line in the log: is this the log?\n%s", n, asked, log)
	}
	for _, want := range []string{`GET /bearer?token=REDACTED`, "code=token_invalid", "guard failed", "authorizer failed", "open failed", "msg=refused", "msg=closed"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log does not say %q", want)
		}
	}
}

// TestStartValidates: an origin that can never match is an error, not a mystery.
func TestStartValidates(t *testing.T) {
	s := &Server{Addr: "127.0.0.1:0", Origins: []string{"https://chat.example/"}}
	s.Route("/echo", Route{Message: echo})
	if err := s.Start(); err == nil || !strings.Contains(err.Error(), `"https://chat.example/"`) {
		t.Errorf("got %v", err)
	}
}
