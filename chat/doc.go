// Package chat is a chat with rooms, log-in and a page, built on package server:
// the application that proves the floors below it, and a start for one's own.
//
//	app, err := chat.New(chat.Config{Secret: secret})
//	if err != nil { … }
//	s := &server.Server{Addr: "127.0.0.1:8080", Handler: app.Handler()}
//	s.Route(chat.Pattern, app.Route())
//	err = s.ListenAndServe()
//
// A client gets a token from POST /token and opens /ws/{room} with it, or with the
// ticket that POST /ticket gives for the token, as ?ticket=. What it
// then sends is said to the room, as a line of text: "alice: hi". A line that
// begins with a slash is a command:
//
//	/msg NAME TEXT   tell one member only
//	/who             who is in the room
//	/status TEXT     tell the room how you are; without TEXT you are back
//	//text           say "/text"
//
// A client that offers the subprotocol [Subprotocol] speaks JSON instead, in the same
// rooms: docs/chat.schema.json is the schema of both directions, and docs/CODES.md
// lists the codes of its errors. Fields that a request does not need are ignored.
// Ten messages in a row that are not of the dialect close the connection with 1008; one
// that is, and says what is not allowed, is not of those.
//
// # The door
//
// [Chat.RoomGuard] answers after the token was found good, so that without one
// nothing can be learned about rooms. The first that applies:
//
//	404 room_unknown    not a room's name, or not one of Config.Rooms
//	403 room_forbidden  the token's claim "rooms" does not name it
//	403 name_forbidden  the token's subject cannot be a name in a chat, or looks like
//	                    that of another user who is in the room
//	429 rooms_per_user  the user is in Config.MaxRoomsPerUser other rooms; Retry-After
//	503 rooms_full      MaxRooms others are in use; Retry-After says when to come back
//
// A claim "rooms" that is absent opens every room; [] opens none, and so does
// one that is not a list of strings. [ValidName] says what a name may be: 1 to 64
// characters that can be seen and no space, as /msg must find its end, and nothing that
// reads as the server's own.
//
// Names look alike if they are the same after compatibility decomposition and case folding,
// without what cannot be seen, and with a Latin letter for each of another script that
// looks like one. In a room they belong to the user who was there first, until that user has
// left; /msg finds the user by any of them.
//
// The room is told of a user's first connection and of the end of the last, Config.LeaveGrace
// later; in a room of more than Config.AnnounceMax users, once a second of how many came
// and went. Every connection is told that it is in itself; what it hears before that
// are the room's last Config.History messages.
//
// A room exists while somebody is in it. Probes and refused clients make none.
// For a moment after their last connection users are still listed; /msg says of them that
// they are away.
//
// # Who owns what
//
// A room is a topic of a [hub.Hub], which knows who is where and with what status.
// A message to the room goes from the loop of who said it straight to the topic's
// groups; a member whose socket is slow or dead is the group's concern and nobody
// else's. What is the chat's own are the names of rooms and users, the door, the
// commands and all texts.
//
// # Untrusted text
//
// Control characters and line separators are refused, so that no member can make
// a line that looks like somebody else's; what leaves the direction of text turned gets an
// end, so that it turns nobody else's. A text in which there is nothing to see is refused,
// and a status is none then. A text has up to 4096 characters, a status 64. All this is the
// same in both dialects, and the speaker is told. A binary message closes the connection
// with 1003.
package chat
