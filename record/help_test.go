package record_test

import (
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/usher-ws/usher/record"
)

// suites are one of each kind.
var suites = []struct {
	version, id uint16
	secret      int // bytes
}{
	{tls.VersionTLS13, tls.TLS_AES_128_GCM_SHA256, 32},
	{tls.VersionTLS13, tls.TLS_AES_256_GCM_SHA384, 48},
	{tls.VersionTLS13, tls.TLS_CHACHA20_POLY1305_SHA256, 32},
	{tls.VersionTLS12, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, 48},
	{tls.VersionTLS12, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, 48},
	{tls.VersionTLS12, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, 48},
}

// eachSuite runs a test for each suite.
func eachSuite(t *testing.T, run func(t *testing.T, version, id uint16)) {
	for _, s := range suites {
		t.Run(strings.ReplaceAll(tls.VersionName(s.version), " ", "")+"/"+tls.CipherSuiteName(s.id), func(t *testing.T) { run(t, s.version, s.id) })
	}
}

// pair returns both sides of a connection with secrets that are no secrets.
func pair(tb testing.TB, version, id uint16) (server, client *record.Conn) {
	tb.Helper()
	server = new(record.Conn)
	var err error
	for _, s := range suites {
		if s.version != version || s.id != id {
			continue
		}
		a, b := make([]byte, s.secret), make([]byte, s.secret)
		copy(a, "of the client")
		copy(b, "of the server")
		if version == tls.VersionTLS13 {
			err = server.Init13(record.Server, id, a, b)
		} else {
			err = server.Init12(record.Server, id, a, b[:32], b[:32])
		}
	}
	if err != nil {
		tb.Fatal(err)
	}
	return server, server.Peer()
}

func unhex(tb testing.TB, s string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// transcript is what a connection was told: each record, and how it ended.
type transcript []string

// hear has c open what comes in chunks, the first of them first bytes long and the others
// then, and returns the transcript. in stays as it was.
func hear(c *record.Conn, in []byte, first, then int) (events transcript) {
	var cs record.Ciphers
	var waiting []byte
	for n := first; len(in) > 0; n = then {
		n = min(n, len(in))
		waiting = append(waiting, in[:n]...)
		in = in[n:]
		for {
			t, data, n, err := c.Open(&cs, waiting)
			if err != nil {
				return append(events, err.Error())
			}
			if n == 0 {
				break
			}
			events = append(events, fmt.Sprintf("%d %x", t, data))
			waiting = waiting[n:]
		}
	}
	if err := c.End(); err != io.EOF {
		events = append(events, err.Error())
	}
	return events
}

// chunked hears in whole, split at every byte and byte by byte, and fails if the transcripts
// differ.
func chunked(t *testing.T, c *record.Conn, in []byte) transcript {
	t.Helper()
	hear := func(first, then int) transcript {
		one := *c
		return hear(&one, in, first, then)
	}
	want := hear(len(in), 1)
	for first := 1; first <= len(in); first++ {
		got := hear(first, len(in))
		if first == len(in) {
			got = hear(1, 1)
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Fatalf("split at %d of %x:\ngot  %q\nwant %q", first, in, got, want)
		}
	}
	return want
}
