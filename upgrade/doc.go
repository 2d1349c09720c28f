// Package upgrade is the door of a WebSocket server: it reads the head of an
// HTTP request, decides whether it may become a WebSocket, and writes the whole
// answer, a 101 or a refusal that says what is wrong.
//
// The core is pure. The owner of a connection's bytes, an event loop for example,
// calls
//
//	n, err := u.Read(b, seen, &r)     // the strict gate; n is 0 until the head is complete
//	…                                 // routing, quotas
//	out, err = u.Respond(out[:0], &r) // gobwas/ws's handshake, our guards, the answer
//
// and sends out. Upgrade does the same over a net.Conn and UpgradeHTTP inside
// net/http, with the same verdicts and the same bytes; Handler puts the door in
// front of the WebSocket handler of any other library.
//
// # Verdicts
//
// A request may be wrong in many ways at once; the answer names the first of
// these, whatever the order of the header lines:
//
//	syntax                     400  bad_request; 414 uri_too_long; 431 header_too_large
//	version                    505  version_not_supported
//	method                     405  method_not_allowed; OPTIONS is a preflight: 204
//	no Upgrade, or not 13      426  upgrade_required
//	key, Connection, protocols 400  bad_key, bad_connection, bad_subprotocol
//	extensions                 400  bad_extensions, where Upgrader.Deflate has them read
//	Origin                     403  origin_not_allowed
//	guards, in their order          whatever they return
//	Authorize, if there is one      whatever it returns; 503 unavailable
//
// A GET without an upgrade to WebSocket that accepts application/problem+json is a
// probe. It is judged as the upgrade would be, by Origin and guards too, and answered
// with the verdict. Pages fetch it to learn what their browser hides of a refused
// handshake.
//
// # Refusals
//
// A refusal is a Rejection: problem details (RFC 9457) under 1 KiB with a
// stable code, the headers that its status requires, an exact Content-Length and
// Connection: close. Any other error of a guard goes to Upgrader.Logger; the client
// sees a bare 500. Upgrader.Refused can count all refusals. With AcceptClose an
// Upgrader tells pages in a close frame what their browser would hide. A refused
// connection lingers before it is closed, so that the refusal arrives even if the
// client is still sending; see Linger.
//
// # Pages
//
// A page of another origin may connect if Upgrader.Origins lists it. CORS lets such
// pages read the answers of a handler beside the door, and JudgePage refuses the forms
// of all others. Redact takes credentials out of everything that is printed, so that
// none of a request or a URL is in a log.
//
// # Messages
//
// NewConn makes of what Upgrade and UpgradeHTTP return a Conn that reads and writes
// messages, and closes with a code so that it arrives; NewClientConn does the same with
// what a dialler returns. A program that has another library for that, or an event loop,
// needs neither.
//
// # Tokens
//
// The guard Bearer lets in clients that have a token which a Verifier accepts. Package
// upgrade/jwt verifies JSON Web Tokens, with the keys of a key server from package
// upgrade/jwks; package upgrade/ticket has tickets, which stand in for tokens in URLs. A
// Verifier of your own needs neither. Authenticate does for net/http what Bearer does for
// upgrades.
//
// Respond never waits. Where IsSlow says that a token takes long, Prepare has to be called
// first: an event loop has it called on another goroutine; Upgrade, UpgradeHTTP and Handler
// call it themselves. Such tokens are verified by turns of the clients' addresses, those of
// upgrades and those of net/http together.
//
// # Ownership
//
// A Request borrows the head it was parsed from, and every []byte that it returns
// is valid until the head's buffer is reused; Clone makes a copy that stays. An Upgrader
// is read only once in use, and serves any number of goroutines. gobwas/ws gets a copy of
// the head and nothing behind it, so the head is never altered and no byte is lost.
package upgrade
