//go:build linux

package server_test

import (
	"context"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/server"
	jwt "github.com/usher-ws/usher/server/internal/tokens"
	"github.com/usher-ws/usher/server/middleware"
	"github.com/usher-ws/usher/upgrade"
)

// TestAppendRoutes locks the text: the order in it is the order in which things happen.
func TestAppendRoutes(t *testing.T) {
	s := &server.Server{
		Origins: []string{"chat.example"}, MaxConnsPerUser: 3, Handler: http.NotFoundHandler(),
		MessagesPerIP: limiter.Rate{Limit: 5, Burst: 9},
	}
	ring := server.NewLogRing(slog.DiscardHandler)
	defer ring.Close(time.Hour)
	s.Use(middleware.Logging(ring))
	s.Route("/ws/{room}", server.Route{
		Guards: []upgrade.Guard{
			upgrade.Bearer(&jwt.Verifier{}),
			upgrade.Limit(&limiter.Keyed[string]{}, upgrade.ByUser),
			{OnRequest: func(*upgrade.Request) error { return nil }},
		},
		Authorize:  func(context.Context, *upgrade.Request) error { return nil },
		Middleware: []server.Middleware{middleware.Transform(middleware.Upper, middleware.Upper), {}},
		Limits: server.Limits{
			Messages: limiter.Rate{Limit: limiter.Limit(1) / 6, Burst: 10},
			Bytes:    limiter.Rate{Limit: 65536, Burst: 65550},
			Over:     server.Delay, CloseAfter: 20,
		},
	})
	const want = `/ws/{room}
  guards      origin: same host, chat.example
              bearer
              limit
              (unnamed)
              connections of a user: 3
              authorize
  limits      messages: 10/m, burst 10
              bytes: 65536/s, burst 65550
              messages of an address: 5/s, burst 9
              over: delay
              close after 20 in a minute
  middleware  logging (refused, open, message, close)
              transform (message, send)
              (unnamed) ()
anything else
  http.Handler
`
	if got := string(s.AppendRoutes(nil)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	plain := &server.Server{LimitDryRun: true}
	plain.Route("/b", server.Route{Limits: server.Limits{Messages: limiter.Rate{Limit: 1, Burst: 1}, CloseAfter: 1}})
	plain.Route("/a", server.Route{})
	const bare = `/b
  guards      origin: same host
  limits      messages: 1/s, burst 1
              over: let it pass, and count
  middleware  none
/a
  guards      origin: same host
  limits      none
  middleware  none
`
	if got := string(plain.AppendRoutes(nil)); got != bare {
		t.Errorf("got\n%s\nwant\n%s", got, bare)
	}
}
