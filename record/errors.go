package record

import "errors"

// Error is what a peer did wrong, with the alert that tells it so. Errors of this package
// that a peer causes are *Error, PeerAlert or io.EOF; they are immutable, may be compared,
// and never hold a byte of what was sent or of a key.
type Error struct {
	Alert Alert  // to be sent before the connection ends, see Conn.AppendEnd; NoAlert: nothing
	Msg   string // short and constant
}

// Error returns the message and the name of its alert.
func (e *Error) Error() string {
	if e.Alert == NoAlert {
		return "record: " + e.Msg
	}
	return "record: " + e.Msg + " (" + e.Alert.String() + ")"
}

// What a peer can do wrong, in the order in which the bytes reveal it.
var (
	errVersion     = &Error{ProtocolVersion, "record of another version"}
	errType        = &Error{UnexpectedMessage, "record of a type that has no place here"}
	errTooLong     = &Error{RecordOverflow, "record too long"}
	errMAC         = &Error{BadRecordMAC, "record was not sealed with this key, or not at this place"}
	errInnerLong   = &Error{RecordOverflow, "content of a record too long"}
	errNoType      = &Error{UnexpectedMessage, "record of padding only"}
	errInterleaved = &Error{UnexpectedMessage, "record within a handshake message"}
	errUseless     = &Error{UnexpectedMessage, "too many records without data"}
	errAlert       = &Error{UnexpectedMessage, "alert malformed"}
	errEmpty       = &Error{UnexpectedMessage, "handshake record without content"}
	errMessage     = &Error{UnexpectedMessage, "handshake message that has no place here"}
	errLength      = &Error{DecodeError, "handshake message of a wrong length"}
	errUpdate      = &Error{IllegalParameter, "key update neither requested nor not"}
	errUnaligned   = &Error{UnexpectedMessage, "key update does not end its record"}
	errRenegotiate = &Error{NoRenegotiation, "renegotiation"}
	errExhausted   = &Error{InternalError, "sequence number exhausted"}
)

// ErrTruncated: the stream ended without a close_notify, so somebody else may have cut it
// (RFC 8446 §6.1). There is nobody to send an alert to.
var ErrTruncated = &Error{NoAlert, "stream ended without close_notify"}

// ErrClosed is for callers: nothing can be opened or appended any more, since an alert has
// ended that direction, or the Conn was cleared or never started. Nothing was appended.
var ErrClosed = errors.New("record: closed")

// What else a caller can do wrong. Nothing was appended.
var (
	errContent  = errors.New("record: content over MaxContent")
	errNoUpdate = errors.New("record: TLS 1.2 has no key updates")
	errPartial  = errors.New("record: records not whole")
)

// PeerAlert is an alert by which the peer has ended the connection. It gets no answer
// (RFC 8446 §6.2).
type PeerAlert Alert

// Error returns the name of the alert.
func (a PeerAlert) Error() string { return "record: peer sent " + Alert(a).String() }
