// Package upgrade is the door of a WebSocket server: it reads the head of an
// HTTP request, decides whether it may become a WebSocket, and writes the whole
// answer, a 101 or a refusal that says what is wrong.
//
// The core is pure. Who owns a connection's bytes, an event loop for one, does
//
//	n, err := u.Read(b, seen, &r)     // the strict gate; n is 0 until the head is complete
//	…                                 // routing, quotas
//	out, err = u.Respond(out[:0], &r) // gobwas/ws's handshake, our guards, the answer
//
// and sends out. Upgrade does the same over a net.Conn and UpgradeHTTP inside
// net/http, with the same verdicts and the same bytes; Handler puts the door
// before the WebSocket handler of any other library.
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
//	guards, as they are listed      whatever they return
//	Authorize, if it is asked       whatever it returns; 503 unavailable
//
// A GET without Upgrade to websocket that accepts application/problem+json is a
// probe: it is judged as the upgrade would be, Origin and guards, and told so. Pages
// fetch it to learn what their browser hides of a refused handshake.
//
// # Refusals
//
// A refusal is a Rejection: problem details (RFC 9457) under 1 KiB with a
// stable code, whatever header its status requires, exact Content-Length and
// Connection: close. A guard's other errors are for Upgrader.Logger; the client sees
// a bare 500. Upgrader.Refused can count them all. An Upgrader with AcceptClose tells pages in a close frame what their
// browser would hide. So that a refusal arrives even while the client is still sending,
// the connection lingers before it is closed; see Linger.
//
// # Pages
//
// A page of another origin connects if Upgrader.Origins lists it. CORS lets such
// pages read what a handler beside the door answers, JudgePage keeps others from
// sending it forms. What is printed goes through Redact: no credential of a request
// or a URL is in a log.
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
// Bearer lets in who brings a token that a Verifier accepts. A JWT is one, for
// keys of all algorithms, and remembers the tokens it found good; subpackage jwks
// has the keys of a key server. Tickets stand in for tokens where those would end
// up in a URL. Where IsSlow says that a token takes long, Prepare is called before
// Respond, which never waits: by an event loop elsewhere, by Upgrade, UpgradeHTTP and
// Handler where they are. Tokens that take long are verified by turns of the clients'
// addresses, for upgrades and tickets together.
//
// # Ownership
//
// A Request borrows the head it was parsed from, and what it returns as []byte
// is valid until the head's buffer is reused; Clone copies. An Upgrader is read
// only once in use and serves any number of goroutines. gobwas/ws gets the head
// and nothing more, so bytes behind it are never lost, and a copy of it, so the
// head is never altered.
package upgrade
