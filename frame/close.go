package frame

import (
	"encoding/binary"
	"unicode/utf8"
)

// closing is how far a connection's close has come. The zero value is open.
type closing uint8

const (
	open   closing = iota
	owing          // the peer closed or broke the protocol; our close frame is owed
	closed         // our close frame is written; nothing follows it
)

// move is something that bears on the close.
type move uint8

const (
	hearsFrame     move = iota // a message, ping or pong arrives
	hearsClose                 // a close frame arrives
	hearsViolation             // the peer breaks the protocol
	answersPing                // AppendReply to a ping
	answersClose               // AppendReply to a close or an error
	saysFrame                  // AppendMessage or AppendPing
	saysClose                  // AppendClose
)

// outcome is what becomes of a move.
type outcome uint8

const (
	deliver outcome = iota // input becomes an event
	discard                // input is dropped unread
	write                  // a frame is appended
	silence                // nothing is appended, and that is right
	refuse                 // nothing is appended; the caller gets ErrClosed
)

// closingTable says what each move does in each state, and the state after it.
// After a close frame in either direction input is discarded, not parsed; after
// ours nothing is written (RFC 6455 §5.5.1, §7.1).
var closingTable = [...][7]struct {
	do   outcome
	next closing
}{
	open: {
		hearsFrame:     {deliver, open},
		hearsClose:     {deliver, owing},
		hearsViolation: {deliver, owing},
		answersPing:    {write, open},
		answersClose:   {write, closed},
		saysFrame:      {write, open},
		saysClose:      {write, closed},
	},
	owing: {
		hearsFrame:     {discard, owing},
		hearsClose:     {discard, owing},
		hearsViolation: {discard, owing},
		answersPing:    {silence, owing}, // §5.5.2: no pong once a close arrived
		answersClose:   {write, closed},
		saysFrame:      {refuse, owing},
		saysClose:      {write, closed},
	},
	closed: {
		hearsFrame:     {discard, closed},
		hearsClose:     {discard, closed},
		hearsViolation: {discard, closed},
		answersPing:    {silence, closed},
		answersClose:   {silence, closed},
		saysFrame:      {refuse, closed},
		saysClose:      {refuse, closed},
	},
}

// step makes a move and returns what becomes of it.
func (p *Protocol) step(m move) outcome {
	c := closingTable[p.closing][m]
	p.closing = c.next
	return c.do
}

// heardClose makes an event of a close frame's payload.
func (p *Protocol) heardClose(data []byte) Event {
	code, reason, err := parseClose(data)
	if err != nil {
		return p.fail(err)
	}
	p.step(hearsClose)
	return Event{Kind: CloseEvent, Opcode: OpClose, Code: code, Data: reason}
}

// parseClose reads a close frame's payload (RFC 6455 §5.5.1, §7.4).
func parseClose(data []byte) (code StatusCode, reason []byte, err *ProtocolError) {
	if len(data) == 0 {
		return StatusNoStatusRcvd, data, nil
	}
	// judge refused the length 1.
	code, reason = StatusCode(binary.BigEndian.Uint16(data)), data[2:]
	switch {
	case !code.Sendable():
		return 0, nil, errCloseCode
	case !utf8.Valid(reason):
		return 0, nil, errCloseReason
	}
	return code, reason, nil
}

// AppendClose appends a close frame; from here on input is discarded and nothing
// else can be appended. A code of 0 or StatusNoStatusRcvd makes it empty, without
// a reason. A reason that does not fit is cut: to at most 123 bytes, between
// characters, and before the first byte that is not UTF-8. Errors: ErrStatusCode if
// code is not Sendable, ErrClosed.
func (p *Protocol) AppendClose(dst []byte, code StatusCode, reason string) ([]byte, error) {
	if code != 0 && code != StatusNoStatusRcvd && !code.Sendable() {
		return dst, ErrStatusCode
	}
	if p.step(saysClose) == refuse {
		return dst, ErrClosed
	}
	return p.cfg.AppendCloseFrame(dst, code, reason), nil
}

// reasonLength returns how much of reason a close frame can carry.
func reasonLength(reason string) int {
	n := 0
	for n < len(reason) {
		r, size := utf8.DecodeRuneInString(reason[n:])
		if r == utf8.RuneError && size == 1 || n+size > maxControl-2 {
			break
		}
		n += size
	}
	return n
}
