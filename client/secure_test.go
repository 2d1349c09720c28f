//go:build linux

package client

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/usher-ws/usher/frame"
)

// secureConfigs are those of a server on 127.0.0.1 and of clients that trust it.
func secureConfigs(t testing.TB) (server, client *tls.Config) {
	t.Helper()
	srv := httptest.NewTLSServer(http.NotFoundHandler())
	srv.Close()
	client = srv.Client().Transport.(*http.Transport).TLSClientConfig
	return &tls.Config{Certificates: srv.TLS.Certificates}, &tls.Config{RootCAs: client.RootCAs, ServerName: "127.0.0.1"}
}

// dialTLS is dial for wss.
func (o *script) dialTLS(t testing.TB, to netip.AddrPort, config *tls.Config) {
	t.Helper()
	o.request.Host, o.request.Path = to.String(), "/"
	o.do(t, func() {
		if _, err := o.client.DialTLS(to, netip.Addr{}, 7, config); err != nil {
			t.Error(err)
		}
	})
}

// TestSecureEcho: messages of all lengths come back over TLS, and the close is answered.
func TestSecureEcho(t *testing.T) {
	server, config := secureConfigs(t)
	at := listen(t, func(c *net.TCPConn) {
		s := tls.Server(c, server)
		defer s.Close()
		_, _ = io.WriteString(s, greet(s)+"\r\n")
		proto := frame.New(&frame.Config{MaxMessage: 1 << 20})
		buf := make([]byte, 64<<10)
		for !proto.Done() {
			n, err := s.Read(buf)
			if err != nil {
				return
			}
			proto.Receive(buf[:n])
			for ev := proto.NextEvent(); ev.Kind != frame.NoEvent; ev = proto.NextEvent() {
				if ev.Kind == frame.MessageEvent {
					_, _ = s.Write(frame.AppendFrame(nil, ev.Opcode, ev.Data))
				} else {
					_, _ = s.Write(proto.AppendReply(nil, ev))
				}
			}
		}
	})
	lengths := []int{0, 1, 125, 126, 16_383, 16_384, 65_536, 1 << 20}
	o := &script{}
	next := 0
	send := func(s link) { o.client.Send(s, frame.OpBinary, bytes.Repeat([]byte{7}, lengths[next]), nil) }
	o.upgraded = func(s link, _ *Response) {
		if !s.IsSecure() {
			t.Error("it is not secure")
		}
		send(s)
	}
	o.message = func(s link, _ frame.Opcode, data []byte) {
		if len(data) != lengths[next] {
			t.Errorf("got %d bytes, want %d", len(data), lengths[next])
		}
		if next++; next < len(lengths) {
			send(s)
			return
		}
		o.client.Leave(s, frame.StatusNormalClosure)
	}
	o.run(t, patient)
	o.dialTLS(t, at, config)
	if end := <-o.ends; end != (End{}) || next != len(lengths) {
		t.Errorf("ended by %v after %d messages", end, next)
	}
}

// TestSecureEnds: what is wrong with TLS is told apart from what is wrong with the server
// behind it.
func TestSecureEnds(t *testing.T) {
	server, config := secureConfigs(t)
	old := server.Clone()
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	// over is a server that does the handshake, and then what do says.
	over := func(do func(c *tls.Conn)) func(c *net.TCPConn) {
		return func(c *net.TCPConn) {
			s := tls.Server(c, server)
			do(s)
			await(c)
		}
	}
	const upgraded, hi = "\r\n", "\x82\x02hi"
	for _, tt := range []struct {
		name   string
		server func(c *net.TCPConn)
		config *tls.Config
		want   End // Reason: a part of it
	}{
		{"unknown authority", over(func(c *tls.Conn) { _ = c.Handshake() }), &tls.Config{ServerName: "127.0.0.1"},
			End{Kind: TLSFailed, Reason: "failed to verify certificate"}},
		{"other name", over(func(c *tls.Conn) { _ = c.Handshake() }), &tls.Config{RootCAs: config.RootCAs, ServerName: "other.test"},
			End{Kind: TLSFailed, Reason: "other.test"}},
		{"no TLS", func(c *net.TCPConn) { _, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n"); await(c) }, config,
			End{Kind: TLSFailed, Reason: "does not look like a TLS handshake"}},
		{"version", func(c *net.TCPConn) { _ = tls.Server(c, old).Handshake(); await(c) }, config,
			End{Kind: TLSFailed, Reason: "protocol version"}},
		{"end in the handshake", func(c *net.TCPConn) { _, _ = c.Read(make([]byte, 1<<16)) }, config,
			End{Kind: TLSFailed, Reason: "the server hung up"}},
		{"bad record", over(func(c *tls.Conn) {
			_, _ = io.WriteString(c, greet(c)+upgraded)
			_, _ = c.NetConn().Write([]byte("\x17\x03\x03\x00\x20" + strings.Repeat("x", 32)))
		}), config, End{Kind: TLSFailed, Reason: "not sealed with this key"}},
		{"alert", over(func(c *tls.Conn) {
			_, _ = io.WriteString(c, greet(c)+upgraded)
			_, _ = c.NetConn().Write([]byte("\x15\x03\x03\x00\x02\x02\x28"))
		}), config, End{Kind: TLSFailed, Reason: "record"}},
		{"refusal", over(func(c *tls.Conn) { greet(c); _, _ = io.WriteString(c, "HTTP/1.1 503 X\r\n\r\nlater"); c.Close() }), config,
			End{Kind: Refused, Code: 503}},
		{"no word", over(func(c *tls.Conn) { _, _ = io.WriteString(c, greet(c)+upgraded); c.Close() }), config, End{Kind: Cut}},
		{"truncated", over(func(c *tls.Conn) {
			_, _ = io.WriteString(c, greet(c)+upgraded)
			_ = c.NetConn().(*net.TCPConn).CloseWrite()
		}), config, End{Kind: Cut}},
		{"goodbye", over(func(c *tls.Conn) { _, _ = io.WriteString(c, greet(c)+upgraded+hi+"\x88\x05\x0f\xa1bye"); c.Close() }), config,
			End{Kind: Closed, Code: 4001, Reason: "bye"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			at := listen(t, tt.server)
			o := new(script).run(t, Config{Timeout: time.Hour})
			o.refusals = make(chan Response, 1)
			o.dialTLS(t, at, tt.config)
			got := <-o.ends
			if !strings.Contains(got.Reason, tt.want.Reason) {
				t.Errorf("reason: got %q, want %q", got.Reason, tt.want.Reason)
			}
			if got.Reason = tt.want.Reason; got != tt.want {
				t.Errorf("got %v (%+v), want %v", got, got, tt.want)
			}
		})
	}
}
