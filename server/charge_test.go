//go:build linux

package server

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/limiter"
)

// deflating makes rawDial offer compression: it is the path, and a line of the head.
const deflating = " HTTP/1.1\r\nSec-WebSocket-Extensions: permessage-deflate\r\nX-Rest:"

// torn is a message that cannot be inflated, in as many frames as there are parts.
func torn(parts ...string) (b []byte) {
	for k, part := range parts {
		h := frame.Header{Fin: k == len(parts)-1, Opcode: frame.OpContinuation, Masked: true, Length: int64(len(part))}
		if k == 0 {
			h.Rsv, h.Opcode = 4, frame.OpText
		}
		b = append(frame.AppendHeader(b, h), part...)
	}
	return b
}

// TestChargedBeforeInflated: a compressed message over a limit is not inflated. What is wrong
// with this one shows only to a server that tries.
func TestChargedBeforeInflated(t *testing.T) {
	few := limiter.Rate{Limit: limiter.Every(24 * time.Hour), Burst: 2}
	narrow := limiter.Rate{Limit: 1, Burst: 2 * 64}
	for name, c := range map[string]struct {
		limits Limits
		want   []string
		close  string
	}{
		"drop":      {limits: Limits{Messages: few, Over: Drop}, want: []string{"0", "1"}},
		"warn":      {limits: Limits{Messages: few, Over: Warn}, want: []string{"0", "1", "slow down"}},
		"close":     {limits: Limits{Messages: few, Over: Disconnect}, want: []string{"0", "1"}, close: "\x03\xf0messages_limit; "},
		"bytes":     {limits: Limits{Bytes: narrow, Over: Drop}, want: []string{"0", "1"}},
		"handled":   {limits: Limits{Messages: limiter.Rate{Limit: 1, Burst: 3}, Over: Drop}, want: []string{"0", "1"}, close: "\x03\xef"},
		"unlimited": {want: []string{"0", "1"}, close: "\x03\xef"},
		"cost": {
			limits: Limits{Messages: few, Over: Drop, Cost: func(Message) int { return 1 }}, // it looks at each
			want:   []string{"0", "1"}, close: "\x03\xef",
		},
	} {
		for _, wire := range [][]byte{torn("\xff not deflate"), torn("\xff", " not ", "deflate")} {
			t.Run(name, func(t *testing.T) {
				s := &Server{Deflate: true}
				s.Route("/echo", Route{Message: echo, Limits: c.limits, OnLimit: func(c Conn, _ Violation) {
					c.Send(frame.OpText, []byte("slow down"))
				}})
				conn := talk(t, start(t, s), "/echo"+deflating)
				conn.conn.Write(slices.Concat(volley(0, 2), wire, endPing))
				if c.close != "" {
					if got, last := conn.upTo(frame.OpClose); !slices.Equal(got, c.want) || !strings.HasPrefix(last, c.close) {
						t.Errorf("got %q and close %q, want %q and %q", got, last, c.want, c.close)
					}
					return
				}
				if got, _ := conn.upTo(frame.OpPong); !slices.Equal(got, c.want) {
					t.Errorf("got %q, want %q", got, c.want)
				}
			})
		}
	}
}

// TestDelayedIsInflatedLater: a message that has to wait is inflated when its turn has come.
func TestDelayedIsInflatedLater(t *testing.T) {
	s := &Server{Deflate: true}
	s.Route("/echo", Route{Message: echo, Limits: Limits{Messages: limiter.Rate{Limit: 1000, Burst: 1}, Over: Delay}})
	conn := talk(t, start(t, s), "/echo"+deflating)
	conn.conn.Write(append(volley(0, 20), torn("\xff not deflate")...))
	if got, last := conn.upTo(frame.OpClose); !slices.Equal(got, numbers(20)) || !strings.HasPrefix(last, "\x03\xef") {
		t.Errorf("got %q and close %q, want all twenty and 1007", got, last)
	}
}
