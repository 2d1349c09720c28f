// Package oracle holds usher's packages against those of others. Nobody imports it, so
// programs that embed usher do not fetch the others: go mod tidy would fetch them for the
// tests of an imported package.
package oracle

import (
	"bytes"
	"errors"
	"io"
	"testing"

	gobwas "github.com/gobwas/ws"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/internal/vectors"
)

// FuzzFrames compares headers, and what a Protocol makes of them, with gobwas/ws.
func FuzzFrames(f *testing.F) {
	cases, err := vectors.Load()
	if err != nil {
		f.Fatal(err)
	}
	for i, v := range cases {
		if len(v.In) < 200 && i%5 == 0 {
			f.Add(v.In, v.Client)
		}
	}
	f.Fuzz(func(t *testing.T, in []byte, client bool) {
		p := frame.New(&frame.Config{Client: client, MaxMessage: -1})
		state := gobwas.StateServerSide
		if client {
			state = gobwas.StateClientSide
		}
		for b := in; ; {
			h, n, ok := compareHeaders(t, b)
			if !ok {
				return
			}
			bad := gobwas.CheckHeader(gobwas.Header{
				Fin: h.Fin, Rsv: h.Rsv, OpCode: gobwas.OpCode(h.Opcode), Masked: h.Masked, Length: h.Length,
			}, state)
			if bad == nil && h.Length > int64(len(b)-n) {
				return
			}
			end := len(b)
			if bad == nil {
				end = n + int(h.Length)
			}
			p.Receive(bytes.Clone(b[:end]))
			ev := p.NextEvent()
			if (ev.Kind == frame.ErrorEvent) != (bad != nil) {
				var e *frame.ProtocolError
				if errors.As(ev.Err, &e) && (e.Code == frame.StatusInvalidFramePayloadData || h.Opcode == frame.OpClose) {
					return // gobwas judges payloads elsewhere
				}
				t.Fatalf("frame at %d: got %v, want %v\nin %x", len(in)-len(b), ev.Err, bad, in)
			}
			if p.Done() {
				return
			}
			switch {
			case h.Opcode.IsControl():
			case h.Fin:
				state = state.Clear(gobwas.StateFragmented)
			default:
				state = state.Set(gobwas.StateFragmented)
			}
			b = b[end:]
		}
	})
}

// compareHeaders parses the header at the start of b twice. ok is false when
// there is none.
func compareHeaders(t *testing.T, b []byte) (h frame.Header, n int, ok bool) {
	r := bytes.NewReader(b)
	want, wantErr := gobwas.ReadHeader(r)
	h, n, err := frame.ParseHeader(b)
	switch {
	case err != nil: // a length beyond 63 bits, which gobwas refuses too, or one in more bytes than it needs
		shorter := b[1]&0x7f == 126 && want.Length <= 125 || b[1]&0x7f == 127 && want.Length <= 65535
		if wantErr == nil && !shorter {
			t.Fatalf("got %v for the length %d\nin %x", err, want.Length, b)
		}
		return h, 0, false
	case n == 0:
		if !errors.Is(wantErr, io.EOF) && !errors.Is(wantErr, io.ErrUnexpectedEOF) {
			t.Fatalf("got nothing, want %+v, %v\nin %x", want, wantErr, b)
		}
		return h, 0, false
	}
	got := gobwas.Header{Fin: h.Fin, Rsv: h.Rsv, OpCode: gobwas.OpCode(h.Opcode), Masked: h.Masked, Mask: h.Mask, Length: h.Length}
	if wantErr != nil || got != want || n != len(b)-r.Len() {
		t.Fatalf("got %+v, %d, want %+v, %d, %v\nin %x", got, n, want, len(b)-r.Len(), wantErr, b)
	}
	again := frame.AppendHeader(nil, h)
	if !bytes.Equal(again, b[:n]) {
		t.Fatalf("AppendHeader: got %x, want %x", again, b[:n])
	}
	return h, n, true
}
