//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/usher-ws/usher/internal/jwt"
	"golang.org/x/sys/unix"
)

// secret is that of every server.
const secret = "0123456789abcdef0123456789abcdef"

// token lets a user into every room.
func token(user string) string {
	claims := jwt.MapClaims{"sub": user, "exp": time.Now().Add(time.Hour).Unix()}
	text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(secret))
	if err != nil {
		panic(err) // strings and a number
	}
	return text
}

// upgradeTo is a request for a path, with more lines of the head.
func upgradeTo(path string, lines ...string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: siege\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + strings.Join(lines, "") + "\r\n"
}

// joining is a user's request to be let into a room.
func joining(room, user string, speaksJSON bool) string {
	lines := []string{"Authorization: Bearer " + token(user) + "\r\n"}
	if speaksJSON {
		lines = append(lines, "Sec-WebSocket-Protocol: chat.usher.v1+json\r\n")
	}
	return upgradeTo("/ws/"+room, lines...)
}

// The first byte of whole frames, RFC 6455 §5.2; RSV1 is RFC 7692's.
const (
	textFrame   = 0x81
	binaryFrame = 0x82
	rsv1        = 0x40
)

// appendFrame appends a frame of a client's. Its key is zero, which masks nothing.
func appendFrame(b []byte, first byte, payload string) []byte {
	b = append(b, first)
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	return append(append(b, 0, 0, 0, 0), payload...)
}

// nextFrame cuts the first frame of a server's off b. ok is false if it is not complete.
func nextFrame(b []byte) (opcode byte, payload, rest []byte, ok bool) {
	if len(b) < 2 {
		return 0, nil, b, false
	}
	head, n := 2, int(b[1]&0x7f)
	switch {
	case n == 126 && len(b) >= 4:
		head, n = 4, int(binary.BigEndian.Uint16(b[2:]))
	case n == 127 && len(b) >= 10:
		head, n = 10, int(binary.BigEndian.Uint64(b[2:]))
	case n >= 126:
		return 0, nil, b, false
	}
	if len(b) < head+n {
		return 0, nil, b, false
	}
	return b[0] & 0xf, b[head : head+n], b[head+n:], true
}

// dialer dials from an address, with so small a receive buffer; "" and 0 are the system's.
func dialer(source string, narrow int) *net.Dialer {
	d := &net.Dialer{Timeout: patience, Control: func(_, _ string, c syscall.RawConn) (err error) {
		return errors.Join(c.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
			if narrow > 0 {
				// The kernel keeps more to be sent for longer segments, some MiB on loopback.
				err = errors.Join(unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, narrow),
					unix.SetsockoptInt(int(fd), unix.SOL_TCP, unix.TCP_MAXSEG, ethernet))
			}
		}), err)
	}}
	if source != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(source)}
	}
	return d
}

// ethernet is the longest segment of most networks, in bytes.
const ethernet = 1460

// enter dials, sends a request and waits for its 101. What came behind it is early.
func enter(d *net.Dialer, addr, head string) (conn *net.TCPConn, early []byte, err error) {
	c, err := d.Dial("tcp", addr)
	if err != nil {
		return nil, nil, err
	}
	conn = c.(*net.TCPConn)
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Write([]byte(head)); err != nil {
		conn.Close()
		return nil, nil, err
	}
	buf, n := make([]byte, 16<<10), 0
	for {
		m, err := conn.Read(buf[n:])
		if n += m; err != nil {
			conn.Close()
			return nil, nil, fmt.Errorf("behind %.40q: %w", buf[:n], err)
		}
		if answer, rest, found := strings.Cut(string(buf[:n]), "\r\n\r\n"); found {
			if !strings.HasPrefix(answer, "HTTP/1.1 101 ") {
				conn.Close()
				return nil, nil, fmt.Errorf("got %.40q", answer)
			}
			_ = conn.SetDeadline(time.Time{})
			return conn, []byte(rest), nil
		}
	}
}

// patience is how long this crew waits for what should come at once.
var patience time.Duration
