package handshake

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/usher-ws/usher/record"
)

// flags are openssl's for a choice.
func (c choice) flags() []string {
	if c.version == tls.VersionTLS13 {
		return []string{"-tls1_3", "-ciphersuites", tls.CipherSuiteName(c.suite)}
	}
	return []string{"-tls1_2", "-cipher", map[uint16]string{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256:       "ECDHE-ECDSA-AES128-GCM-SHA256",
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384:       "ECDHE-ECDSA-AES256-GCM-SHA384",
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: "ECDHE-ECDSA-CHACHA20-POLY1305",
		tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256:         "ECDHE-RSA-AES128-GCM-SHA256",
		tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384:         "ECDHE-RSA-AES256-GCM-SHA384",
		tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256:   "ECDHE-RSA-CHACHA20-POLY1305",
		tls.TLS_RSA_WITH_AES_128_GCM_SHA256:               "AES128-GCM-SHA256",
		tls.TLS_RSA_WITH_AES_256_GCM_SHA384:               "AES256-GCM-SHA384",
	}[c.suite]}
}

// sClient starts openssl s_client with a server.
func sClient(t *testing.T, s *echoServer, flags ...string) *process {
	t.Helper()
	return start(t, "openssl", append([]string{"s_client", "-connect", s.Addr().String(), "-servername", "localhost",
		"-CAfile", caFile(t), "-verify_return_error", "-brief"}, flags...)...)
}

func TestOpenSSLClient(t *testing.T) {
	for _, c := range choices {
		t.Run(c.String(), func(t *testing.T) {
			server, _ := c.configs(t)
			s := serve(t, server)
			p := sClient(t, s, c.flags()...)
			p.until("Ciphersuite: ")
			for _, line := range []string{"hello", "again", strings.Repeat("long ", 700)} {
				p.say(line)
				p.until(line)
			}
			if c.version == tls.VersionTLS13 {
				for i, line := range []string{"K", "k", "k", "K"} {
					p.say(line)
					p.until("KEYUPDATE")
					p.say(fmt.Sprint("after ", i))
					p.until(fmt.Sprint("after ", i))
				}
			}
			p.say("Q")
			p.end()
			one := <-s.done
			if one.err != io.EOF || one.State.Version != c.version || one.State.CipherSuite != c.suite {
				t.Errorf("got %v, %s, %s", one.err, tls.VersionName(one.State.Version), tls.CipherSuiteName(one.State.CipherSuite))
			}
			updates := 0
			for _, r := range one.records {
				if r == record.Handshake {
					updates++
				}
			}
			if want := map[uint16]int{tls.VersionTLS13: 4}[c.version]; updates != want {
				t.Errorf("got %d key updates, want %d", updates, want)
			}
		})
	}
}

// Whoever wants to renegotiate TLS 1.2 is refused.
func TestOpenSSLRenegotiates(t *testing.T) {
	server, _ := choices[3].configs(t)
	s := serve(t, server)
	p := sClient(t, s, "-tls1_2")
	p.say("hello")
	p.until("hello")
	p.say("R")
	p.until("no renegotiation")
	one := <-s.done
	if e, ok := errors.AsType[*record.Error](one.err); !ok || e.Alert != record.NoRenegotiation {
		t.Errorf("got %v, want no_renegotiation", one.err)
	}
}

func TestOpenSSLReconnects(t *testing.T) {
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		t.Run(version, func(t *testing.T) {
			s := serve(t, &tls.Config{Certificates: []tls.Certificate{identity(t).ecdsa}})
			p := sClient(t, s, version, "-reconnect")
			p.say("hello")
			p.until("hello")
			p.say("Q")
			p.end()
			for range 6 {
				if one := <-s.done; one.err != io.EOF {
					t.Errorf("got %v, want EOF", one.err)
				}
			}
		})
	}
}

