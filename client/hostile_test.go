//go:build linux

package client

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/usher-ws/usher/frame"
)

// greet reads a request and returns the head of the 101 that fits it.
func greet(c io.Reader) string {
	r, err := http.ReadRequest(bufio.NewReader(c))
	if err != nil {
		return ""
	}
	return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
		acceptOf(r.Header.Get("Sec-WebSocket-Key")) + "\r\n"
}

// await reads until the client has gone.
func await(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) }

// TestHostile: servers that do wrong what they can.
func TestHostile(t *testing.T) {
	say := func(what ...string) func(c *net.TCPConn) {
		return func(c *net.TCPConn) {
			head := greet(c)
			for _, w := range what {
				_, _ = io.WriteString(c, strings.ReplaceAll(w, "{head}", head))
			}
			await(c)
		}
	}
	leave := func(what string) func(c *net.TCPConn) {
		return func(c *net.TCPConn) {
			_, _ = io.WriteString(c, strings.ReplaceAll(what, "{head}", greet(c)))
			_ = c.CloseWrite()
			await(c)
		}
	}
	for _, tt := range []struct {
		name   string
		server func(c *net.TCPConn)
		want   End
	}{
		{"another protocol", say("SSH-2.0-OpenSSH\r\n\r\n"), End{Kind: BadAnswer}},
		{"a head without an end", func(c *net.TCPConn) {
			greet(c)
			_, err := io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\n")
			for err == nil {
				_, err = io.WriteString(c, "X: "+strings.Repeat("x", 1000)+"\r\n")
			}
		}, End{Kind: BadAnswer}},
		{"interim answers without an end", func(c *net.TCPConn) {
			greet(c)
			var err error
			for err == nil {
				_, err = io.WriteString(c, strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 100))
			}
		}, End{Kind: BadAnswer}},
		{"the accept of another", say("HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
			acceptOf("AAAAAAAAAAAAAAAAAAAAAA==") + "\r\n\r\n"), End{Kind: BadAnswer, Code: 101}},
		{"an extension", say("{head}Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"), End{Kind: BadAnswer, Code: 101}},
		{"a subprotocol", say("{head}Sec-WebSocket-Protocol: chat\r\n\r\n"), End{Kind: BadAnswer, Code: 101}},
		{"nothing", leave(""), End{Kind: NoAnswer}},
		{"half an answer", leave("HTTP/1.1 101 Switch"), End{Kind: NoAnswer}},
		{"a refusal that ends with the stream", leave("HTTP/1.1 503 X\r\n\r\nlater"), End{Kind: Refused, Code: 503}},
		{"a refusal that is half there", leave("HTTP/1.1 503 X\r\nContent-Length: 10\r\n\r\nlater"), End{Kind: Refused, Code: 503}},
		{"a masked frame", say("{head}\r\n\x81\x82\x00\x00\x00\x00hi"), End{Kind: Broken, Code: 1002}},
		{"a reserved bit", say("{head}\r\n", "\xC1\x02hi"), End{Kind: Broken, Code: 1002}},
		{"no text", say("{head}\r\n\x81\x02\xff\xfe"), End{Kind: Broken, Code: 1007}},
		{"a message that is too long", say("{head}\r\n\x82\x7e\x04\x01"), End{Kind: Broken, Code: 1009}},
		{"frames and an end behind them", say("{head}\r\n\x81\x02hi\x88\x05\x0f\xa1bye"), End{Kind: Closed, Code: 4001, Reason: "bye"}},
		{"half a frame", leave("{head}\r\n\x81\x05hel"), End{Kind: Cut}},
		{"no word", leave("{head}\r\n"), End{Kind: Cut}},
		{"a reset", func(c *net.TCPConn) {
			_, _ = io.WriteString(c, greet(c)+"\r\n\x81\x02hi")
			_, _ = io.ReadFull(c, make([]byte, 1)) // the client has taken it
			_ = c.SetLinger(0)
		}, End{Kind: Reset, Code: int(syscall.ECONNRESET)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			at := listen(t, tt.server)
			o := &script{}
			o.message = func(s link, op frame.Opcode, data []byte) {
				if string(data) != "hi" {
					t.Errorf("message %q", data)
				}
				o.client.Send(s, op, data, nil)
			}
			o.run(t, Config{Timeout: time.Hour, MaxMessage: 1024})
			o.dial(t, at)
			if got := <-o.ends; got != tt.want {
				t.Errorf("got %v (%+v), want %v", got, got, tt.want)
			}
		})
	}
}

// TestPatience: whatever a server does not do is waited for for so long.
func TestPatience(t *testing.T) {
	for _, tt := range []struct {
		name   string
		server func(c *net.TCPConn)
		want   Kind
	}{
		{"no answer", await, NoAnswer},
		{"half an answer", func(c *net.TCPConn) { _, _ = io.WriteString(c, "HTTP/1.1 101"); await(c) }, NoAnswer},
		{"no goodbye", func(c *net.TCPConn) { _, _ = io.WriteString(c, greet(c)+"\r\n\x89\x00\x81\x02hi"); await(c) }, NoGoodbye},
	} {
		t.Run(tt.name, func(t *testing.T) {
			at := listen(t, tt.server)
			o := &script{}
			// The deadline may come before the greeting does on a busy machine: it is set
			// short only when there is nothing else to wait for.
			o.upgraded = func(s link, _ *Response) {
				o.client.timeout = time.Nanosecond
				o.client.Leave(s, frame.StatusNormalClosure)
			}
			cfg := patient
			if tt.want == NoAnswer {
				cfg.Timeout = time.Nanosecond
			}
			o.run(t, cfg)
			o.dial(t, at)
			if got := <-o.ends; got.Kind != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// TestCannotConnect: nobody listens there.
func TestCannotConnect(t *testing.T) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := ln.Addr().(*net.TCPAddr).AddrPort()
	ln.Close()
	o := new(script).run(t, patient)
	o.do(t, func() {
		if _, err := o.client.Dial(at, at.Addr(), 1); err != nil {
			o.ends <- End{Kind: CannotConnect, Code: Errno(err)}
		}
	})
	if got, want := <-o.ends, (End{Kind: CannotConnect, Code: int(syscall.ECONNREFUSED)}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}
