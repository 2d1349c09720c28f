//go:build linux

// Package play has the players of package load: what each scenario sends over the
// connections, and how it judges the answers.
//
//	Echo     each message comes back: latency, order, content; or one message
//	         each and then silence
//	Door     in and out again, or not even in
//	Fanout   one publishes, all others receive
//	Flood    as much as the server takes, and more
//	Hostile  slow heads, slow readers, resets, tiny fragments, silence
//
// A player belongs to its client's loop; its methods are called there, or within
// Client.Do. What it finds is added to the client's Tally.
package play
