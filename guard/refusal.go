//go:build linux

package guard

import (
	"net/http"
	"time"

	"github.com/usher-ws/usher/upgrade"
)

// The codes of what goes wrong between a guard and the application behind it, as those of
// package upgrade.
const (
	CodeUnreachable = "upstream_unreachable" // 502: there is no connection to it, or it has ended without an answer
	CodeInvalid     = "upstream_invalid"     // 502: it has answered what no WebSocket server may
	CodeTimeout     = "upstream_timeout"     // 504: it has not answered in time
)

// retryAfter is what a client is told whose application did not answer: enough for a restart.
const retryAfter = 2 * time.Second

// The refusals, which are shared and never modified.
var (
	errUnreachable = upgrade.Reject(http.StatusBadGateway, CodeUnreachable, "The application cannot be reached.").WithRetryAfter(retryAfter)
	errInvalid     = upgrade.Reject(http.StatusBadGateway, CodeInvalid, "The application has given an answer that is not valid.").WithRetryAfter(retryAfter)
	errTimeout     = upgrade.Reject(http.StatusGatewayTimeout, CodeTimeout, "The application did not answer in time.").WithRetryAfter(retryAfter)
)
