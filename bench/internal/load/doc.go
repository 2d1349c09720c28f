//go:build linux

// Package load puts WebSocket connections on a server: very many, cheaply, and
// without believing anything the server says.
//
// A [Client] is one event loop with a table of connections. It dials, asks for
// the upgrade, checks the answer, reads frames and writes them; what is said over
// a connection is up to a [Player], whose methods the loop calls. A connection at
// rest is a slot of 16 bytes without a pointer; what straddles two reads or two
// writes waits in a side table and leaves it again.
//
//	for each ready connection {
//		recv once into the loop's buffer
//		for each message in it { player.Message(i, op, data) }
//		send once what the player said meanwhile
//	}
//	player.Turn()
//
// Connections have numbers, from 0 to Config.Conns-1. The number stays when a
// connection is dialed again, and decides where it goes: number i dials target
// i modulo the number of targets.
//
// Everything that goes wrong is counted as a [Fault], by kind and code, and
// nothing is retried: a player that wants a connection again dials it again.
//
// A Client and its Player belong to the loop's goroutine. Other goroutines use
// [Client.Do].
package load
