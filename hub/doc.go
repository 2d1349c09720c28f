// Package hub keeps who is where: topics, the users in them, and each user's
// connections. It is the floor between [server.Group], which knows connections
// and nothing about them, and an application, which knows what a topic is for.
//
//	m, err := h.Join(c.PathValue("topic"), c.Identity().Subject, c) // in Open
//	if err != nil { … }
//	c.SetData(m)
//
//	m := c.Data().(*hub.Member) // in Message
//	err := m.Topic().Publish(msg.Opcode, msg.Data)
//
//	if m, ok := c.Data().(*hub.Member); ok && m.Leave() { // in Close
//		m.Topic().Publish(frame.OpText, []byte(m.User()+" has left"))
//	}
//
// A [Topic] exists while it has users: it comes with the first and is forgotten
// with the last. A [Member] is one connection in one topic; a connection may be in
// many. A user is a name, with one member in the topic for each of their
// connections, and one status for all of them; Hub.LeaveGrace lets them stay for a
// moment without any. [Move] is how a topic is told who came and who went.
//
// Members of one topic may hear different dialects of it: encodings of the same
// messages. The publisher gives one for each, or an [Encoder], which is asked for those
// that somebody hears. Hub.Key says which names pass for each other: of two users with
// such names one can be in a topic.
//
// What is recorded, rather than just published, is kept for who joins later:
// [Topic.Record] and Hub.History. A [Broker] carries what is published to other hubs.
//
// # Who owns what
//
// A connection that ends leaves its groups by itself, and hears nothing more. Its
// place in the table is the application's: whoever joined must see that
// [Member.Leave] is called, from the route's Close callback at the latest. A
// member that is never left stays in sight of the others, and keeps its topic.
//
// [Topic.Publish] goes from the publisher's goroutine straight to the topic's
// group. All else — joining, leaving, statuses, direct messages, presence — is one
// table under one mutex, which is never held while anything is sent or a hook is
// called. Everything is safe for any goroutine and waits for nobody's socket. Only
// Hub.Moved and Hub.Replay, and the hooks and the encoders of what is recorded, are called
// under a lock, the topic's, which joining, leaving and recording take.
//
// Everything a hub is asked to send is copied or encoded before the call returns:
// the bytes are the caller's again. What one goroutine publishes and sends
// directly arrives in that order.
package hub
