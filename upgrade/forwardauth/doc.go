// Package forwardauth lets an HTTP service decide which requests may come in, as nginx's
// auth_request and the forward auth of other proxies do. Service.Authorize fits
// Upgrader.Authorize of package upgrade and Route.Authorize of package server.
//
//	auth, err := forwardauth.New("http://127.0.0.1:9000/auth")
//	…
//	u := &upgrade.Upgrader{Authorize: auth.Authorize}
//
// For every upgrade that nothing else has refused, and for every probe of one, the
// service gets a GET with the client's Authorization, Cookie and Origin, and with
//
//	X-Original-URI     the path and the query as the client sent them, with tokens and
//	                   tickets, which the service has to judge
//	X-Forwarded-For    the client's real address, whatever the client says it is
//	X-Forwarded-Host   the host that the client asked for
//	X-Usher-Probe      "true" for a probe, which should spend no ticket
//
// A token among the client's subprotocols is sent as Authorization: Bearer, if the
// client has no such header. The answer of the service is the verdict:
//
//	2xx                  come in; X-Usher-Sub is the Subject of the Identity
//	401, 403, 404, 429   the same status, with a body under 1 KiB, its type,
//	                     WWW-Authenticate and Retry-After
//	anything else        503: a redirect, an error, garbage, silence
package forwardauth
