//go:build linux

package server

import (
	"fmt"
	"strings"
	"testing"

	"github.com/usher-ws/usher/frame"
)

// passing is middleware whose every hook only calls the next.
var passing = Middleware{
	Open:    func(next OpenFunc) OpenFunc { return func(c Conn) error { return next(c) } },
	Message: func(next Handler) Handler { return func(c Conn, m Message) error { return next(c, m) } },
	Send:    func(next SendFunc) SendFunc { return func(m Message) error { return next(m) } },
	Close:   func(next CloseFunc) CloseFunc { return func(c Conn, err error) { next(c, err) } },
}

// priced is the middleware whose price docs/PERFORMANCE.md tells.
var priced = []struct {
	name string
	mw   []Middleware
}{
	{"bare", nil},
	{"hook", []Middleware{passing}},
	{"hooks-5", []Middleware{passing, passing, passing, passing, passing}},
	{"logging", []Middleware{Logging(nil)}},
	{"upper", []Middleware{Transform(Upper, Upper)}},
	{"censor", []Middleware{Transform(Censor("darn"), Censor("darn"))}},
}

// BenchmarkMessage is what a loop does with a message, the kernel left out: 64 texts
// of 28 bytes come in one read, and the handler does nothing.
func BenchmarkMessage(b *testing.B) {
	for _, p := range priced {
		b.Run(p.name, func(b *testing.B) {
			rig := sink(b, p.mw)
			const batch = 64
			input := []byte(strings.Repeat(rig.message("well, what the heck is this?"), batch))
			slot := rig.slot()
			b.ReportAllocs()
			for b.Loop() {
				rig.l.run(rig.i, slot, nil, input)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/message")
		})
	}
}

// BenchmarkOpenClose is what the hooks Open and Close add to a connection.
func BenchmarkOpenClose(b *testing.B) {
	for _, p := range priced[:4] {
		b.Run(p.name, func(b *testing.B) {
			rig := sink(b, p.mw)
			slot := rig.slot()
			c, r := rig.l.conn(rig.i, slot), rig.l.routeOf(slot)
			end := &CloseError{Code: frame.StatusNormalClosure, Reason: "bye"}
			b.ReportAllocs()
			for b.Loop() {
				_ = r.open(c)
				r.close(c, end)
			}
		})
	}
}

// BenchmarkPublish is what the Send hooks add to a message that goes to a group.
func BenchmarkPublish(b *testing.B) {
	text := []byte("well, what the heck is this?")
	for _, p := range priced {
		b.Run(p.name, func(b *testing.B) {
			g := NewGroup(p.mw...)
			b.ReportAllocs()
			for b.Loop() {
				_ = g.Send(frame.OpText, text)
			}
		})
	}
}

// sink returns a loop with a connection that is not answered.
func sink(b *testing.B, mw []Middleware) *bench {
	s := &Server{}
	s.Route("/sink", Route{Middleware: mw})
	rig := newBench(b, s)
	rig.connect()
	rig.send(fmt.Sprintf(upgradeHead, "/sink"))
	rig.l.handle(rig.i, rig.slot(), readable)
	if got := rig.receive(); !strings.HasPrefix(got, "HTTP/1.1 101 ") {
		b.Fatalf("got %q", got)
	}
	return rig
}
