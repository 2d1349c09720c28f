package record

import (
	"crypto/tls"
	"fmt"
	"io"
	"slices"
)

// Role is which side of a connection we are.
type Role uint8

// The roles. A server takes no tickets, and a client no requests of others.
const (
	Server Role = iota
	Client
)

// Conn is a connection after its handshake: both directions, and what the records so far
// have left to do. It is all that an idle connection keeps, 152 bytes without a pointer, and
// may lie in a table. The zero value is closed; Init13 or Init12 starts it, Clear ends it.
// One goroutine at a time may use it.
type Conn struct {
	In, Out Half

	left    uint32 // of a handshake message that began: its length, then what is to come of it
	kind    message
	got     uint8 // bytes of its header
	useless uint8 // records in a row that brought no data
	role    Role
}

// Ciphers are the expanded keys of a Conn. The zero value is ready, and what is said of a
// Cipher holds of both: they are a cache, and need not be kept.
type Ciphers struct{ In, Out Cipher }

// Clear forgets both keys.
func (cs *Ciphers) Clear() { *cs = Ciphers{} }

// Clear zeroes the secrets. What follows is ErrClosed.
func (c *Conn) Clear() { *c = Conn{} }

// Version returns the version of TLS, a number of crypto/tls, or 0 after Clear.
func (c *Conn) Version() uint16 { return c.Out.of().version }

// HeardEnd reports whether the peer has sent close_notify: nothing more comes.
func (c *Conn) HeardEnd() bool { return c.In.ended }

// SaidEnd reports whether we have sent close_notify or another alert.
func (c *Conn) SaidEnd() bool { return c.Out.ended }

// Format keeps a Conn out of logs and errors, whatever the verb.
func (c Conn) Format(f fmt.State, _ rune) { io.WriteString(f, "record.Conn") }

// End returns what it means that the stream under the records has ended: io.EOF if the peer
// said so before, and ErrTruncated if not.
func (c *Conn) End() error {
	if c.In.ended {
		return io.EOF
	}
	return ErrTruncated
}

// Open opens the first record of in, in place, and does what it asks for. It returns the
// application data in it, which is a part of in and may be empty, and the length of the
// record: 0 if in does not hold all of it. io.EOF is the peer's close_notify, and the rest of
// in is of no account then. After any other error the connection has to end, with the alert that
// AppendEnd chooses: nothing else is opened.
func (c *Conn) Open(cs *Ciphers, in []byte) (t Type, data []byte, n int, err error) {
	if c.In.ended {
		return 0, nil, 0, io.EOF
	}
	if t, data, n, err = c.In.Open(&cs.In, in); n > 0 {
		data, err = c.take(t, data)
	}
	if err != nil {
		c.In = Half{ended: err == io.EOF}
		return 0, nil, 0, err
	}
	return t, data, n, nil
}

// take does what a record asks for, and returns the application data in it.
func (c *Conn) take(t Type, content []byte) (data []byte, err error) {
	if c.got > 0 && t != Handshake { // RFC 8446 §5.1
		return nil, errInterleaved
	}
	switch t {
	case ApplicationData:
		if len(content) == 0 {
			return nil, c.waste()
		}
		c.useless = 0
		return content, nil
	case AlertRecord:
		return nil, c.readAlert(content)
	case Handshake:
		return nil, c.readHandshake(content)
	default: // within a record of TLS 1.3
		return nil, errType
	}
}

// Read opens all whole records of in, in place. data is the application data of all of them,
// without gaps, a part of in; n is how much of in is done with: what remains is the first part
// of a record, and Half.Size tells how long that will be. With an error, data is what came
// before it.
func (c *Conn) Read(cs *Ciphers, in []byte) (data []byte, n int, err error) {
	for {
		_, content, size, err := c.Open(cs, in[n:])
		if err != nil || size == 0 {
			return data, n, err
		}
		n += size
		if data == nil {
			data = content
		} else {
			data = append(data, content...) // moves it to where it belongs, in front of itself
		}
	}
}

// rekeyAt is when we update our key: well before the 2^24.5 records for which RFC 8446 §5.5
// vouches.
const rekeyAt = 1<<24 - 1

// Append appends application data, sealed: one record for each MaxContent bytes of it, and
// none for none. A key update goes ahead when the peer has asked for it or our key has sealed
// nearly 2^24 records. data must not overlap what is appended. Len tells how long it will be.
func (c *Conn) Append(cs *Ciphers, dst, data []byte) ([]byte, error) {
	if c.Out.ended || c.Out.suite == 0 {
		return dst, ErrClosed
	}
	dst = slices.Grow(dst, c.Len(len(data)))
	for len(data) > 0 {
		var err error
		if c.Out.owes || c.Out.seq >= rekeyAt && c.Version() == tls.VersionTLS13 {
			if dst, err = c.appendUpdate(cs, dst, notRequested); err != nil {
				return dst, err
			}
		}
		n := min(len(data), MaxContent)
		if dst, err = c.Out.AppendRecord(&cs.Out, dst, ApplicationData, data[:n]); err != nil {
			return dst, err
		}
		data = data[n:]
	}
	return dst, nil
}

// Len returns how many bytes Append appends for n bytes of data, a key update ahead of them
// not included.
func (c *Conn) Len(n int) int {
	return n + (n+MaxContent-1)/MaxContent*c.Out.of().overhead()
}
