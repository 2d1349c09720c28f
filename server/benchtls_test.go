//go:build linux

package server

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"

	"github.com/usher-ws/usher/record"
	"github.com/usher-ws/usher/stream"
	"golang.org/x/sys/unix"
)

// farEnd is the peer's side of the records of a bench that is over TLS.
type farEnd struct {
	conn    record.Conn
	ciphers record.Ciphers
	in      []byte // the beginning of a record

	isPolite bool // it says close_notify before it hangs up
}

// secure has the records of a connection begin, as behind a handshake.
func (b *bench) secure() {
	var near record.Conn
	*b.far = farEnd{isPolite: b.far.isPolite}
	ours, theirs := make([]byte, 32), bytes.Repeat([]byte{1}, 32)
	err := near.Init13(record.Server, tls.TLS_AES_128_GCM_SHA256, theirs, ours)
	if err := errors.Join(err, b.far.conn.Init13(record.Client, tls.TLS_AES_128_GCM_SHA256, theirs, ours)); err != nil {
		b.Fatal(err)
	}
	b.drive.Secure(b.s, &near)
}

func (f *farEnd) seal(b *bench, data string) string {
	sealed, err := f.conn.Append(&f.ciphers, nil, []byte(data))
	if err != nil {
		b.Fatal(err)
	}
	return string(sealed)
}

// open returns what is in the records that have come, as far as they are whole.
func (f *farEnd) open(b *bench, sealed []byte) string {
	in := append(f.in, sealed...)
	data, n, err := f.conn.Read(&f.ciphers, in) // where it lies
	if _, isAlert := errors.AsType[record.PeerAlert](err); err != nil && err != io.EOF && !isAlert {
		b.Fatal(err)
	}
	text := string(data)
	f.in = bytes.Clone(in[n:])
	return text
}

// end says close_notify, once.
func (f *farEnd) end(b *bench) {
	end, err := f.conn.AppendEnd(&f.ciphers, nil, nil)
	if err == nil && b.peer >= 0 {
		_, err = unix.Write(b.peer, end)
	}
	if err != nil && err != record.ErrClosed {
		b.Fatal(err)
	}
}

// tell lets the loop tell of what over TLS it tells in a pass of its own.
func (b *bench) tell() {
	if b.far != nil && b.s.Why()&stream.Untold != 0 {
		b.drive.Wake()
	}
}
