package proxyheader

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/pires/go-proxyproto"
)

// v2 makes a header of version 2.
func v2(command, family byte, body ...byte) string {
	b := append(slices.Clone(packed), command, family)
	return string(append(binary.BigEndian.AppendUint16(b, uint16(len(body))), body...))
}

// The addresses of these headers: 203.0.113.7:4711 to 192.0.2.1:443, and the same of IPv6.
var (
	four = []byte{203, 0, 113, 7, 192, 0, 2, 1, 0x12, 0x67, 0x01, 0xbb}
	six  = slices.Concat([]byte{0x20, 0x01, 0x0d, 0xb8, 15: 7}, []byte{0x20, 0x01, 0x0d, 0xb8, 15: 1}, four[8:])
	// within is IPv4 within IPv6.
	within = slices.Concat([]byte{10: 0xff, 0xff, 203, 0, 113, 7}, []byte{10: 0xff, 0xff, 192, 0, 2, 1}, four[8:])
)

const (
	client4 = "203.0.113.7:4711"
	client6 = "[2001:db8::7]:4711"
)

var good = []struct{ name, header, client string }{
	{"TCP4", "PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\r\n", client4},
	{"TCP6", "PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n", client6},
	{"IPv4 within TCP6", "PROXY TCP6 ::ffff:203.0.113.7 ::ffff:192.0.2.1 4711 443\r\n", client4},
	{"UNKNOWN", "PROXY UNKNOWN\r\n", ""},
	{"UNKNOWN with addresses", "PROXY UNKNOWN 2001:db8::7 2001:db8::1 4711 443\r\n", ""},
	{"UNKNOWN of 107 bytes", "PROXY UNKNOWN " + strings.Repeat("f", 91) + "\r\n", ""},
	{"v2 IPv4", v2(0x21, 0x11, four...), client4},
	{"v2 IPv6", v2(0x21, 0x21, six...), client6},
	{"v2 IPv4 within IPv6", v2(0x21, 0x21, within...), client4},
	{"v2 IPv4 over UDP", v2(0x21, 0x12, four...), client4},
	{"v2 with TLVs", v2(0x21, 0x11, append(slices.Clone(four), 0x02, 0, 3, 'a', '.', 'b', 0x04, 0, 1, 0)...), client4},
	{"v2 with what is no TLV", v2(0x21, 0x11, append(slices.Clone(four), 0xff, 0xff)...), client4},
	{"v2 of 536 bytes", v2(0x21, 0x11, append(slices.Clone(four), make([]byte, Limit-16-12)...)...), client4},
	{"v2 unix", v2(0x21, 0x31, make([]byte, 216)...), ""},
	{"v2 LOCAL", v2(0x20, 0x00), ""},
	{"v2 LOCAL with addresses", v2(0x20, 0x11, four...), ""},
	{"v2 LOCAL with anything", v2(0x20, 0x11, 1, 2, 3), ""},
}

// TestRead: a header is found wherever the bytes are cut, and what is behind it is not looked
// at.
func TestRead(t *testing.T) {
	for _, c := range good {
		for _, behind := range []string{"", "G", "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01", "PROXY TCP4 1.2.3.4 1.2.3.4 1 1\r\n", strings.Repeat("x", 2000)} {
			all := c.header + behind
			for n := range len(all) + 1 {
				length, client, err := Read([]byte(all[:n]))
				switch {
				case err != nil:
					t.Fatalf("%s, %d bytes of %x: %v", c.name, n, all, err)
				case n < len(c.header) && length != 0, n >= len(c.header) && length != len(c.header):
					t.Fatalf("%s, %d bytes of %x: got a length of %d, want %d", c.name, n, all, length, len(c.header))
				case length > 0 && client.IsValid() != (c.client != ""), client.IsValid() && client.String() != c.client:
					t.Fatalf("%s, %x: got %v, want %s", c.name, all, client, c.client)
				}
			}
		}
	}
}

