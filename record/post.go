package record

import (
	"crypto/tls"
	"errors"
	"io"
)

// maxUseless is how many records in a row may bring no data: empty ones, warnings, tickets and
// key updates. crypto/tls has the same bound.
const maxUseless = 16

// waste counts a record that brought no data.
func (c *Conn) waste() error {
	if c.useless++; c.useless > maxUseless {
		return errUseless
	}
	return nil
}

// readAlert reads an alert, which is a record of its own (RFC 8446 §5.1).
func (c *Conn) readAlert(b []byte) error {
	if len(b) != 2 {
		return errAlert
	}
	switch level, a := b[0], Alert(b[1]); {
	case a == CloseNotify:
		return io.EOF
	case c.Version() == tls.VersionTLS13:
		if a == UserCanceled { // close_notify follows: §6.1
			return c.waste()
		}
		return PeerAlert(a)
	case level == warning:
		return c.waste()
	case level == fatal:
		return PeerAlert(a)
	default:
		return errAlert
	}
}

// message is the type of a handshake message.
type message uint8

// Handshake messages that may come after the handshake, or ask for another.
const (
	helloRequest     message = 0
	clientHello      message = 1
	newSessionTicket message = 4
	keyUpdate        message = 24
)

// What a key update asks for.
const (
	notRequested = 0
	requested    = 1
)

// maxTicket is the most that a NewSessionTicket can come to (RFC 8446 §4.6.1).
const maxTicket = 4 + 4 + 1 + 255 + 2 + 65535 + 2 + 65534

// readHandshake reads messages that follow the handshake, or parts of them. None of them is
// kept: a key update is five bytes known beforehand, and a ticket is passed over.
func (c *Conn) readHandshake(b []byte) error {
	if len(b) == 0 { // RFC 8446 §5.1
		return errEmpty
	}
	for len(b) > 0 {
		switch {
		case c.got == 0:
			c.kind, c.left = message(b[0]), 0
			if err := c.admit(); err != nil {
				return err
			}
			c.got, b = 1, b[1:]
		case c.got < 4:
			c.left = c.left<<8 | uint32(b[0])
			c.got, b = c.got+1, b[1:]
			if c.got == 4 && (c.kind == keyUpdate && c.left != 1 || c.left == 0 || c.left > maxTicket) {
				return errLength
			}
		case c.kind == keyUpdate:
			return c.readUpdate(b)
		default:
			n := min(int(c.left), len(b))
			c.left -= uint32(n)
			if b = b[n:]; c.left > 0 {
				return nil
			}
			c.got = 0
			if err := c.waste(); err != nil {
				return err
			}
		}
	}
	return nil
}

// admit judges a message by its type. TLS 1.2 has only those that ask for a renegotiation,
// which is refused (RFC 5246 §7.2.2), and ends the connection, as with crypto/tls.
func (c *Conn) admit() error {
	switch {
	case c.Version() == tls.VersionTLS13:
		if c.kind == keyUpdate || c.kind == newSessionTicket && c.role == Client {
			return nil
		}
	case c.kind == helloRequest && c.role == Client, c.kind == clientHello && c.role == Server:
		return errRenegotiate
	}
	return errMessage
}

// readUpdate reads the body of a key update, which ends its record (RFC 8446 §5.1): the next
// one has another key. An answer that was asked for goes ahead of the next data, so that a
// flood of requests has one (§4.6.3).
func (c *Conn) readUpdate(b []byte) error {
	switch {
	case b[0] != requested && b[0] != notRequested:
		return errUpdate
	case len(b) > 1:
		return errUnaligned
	}
	c.got = 0
	if err := c.waste(); err != nil {
		return err
	}
	c.Out.owes = c.Out.owes || b[0] == requested
	return c.In.update()
}

// AppendKeyUpdate appends a key update, whose answer may be requested. It is of use to
// tests and to callers with reasons of their own: Append does what is necessary.
func (c *Conn) AppendKeyUpdate(cs *Ciphers, dst []byte, answer bool) ([]byte, error) {
	switch {
	case c.Out.ended || c.Out.suite == 0:
		return dst, ErrClosed
	case c.Version() != tls.VersionTLS13:
		return dst, errNoUpdate
	case answer:
		return c.appendUpdate(cs, dst, requested)
	}
	return c.appendUpdate(cs, dst, notRequested)
}

func (c *Conn) appendUpdate(cs *Ciphers, dst []byte, answer byte) ([]byte, error) {
	dst, err := c.Out.AppendRecord(&cs.Out, dst, Handshake, []byte{byte(keyUpdate), 0, 0, 1, answer})
	if err != nil {
		return dst, err
	}
	c.Out.owes = false
	return dst, c.Out.update()
}

// AppendEnd appends the alert that a connection ends with: that of an *Error, close_notify if
// why is nil or io.EOF, and none if the peer has ended it by an alert of its own or without a
// word. Other errors are not the peer's, which is told internal_error. Nothing can be appended
// afterwards; after close_notify, the peer may still be heard.
func (c *Conn) AppendEnd(cs *Ciphers, dst []byte, why error) ([]byte, error) {
	if c.Out.ended || c.Out.suite == 0 {
		return dst, ErrClosed
	}
	a := alertOf(why)
	c.Out.ended = true
	if a == NoAlert {
		return dst, nil
	}
	return c.Out.AppendRecord(&cs.Out, dst, AlertRecord, []byte{a.level(), byte(a)})
}

// alertOf returns the alert for an error.
func alertOf(why error) Alert {
	if why == nil || errors.Is(why, io.EOF) {
		return CloseNotify
	}
	if e, ok := errors.AsType[*Error](why); ok {
		return e.Alert
	}
	if _, ok := errors.AsType[PeerAlert](why); ok {
		return NoAlert
	}
	return InternalError
}
