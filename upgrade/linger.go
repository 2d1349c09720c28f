package upgrade

import (
	"io"
	"net"
	"time"
)

// What a refused client may still send before we hang up: DESIGN's bounds, with
// which 200 of 200 clients read their refusal, against 125 without a drain.
const (
	lingerBytes = 256 << 10
	lingerTime  = 2 * time.Second
)

// Linger closes conn so that what was written to it arrives. A socket closed
// with unread input sends RST, and the client loses the answer, RFC 9112 §9.6:
// so Linger says that no more will be written, reads until the client hangs up,
// has sent 256 KiB more or took 2 s, and closes. It blocks as long.
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
