//go:build linux

package server

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// TestSecretsOfHandshakes: nothing of a secret, as the client's key log has them, is in the log at its most
// talkative, or in what the server tells of its connections; whatever becomes of the handshake.
func TestSecretsOfHandshakes(t *testing.T) {
	log, keys := new(journal), new(journal)
	s := withTLS(&Server{TrackConns: true, HandshakeTimeout: time.Hour, Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	s.Use(telling(s))
	s.Route("/echo", Route{Message: echo})
	addr := start(t, s)
	var told strings.Builder
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		config := &tls.Config{InsecureSkipVerify: true, MaxVersion: version, KeyLogWriter: keys}
		for _, ends := range []func(c *tls.Conn){
			func(c *tls.Conn) { c.Close() },
			func(c *tls.Conn) { c.NetConn().Close() },
			func(c *tls.Conn) {
				io.WriteString(c.NetConn(), "\x17\x03\x03\x00\x20"+strings.Repeat("x", 32))
				io.Copy(io.Discard, c)
			},
			func(c *tls.Conn) { io.WriteString(c, "\xff"); io.Copy(io.Discard, c) },
		} {
			c, err := tls.Dial("tcp", addr, config)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(c, upgradeHead, "/echo")
			if status, _ := answerTo(t, c); status != 101 {
				t.Fatalf("got %d", status)
			}
			top, _, err := s.Inspect(t.Context(), ConnQuery{})
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&told, "%+v %#v\n", top, top)
			ends(c)
			c.Close()
		}
		untrusting := config.Clone()
		untrusting.InsecureSkipVerify, untrusting.ServerName = false, "127.0.0.1"
		if _, err := tls.Dial("tcp", addr, untrusting); err == nil {
			t.Error("the certificate is trusted")
		}
	}
	eventually(t, "all are gone", func() bool { return s.Stats().Sockets == 0 })
	fmt.Fprintf(&told, "%+v %#v\n", s.Stats(), s.Stats())
	eventually(t, "the log is written", func() bool { return strings.Contains(log.String(), "handshake has failed") })
	lines := strings.Fields(keys.String())
	if len(lines) < 3*2*4 {
		t.Fatalf("the client has told too little: %q", lines)
	}
	said := strings.ToLower(log.String() + told.String())
	for k := 2; k < len(lines); k += 3 { // LABEL RANDOM SECRET
		secret, err := hex.DecodeString(lines[k])
		if err != nil {
			t.Fatal(err)
		}
		for _, form := range []string{lines[k][:16], string(secret[:8]), strings.Trim(fmt.Sprint(secret[:8]), "[]"), base64.StdEncoding.EncodeToString(secret)[:10]} {
			if strings.Contains(said, strings.ToLower(form)) {
				t.Errorf("%s is told, as %q", lines[k-2], form)
			}
		}
	}
}
