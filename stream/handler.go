//go:build linux

package stream

import (
	"crypto/tls"
	"time"
)

// Handler is the owner of a loop's streams: what they carry is its business. All methods
// are called on the loop's goroutine and must not block. They may call any method of the
// Loop and of its streams. Cut and Finish end a stream at once; after its end nothing may be
// asked of it except in Ended.
//
// One that panics, or ends its goroutine by runtime.Goexit, is not called again for the
// same event. The loop goes on, on another goroutine in the second case, with Fault.
type Handler[T, X any] interface {
	// Opened says that s was accepted, or that what was dialled has connected.
	Opened(s S[T, X])
	// Secured says that the TLS handshake of s is done, which Opened came before: now it can
	// be written to, and Input follows. It is not called for streams in the clear. state is
	// the callee's, but refers to much: what is kept of it should be copied.
	Secured(s S[T, X], state *tls.ConnectionState)
	// Input hands over what was read, or says that there will be nothing more: then b
	// is empty. That is said once, and again if s was held meanwhile; the other direction
	// goes on until Finish or Cut. b is the loop's, valid until Input returns, and may be
	// changed.
	Input(s S[T, X], b []byte, eof bool)
	// Resume says that a reason for which the stream held s has ended: all that waited has
	// left, or its turn has come. Why tells whether there is another.
	Resume(s S[T, X])
	// Due says that the deadline of s has passed, so that it has none until one is set;
	// or that a point in time given to DueAt has come, beside the deadline.
	Due(s S[T, X])
	// Victim says that memory is short and s holds most of it, which should end that. s
	// may be Gone.
	Victim(s S[T, X])
	// Ended is called exactly once for each stream that was opened or dialled, for
	// whatever cause. Nothing can be read or written any more, but what s was can still
	// be asked. If it returns true the slot stays until Free: then s is Gone.
	Ended(s S[T, X], cause error) (keep bool)

	// Mail follows at least one call of Loop.Wake.
	Mail()
	// Turn ends a pass over the ready streams. It returns when it wants to be called
	// at the latest, by the loop's clock; 0 leaves that to the loop.
	Turn(now time.Duration) (next time.Duration)
	// Fault says that a method has panicked, or ended its goroutine, while the loop dealt
	// with s, which has to end; or with no stream in particular if s is zero. A nil err
	// is an end that NoteExit has told of. A stream about which it is told a second time in
	// a row is cut then; one that is Gone is no stream in particular any more.
	Fault(s S[T, X], err error)
	// Failed says that the loop has ended because the kernel refused to wait.
	Failed(err error)
}
