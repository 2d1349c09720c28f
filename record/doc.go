// Package record is the record layer of TLS 1.3 (RFC 8446 §5) and of TLS 1.2 with an AEAD
// (RFC 5246 §6, RFC 5288, RFC 7905), for a connection whose handshake is over: bytes in, data
// out; data in, bytes out. It does no I/O and has no clock, goroutine or lock. Package
// handshake, below it, gets the secrets from crypto/tls.
//
//	for {
//		n := read(buf[len(rest):])
//		data, done, err := conn.Read(&ciphers, buf[:len(rest)+n])
//		handle(data)
//		rest = save(buf[done : len(rest)+n]) // the first part of a record, mostly empty
//		if err != nil {
//			out, _ := conn.AppendEnd(&ciphers, nil, err)
//			write(out) // the alert for it; io.EOF: close_notify
//			return
//		}
//	}
//
// # What is kept
//
// A Conn is both directions of a connection, two Halves of secret, key, IV and sequence
// number, and has no pointer: 152 bytes. It is all that an idle connection needs. The secret is
// there for key updates, and a longer key than that of AES-128 follows from it when it is
// needed. Ciphers are the keys expanded, some 800 bytes for each direction. They are a cache:
// made when a record is opened or sealed and they are not those of its key, and kept by the
// caller as long as it likes. So a connection that wakes costs a microsecond for each direction
// (TLS_AES_256_GCM_SHA384: three), and one that sleeps no memory.
//
// # What is ours, and what is not
//
// The ciphers, hashes and key derivation are those of the standard library and of
// golang.org/x/crypto, and the handshake is crypto/tls's. Ours is how records are framed, and
// what follows a handshake: alerts, key updates, and the refusal of everything else. There is
// one way to get a nonce, the sequence number, which only sealing a record moves.
//
// # Failing
//
// Whatever a peer does wrong is an *Error with the alert that tells it so (RFC 8446 §6.2), as
// early as the bytes prove it, and how they were cut into reads never changes it. An alert of
// the peer's is a PeerAlert, its close_notify io.EOF. That a stream ends without one is
// ErrTruncated, which is not an end: somebody else may have cut it.
//
// What brings no data is bounded: 16 records in a row of empty content, warnings, tickets
// and key updates, as with crypto/tls. Key updates that want an answer get one together, with
// the next data. Nothing that a peer sends is kept, but for the number of bytes of a message
// that are still to come.
//
// # Secrets
//
// A Conn has the only copy of its secrets that this package makes. Clear zeroes it; nothing
// prints it, whatever the verb. Ciphers cannot be zeroed through crypto/cipher: Clear lets go
// of them.
package record
