package frame

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/usher-ws/usher/internal/vectors"
)

var (
	closingNames = []string{"open", "owing", "closed"}
	moveNames    = []string{"hears frame", "hears close", "hears violation", "answers ping", "answers close", "says frame", "says close"}
)

// inState returns a Protocol in the state c, which it has come to in one of two
// ways.
func inState(c closing, other bool) *Protocol {
	p := New(nil)
	hear := func() *Event {
		in := maskedBytes(OpClose, "\x03\xe8")
		if other {
			in = []byte{0xFF}
		}
		p.Receive(in)
		return p.NextEvent()
	}
	switch {
	case c == owing:
		hear()
	case c == closed && other:
		p.AppendReply(nil, hear())
	case c == closed:
		p.AppendClose(nil, StatusNormalClosure, "")
	}
	return p
}

// maskedBytes returns a client's frame.
func maskedBytes(op Opcode, payload string) []byte {
	c := &Config{Client: true, MaskKey: func() [4]byte { return vectors.Key }}
	return c.AppendFrame(nil, op, []byte(payload), nil)
}

// makeMove makes m, in one of two ways, and returns what could be seen of it.
func makeMove(p *Protocol, m move, other bool) (outcome, error) {
	hear := func(in []byte) (outcome, error) {
		p.Receive(in)
		ev := p.NextEvent()
		if len(p.in) > 0 && ev.Kind == NoEvent {
			return discard, fmt.Errorf("input kept: %x", p.in)
		}
		if ev.Kind == NoEvent {
			return discard, nil
		}
		return deliver, nil
	}
	said := func(b []byte, err error) (outcome, error) {
		switch {
		case err != nil && len(b) == 0 && errors.Is(err, ErrClosed):
			return refuse, nil
		case err == nil && len(b) == 0:
			return silence, nil
		case err == nil:
			return write, nil
		default:
			return 0, fmt.Errorf("got %x and error %v", b, err)
		}
	}
	switch m {
	case hearsFrame:
		if other {
			return hear(maskedBytes(OpPing, "x"))
		}
		return hear(maskedBytes(OpText, "x"))
	case hearsClose:
		return hear(maskedBytes(OpClose, "\x03\xe9"))
	case hearsViolation:
		if other {
			return hear(maskedBytes(OpText, "\xff"))
		}
		return hear([]byte{0xFF})
	case answersPing:
		return said(p.AppendReply(nil, &Event{Kind: PingEvent, Data: []byte("x")}), nil)
	case answersClose:
		if other {
			return said(p.AppendReply(nil, &Event{Kind: ErrorEvent, Code: errText.Code, Err: errText}), nil)
		}
		return said(p.AppendReply(nil, &Event{Kind: CloseEvent, Code: StatusNormalClosure}), nil)
	case saysFrame:
		if other {
			return said(p.AppendPing(nil, []byte("x")))
		}
		return said(p.AppendMessage(nil, OpText, []byte("x")))
	default:
		return said(p.AppendClose(nil, StatusGoingAway, "x"))
	}
}

// TestClosing makes every move in every state, through the exported methods. The
// wanted outcomes are written here once more, by hand.
func TestClosing(t *testing.T) {
	want := map[string]string{
		"open, hears frame":       "deliver, open",
		"open, hears close":       "deliver, owing",
		"open, hears violation":   "deliver, owing",
		"open, answers ping":      "write, open",
		"open, answers close":     "write, closed",
		"open, says frame":        "write, open",
		"open, says close":        "write, closed",
		"owing, hears frame":      "discard, owing",
		"owing, hears close":      "discard, owing",
		"owing, hears violation":  "discard, owing",
		"owing, answers ping":     "silence, owing",
		"owing, answers close":    "write, closed",
		"owing, says frame":       "refuse, owing",
		"owing, says close":       "write, closed",
		"closed, hears frame":     "discard, closed",
		"closed, hears close":     "discard, closed",
		"closed, hears violation": "discard, closed",
		"closed, answers ping":    "silence, closed",
		"closed, answers close":   "silence, closed",
		"closed, says frame":      "refuse, closed",
		"closed, says close":      "refuse, closed",
	}
	outcomes := []string{"deliver", "discard", "write", "silence", "refuse"}
	if got := len(closingTable) * len(closingTable[0]); got != len(want) || len(closingTable) != len(closingNames) {
		t.Fatalf("the table has %d cells in %d states, want %d in %d", got, len(closingTable), len(want), len(closingNames))
	}
	for state, row := range closingTable {
		for m, cell := range row {
			name := closingNames[state] + ", " + moveNames[m]
			t.Run(name, func(t *testing.T) {
				if got := outcomes[cell.do] + ", " + closingNames[cell.next]; got != want[name] {
					t.Errorf("table: got %s, want %s", got, want[name])
				}
				for ways := range 4 {
					p := inState(closing(state), ways&1 != 0)
					if p.closing != closing(state) {
						t.Fatalf("way %d: starts %s", ways, closingNames[p.closing])
					}
					do, err := makeMove(p, move(m), ways&2 != 0)
					if err != nil {
						t.Fatalf("way %d: %v", ways, err)
					}
					if got := outcomes[do] + ", " + closingNames[p.closing]; got != want[name] {
						t.Errorf("way %d: got %s, want %s", ways, got, want[name])
					}
					if got, want := p.Done(), p.closing != open; got != want {
						t.Errorf("way %d: Done: got %t, want %t", ways, got, want)
					}
				}
			})
		}
	}
}

