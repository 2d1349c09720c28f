//go:build linux

package guard

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"time"

	"github.com/usher-ws/usher/internal/pattern"
	"github.com/usher-ws/usher/server"
	"github.com/usher-ws/usher/upgrade"
)

// Guard leads the connections of a route to an application:
//
//	g := &guard.Guard{Upstream: netip.MustParseAddrPort("127.0.0.1:8000")}
//	srv.Route("/ws", server.Route{Guards: guards, Relay: g.Relay()})
//
// It is read only once in use.
type Guard struct {
	Upstream netip.AddrPort // of the application; or else
	Unix     string         // the path of its unix socket
	TLS      *tls.Config    // nil: in the clear; not for Unix
	Timeout  time.Duration  // for connecting together with the answer; 0: 10 s
	Forward  Forward        // what the application is told

	// Path is what is asked for there, {name} in it being what the route's wildcard of that name
	// has matched, and {name...} what one for the rest has; "" is what the client asks for.
	Path string

	// Recognize says what is known of a plain request, which needs no token, and whose it is if
	// it has a good one all the same: an upgrade.Upgrader's Recognize with a Verifier. nil looks
	// for no token. Its error refuses the request. It may block, and is called by many
	// goroutines.
	Recognize func(req *http.Request) (*upgrade.Request, error)

	// CheckText refuses text of clients that is not UTF-8 with 1007, unless it is compressed.
	CheckText bool
}

const defaultTimeout = 10 * time.Second

// Relay returns what a server.Route needs.
func (g *Guard) Relay() *server.Relay {
	return &server.Relay{Call: g.call, Answer: g.answer, Failed: g.failed, Handler: g.handler(), CheckText: g.CheckText}
}

func (g *Guard) call(r *upgrade.Request) (server.Call, error) {
	return server.Call{
		Unix: g.Unix, To: g.Upstream, TLS: g.TLS, Timeout: cmp.Or(g.Timeout, defaultTimeout),
		Request: g.Forward.AppendRequest(nil, r, pattern.Expand(g.Path, r.PathValue), newID()),
	}, nil
}

// newID returns an X-Request-Id.
func newID() string { return fmt.Sprintf("%016x%016x", rand.Uint64(), rand.Uint64()) }

func (g *Guard) answer(dst []byte, r *upgrade.Request, b []byte, eof bool) (server.Answer, error) {
	a, err := g.Forward.passAnswer(dst, r, false, b, eof)
	return server.Answer{Status: a.status, Response: a.response, Size: a.n, Deflate: a.deflate}, err
}

// failed says why there is no answer.
func (g *Guard) failed(_ *upgrade.Request, cause error) error {
	e := errUnreachable
	if errors.Is(cause, context.DeadlineExceeded) {
		e = errTimeout
	}
	return fmt.Errorf("guard: %w: %w", e, cause)
}
