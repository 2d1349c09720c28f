//go:build linux

// Package load puts WebSocket connections on a server: very many, cheaply, and
// without believing anything the server says.
//
// A [Client] is a loop of streams with the client's side of WebSockets on it, packages
// stream and client: they dial, ask for the upgrade, check the answer, read frames and
// write them. What is said over a connection is up to a [Player], whose methods the loop
// calls. What this package keeps of a connection is where it is: 4 bytes.
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
