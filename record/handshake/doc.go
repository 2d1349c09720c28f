// Package handshake has crypto/tls do the handshake of a connection, and hands the connection
// over at its first record of application data, as a record.Conn.
//
//	server, err := handshake.NewServer(config) // one for all connections
//	...
//	conn.SetDeadline(deadline)
//	result, err := server.Handshake(ctx, conn, nil)
//	data, n, err := result.Conn.Read(&ciphers, result.Rest)
//
// All of the handshake is crypto/tls's: versions, suites, certificates, tickets and the alerts
// for what goes wrong. What it has no interface for, it tells a key log (Config.KeyLogWriter),
// which is a part of the connection that it is given: two traffic secrets of TLS 1.3, or the
// master secret of TLS 1.2. Nothing is written anywhere.
//
// That connection hands crypto/tls the records one by one, so that it reads none that
// follows the handshake, and keeps those that were sealed. Which of them were sealed with the
// last key, and so where the sequence numbers stand, is found by opening them: behind its
// handshake a server has written tickets.
//
// A handshake waits for its peer, so it takes a goroutine, and deadlines are those of the
// net.Conn. Nothing in this package starts a goroutine, opens a socket or reads a clock.
package handshake
