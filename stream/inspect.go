//go:build linux

package stream

import "github.com/usher-ws/usher/poller"

// Figures asks the kernel what it knows of the stream, for about a microsecond; false if that is
// nothing.
func (s S[T, X]) Figures() (f poller.Figures, ok bool) {
	if s.slot.fd < 0 {
		return f, false
	}
	return poller.Inspect(int(s.slot.fd))
}
