package upgrade

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"
)

const defaultTimeout = 10 * time.Second

// firstRead is room for an ordinary head; for a larger one it grows.
const firstRead = 4 << 10

// scratch is the memory of one Upgrade: the bytes that it has read, its answer, and the
// request that borrows the former.
type scratch struct {
	in, out []byte
	r       Request
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// Upgrade reads one request from conn, judges it and answers it.
//
// Without an error the client has its 101, and conn is a WebSocket connection
// without deadlines. early is what the client sent behind its head, its first
// frames or a part of them: they come before anything that is read from conn. r and
// early belong to the caller.
//
// With an error the client has its answer, unless it never said anything; conn has
// lingered and is closed. The error is Respond's, or a *Rejection 408 for a head that
// did not end within Timeout, or says why conn could not be read or written.
// Upgrade blocks until then. If a guard panics, conn is closed as well. u.Logger is
// told of the error of a guard or of Authorize.
func (u *Upgrader) Upgrade(conn net.Conn) (r *Request, early []byte, err error) {
	s := scratches.Get().(*scratch)
	defer func() {
		s.r.reset(nil)
		scratches.Put(s)
	}()
	if err := conn.SetDeadline(time.Now().Add(u.timeout())); err != nil {
		conn.Close()
		return nil, nil, fmt.Errorf("upgrade: %w", err)
	}
	n, err := u.readRequest(conn, s)
	var silent *silence
	if errors.As(err, &silent) {
		conn.Close()
		return nil, nil, err
	}
	s.out = s.out[:0]
	_, isUnix := conn.RemoteAddr().(*net.UnixAddr)
	if untraced := u.trace(&s.r, addrPort(conn.RemoteAddr()), isUnix); err == nil {
		err = untraced
	}
	_, s.r.tls = conn.(interface{ ConnectionState() tls.ConnectionState })
	judged := false
	defer func() {
		if !judged {
			conn.Close() // a guard panicked
		}
	}()
	early = s.in[n:]
	if err != nil {
		s.out, err = u.Refuse(s.out, &s.r, err)
	} else {
		if u.IsSlow(&s.r) {
			early, _ = u.watch(conn, early, func(ctx context.Context) error { u.prepare(ctx, &s.r); return nil })
		}
		s.out, err = u.Respond(s.out, &s.r)
	}
	if u.asks(err) {
		r = s.r.Clone() // Authorize may keep it
		var no error
		if early, no = u.watch(conn, early, func(ctx context.Context) error { return u.authorize(ctx, r) }); no != nil {
			s.out, err = u.Refuse(s.out[:0], r, no)
		}
	}
	judged = true
	if err != nil {
		u.tell(cmp.Or(r, &s.r), err)
	}
	if err := deliver(conn, s.out, u.timeout(), err); err != nil {
		return nil, nil, err
	}
	if r == nil {
		r, early = s.r.Clone(), bytes.Clone(early)
	}
	return r, early, nil
}

func (u *Upgrader) timeout() time.Duration {
	if u.Timeout > 0 {
		return u.Timeout
	}
	return defaultTimeout
}

// silence is why a head never began, or could not be read on: there is nobody to
// answer.
type silence struct{ cause error }

func (e *silence) Error() string { return "upgrade: no request: " + e.cause.Error() }
func (e *silence) Unwrap() error { return e.cause }

// readRequest reads into s.in until it holds a whole head, parses that into s.r
// and returns its length.
func (u *Upgrader) readRequest(conn net.Conn, s *scratch) (int, error) {
	s.in = slices.Grow(s.in[:0], min(u.headerBytes(), firstRead))
	for {
		seen := len(s.in)
		if seen == cap(s.in) {
			s.in = slices.Grow(s.in, min(u.headerBytes()-seen, seen))
		}
		m, err := conn.Read(s.in[seen:cap(s.in)])
		s.in = s.in[:seen+m]
		if n, refused := u.Read(s.in, seen, &s.r); n > 0 || refused != nil {
			return n, refused
		}
		switch {
		case err == nil:
		case len(s.in) == 0:
			return 0, &silence{err}
		case errors.Is(err, os.ErrDeadlineExceeded):
			return 0, ErrTimeout.because(err)
		case errors.Is(err, io.EOF):
			return 0, errHead
		default:
			return 0, &silence{err}
		}
	}
}

// deliver writes the response. If it is not the 101, or cannot be written, conn
// is closed, after lingering if the client may still read. verdict is Respond's
// error, which deliver returns.
func deliver(conn net.Conn, response []byte, timeout time.Duration, verdict error) error {
	_ = conn.SetDeadline(time.Now().Add(timeout)) // if this failed, Write does, too
	_, err := conn.Write(response)
	switch {
	case err != nil:
		conn.Close()
		if verdict != nil {
			return verdict
		}
		return fmt.Errorf("upgrade: %w", err)
	case verdict != nil:
		Linger(conn)
		return verdict
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		conn.Close()
		return fmt.Errorf("upgrade: %w", err)
	}
	return nil
}

// addrPort returns a as an address and port, or the zero AddrPort.
func addrPort(a net.Addr) netip.AddrPort {
	switch a := a.(type) {
	case nil:
		return netip.AddrPort{}
	case *net.TCPAddr:
		ap := a.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	ap, _ := netip.ParseAddrPort(a.String())
	return ap
}
