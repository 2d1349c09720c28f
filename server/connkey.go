//go:build linux

package server

import "encoding/binary"

// ConnKey stands for a Conn in tables of very many connections: it can be kept, compared and
// hashed like a Conn, but holds no pointer, so that the garbage collector does not look for
// one. [ConnKey.Conn] leads back. The bytes mean nothing by themselves. The zero
// ConnKey stands for the zero Conn. Connections of two Servers may have the same key.
type ConnKey [10]byte

// Key returns the key of c. Safe for any goroutine.
func (c Conn) Key() (k ConnKey) {
	if c.loop != nil {
		binary.LittleEndian.PutUint32(k[0:], c.slot) // never 0
		binary.LittleEndian.PutUint32(k[4:], c.gen)
		binary.LittleEndian.PutUint16(k[8:], uint16(c.loop.ID()))
	}
	return k
}

// Server returns the Server that c is of, nil for the zero Conn. Safe for any goroutine.
func (c Conn) Server() *Server {
	if c.loop == nil {
		return nil
	}
	return c.loop.srv
}

// Conn returns the connection of s that has the key k, also if it has ended, as a copy of its
// Conn would be. Safe for any goroutine.
func (k ConnKey) Conn(s *Server) Conn {
	if k == (ConnKey{}) {
		return Conn{}
	}
	return Conn{
		loop: s.loops[binary.LittleEndian.Uint16(k[8:])],
		slot: binary.LittleEndian.Uint32(k[0:]),
		gen:  binary.LittleEndian.Uint32(k[4:]),
	}
}