var bad = []struct {
	name, header, reason string
	at                   int // how many bytes it takes to see it
}{
	{"HTTP", "GET / HTTP/1.1\r\n", Missing, 1},
	{"POST", "POST / HTTP/1.1\r\n", Missing, 2},
	{"TLS", "\x16\x03\x01\x02\x00\x01\x00", Missing, 1},
	{"another word", "PROXYTCP4 203.0.113.7 192.0.2.1 4711 443\r\n", Missing, 6},
	{"small letters", "proxy TCP4 203.0.113.7 192.0.2.1 4711 443\r\n", Missing, 1},
	{"half of a signature", "\r\n\r\n\x00\r\nQUIX\n", Missing, 11},
	{"LF alone", "PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\n", Malformed, 0},
	{"another family", "PROXY UDP4 203.0.113.7 192.0.2.1 4711 443\r\n", Malformed, 0},
	{"small family", "PROXY tcp4 203.0.113.7 192.0.2.1 4711 443\r\n", Malformed, 0},
	{"no address", "PROXY TCP4\r\n", Malformed, 0},
	{"no port", "PROXY TCP4 203.0.113.7 192.0.2.1 4711\r\n", Malformed, 0},
	{"something behind", "PROXY TCP4 203.0.113.7 192.0.2.1 4711 443 x\r\n", Malformed, 0},
	{"two spaces", "PROXY TCP4  203.0.113.7 192.0.2.1 4711 443\r\n", Malformed, 0},
	{"IPv6 in TCP4", "PROXY TCP4 2001:db8::7 192.0.2.1 4711 443\r\n", Malformed, 0},
	{"IPv4 in TCP6", "PROXY TCP6 203.0.113.7 192.0.2.1 4711 443\r\n", Malformed, 0},
	{"a zone", "PROXY TCP6 fe80::1%eth0 2001:db8::1 4711 443\r\n", Malformed, 0},
	{"leading zeros", "PROXY TCP4 203.0.113.007 192.0.2.1 4711 443\r\n", Malformed, 0},
	{"a large port", "PROXY TCP4 203.0.113.7 192.0.2.1 65536 443\r\n", Malformed, 0},
	{"a signed port", "PROXY TCP4 203.0.113.7 192.0.2.1 +4711 443\r\n", Malformed, 0},
	{"a name", "PROXY TCP4 localhost 192.0.2.1 4711 443\r\n", Malformed, 0},
	{"a CR within", "PROXY TCP4 203.0.113.7\r192.0.2.1 4711 443\r\n", Malformed, 0},
	{"a long line", "PROXY UNKNOWN " + strings.Repeat("f", 92) + "\r\n", TooLarge, 107},
	{"v2 of version 1", v2(0x11, 0x11, four...), Malformed, 0},
	{"v2 another command", v2(0x22, 0x11, four...), Malformed, 0},
	{"v2 another family", v2(0x21, 0x41, four...), Malformed, 0},
	{"v2 another transport", v2(0x21, 0x13, four...), Malformed, 0},
	{"v2 too short for IPv4", v2(0x21, 0x11, four[1:]...), Malformed, 0},
	{"v2 too short for IPv6", v2(0x21, 0x21, six[1:]...), Malformed, 0},
	{"v2 too short for unix", v2(0x21, 0x31, four...), Malformed, 0},
	{"v2 of 537 bytes", v2(0x21, 0x11, append(slices.Clone(four), make([]byte, Limit+1-16-12)...)...), TooLarge, 16},
	{"v2 of 65,551 bytes", string(packed) + "\x21\x11\xff\xff", TooLarge, 16},
}

// TestReadMalformed: what is no header is refused as soon as that is clear, however the bytes
// are cut.
func TestReadMalformed(t *testing.T) {
	for _, c := range bad {
		at := c.at
		if at == 0 {
			at = len(c.header)
		}
		for n := range len(c.header) + 1 {
			length, client, err := Read([]byte(c.header[:n]))
			var e *Error
			if length != 0 || client.IsValid() || (err != nil) != (n >= at) || err != nil && (!errors.As(err, &e) || e.Reason != c.reason) {
				t.Errorf("%s, %d bytes of %q: got %d, %v, %v, want %s at %d", c.name, n, c.header, length, client, err, c.reason, at)
			}
		}
	}
}

// FuzzRead: whatever comes, the answer does not depend on what is behind the header or on how
// the bytes are cut, and go-proxyproto reads the same out of the whole stream.
func FuzzRead(f *testing.F) {
	for _, c := range good {
		f.Add([]byte(c.header + "GET"))
	}
	for _, c := range bad {
		f.Add([]byte(c.header))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		whole := bytes.Clone(b)
		length, client, err := Read(b)
		if !bytes.Equal(b, whole) {
			t.Fatal("it has changed what it reads")
		}
		var e *Error
		if length > len(b) || length > Limit || err != nil && (length != 0 || !errors.As(err, &e)) {
			t.Fatalf("got %d, %v", length, err)
		}
		for n := range b {
			l, c, earlier := Read(b[:n])
			switch {
			case earlier == nil && l == 0:
			case (earlier == nil) != (err == nil), l != length, c != client:
				t.Fatalf("after %d bytes: got %d, %v, %v, then %d, %v, %v", n, l, c, earlier, length, client, err)
			}
		}
		oracle(t, b, length, client, err)
	})
}

// oracle compares with what go-proxyproto reads from a stream.
func oracle(t *testing.T, b []byte, length int, client netip.AddrPort, err error) {
	r := bufio.NewReaderSize(bytes.NewReader(b), 1<<17)
	h, theirs := proxyproto.Read(r)
	var e *Error
	switch {
	case length == 0 && (err == nil || errors.As(err, &e) && e.Reason == TooLarge):
	case (theirs == nil) != (err == nil):
		t.Fatalf("got %v, go-proxyproto %v", err, theirs)
	case err != nil:
	case len(b)-r.Buffered() != length:
		t.Fatalf("got a length of %d, go-proxyproto %d", length, len(b)-r.Buffered())
	case h.Command.IsLocal() != !client.IsValid() && !h.TransportProtocol.IsUnix():
		t.Fatalf("got %v, go-proxyproto %+v", client, h)
	}
}