// OpenSSL's own tickets come back, with data and without.
func TestOpenSSLResumes(t *testing.T) {
	s := serve(t, &tls.Config{Certificates: []tls.Certificate{identity(t).ecdsa}})
	session := filepath.Join(t.TempDir(), "session")
	for i, flags := range [][]string{{"-sess_out", session}, {"-sess_in", session, "-sess_out", session}, {"-sess_in", session}} {
		p := sClient(t, s, append(flags, "-tls1_3")...)
		p.say("hello")
		p.until("hello")
		p.say("Q")
		p.end()
		if one := <-s.done; one.err != io.EOF || one.State.DidResume != (i > 0) {
			t.Errorf("connection %d: got resumed %t, %v", i, one.State.DidResume, one.err)
		}
	}
}

// sServer starts openssl s_server, and connects to it.
func sServer(t *testing.T, c choice, flags ...string) (*process, *channel) {
	t.Helper()
	server, client := c.configs(t)
	cert, key := files(t, server.Certificates[0])
	p := start(t, "openssl", append(append([]string{"s_server", "-accept", "127.0.0.1:0", "-cert", cert, "-key", key}, c.flags()...), flags...)...)
	_, address, _ := strings.Cut(strings.TrimSpace(p.until("ACCEPT ")), "ACCEPT ")
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	r, err := Client(t.Context(), conn, client)
	if err != nil {
		t.Fatal(err)
	}
	return p, newChannel(conn, r)
}

// line reads a line.
func (c *channel) line(t *testing.T) string {
	t.Helper()
	var line []byte
	for !bytes.HasSuffix(line, []byte("\n")) {
		data, err := c.next()
		if err != nil {
			t.Fatalf("got %q, then %v", line, err)
		}
		line = append(line, data...)
	}
	return strings.TrimSpace(string(line))
}

func TestOpenSSLServer(t *testing.T) {
	for _, c := range choices {
		t.Run(c.String(), func(t *testing.T) {
			_, ch := sServer(t, c, "-rev")
			for range 3 {
				io.WriteString(ch, "hello\n")
				if got := ch.line(t); got != "olleh" {
					t.Errorf("got %q, want olleh", got)
				}
				if c.version == tls.VersionTLS13 {
					out, err := ch.Result.Conn.AppendKeyUpdate(&ch.ciphers, nil, true)
					if err != nil {
						t.Fatal(err)
					}
					ch.Conn.Write(out)
				}
			}
			tickets := 0
			for _, r := range ch.records {
				if r == record.Handshake {
					tickets++
				}
			}
			if c.version == tls.VersionTLS13 && tickets < 2+2 { // tickets and answered updates
				t.Errorf("got %v, want two tickets and two key updates among them", ch.records)
			}
			ch.end(nil)
			if _, err := ch.next(); err != io.EOF {
				t.Errorf("at the end: got %v, want EOF", err)
			}
		})
	}
}

// A server that updates its keys, and one that asks for another handshake.
func TestOpenSSLServerAsks(t *testing.T) {
	p, ch := sServer(t, choices[0])
	p.say("hello")
	ch.line(t) // behind the tickets
	for i, cmd := range []string{"K", "k", "K"} {
		p.say(cmd)
		if data, err := ch.next(); len(data) > 0 || err != nil { // or the next line would be a part of the command
			t.Fatalf("got %q, %v, want a key update", data, err)
		}
		p.say(fmt.Sprint("after ", i))
		if got, want := ch.line(t), fmt.Sprint("after ", i); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		io.WriteString(ch, fmt.Sprintln("answer", i))
		p.until(fmt.Sprint("answer ", i))
	}
	ch.end(nil)

	p, ch = sServer(t, choices[3])
	p.say("R")
	_, err := ch.next()
	if e, ok := errors.AsType[*record.Error](err); !ok || e.Alert != record.NoRenegotiation {
		t.Errorf("got %v, want no_renegotiation", err)
	}
	ch.end(err)
}
