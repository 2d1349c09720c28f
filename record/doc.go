// Package record is the record layer of TLS 1.3 (RFC 8446 §5) and TLS 1.2 (RFC 5246 §6) after
// the handshake, as pure computation.
package record