func TestAppendClose(t *testing.T) {
	r := strings.Repeat
	for _, test := range []struct {
		code   StatusCode
		reason string
		want   string // the payload
		err    error
	}{
		{0, "", "", nil},
		{0, "dropped", "", nil},
		{StatusNoStatusRcvd, "dropped", "", nil},
		{StatusNormalClosure, "", "\x03\xe8", nil},
		{StatusGoingAway, "draining", "\x03\xe9draining", nil},
		{4401, "token expired", "\x11\x31token expired", nil},
		{StatusNormalClosure, r("r", 123), "\x03\xe8" + r("r", 123), nil},
		{StatusNormalClosure, r("r", 200), "\x03\xe8" + r("r", 123), nil},
		{StatusNormalClosure, r("r", 122) + "é", "\x03\xe8" + r("r", 122), nil},
		{StatusNormalClosure, r("😀", 40), "\x03\xe8" + r("😀", 30), nil},
		{StatusNormalClosure, "ok\xffbad", "\x03\xe8ok", nil},
		{StatusNormalClosure, "ok\uFFFD", "\x03\xe8ok\uFFFD", nil},
		{StatusAbnormalClosure, "", "", ErrStatusCode},
		{StatusTLSHandshake, "", "", ErrStatusCode},
		{999, "", "", ErrStatusCode},
		{5000, "", "", ErrStatusCode},
	} {
		for _, client := range []bool{false, true} {
			p := New(&Config{Client: client})
			got, err := p.AppendClose([]byte("before"), test.code, test.reason)
			if err != test.err {
				t.Errorf("%d %q: got error %v, want %v", test.code, test.reason, err, test.err)
				continue
			}
			got = bytes.TrimPrefix(got, []byte("before"))
			if err != nil {
				if len(got) > 0 || p.Done() {
					t.Errorf("%d %q: got %x, Done %t, want nothing", test.code, test.reason, got, p.Done())
				}
				continue
			}
			h, n, err := ParseHeader(got)
			if err != nil || n == 0 || h.Masked != client || h.Opcode != OpClose {
				t.Fatalf("%d %q: header %+v, %v\nin %x", test.code, test.reason, h, err, got)
			}
			Mask(got[n:], h.Mask, 0)
			if string(got[n:]) != test.want || !utf8.ValidString(test.reason[:reasonLength(test.reason)]) {
				t.Errorf("%d %q:\ngot  %x\nwant %x", test.code, test.reason, got[n:], test.want)
			}
		}
	}
	if got, want := AppendCloseFrame(nil, StatusAbnormalClosure, "x"), []byte("\x88\x03\x03\xf3x"); !bytes.Equal(got, want) {
		t.Errorf("AppendCloseFrame(1006): got %x, want %x", got, want)
	}
}

// TestCloseDiscards checks that memory goes back when a close ends the reading.
func TestCloseDiscards(t *testing.T) {
	bufs := new(countingBuffers)
	cfg := &Config{Buffers: bufs}
	p := New(cfg)
	part := maskedBytes(OpText, "half of it")
	p.Receive(bytes.Clone(part[:len(part)-3]))
	if ev := p.NextEvent(); ev.Kind != NoEvent {
		t.Fatalf("got %v, want none\nin %x", ev.Kind, part)
	}
	if _, err := p.AppendClose(nil, StatusGoingAway, ""); err != nil {
		t.Fatal(err)
	}
	p.Receive(part)
	if ev := p.NextEvent(); ev.Kind != NoEvent {
		t.Fatalf("after close: got %v, want none", ev.Kind)
	}
	if s := bufs.check(); s != "" {
		t.Error(s)
	}
	if s, q := p.Suspend(); q != nil || s.closing != closed {
		t.Errorf("Suspend: got %v, %v, want closed and nothing", s, q)
	}
}
