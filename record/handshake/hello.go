package handshake

import (
	"encoding/binary"
	"errors"

	"github.com/usher-ws/usher/record"
)

// ErrNotTLS: these bytes begin no handshake. What they are, perhaps a request of HTTP in the
// clear, is for the caller to see.
var ErrNotTLS = errors.New("handshake: not TLS")

// maxHello is the longest ClientHello that crypto/tls takes.
const maxHello = 4 + 64<<10

// HelloSize returns how many bytes a client sends before it waits for an answer: the records
// that hold its ClientHello, which in begins with. It is 0 while in does not tell, and may be
// more than len(in). So a handshake need not begin, and take a goroutine, before its first
// flight is there. It judges no more than it has to: what is malformed has a size, too, and
// crypto/tls has the alert for it.
func HelloSize(in []byte) (int, error) {
	if len(in) > 0 && in[0] != handshakeRecord || len(in) > 1 && in[1] != 3 {
		return 0, ErrNotTLS
	}
	var head [4]byte // of the message
	got, size := 0, 0
	for need := len(head); ; {
		if len(in)-size < headerSize {
			return 0, nil
		}
		body := in[size+headerSize:]
		n := int(binary.BigEndian.Uint16(in[size+3:]))
		strange := in[size] != handshakeRecord || in[size+1] != 3 || n == 0 || n > record.MaxContent
		size += headerSize + n
		if strange {
			return size, nil
		}
		if got < len(head) {
			if copy(head[got:], body[:min(n, len(body))]) < min(n, len(head)-got) {
				return 0, nil
			}
			if got+n >= len(head) {
				need += int(head[1])<<16 | int(head[2])<<8 | int(head[3])
			}
		}
		if got += n; got >= need || need > maxHello {
			return size, nil
		}
	}
}
