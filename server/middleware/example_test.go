//go:build linux

package middleware_test

import (
	"log/slog"
	"os"
	"time"

	"github.com/usher-ws/usher/server"
	"github.com/usher-ws/usher/server/middleware"
)

// A server that logs who comes and goes, and writes texts in capitals.
func Example() {
	ring := server.NewLogRing(slog.NewTextHandler(os.Stderr, nil))
	defer ring.Close(time.Second)
	s := &server.Server{Addr: "127.0.0.1:0", Logger: slog.New(ring)}
	s.Use(middleware.Logging(ring))
	s.Route("/shout", server.Route{
		Middleware: []server.Middleware{middleware.Transform(middleware.Upper, nil)},
		Message:    func(c server.Conn, m server.Message) error { return c.Send(m.Opcode, m.Data) },
	})
	os.Stdout.Write(s.AppendRoutes(nil))
	// Output:
	// /shout
	//   guards      origin: same host
	//   limits      none
	//   middleware  logging (refused, open, message, close)
	//               transform (message)
}
