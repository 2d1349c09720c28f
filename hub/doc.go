// Package hub keeps track of topics, the users in them, and each user's connections. It is
// the floor between [server.Group], which knows connections and nothing about them, and an
// application, which knows what a topic is for.
//
//	h := &hub.Hub{History: 50}
//
//	_, err := h.Join(c.PathValue("topic"), c.Identity().Subject, c) // in Open
//
//	m := h.Member(c.PathValue("topic"), c) // in Message, behind server.Offload too
//	err := m.Topic().Record(msg.Opcode, msg.Data)
//
// That is all: when a connection ends the hub takes it out of its topics.
//
// A [Topic] exists while it has users: it comes with the first and is forgotten with the
// last. A [Member] is one connection in one topic; a connection may be in many topics. A
// user is a name, with one member in the topic for each of their connections, and one status
// for all of them; Hub.LeaveGrace keeps users without connections for a moment. A [Move] is
// a user that comes or goes: Hub.Announce makes what the topic hears of it, and Hub.Moved is
// called behind it, for what else an application wants to do then.
//
// Members of one topic may hear different dialects: encodings of the same messages.
// [Topic.Publish] sends the same bytes to all of them; [Topic.PublishFunc] takes an [Encoder],
// which is asked for the dialects that somebody hears. Hub.Key says which names pass for each
// other: of two users with such names only one can be in a topic.
//
// A message that is recorded, rather than just published, is kept for members that join
// later: [Topic.Record] and Hub.History. A [Broker] carries what is published to other hubs.
//
// Programs beside the members, a backend say, have [Hub.Topics], [Hub.Topic] and [Topic.Users] to
// see who is where; [Hub.Publish] and [Hub.Record] to say something; [Hub.JoinUser] and
// [Hub.LeaveUser] to put a user's connections into a topic, or to take them out. [Hub.Retain] is
// Publish for a value that whoever joins later is to hear as well: the last one of each topic,
// also before it has members.
//
// # In a cluster
//
// With a Broker that is a [Carrier] each hub knows which users the topics in use here have at
// other hubs. A user that is in a topic at several of them came when the first of them told, and
// is gone when none has them: members everywhere are told of it once, each by what their own hub
// knows. [Topic.Presence] and Move.Count are of all hubs; [Topic.Silent] names the nodes that have
// not answered. [Topic.DirectEverywhere] reaches a user at all hubs. Somebody who changes hubs
// within LeaveGrace neither leaves nor joins. Users of a hub that was closed ([Hub.Close]) are gone
// at once; those of a node that has said nothing for 3.5 to 4.5 s are gone, and come back with it.
// What was lost on the way is noticed within a second or two, later with more than about a
// thousand topics.
//
// Hub.Note is called by one hub when a user comes to a topic of the cluster, the first at which they
// are, and by one when they are gone from all: if all hubs have a Note. Where others have to be asked
// who has the user, as the topic has just come into use here or hubs tell no names of it, that is when
// they have answered, or after 2 s: behind Join's return. Two hubs may both note a user who comes to
// both while they do not hear each other. Users of a node that dies are noted as gone by nobody unless
// they are at another one.
//
// What takes place at several hubs at once has no order: each tells by what it has heard so
// far, and a name can be taken twice (Hub.Key) by users who join at two hubs in the same
// instant. When a topic's first user here joins, it is not known yet who is elsewhere; members
// hear the number within a second.
//
// Of a topic that has more than GatherAbove users everywhere, or more than 4,096, hubs tell each
// other how many users each has, once a second, and no names: then a user that is at two hubs
// counts twice. So it is with users for whom there is no room: the names of others take 32 MiB at
// most, which count in server.Server.MaxBuffered. MaxTopicsPerUser and MaxTopics are each hub's
// own.
//
// # Who owns what
//
// A connection that ends leaves its groups, hears nothing more, and is in its topics until the
// route's Close callback has returned; then the hub lets it leave. Close may call
// [Member.Leave] itself, to say something between that and its return.
//
// A Member is a handle, which [Hub.Member] makes when it is asked, on any goroutine. The hub
// keeps none: a member takes about 70 bytes of its tables, in which there is no pointer for
// each, so that the garbage collector has nothing to do with a million of them. Programs that
// keep the Member of each connection give that up. What the tables take counts in
// server.Server.MaxBuffered.
//
// [Topic.Publish] goes from the publisher's goroutine straight to the topic's group. All else
// (joining, leaving, statuses, direct messages, presence) is one table under one mutex;
// joining, leaving and recording take a lock of the topic as well. No lock is held while
// anything of the application's is called, so that this may call any method, from any
// goroutine. Everything is safe for any goroutine and waits for nobody's socket.
//
// Everything a hub is asked to send is copied or encoded before the call returns: the bytes
// are the caller's again. What one goroutine publishes and sends directly arrives in that
// order.
package hub
