//go:build linux

// Package guard stands in front of an application that speaks WebSocket already, and does for
// it what package server does for its own: it refuses with the status that fits, before the
// application hears of a request. What it lets in it asks the application for, in a request of
// which everything that was judged is written anew:
//
//	the door lets r in → Forward.AppendRequest → the application's answer → the client
//
// [Forward] is what the application is told: who the client is, by headers under names that no
// client can send, and nothing of the token unless that is wanted. What it answers reaches the
// client as it is, a refusal with its status, its headers and its body; but for an upgrade that
// is not valid (RFC 6455 §4.2.2).
//
// The package runs on Linux.
package guard
