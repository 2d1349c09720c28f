package upgrade

import (
	"iter"

	"github.com/usher-ws/usher/internal/text"
)

// This file is what a program needs that passes requests on to another server.

// Fields yields the name and the value of every header line as they were sent, in their
// order.
func (r *Request) Fields() iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for _, f := range r.fields {
			if !yield(r.bytes(f.name), r.bytes(f.value)) {
				return
			}
		}
	}
}

// IsOnlyProbe reports whether the request is a probe and can be nothing else, as
// application/problem+json is all that its Accept names. In front of an application whose own
// answers clients want in that form, other requests that IsProbe takes for one are the
// application's.
func (r *Request) IsOnlyProbe() bool {
	n := 0
	for value := range r.all(hAccept) {
		for range text.Elements(value) {
			n++
		}
	}
	return n == 1 && r.IsProbe()
}

// Subprotocols yields the subprotocols that the client offers, in its order, but neither
// "bearer" nor the token behind it.
func (r *Request) Subprotocols() iter.Seq[[]byte] {
	return func(yield func(protocol []byte) bool) {
		done := false
		r.offers(func(p []byte, token bool) {
			if !done && !token && string(p) != bearer {
				done = !yield(p)
			}
		})
	}
}
