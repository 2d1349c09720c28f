// Package websocket is a client for tests, in the names of gorilla/websocket and with its
// ways: it fragments what is longer than its buffer, answers pings and closes while it
// reads, and takes the end of a connection for a close with 1006. It needs nothing but
// gobwas/ws, which a program that embeds the server has anyway: what the tests of a package
// import, go mod tidy fetches for every program that embeds the package.
package websocket

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// ErrBadHandshake is Dial's when the server answers with anything but a good 101.
var ErrBadHandshake = errors.New("websocket: bad handshake")

// noTakeover is the one way in which messages are compressed.
const noTakeover = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

// Dialer opens connections. Its zero value is ready to use.
type Dialer struct {
	NetDial        func(network, addr string) (net.Conn, error)
	NetDialContext func(ctx context.Context, network, addr string) (net.Conn, error) // preferred

	Subprotocols []string // offered

	// EnableCompression offers permessage-deflate without context takeover. If the server
	// agrees, messages are sent compressed.
	EnableCompression bool

	// In bytes, 4096 for 0. A longer message is sent in fragments of WriteBufferSize.
	ReadBufferSize, WriteBufferSize int
}

// DefaultDialer is a Dialer without wishes.
var DefaultDialer = &Dialer{}

// Dial is DialContext without a context.
func (d *Dialer) Dial(rawURL string, header http.Header) (*Conn, *http.Response, error) {
	return d.DialContext(context.Background(), rawURL, header)
}

// DialContext opens a connection to a URL of ws, with more lines in the header of the
// request. The context ends dialling, not the handshake. If the error is ErrBadHandshake, the
// response is the server's, with the first KiB of its body.
func (d *Dialer) DialContext(ctx context.Context, rawURL string, header http.Header) (*Conn, *http.Response, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, nil, err
	}
	if u.Scheme != "ws" {
		return nil, nil, errors.New("websocket: the scheme is not ws")
	}
	u.Scheme = "http"
	addr := u.Host
	if u.Port() == "" {
		addr = net.JoinHostPort(u.Hostname(), "80")
	}
	nc, err := d.connect(ctx, addr)
	if err != nil {
		return nil, nil, err
	}
	c, resp, err := d.handshake(nc, u, header)
	if err != nil {
		nc.Close()
		return nil, resp, err
	}
	return c, resp, nil
}

func (d *Dialer) connect(ctx context.Context, addr string) (net.Conn, error) {
	switch {
	case d.NetDialContext != nil:
		return d.NetDialContext(ctx, "tcp", addr)
	case d.NetDial != nil:
		return d.NetDial("tcp", addr)
	}
	return new(net.Dialer).DialContext(ctx, "tcp", addr)
}

func (d *Dialer) handshake(nc net.Conn, u *url.URL, header http.Header) (*Conn, *http.Response, error) {
	nonce := make([]byte, 16)
	_, _ = rand.Read(nonce)
	key := base64.StdEncoding.EncodeToString(nonce)
	req := &http.Request{Method: "GET", URL: u, Host: u.Host, Header: d.header(key, header)}
	if h := header.Get("Host"); h != "" {
		req.Host = h
	}
	if err := req.Write(nc); err != nil {
		return nil, nil, err
	}
	br := bufio.NewReaderSize(nc, orDefault(d.ReadBufferSize))
	resp, err := http.ReadResponse(br, req)
	if err != nil {
		return nil, nil, err
	}
	extensions := strings.Join(resp.Header.Values("Sec-WebSocket-Extensions"), ", ")
	protocol := resp.Header.Get("Sec-WebSocket-Protocol")
	if resp.StatusCode != http.StatusSwitchingProtocols ||
		!strings.EqualFold(resp.Header.Get("Upgrade"), "websocket") ||
		!strings.EqualFold(resp.Header.Get("Connection"), "upgrade") ||
		resp.Header.Get("Sec-WebSocket-Accept") != acceptOf(key) ||
		protocol != "" && !slices.Contains(d.Subprotocols, protocol) && !slices.Contains(header.Values("Sec-WebSocket-Protocol"), protocol) ||
		extensions != "" && (extensions != noTakeover || !d.EnableCompression) {
		body := make([]byte, 1024)
		n, _ := io.ReadFull(resp.Body, body)
		resp.Body = io.NopCloser(bytes.NewReader(body[:n]))
		return nil, resp, ErrBadHandshake
	}
	resp.Body = http.NoBody
	return newConn(nc, br, orDefault(d.WriteBufferSize), extensions != "", protocol), resp, nil
}

func (d *Dialer) header(key string, more http.Header) http.Header {
	h := http.Header{
		"Upgrade": {"websocket"}, "Connection": {"Upgrade"},
		"Sec-WebSocket-Key": {key}, "Sec-WebSocket-Version": {"13"},
	}
	if len(d.Subprotocols) > 0 {
		h["Sec-WebSocket-Protocol"] = []string{strings.Join(d.Subprotocols, ", ")}
	}
	if d.EnableCompression {
		h["Sec-WebSocket-Extensions"] = []string{noTakeover}
	}
	for k, v := range more {
		if k != "Host" {
			h[k] = v
		}
	}
	return h
}

func acceptOf(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

func orDefault(size int) int {
	if size == 0 {
		return 4096
	}
	return size
}
