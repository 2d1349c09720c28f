//go:build linux

package load

import (
	"strconv"
	"strings"

	"github.com/usher-ws/usher/client"
)

// Request is what connections ask for, beside the target. The zero Request is a bare
// upgrade.
type Request struct {
	Header       [][2]string // name and value, as they go out
	Origin       string      // no header if empty
	Subprotocols string      // comma separated; no header if empty

	// Token returns the bearer token of connection i, "" for none; nil: nobody has
	// one.
	Token func(i int) string

	// Padding is the length of a header that means nothing: a head that is still
	// being sent when the answer is written.
	Padding int

	// First, if not 0, is how many bytes of the request are sent; the rest is the
	// player's business.
	First int
}

// of returns what connections ask of a target, but for their tokens.
func (r *Request) of(t *Target) client.Request {
	return client.Request{
		Host:         t.Host,
		Path:         t.Path,
		Origin:       r.Origin,
		Subprotocols: r.Subprotocols,
		Header:       append(r.Header[:len(r.Header):len(r.Header)], padding(r.Padding)...),
		First:        r.First,
	}
}

// padding spreads n bytes over header lines of at most 4 KiB, which most servers accept.
func padding(n int) (lines [][2]string) {
	const line = 4096
	for k := 0; n > 0; k++ {
		lines = append(lines, [2]string{"X-Padding-" + strconv.Itoa(k), strings.Repeat("x", min(n, line))})
		n -= line
	}
	return lines
}
