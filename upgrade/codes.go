package upgrade

// The code of a refusal: one stable word for programs, the same in the body's
// "code" member, in logs, in metrics and in close reasons. Detail texts may be
// reworded between versions; these may not.
const (
	CodeOK = "ok" // a probe was told that the upgrade would succeed

	// The strict gate: row 1 of docs/CODES.md.
	CodeBadRequest          = "bad_request"           // 400: not HTTP, or HTTP that two parsers could read in two ways
	CodeURITooLong          = "uri_too_long"          // 414: the request line exceeds the cap
	CodeHeaderTooLarge      = "header_too_large"      // 431: too many bytes or lines before the empty line
	CodeForwardedConflict   = "forwarded_conflict"    // 400: X-Forwarded-For and Forwarded of a trusted proxy name two clients
	CodeVersionNotSupported = "version_not_supported" // 505: an upgrade in HTTP/1.0, or another HTTP altogether
	CodeTimeout             = "timeout"               // 408: a head began and did not end in time

	// RFC 6455's own verdicts: rows 4 to 8.
	CodeMethodNotAllowed = "method_not_allowed" // 405: not GET, HEAD or OPTIONS
	CodeUpgradeRequired  = "upgrade_required"   // 426: no Upgrade: websocket, or a version other than 13
	CodeBadKey           = "bad_key"            // 400: Sec-WebSocket-Key missing or not 16 bytes of base64
	CodeBadConnection    = "bad_connection"     // 400: Connection does not name upgrade
	CodeBadSubprotocol   = "bad_subprotocol"    // 400: Sec-WebSocket-Protocol is not a list of tokens
	CodeBadExtensions    = "bad_extensions"     // 400: Sec-WebSocket-Extensions is not a list of extensions
	CodeOriginNotAllowed = "origin_not_allowed" // 403: a page of another site

	// Bearer: row 9.
	CodeTokenMissing   = "token_missing"   // 401: no source carries a token
	CodeTokenInvalid   = "token_invalid"   // 401: bad signature, algorithm or claims
	CodeTokenExpired   = "token_expired"   // 401: was good until exp
	CodeTokenAmbiguous = "token_ambiguous" // 400: two sources carry different tokens
	CodeTicketInvalid  = "ticket_invalid"  // 401: used already, too old, or never issued

	CodeTicketUnreachable = "ticket_unreachable" // 503: the node that issued the ticket does not answer

	// Words for programs that build on the package; the door itself never says them.
	CodeNotFound        = "not_found"         // 404: nothing lives at this path
	CodeForbidden       = "forbidden"         // 403: a good token that does not reach this far
	CodeBanned          = "banned"            // 403: a good token of a user that may not come in for now
	CodeTooManyRequests = "too_many_requests" // 429: a limit per address or user
	CodeDraining        = "draining"          // 503: shutting down
	CodeFull            = "full"              // 503: no room for another connection
	CodeUnavailable     = "unavailable"       // 503: what has to decide did not answer in time

	CodeInternal = "internal" // 500: a guard failed; the log knows why
)

// What a server that has the door in its hands refuses in the door's words.
var (
	ErrTimeout   = Reject(408, CodeTimeout, "The head did not end in time.")
	ErrUndecided = Reject(503, CodeUnavailable, "The authorization did not finish in time, or too many wait for theirs.")
)

// The refusals of the door. They are shared and never modified.
var (
	errRequestLine = Reject(400, CodeBadRequest, "The request line is not HTTP/1.1: METHOD SP target SP HTTP/1.1.")
	errTarget      = Reject(400, CodeBadRequest, "The request target is not a path or an http URL.")
	errControl     = Reject(400, CodeBadRequest, "The head holds a control byte.")
	errBareLF      = Reject(400, CodeBadRequest, "Lines end with CR LF; one ended with a bare LF.")
	errBareCR      = Reject(400, CodeBadRequest, "A CR is not followed by LF.")
	errFolded      = Reject(400, CodeBadRequest, "A header line is folded or begins with a space.")
	errFieldName   = Reject(400, CodeBadRequest, "A header line has no name directly before a colon.")
	errHead        = Reject(400, CodeBadRequest, "The head ended before its empty line.")
	errHost        = Reject(400, CodeBadRequest, "Exactly one valid Host header is required.")
	errTwoKeys     = Reject(400, CodeBadRequest, "Sec-WebSocket-Key was sent twice.")
	errLength      = Reject(400, CodeBadRequest, "Content-Length or Transfer-Encoding is malformed or ambiguous.")
	errBody        = Reject(400, CodeBadRequest, "An upgrade request cannot carry a body.")
	errForwarded   = Reject(400, CodeForwardedConflict, "X-Forwarded-For and Forwarded name two clients: the proxy has to write one of them and to remove the other.")
	errURITooLong  = Reject(414, CodeURITooLong, "The request line is too long.")
	errHeadSize    = Reject(431, CodeHeaderTooLarge, "The head is too large.")
	errHeadLines   = Reject(431, CodeHeaderTooLarge, "The head has too many lines.")
	errVersion     = Reject(505, CodeVersionNotSupported, "Only HTTP/1.1 can be upgraded to WebSocket.")

	errMethod      = Reject(405, CodeMethodNotAllowed, "A WebSocket begins with GET.")
	errNoUpgrade   = Reject(426, CodeUpgradeRequired, "This is a WebSocket endpoint: send Upgrade: websocket.")
	errWSVersion   = Reject(426, CodeUpgradeRequired, "Only Sec-WebSocket-Version: 13 is spoken here.")
	errKey         = Reject(400, CodeBadKey, "Sec-WebSocket-Key must be 16 bytes in base64.")
	errConnection  = Reject(400, CodeBadConnection, "The Connection header must name upgrade.")
	errSubprotocol = Reject(400, CodeBadSubprotocol, "Sec-WebSocket-Protocol must be a list of tokens.")
	errExtensions  = Reject(400, CodeBadExtensions, "Sec-WebSocket-Extensions must be a list of extensions.")
	errOrigin      = Reject(403, CodeOriginNotAllowed, "Pages of this origin may not connect.")

	errTokenMissing = Reject(401, CodeTokenMissing, "A bearer token is required.")
	errTokenInvalid = RejectToken(CodeTokenInvalid, "The token is not valid.")
	errTokenExpired = RejectToken(CodeTokenExpired, "The token has expired.")
	errCookieOrigin = Reject(403, CodeOriginNotAllowed, "A token in a cookie counts only with the Origin of a page that may connect.")

	errInternal = Reject(500, CodeInternal, "The request could not be judged.")
)

// ErrTokenAmbiguous refuses a request that has two different tokens: a *Rejection, 400
// token_ambiguous.
var ErrTokenAmbiguous error = Reject(400, CodeTokenAmbiguous, "The request carries two different tokens.")

// RejectToken returns the 401 for a token, or for what stands in for one, that was sent
// and is no good: with error="invalid_token" in WWW-Authenticate, RFC 6750 §3.1. A request
// without a token must not get that: see Reject.
func RejectToken(code, detail string) *Rejection {
	e := Reject(401, code, detail)
	e.challenge = ` error="invalid_token"`
	return e
}
