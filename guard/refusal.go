//go:build linux

package guard

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/usher-ws/usher/upgrade"
)

// The codes of what goes wrong between a guard and the application behind it, as those of
// package upgrade.
const (
	CodeUnreachable = "upstream_unreachable" // 502: there is no connection to it, or it has ended without an answer
	CodeInvalid     = "upstream_invalid"     // 502: it has answered what no WebSocket server may
	CodePorts       = "upstream_ports"       // 502: there are as many connections to it as this machine has ports
	CodeBusy        = "upstream_busy"        // 503: more wait to be accepted by it than it has room for
	CodeTimeout     = "upstream_timeout"     // 504: it has not answered in time
)

// retryAfter is what a client is told whose application did not answer: enough for a restart.
const retryAfter = 2 * time.Second

// The refusals, which are shared and never modified.
var (
	errUnreachable = upgrade.Reject(http.StatusBadGateway, CodeUnreachable, "The application cannot be reached.").WithRetryAfter(retryAfter)
	errInvalid     = upgrade.Reject(http.StatusBadGateway, CodeInvalid, "The application has given an answer that is not valid.").WithRetryAfter(retryAfter)
	errPorts       = upgrade.Reject(http.StatusBadGateway, CodePorts, "There are too many connections to the application.").WithRetryAfter(retryAfter)
	errBusy        = upgrade.Reject(http.StatusServiceUnavailable, CodeBusy, "The application is too busy to accept another connection.").WithRetryAfter(retryAfter)
	errFull        = upgrade.Reject(http.StatusServiceUnavailable, upgrade.CodeFull, "The server has no room for another connection.").WithRetryAfter(retryAfter)
	errTimeout     = upgrade.Reject(http.StatusGatewayTimeout, CodeTimeout, "The application did not answer in time.").WithRetryAfter(retryAfter)
)

// refusal is what a client is told of a trouble.
func (t trouble) refusal() *upgrade.Rejection {
	switch t {
	case unconnected, unanswered:
		return errTimeout
	case noPorts:
		return errPorts
	case busy:
		return errBusy
	case noResources:
		return errFull
	}
	return errUnreachable
}

// refuse returns the refusal of a request about which nobody could be asked, with a time to come
// back when somebody may be there.
func (a *asking) refuse(cause error, now time.Duration) error {
	p := a.pool
	why, until, isDown := p.roster.down(now)
	if a.why != isWell {
		why = a.why
	}
	wait := time.Duration(0)
	if isDown {
		wait = max(until-now, 0)
	}
	e := why.refusal().WithRetryAfter(wait + 1 + rand.N(time.Second)) // not all at once
	name := "all upstreams"
	if a.why != isWell {
		t := &p.roster.targets[a.at]
		name = p.upstreams[t.upstream].called(t.address)
	}
	if cause == nil {
		return fmt.Errorf("guard: %s: %s: %w", name, why, e)
	}
	return fmt.Errorf("guard: %s: %s: %w: %w", name, why, e, cause)
}
