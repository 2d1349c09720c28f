// Package login is an identity provider: it exchanges a name and a password for a token,
// and a token for a ticket, over HTTP. It knows no application. What stands behind the door
// is any [upgrade.Upgrader], server or WebSocket library, and anything it wants to know of
// a user is in the token.
//
//	users, err := login.ReadHtpasswd(file, nil)
//	if err != nil { … }
//	p, err := login.New(login.Config{Secret: secret, CheckPassword: users.Check})
//	if err != nil { … }
//	s := &server.Server{Addr: "127.0.0.1:8080", Handler: p.Handler(nil)}
//	s.Route("/ws", server.Route{Guards: []upgrade.Guard{p.Bearer()}, Message: …})
//	err = s.ListenAndServe()
//
// It works without package server as well: [Provider.Handler] is an http.Handler, and
// [Provider.Bearer] a guard for any Upgrader.
//
// # What a client asks
//
//	POST /token    username and password, as a form or as a JSON object:
//	               {"access_token":"…","token_type":"bearer","expires_in":3600}
//	POST /ticket   Authorization: Bearer TOKEN:
//	               {"ticket":"…","expires_in":30}
//
// A body is read in one way only: the names are spelt exactly and each is there once,
// nothing is taken from the query, and nothing may follow. White space around the user's
// name is removed. Every refusal is a problem of RFC 9457, like those of the door, and
// docs/CODES.md lists the codes. Pages of Config.Origins can log in and read the answers;
// the form of any other page is refused.
//
// # What strangers can try
//
// For each user and address, ten wrong passwords are answered at once and then ten a
// minute, whether there is such a user or not; for each address thirty and then thirty a
// minute; for each user, from all addresses together, a thousand and then a hundred a
// minute. The next attempt is refused with 429, and its password is not looked at. A right
// password gives back what it took. IPv6 addresses count by their /64.
//
// [Htpasswd] computes one hash at a time, as all other processors belong to the event
// loops. Addresses take turns; 256 requests may wait, and more are refused with 503. How
// long an answer takes does not tell whether a user exists.
//
// # Who owns what
//
// A Provider keeps the counts of attempts and the tickets that are not yet used, in memory
// and bounded; tickets are good in this process only. Users belong to whatever checks their
// passwords: an [Htpasswd], [CheckDemo], or a function of your own.
package login
