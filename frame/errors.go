package frame

import "errors"

// ProtocolError is what a peer did wrong, with the close code that tells it so.
// Errors of this package that a peer causes are *ProtocolError, are immutable
// and may be compared.
type ProtocolError struct {
	Code StatusCode
	Msg  string // short, constant, fit for the reason of a close frame
}

// Error returns the message and its close code.
func (e *ProtocolError) Error() string {
	return "frame: " + e.Msg + " (" + e.Code.String() + ")"
}

// What a peer can do wrong, in the order in which the bytes reveal it.
var (
	errReservedBits      = &ProtocolError{StatusProtocolError, "reserved bits set"}
	errReservedOpcode    = &ProtocolError{StatusProtocolError, "reserved opcode"}
	errFragmentedControl = &ProtocolError{StatusProtocolError, "fragmented control frame"}
	errNothingToContinue = &ProtocolError{StatusProtocolError, "continuation without a message"}
	errMessageInMessage  = &ProtocolError{StatusProtocolError, "new message within a message"}
	errUnmasked          = &ProtocolError{StatusProtocolError, "client frame not masked"}
	errMasked            = &ProtocolError{StatusProtocolError, "server frame masked"}
	errLongControl       = &ProtocolError{StatusProtocolError, "control frame over 125 bytes"}
	errShortClose        = &ProtocolError{StatusProtocolError, "close frame of one byte"}
	errLengthSign        = &ProtocolError{StatusProtocolError, "length over 63 bits"}
	errLengthNotMinimal  = &ProtocolError{StatusProtocolError, "length not minimal"}
	errTooBig            = &ProtocolError{StatusMessageTooBig, "message too big"}
	errCloseCode         = &ProtocolError{StatusProtocolError, "close code not allowed"}
	errCloseReason       = &ProtocolError{StatusInvalidFramePayloadData, "close reason not UTF-8"}
	errDeflate           = &ProtocolError{StatusInvalidFramePayloadData, "compressed message invalid"}
	errText              = &ProtocolError{StatusInvalidFramePayloadData, "text not UTF-8"}
	errEmptyFragments    = &ProtocolError{StatusPolicyViolation, "too many empty fragments"}
)

// What a caller can do wrong. Nothing is appended when one of them is returned.
var (
	// ErrClosed: a close frame was sent or received, or the peer broke the protocol.
	ErrClosed = errors.New("frame: connection is closing")
	// ErrOpcode: a message is text or binary, nothing else.
	ErrOpcode = errors.New("frame: opcode is not text or binary")
	// ErrControlTooLong: a control frame carries at most 125 bytes (RFC 6455 §5.5).
	ErrControlTooLong = errors.New("frame: control payload over 125 bytes")
	// ErrStatusCode: the code must not appear on the wire, see StatusCode.Sendable.
	ErrStatusCode = errors.New("frame: close code not sendable")
)
