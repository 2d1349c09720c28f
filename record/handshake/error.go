package handshake

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"net"
	"reflect"

	"github.com/usher-ws/usher/record"
)

// Error is why a handshake has failed.
type Error struct {
	// Alert says so to the other side; record.NoAlert if none was sent, or, of a client, none
	// that can be read here.
	Alert  record.Alert
	ByPeer bool  // it is the peer that has sent it
	Err    error // of crypto/tls, or of the connection
}

// Error returns what crypto/tls says.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// explain returns err, with which crypto/tls has ended the handshake, as an *Error.
func (t *tap) explain(c *tls.Conn, role record.Role, err error) error {
	e := &Error{Alert: record.NoAlert, Err: err}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" { // as tls.Conn has them, with an alert of a type that is not exported
		e.ByPeer = true
		if v := reflect.ValueOf(op.Err); v.Kind() == reflect.Uint8 {
			e.Alert = record.Alert(v.Uint())
		}
		return e
	}
	if a, ok := t.out.alert(); ok {
		e.Alert = a
	} else if role == record.Server && t.client.n > 0 && t.server.n > 0 {
		e.Alert = t.sealedAlert(c.ConnectionState().CipherSuite)
	}
	// OpenSSL refuses a certificate of TLS 1.3 in the clear, where crypto/tls expects what is sealed.
	if a, ok := t.in.alert(); ok && e.Alert == record.BadRecordMAC {
		return &Error{Alert: a, ByPeer: true, Err: record.PeerAlert(a)}
	}
	return e
}

// alert returns the alert in the clear that a flow ended with. One that is sealed is longer.
func (f *flow) alert() (record.Alert, bool) {
	isAlert := f.header[0] == alertRecord && binary.BigEndian.Uint16(f.header[3:]) == alertSize && f.between()
	return record.Alert(f.last), isAlert
}

// sealedAlert opens what a server of TLS 1.3 has sealed behind its Finished message, as the client
// does: it may be an alert.
func (t *tap) sealedAlert(suite uint16) record.Alert {
	var ciphers record.Ciphers
	for kept := t.out.kept; len(kept) >= headerSize; kept = kept[headerSize+int(binary.BigEndian.Uint16(kept[3:])):] {
		var c record.Conn
		if c.Init13(record.Client, suite, t.client.bytes(), t.server.bytes()) != nil {
			break
		}
		_, _, err := c.Read(&ciphers, bytes.Clone(kept))
		c.Clear()
		if a, ok := errors.AsType[record.PeerAlert](err); ok {
			return record.Alert(a)
		}
	}
	return record.NoAlert
}
