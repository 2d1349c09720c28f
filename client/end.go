//go:build linux

package client

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/record"
	"golang.org/x/sys/unix"
)

// Kind is what kind of end a connection had.
type Kind uint8

// The kinds. Zero is an end that we wanted.
const (
	CannotConnect Kind = iota + 1 // Code: the error number
	NoAnswer                      // the request was not answered, in time or at all
	BadAnswer                     // the answer is not HTTP; Code 101: an upgrade that is wrong
	Refused                       // Code: the HTTP status
	Reset                         // Code: the error number, if there is one
	Cut                           // the stream ended without a close frame
	Closed                        // by a close frame; Code: its code
	Broken                        // the server broke the protocol; Code: the close code for that
	NoGoodbye                     // our close frame was not answered in time
	TLSFailed                     // the handshake, or a record behind it; Reason: what was wrong
)

// String names the kind.
func (k Kind) String() string {
	names := [...]string{
		"ended", "cannot connect", "no answer to the request", "malformed answer to the request", "refused", "reset",
		"cut without a close frame", "closed", "protocol broken by the server", "close not answered", "TLS failed",
	}
	if int(k) < len(names) {
		return names[k]
	}
	return fmt.Sprintf("kind %d", k)
}

// End is how a connection ended. The zero End is one that we wanted: by Leave, or by Cut or
// Reset of the stream with no cause.
type End struct {
	Kind   Kind
	Code   int    // what it means depends on Kind
	Reason string // of the server's close frame, or of TLSFailed
}

// Error says it in a few words, without the reason.
func (e End) Error() string {
	switch {
	case e.Code == 0:
		return e.Kind.String()
	case e.Kind == Refused:
		return strings.TrimRight(fmt.Sprintf("refused: %d %s", e.Code, http.StatusText(e.Code)), " ")
	case e.Kind == Closed || e.Kind == Broken:
		return fmt.Sprintf("%s: %v", e.Kind, frame.StatusCode(e.Code))
	case e.Kind == CannotConnect || e.Kind == Reset:
		return fmt.Sprintf("%s: %v", e.Kind, unix.Errno(e.Code))
	default:
		return fmt.Sprintf("%s (%d)", e.Kind, e.Code)
	}
}

// Errno returns the error number in err, 0 if there is none.
func Errno(err error) int {
	var errno unix.Errno
	errors.As(err, &errno)
	return int(errno)
}

// Ended is stream.Handler's.
func (c *Client[T]) Ended(s Stream[T], cause error) (keep bool) {
	end, decided := cause.(End)
	if !decided && cause != nil {
		end = c.endOf(s, cause)
	}
	if x := s.Extra(); s.HasExtra() {
		c.loop.Buffers.Put(x.head)
		x.partial.Release(&c.frame)
		*x = Extra{}
	}
	c.owner.Closed(s, end)
	return false
}

// endOf is what an end of the stream means that was not our decision; io.EOF is the peer's
// FIN, with or without the close_notify that should come before it: the close frame has said
// more. There may have been an answer whose end is the end of the stream; after our close
// frame the end is what we waited for.
func (c *Client[T]) endOf(s Stream[T], cause error) End {
	end := End{Kind: Reset, Code: Errno(cause)}
	switch {
	case cause == io.EOF || cause == record.ErrTruncated:
		end = End{Kind: Cut}
	case s.Data().state == Securing || isOfRecords(cause):
		return End{Kind: TLSFailed, Reason: reasonOf(cause)}
	}
	switch s.Data().state {
	case Dialing:
		end.Kind = CannotConnect
	case Asked:
		if r, n, err := ParseResponse(s.Extra().head, true); err == nil && n > 0 && r.Status != http.StatusSwitchingProtocols {
			c.refused(s, r)
			return End{Kind: Refused, Code: r.Status}
		}
		if end.Kind == Cut {
			end.Kind = NoAnswer
		}
	case Leaving:
		if end.Kind == Cut {
			end = End{}
		}
	}
	return end
}

// isOfRecords reports whether a stream ended for what was wrong with a record.
func isOfRecords(cause error) bool {
	var wrong *record.Error
	var alert record.PeerAlert
	return errors.As(cause, &wrong) || errors.As(cause, &alert)
}

// reasonOf is cause without what package stream says of it.
func reasonOf(cause error) string {
	switch inner := errors.Unwrap(cause); {
	case errors.Is(cause, io.EOF):
		return "the server hung up"
	case inner != nil:
		return inner.Error()
	default:
		return cause.Error()
	}
}
