package frame

import "strconv"

// EventKind says what an Event tells.
type EventKind byte

// The kinds of events. After CloseEvent and ErrorEvent there are no others.
const (
	NoEvent       EventKind = iota // the input is used up
	MessageEvent                   // a whole data message
	PingEvent                      // answer with AppendReply
	PongEvent                      // nothing to answer
	CloseEvent                     // the peer closes; answer with AppendReply
	ErrorEvent                     // the peer broke the protocol; AppendReply tells it
	FragmentEvent                  // a part of a message, not its last; only if Config.Fragments
	DeflatedEvent                  // a whole message, still compressed; only if Config.KeepDeflated: see Inflate
	FrameEvent                     // a data frame begins; only of a Relay
	RestEvent                      // more of the data frame that has begun; only of a Relay
)

// String returns the kind in one word.
func (k EventKind) String() string {
	switch k {
	case NoEvent:
		return "none"
	case MessageEvent:
		return "message"
	case PingEvent:
		return "ping"
	case PongEvent:
		return "pong"
	case CloseEvent:
		return "close"
	case ErrorEvent:
		return "error"
	case FragmentEvent:
		return "fragment"
	case DeflatedEvent:
		return "deflated"
	case FrameEvent:
		return "frame"
	case RestEvent:
		return "rest"
	default:
		return "event " + strconv.Itoa(int(k))
	}
}

// Event is one thing that the input says, in 48 bytes. NextEvent returns a pointer to the
// one that its Protocol has.
type Event struct {
	Kind   EventKind
	Opcode Opcode     // of the message or control frame
	Code   StatusCode // CloseEvent: the peer's, StatusNoStatusRcvd if it gave none; ErrorEvent: ours

	// Data is the message, a DeflatedEvent's as it came, the payload of a ping or pong, or
	// the reason of a close; valid until the next Receive, NextEvent, Hold or Suspend.
	Data []byte

	Err error // ErrorEvent: a *ProtocolError
}
