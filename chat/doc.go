// Package chat is a chat with rooms and a page, built on package server: the application
// that proves the floors below it, and a starting point for your own.
//
//	keys, err := jwt.HS256(secret)
//	if err != nil { … }
//	app, err := chat.New(chat.Config{Guards: []upgrade.Guard{upgrade.Bearer(keys)}})
//	if err != nil { … }
//	s := &server.Server{Addr: "127.0.0.1:8080", Handler: app.Handler(), Answer: app.Answer}
//	s.Route(chat.Pattern, app.Route())
//	err = s.ListenAndServe()
//
// The chat has no users of its own: Config.Guards say who comes in. Package login is one
// way to give users a token; the example shows both together.
//
// A client opens /ws/{room} with its token. Whatever it sends is said to the room, as a
// line of text: "alice: hi". A line that begins with a slash is a command:
//
//	/msg NAME TEXT   tell one member only
//	/who             list the users in the room
//	/status TEXT     tell the room how you are; without TEXT you are back
//	//text           say "/text"
//
// A client that offers the subprotocol [Subprotocol] speaks JSON instead, in the same
// rooms: docs/chat.schema.json is the schema of both directions, and docs/CODES.md
// lists the codes of its errors. Fields that a request does not need are ignored.
// Ten messages in a row that are not of the dialect close the connection with 1008; a
// message that is of the dialect, but asks for something that is not allowed, does not count.
//
// # The door
//
// [Chat.RoomGuard] comes after the guards that judge the token, so that nothing can be
// learned about rooms without a good one. The first that applies:
//
//	404 room_unknown    the name cannot be a room's, or is not in Config.Rooms
//	403 room_forbidden  the token's claim "rooms" does not name it
//	403 name_forbidden  the token's subject cannot be a name in a chat, or looks like
//	                    the name of another user in the room
//	429 rooms_per_user  the user is in Config.MaxRoomsPerUser other rooms; Retry-After
//	503 rooms_full      MaxRooms others are in use; Retry-After says when to come back
//
// A token without the claim "rooms" opens every room. [] opens none, and neither does a
// claim that is not a list of strings. [ValidName] says what a name may be: 1 to 64 visible
// characters without a space, because /msg must find its end, and nothing that reads as the
// server's own name.
//
// Two names look alike if they are the same after compatibility decomposition and case
// folding, once invisible characters are removed and every letter of another script that
// looks like a Latin one is replaced by that. In a room, all names that look alike belong to
// the user who came first, until that user has left; /msg finds the user by any of them.
//
// The room is told when a user's first connection opens, and Config.LeaveGrace after the
// last one has ended. A room of more than Config.AnnounceMax users is told once a second how
// many came and went. Every connection is told when it is in the room itself; before that it
// hears the room's last Config.History messages, unless the user joins more often than
// Config.ReplayRate.
//
// A room exists while somebody is in it. Probes and refused clients do not create rooms.
// During the grace after their last connection users are still listed; /msg says that they
// are away.
//
// A program that has something to say to members, or to ask about them, has [Chat.Hub], and
// [Chat.Encode] for what it says: in the plain dialect a line like those of members, under any name
// that can be one, or Server. A value in JSON is, in the JSON dialect, an event of the type data. A
// member whose user was taken out of the room by the hub is told so, code not_in_room, when it
// speaks.
//
// # Who owns what
//
// A room is a topic of a [hub.Hub], which knows which users are where, and their status.
// A message to the room goes from the speaker's loop straight to the topic's groups; a
// member whose socket is slow or dead is the group's concern alone. The chat itself owns the
// names of rooms and users, the door, the commands and all texts.
//
// # Untrusted text
//
// Control characters and line separators are refused, so that no member can make a line
// that looks like somebody else's. A text that turns the direction of writing and does not
// turn it back is completed, so that it cannot turn what others say. A text with nothing to
// see in it is refused; a status like that clears the status. A text has up to 4096
// characters, a status 64. All this is the same in both dialects, and the speaker is told.
// A binary message closes the connection with 1003.
package chat
