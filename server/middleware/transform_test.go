//go:build linux

package middleware

import (
	"testing"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/server"
)

func TestCensor(t *testing.T) {
	f := Censor("darn", "Straße", "naïve", "x")
	for in, want := range map[string]string{
		"":                         "",
		"darn":                     "****",
		"DARN it, Darn!":           "**** it, ****!",
		"darning undarn darn1":     "darning undarn darn1",
		"(darn)(darn)":             "(****)(****)",
		"die STRASSE, die straße":  "die STRASSE, die ******",
		"naïve naive":              "***** naive",
		"x.xx.x":                   "*.xx.*",
		"日本 darn 語":                "日本 **** 語",
		"\xff darn \xc3":           "\xff **** \xc3",
		"darnİ İdarn":              "darnİ İdarn",
		"nothing to see here, sir": "nothing to see here, sir",
	} {
		if got := f(server.Message{Opcode: frame.OpText, Data: []byte(in)}); string(got.Data) != want || got.Opcode != frame.OpText {
			t.Errorf("%q: got %q, want %q", in, got.Data, want)
		}
	}
	kelvin := server.Message{Opcode: frame.OpText, Data: []byte("\u212A\u212A\u212A")} // in three bytes each
	if got := Censor("kkk")(kelvin); string(got.Data) != "***" {
		t.Errorf("%q: got %q", kelvin.Data, got.Data)
	}
	if got := f(server.Message{Opcode: frame.OpBinary, Data: []byte("darn")}); string(got.Data) != "darn" {
		t.Errorf("binary: got %q", got.Data)
	}
	if got := Upper(server.Message{Opcode: frame.OpBinary, Data: []byte("darn")}); string(got.Data) != "darn" {
		t.Errorf("binary: got %q", got.Data)
	}
	clean := []byte("a text of some length in which there is nothing that anybody would hide")
	if n := testing.AllocsPerRun(100, func() { f(server.Message{Opcode: frame.OpText, Data: clean}) }); n != 0 {
		t.Errorf("a clean text: got %v allocations, want 0", n)
	}
}

// TestTransform: in before the handler, out once for all members, and the publisher's
// bytes stay as they are.
func TestTransform(t *testing.T) {
	mw := Transform(Upper, Censor("darn"))
	room := &server.Group{Middleware: []server.Middleware{mw}}
	mine := []byte("well, darn")
	s := &server.Server{}
	s.Route("/", server.Route{
		Middleware: []server.Middleware{mw},
		Open:       func(c server.Conn) error { return room.Join(c) },
		Message: func(_ server.Conn, m server.Message) error {
			if err := room.Send(m.Opcode, mine); err != nil {
				return err
			}
			return room.Send(m.Opcode, m.Data)
		},
	})
	c := dial(t, start(t, s), "/")
	say(t, c, "oh darn, no")
	for _, want := range []string{"well, ****", "OH ****, NO"} {
		if got := read(t, c); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if string(mine) != "well, darn" {
		t.Errorf("the publisher's message has become %q", mine)
	}
}
