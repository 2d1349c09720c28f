//go:build linux

package guard

import (
	"net/http"
	"time"

	"github.com/usher-ws/usher/upgrade"
)

// CodeInvalid is the code of a refusal, as those of package upgrade: 502, the application has
// answered what no WebSocket server may.
const CodeInvalid = "upstream_invalid"

// retryAfter is what a client is told whose application did not answer: enough for a restart.
const retryAfter = 2 * time.Second

// errInvalid is shared and never modified.
var errInvalid = upgrade.Reject(http.StatusBadGateway, CodeInvalid, "The application has given an answer that is not valid.").WithRetryAfter(retryAfter)
