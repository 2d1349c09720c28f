//go:build linux

package stream

import (
	"crypto/tls"
	"io"
	"slices"

	"github.com/usher-ws/usher/record"
	"golang.org/x/sys/unix"
)

// farEnd is the peer's side of a stream that is walked over TLS, behind a handshake.
type farEnd struct {
	conn    record.Conn
	ciphers record.Ciphers
	out     []byte // records that the kernel has yet to be given
	in      []byte // the beginning of one
	said    int    // bytes
	heard   int    // by the owner
	hasErr  bool   // it has said what is no record, or not the right one
	isOver  bool   // the stream has said its last
}

// secure has the records of a stream begin that has just opened.
func (w *walker) secure(x *walked) {
	if !w.isTLS || x.far != nil || w.next()%8 == 0 {
		return
	}
	n := w.next()
	id := []uint16{tls.TLS_AES_128_GCM_SHA256, tls.TLS_AES_256_GCM_SHA384, tls.TLS_CHACHA20_POLY1305_SHA256,
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}[n%5]
	var near record.Conn
	x.far = &farEnd{}
	for k, c := range []*record.Conn{&near, &x.far.conn} {
		role := record.Role(k)
		if x.dialled {
			role = 1 - role
		}
		secret, err := make([]byte, 48), error(nil)
		secret[0] = n
		switch n % 5 {
		case 1:
			err = c.Init13(role, id, secret, slices.Concat(secret[1:], secret[:1]))
		case 0, 2:
			err = c.Init13(role, id, secret[:32], slices.Concat(secret[1:32], secret[:1]))
		default:
			err = c.Init12(role, id, secret, secret[:32], secret[:32])
		}
		if err != nil {
			w.Fatal(err)
		}
	}
	w.d.Secure(x.s, &near)
}

// heard holds what the owner is told against what was said.
func (w *walker) heard(x *walked, b []byte) {
	for k, c := range b {
		if want := byte((x.far.heard + k) % 251); c != want {
			w.Fatalf("byte %d that was read is %d, want %d", x.far.heard+k, c, want)
		}
	}
	if x.far.heard += len(b); x.far.heard > x.far.said {
		w.Fatalf("%d bytes were read of %d", x.far.heard, x.far.said)
	}
	if end := w.l.exts.get(x.s.slot.ext).sealed.end; len(b) == 0 && (end == nil || end == io.EOF && x.far.heard != x.far.said) {
		w.Fatalf("%d of %d bytes, and told of the end %v", x.far.heard, x.far.said, end)
	}
}

// farDoes has the peer of a secure stream do something.
func (w *walker) farDoes(x *walked) {
	f := x.far
	var err error
	switch w.next() % 12 {
	case 0, 1, 2:
		w.note("peer seals", x)
		at, n := f.said%251, 1+int(w.next())*[]int{1, 300, 300}[w.next()%3]
		if f.conn.SaidEnd() {
			return
		}
		if f.out, err = f.conn.Append(&f.ciphers, f.out, counting[at:at+n]); err != nil {
			w.Fatal(err)
		}
		f.said += n
		w.give(x, len(f.out))
	case 3, 4:
		w.note("peer gives", x)
		w.give(x, 1+int(w.next())*int(w.next()))
	case 5, 6, 7, 8:
		w.note("peer opens", x)
		w.open(x, 1+int(w.next())*4096)
	case 9:
		w.note("peer updates its key", x)
		if f.conn.Version() == tls.VersionTLS13 && !f.conn.SaidEnd() {
			if f.out, err = f.conn.AppendKeyUpdate(&f.ciphers, f.out, w.next()%2 == 0); err != nil {
				w.Fatal(err)
			}
		}
	case 10:
		if w.next()%4 != 0 || f.conn.SaidEnd() {
			return
		}
		w.note("peer says its last", x)
		if f.out, err = f.conn.AppendEnd(&f.ciphers, f.out, nil); err != nil {
			w.Fatal(err)
		}
		if w.next()%2 == 0 {
			w.give(x, len(f.out))
		}
		if len(f.out) == 0 && w.next()%2 == 0 {
			unix.Shutdown(x.peer, unix.SHUT_WR)
		}
	case 11:
		switch w.next() % 8 {
		case 0:
			w.note("peer ends", x)
			unix.Shutdown(x.peer, unix.SHUT_WR)
			f.hasErr = true
		case 1:
			w.note("peer hangs up", x)
			w.hangUp(x.peer)
			x.peer = -1
		case 2:
			w.note("peer resets", x)
			w.reset(x.peer)
			x.peer = -1
		case 3:
			w.note("peer says nonsense", x)
			f.out = append(f.out, "\x17\x03\x03\x00\x20"+"0123456789abcdef0123456789abcdef"...)
			f.hasErr = true
		}
	}
}

// give gives up to n bytes of the peer's records to the kernel.
func (w *walker) give(x *walked, n int) {
	n, _ = unix.Write(x.peer, x.far.out[:min(n, len(x.far.out))])
	x.far.out = x.far.out[max(n, 0):]
}

// open has the peer take some of what it was sent, and holds it against what was written.
func (w *walker) open(x *walked, n int) {
	f, buf := x.far, make([]byte, n)
	n, _ = unix.Read(x.peer, buf)
	f.in = append(f.in, buf[:max(n, 0)]...)
	data, n, err := f.conn.Read(&f.ciphers, f.in)
	for k, c := range data {
		if want := byte((x.taken + k) % 251); c != want {
			w.Fatalf("byte %d is %d, want %d", x.taken+k, c, want)
		}
	}
	f.in = f.in[n:]
	if x.taken += len(data); x.taken > x.written {
		w.Fatalf("%d bytes were taken of %d", x.taken, x.written)
	}
	if err == nil || f.isOver {
		return
	}
	f.isOver = true
	if _, isAlert := err.(record.PeerAlert); isAlert && f.hasErr {
		return
	}
	if err != io.EOF || x.taken != x.written {
		w.Fatalf("%v at the end, after %d bytes of %d", err, x.taken, x.written)
	}
}
