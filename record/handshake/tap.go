package handshake

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"net"
)

// readAhead is how much is asked of the connection at once. The second flight of most
// clients fits, and what they say right behind it.
const readAhead = 2 << 10

// tap is the connection that crypto/tls is given, and its key log. Only the goroutine of the
// handshake uses it.
type tap struct {
	net.Conn
	in, out flow
	ahead   []byte // was read, and crypto/tls has not asked for it yet
	buf     []byte // which ahead is a part of

	log    io.Writer // the key log of the embedder, if there is one
	clear  []byte    // the client's random
	client secret    // CLIENT_TRAFFIC_SECRET_0
	server secret    // SERVER_TRAFFIC_SECRET_0
	master secret    // of TLS 1.2
}

// secret is 32 or 48 bytes.
type secret struct {
	b [48]byte
	n int
}

func (s *secret) bytes() []byte { return s.b[:s.n] }

// Read never reads beyond the end of a record.
func (t *tap) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(t.ahead) == 0 {
		if t.buf == nil {
			t.buf = make([]byte, readAhead)
		}
		n, err := t.Conn.Read(t.buf)
		if n == 0 {
			return 0, err
		}
		t.ahead = t.buf[:n] // an error comes again
	}
	n := copy(p[:min(len(p), t.in.ahead())], t.ahead)
	t.in.pass(t.ahead[:n])
	t.ahead = t.ahead[n:]
	return n, nil
}

// Write passes on what crypto/tls writes.
func (t *tap) Write(p []byte) (int, error) {
	n, err := t.Conn.Write(p)
	t.out.pass(p[:n])
	return n, err
}

var errKeyLog = errors.New("handshake: key log in another form")

// keyLog is tap as a Config.KeyLogWriter.
type keyLog struct{ *tap }

// Write takes a line, LABEL RANDOM SECRET, the last two in hexadecimal.
func (k keyLog) Write(line []byte) (int, error) {
	label, rest, ok := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(" "))
	random, value, both := bytes.Cut(rest, []byte(" "))
	if !ok || !both {
		return 0, errKeyLog
	}
	var into *secret
	switch string(label) {
	case "CLIENT_TRAFFIC_SECRET_0":
		into = &k.client
	case "SERVER_TRAFFIC_SECRET_0":
		into = &k.server
	case "CLIENT_RANDOM":
		into = &k.master
		k.clear = make([]byte, hex.DecodedLen(len(random)))
		if _, err := hex.Decode(k.clear, random); err != nil {
			return 0, errKeyLog
		}
	}
	if into != nil {
		if hex.DecodedLen(len(value)) > len(into.b) {
			return 0, errKeyLog
		}
		var err error
		if into.n, err = hex.Decode(into.b[:], value); err != nil {
			return 0, errKeyLog
		}
	}
	if k.log != nil {
		return k.log.Write(line)
	}
	return len(line), nil
}

// forget zeroes the secrets.
func (t *tap) forget() { t.client, t.server, t.master = secret{}, secret{}, secret{} }
