// Package ticket has tickets that stand in for tokens in URLs, for pages whose only way to
// send a token would be to put it into a URL, which ends up in logs. A page posts its token
// to Issuer.Handler and gets a ticket, which is good for half a minute and for one upgrade,
// as ?ticket=. It allows what the token allowed, until the token's exp.
//
//	tickets := new(ticket.Issuer)
//	http.Handle("/ticket", tickets.Handler(v)) // v is an upgrade.Verifier
//	door := &upgrade.Upgrader{Guards: []upgrade.Guard{tickets.Bearer(v)}}
//	http.Handle("/ws", door.Handler(chat))
//
// The guard Bearer accepts tokens as upgrade.Bearer does, and tickets besides. An Issuer
// keeps its tickets in memory, so a ticket is good at the process that issued it and at no
// other, unless Join ties it to others. Then the ticket names its process, and is still good
// once.
package ticket
