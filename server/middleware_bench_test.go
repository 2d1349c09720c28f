//go:build linux

package server_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/server"
	"github.com/usher-ws/usher/server/middleware"
)

// passing is middleware whose every hook only calls the next.
var passing = server.Middleware{
	Open: func(next server.OpenFunc) server.OpenFunc { return func(c server.Conn) error { return next(c) } },
	Message: func(next server.MessageFunc) server.MessageFunc {
		return func(c server.Conn, m server.Message) error { return next(c, m) }
	},
	Send:  func(next server.SendFunc) server.SendFunc { return func(m server.Message) error { return next(m) } },
	Close: func(next server.CloseFunc) server.CloseFunc { return func(c server.Conn, err error) { next(c, err) } },
}

type pricing struct {
	name string
	mw   []server.Middleware
}

// priced is the middleware whose price docs/ARCHITECTURE.md tells.
func priced(b *testing.B) []pricing {
	ring := server.NewLogRing(slog.DiscardHandler)
	b.Cleanup(func() { ring.Close(time.Hour) })
	return []pricing{
		{"bare", nil},
		{"hook", []server.Middleware{passing}},
		{"hooks-5", []server.Middleware{passing, passing, passing, passing, passing}},
		{"logging", []server.Middleware{middleware.Logging(ring)}},
		{"upper", []server.Middleware{middleware.Transform(middleware.Upper, middleware.Upper)}},
		{"censor", []server.Middleware{middleware.Transform(middleware.Censor("darn"), middleware.Censor("darn"))}},
	}
}

// BenchmarkMessage is what a loop does with a message, the kernel left out: 64 texts
// of 28 bytes come in one read, and the handler does nothing.
func BenchmarkMessage(b *testing.B) {
	for _, p := range priced(b) {
		b.Run(p.name, func(b *testing.B) {
			rig := server.NewRig(b, p.mw)
			const batch = 64
			input := []byte(strings.Repeat(rig.Message("well, what the heck is this?"), batch))
			b.ReportAllocs()
			for b.Loop() {
				rig.Read(input)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/message")
		})
	}
}

// BenchmarkOpenClose is what the hooks Open and Close add to a connection.
func BenchmarkOpenClose(b *testing.B) {
	for _, p := range priced(b)[:4] {
		b.Run(p.name, func(b *testing.B) {
			rig := server.NewRig(b, p.mw)
			open, end := rig.OpenClose()
			bye := &server.CloseError{Code: frame.StatusNormalClosure, Reason: "bye"}
			b.ReportAllocs()
			for b.Loop() {
				open()
				end(bye)
			}
		})
	}
}

// BenchmarkPublish is what the Send hooks add to a message that goes to a group.
func BenchmarkPublish(b *testing.B) {
	text := []byte("well, what the heck is this?")
	for _, p := range priced(b) {
		b.Run(p.name, func(b *testing.B) {
			g := server.NewGroup(p.mw...)
			b.ReportAllocs()
			for b.Loop() {
				_ = g.Send(frame.OpText, text)
			}
		})
	}
}
