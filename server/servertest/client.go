//go:build linux

package servertest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/gobwas/httphead"
	"github.com/gobwas/ws"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/upgrade"
)

// Options are what a client asks for. The zero Options are a program that is no browser,
// and nobody in particular.
type Options struct {
	Header       http.Header // beside those of the handshake: Origin, Cookie, …
	Token        string      // sent as Authorization: Bearer; "" is none
	Subprotocols []string    // in the client's order of preference
	Deflate      bool        // offer permessage-deflate
}

// Client is a WebSocket that was let in, seen from its client.
type Client struct {
	// Conn is what is said: ReadMessage, WriteMessage, Close. It reads messages of any
	// size.
	*upgrade.Conn

	Header      http.Header // of the 101, but for the handshake's own
	Subprotocol string      // that was agreed on; "" for none
	Deflated    bool        // permessage-deflate was agreed on
}

// Refusal is the answer to a client that was not let in: the error of Dial.
type Refusal struct {
	StatusCode int
	Header     http.Header
	Body       []byte
}

// Error says the status and the body.
func (r *Refusal) Error() string {
	return fmt.Sprintf("servertest: refused with %d %s: %s", r.StatusCode, http.StatusText(r.StatusCode), r.Body)
}

// Dial asks for a WebSocket at a path, which may have a query: "/ws/lobby?x=1". The error
// of a client that is not let in is a *Refusal. The connection is closed when the test
// ends, without a word, unless it was before.
func (s *Server) Dial(path string, o Options) (*Client, error) {
	c, refused := &Client{Header: http.Header{}}, (*Refusal)(nil)
	header := http.Header{}
	for name, values := range o.Header {
		header[name] = values
	}
	if o.Token != "" {
		header["Authorization"] = []string{"Bearer " + o.Token}
	}
	d := ws.Dialer{
		NetDial:   s.DialContext,
		Protocols: o.Subprotocols,
		Header:    ws.HandshakeHeaderHTTP(header),
		OnHeader: func(name, value []byte) error {
			c.Header.Add(string(name), string(value))
			return nil
		},
		OnStatusError: func(_ int, _ []byte, answer io.Reader) { refused = read(answer) },
	}
	if o.Deflate {
		d.Extensions = []httphead.Option{deflate}
	}
	conn, ahead, handshake, err := d.Dial(context.Background(), "ws://"+Host+path)
	switch {
	case refused != nil:
		return nil, refused
	case err != nil:
		return nil, fmt.Errorf("servertest: %w", err)
	}
	s.tb.Cleanup(func() { conn.Close() })
	var window frame.Window
	if len(handshake.Extensions) > 0 {
		window, c.Deflated = frame.MaxWindow, true
	}
	c.Subprotocol = handshake.Protocol
	c.Conn = upgrade.NewClientConn(conn, window, early(ahead))
	c.MaxMessage = -1
	return c, nil
}

// deflate is the offer: without client_max_window_bits the server may not limit our
// window, and messages stand for themselves, RFC 7692 §7.1.
var deflate = httphead.NewOption("permessage-deflate", map[string]string{
	"server_no_context_takeover": "", "client_no_context_takeover": "",
})

// read reads a refusal.
func read(answer io.Reader) *Refusal {
	resp, err := http.ReadResponse(bufio.NewReader(answer), nil)
	if err != nil {
		return nil
	}
	defer resp.Body.Close()
	r := &Refusal{StatusCode: resp.StatusCode, Header: resp.Header}
	r.Body, _ = io.ReadAll(resp.Body)
	return r
}

// early returns what the server said behind its 101 and was read with that.
func early(ahead *bufio.Reader) []byte {
	if ahead == nil {
		return nil
	}
	b, _ := ahead.Peek(ahead.Buffered())
	return b
}
