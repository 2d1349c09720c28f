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
//	X-Original-URI         the path and the query as the client sent them, with tokens and
//	                       tickets, which the service has to judge; also as X-Forwarded-Uri
//	X-Original-URL         the same with scheme and host
//	X-Original-Method      GET; also as X-Forwarded-Method
//	X-Forwarded-For        the client's real address, whatever the client says it is; also as
//	                       X-Real-IP
//	X-Forwarded-Host       the host that the client asked for
//	X-Forwarded-Proto      http or https
//	X-Usher-Sub            the user that the guards have recognised by a token or a ticket
//	X-Usher-Probe          "true" for a probe, which should spend no ticket
//
// A token among the client's subprotocols is sent as Authorization: Bearer, if the client has
// no such header. Cookies are left out if a page of another site may have caused the browser to
// send them: one that only the origin "*" lets in. The answer of the service is the verdict:
//
//	2xx             come in
//	4xx             the same status, with a body under 1 KiB, its type, WWW-Authenticate and
//	                Retry-After, but for 407, 408, 421, 425 and 426
//	anything else   503: a redirect, an error, garbage, silence
//
// A 2xx may say who the client is, and until when that is so:
//
//	X-Usher-Sub     the Subject of the Identity; or Remote-User, X-Auth-Request-User or
//	                X-Forwarded-User, as other services call it
//	X-Usher-Exp     when the connection ends with 4401, in seconds since 1970
//
// If guards have recognised the user, the claims of the token go on counting, and the earlier
// end of both. An answer in which one of these is there twice, or is malformed, is a 503.
//
// # What is remembered
//
// An answer with Cache-Control: max-age=60 is the answer to the same question for a minute;
// s-maxage goes before max-age. With no-store, no-cache or private, or without Cache-Control, an
// answer counts once, and so does a 429. The same question is one in which all of the above is
// the same: credentials, cookies, address, path and query. Of a question only its SHA-256 is
// kept, and of verdicts 4,096 at most, in 1 MiB: so many of those that let in, and so many
// refusals.
package forwardauth
