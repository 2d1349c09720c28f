//go:build linux

// Package guard stands in front of an application that speaks WebSocket already, and does for
// it what package server does for its own: it refuses with the status that fits, before the
// application hears of a request, limits what clients say, and ends connections with their
// tokens. The application is not changed.
//
// A [Guard] is for a route of a server.Server. What the door lets in it asks the application
// for, in a request of which everything that was judged is written anew; and what that has
// let in is passed on in both directions, frame by frame, as it comes:
//
//	the door lets r in → Forward.AppendRequest → the application's answer → the client
//	a client's frame is judged by its header → its bytes go on, still masked → the application
//
// [Forward] is what the application is told: who the client is, by headers under names that no
// client can send, and nothing of the token unless that is wanted. What it answers reaches the
// client as it is, a refusal with its status, its headers and its body; but for an upgrade that
// is not valid (RFC 6455 §4.2.2).
//
// A [Pool] is where the application answers: its upstreams, and what clients have found out about
// them. It chooses the one with the fewest connections, lets rest what has failed, and can have
// newcomers wait while an application is restarted:
//
//	Pool chooses an address → no connection → another address → none left → the line, or 502
//
// Words: an upstream is one URL; a target is one of its addresses; a trouble is why a call has
// not been answered; the line is the clients that wait.
//
// Requests that are no upgrades go to the application as well, through net/http, with the same
// headers and without a need of a token; and never as anything that could become a tunnel.
//
// Both connections belong to one loop: there is no goroutine, no lock and no message in memory
// between them. Where one side takes nothing the other is not read from.
//
// The package runs on Linux.
package guard
