// Package api is what backends ask of a server, over HTTP: to say something to rooms, users and
// connections, to tell who is there, to close and to ban. docs/API.md has an example of each call, and
// docs/openapi.json says what each is answered.
//
//	a := &api.API{Server: s, Hub: app.Hub(), Encode: app.Encode, HasRoom: app.HasRoom, Retold: chat.JSONDialect}
//	a.SetKeys(key)
//	a.Serve()
//	err := (&http.Server{Addr: "127.0.0.1:9080", Handler: a, ReadTimeout: 20 * time.Second}).ListenAndServe()
//
// Anybody with a key can close and ban everybody: the address is one that only backends reach.
//
// # One question, and many nodes
//
// A request becomes a call: a value that one node answers for itself with a part. In a cluster API.Nodes
// carries it to the others, and the parts are put together: connections are added up, members are
// joined by their names, and what one node refuses is refused. So every call works from any node. The
// others are asked first. If that cannot be, nothing has happened, and the answer is 503. A node that
// does not answer in time is silent: the answer names it, and is 202 if something was to be done. What is
// not found is said to be so only if all have answered.
//
// A room's message is published once, by the node that has been asked, through the hub's Broker. Its
// order, and what it is there without, are that of all messages in the room. Messages to users and
// connections are carried by the calls themselves.
//
// The ids of messages are remembered by each node that has said one, for two minutes. So one that is
// repeated is found wherever it arrives; what a silent node has missed, it says when the message is
// repeated.
//
// # Who owns what
//
// The methods of an API run on the goroutines of net/http and of Nodes, and wait for the loops; nothing
// of it is for a callback. A connection's details are asked on its loop by [server.Conn.Run]. The table of
// ids is bounded, and counts in server.Server.MaxBuffered. Of keys only their digests are kept.
package api
