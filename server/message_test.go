//go:build linux

package server

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/stream"
)

// piece is a masked frame with any first byte.
func piece(first byte, payload string) string {
	f := masked(frame.OpText, []byte(payload))
	f[0] = first
	return string(f)
}

// openDeflating is bring(isOpen), with permessage-deflate.
func (b *bench) openDeflating() {
	b.open(strings.Replace(fmt.Sprintf(upgradeHead, "/echo"), "\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n", 1))
}

// hear has the peer say something, and the loop read it, in as many turns as it takes.
func (b *bench) hear(data string) {
	b.send(data)
	for conns := []pair{{b.s, b.peer}}; ; {
		b.pass(conns)
		if b.at() != isHeld {
			return
		}
	}
}

func deflated(text string) string {
	f := frame.AppendDeflated(nil, frame.OpText, []byte(text), frame.MaxWindow)
	_, at, err := frame.ParseHeader(f)
	if err != nil {
		panic(err)
	}
	return piece(0xc1, string(f[at:]))
}

// TestUnaligned: a sender whose writes end in the middle of messages is not late as long as
// each message is in time.
func TestUnaligned(t *testing.T) {
	const limit = 3 * time.Second
	for name, unit := range map[string]string{
		"messages":                   piece(0x81, "hello"),
		"empty messages":             piece(0x82, ""),
		"fragments":                  piece(0x01, "hel") + piece(0x00, "") + piece(0x80, "lo"),
		"fragments around a ping":    piece(0x01, "hel") + piece(0x89, "?") + piece(0x80, "lo"),
		"compressed messages":        deflated(strings.Repeat("hello ", 200)),
		"pings":                      piece(0x89, "hello"),
		"pongs and messages in turn": piece(0x8a, "") + piece(0x81, "hello"),
		"many in a write":            strings.Repeat(piece(0x81, "hello"), 600),
	} {
		t.Run(name, func(t *testing.T) {
			for cut := 1; cut < len(unit); cut += max(1, len(unit)/40) {
				b := newBench(t, &Server{MessageTimeout: limit, Deflate: true})
				b.openDeflating()
				b.hear(unit[:cut])
				for range 5 {
					for range stream.Ticks(limit * 9 / 10) {
						b.advance()
					}
					b.hear(unit[cut:] + unit[:cut])
					b.receive()
				}
				if got := b.at(); got != isOpen {
					t.Fatalf("cut at %d of %d: it is %v, want %v", cut, len(unit), got, isOpen)
				}
				b.s.Cut(stream.ErrHangup)
			}
		})
	}
}

// TestHalfMessages: whatever is said meanwhile, a message that has begun and does not end
// in time is the end.
func TestHalfMessages(t *testing.T) {
	const limit = 3 * time.Second
	slow := stream.Ticks(limit / 4)
	ping := piece(0x89, "")
	for _, c := range []struct {
		name        string
		first, then string
		every       uint32 // then is said every so many ticks
	}{
		{"the first byte of a header", "\x81", "", slow},
		{"the first byte of a ping", "\x89", "", slow},
		{"a header, byte by byte", "\x82", "\xff\x00\x00", slow},
		{"half a frame", piece(0x81, "hello")[:8], "", slow},
		{"half a frame, byte by byte", piece(0x81, strings.Repeat("x", 200))[:8], "x", slow},
		{"half a compressed message", deflated("hello hello hello")[:9], "", slow},
		{"a fragment and a few pings", piece(0x01, "x"), ping, slow},
		{"a fragment and 300 pings", piece(0x01, "x"), strings.Repeat(ping, 300), slow},
		{"a fragment and pings all the time", piece(0x01, "x"), strings.Repeat(ping, 300), 1},
		{"fragments", piece(0x01, "x"), piece(0x00, "x"), slow},
		{"fragments of nothing, by the thousand", piece(0x01, ""), strings.Repeat(piece(0x00, ""), 1000), 1},
		{"compressed fragments", piece(0x41, deflated("hello")[6:8]), piece(0x00, ""), slow},
		{"behind a whole message", piece(0x81, "whole") + "\x81", "", slow},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, &Server{MessageTimeout: limit, Deflate: true})
			b.openDeflating()
			b.hear(c.first)
			begun, said := b.l.Tick(), c.then
			for b.at() == isOpen && b.l.Tick()-begun < 3*stream.Ticks(limit) {
				if b.advance(); b.at() == isOpen && c.then != "" && (b.l.Tick()-begun)%c.every == 0 {
					if strings.HasPrefix(c.name, "a header") { // it has only so many
						if said == "" {
							continue
						}
						c.then, said = said[:1], said[1:]
					}
					b.hear(c.then)
				}
			}
			took := time.Duration(b.l.Tick()-begun) * stream.TickLength
			if got := b.receive(); !strings.HasSuffix(got, "\x03\xf0message_timeout") || took < limit || took > limit+cutBy*stream.TickLength {
				t.Errorf("after %v it is %v, and was told %q", took, b.at(), got[max(0, len(got)-40):])
			}
		})
	}
}

// TestMessageClockStops: while it is we who do not read, the clock of a message stands, and
// then goes on from where it was.
func TestMessageClockStops(t *testing.T) {
	const limit = 4 * time.Second
	for _, why := range []stream.Hold{stream.Backlog, byDelay, byJobs, byDelay | stream.Turn} {
		b := newBench(t, &Server{MessageTimeout: limit, WriteTimeout: -1, IdleTimeout: -1})
		b.bring(isOpen)
		b.hear(piece(0x81, "hello")[:8])
		read := uint32(0) // ticks
		for b.at() == isOpen && read < 3*stream.Ticks(limit) {
			for range stream.Ticks(limit / 4) {
				if b.advance(); b.at() != isOpen {
					break
				}
				read++
			}
			if b.at() != isOpen {
				break
			}
			b.s.Hold(why) // also for a backlog that is none
			b.l.transmit(b.s, nil)
			for range stream.Ticks(10 * limit) {
				b.advance()
			}
			b.s.Go(why)
			b.l.proceed(b.s)
		}
		if took := time.Duration(read) * stream.TickLength; took < limit-cutBy*stream.TickLength || took > limit+cutBy*stream.TickLength {
			t.Errorf("held for %b: closed when it had been read for %v, want %v", why, took, limit)
		}
		if got := b.receive(); !strings.HasSuffix(got, "message_timeout") {
			t.Errorf("held for %b: got %q", why, got)
		}
	}
}
