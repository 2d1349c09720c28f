// Package forwardauth lets an HTTP service decide who may come in, as nginx's
// auth_request and others' forward auth do. It is for who has such a service:
// Authorize fits Upgrader.Authorize of package upgrade and Route.Authorize of
// package server.
//
//	auth, err := forwardauth.New("http://127.0.0.1:9000/auth")
//	…
//	u := &upgrade.Upgrader{Authorize: auth.Authorize}
//
// For every upgrade that nothing else has refused, and for every probe, the
// service is sent a GET with the client's Authorization, Cookie and Origin, and
//
//	X-Original-URI     the path and the query as the client sent them, tokens and
//	                   tickets included: it is the service that judges them
//	X-Forwarded-For    the client's address, and never what the client says it is
//	X-Forwarded-Host   the host the client asked for
//	X-Usher-Probe      "true" for a probe, on which no ticket is to be spent
//
// A token among the client's subprotocols arrives as Authorization: Bearer, if
// there is no such header. What the service answers is the verdict:
//
//	2xx                  come in; X-Usher-Sub names the identity
//	401, 403, 404, 429   as they are, with their body under 1 KiB, its type,
//	                     WWW-Authenticate and Retry-After
//	anything else        503: a redirect, an error, garbage, silence
package forwardauth
