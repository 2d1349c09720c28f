//go:build linux

package interop

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	coder "github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"

	"github.com/usher-ws/usher/client"
	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/stream"
)

// echoes are servers of two libraries that send back what comes.
var echoes = map[string]http.HandlerFunc{
	"gorilla": func(w http.ResponseWriter, r *http.Request) {
		up := gorilla.Upgrader{Subprotocols: []string{"echo"}, CheckOrigin: func(*http.Request) bool { return true }}
		c, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close()
		for {
			kind, data, err := c.ReadMessage()
			if err != nil || c.WriteMessage(kind, data) != nil {
				return
			}
		}
	},
	"coder": func(w http.ResponseWriter, r *http.Request) {
		c, err := coder.Accept(w, r, &coder.AcceptOptions{Subprotocols: []string{"echo"}, InsecureSkipVerify: true})
		if err != nil {
			return
		}
		defer c.CloseNow()
		c.SetReadLimit(-1)
		for {
			kind, data, err := c.Read(r.Context())
			if err != nil || c.Write(r.Context(), kind, data) != nil {
				return
			}
		}
	},
}

// caller is a client.Owner with one connection. It says messages of all lengths, each once
// the one before has come back, and leaves.
type caller struct {
	*testing.T
	client  *client.Client[struct{}]
	host    string
	lengths []int // still to be said
	chosen  string
	end     chan client.End
}

type call = client.Stream[struct{}]

func (o *caller) Request(call) *client.Request {
	return &client.Request{Host: o.host, Path: "/", Subprotocols: "other, echo", Origin: "http://else.where"}
}

func (o *caller) Upgraded(s call, r *client.Response) {
	o.chosen = string(r.Get("sec-websocket-protocol"))
	o.say(s)
}

func (o *caller) say(s call) {
	b := bytes.Repeat([]byte("ö"), o.lengths[0]/2)
	o.client.Send(s, frame.OpText, b[:len(b)/2], b[len(b)/2:])
}

func (o *caller) Message(s call, op frame.Opcode, data []byte) {
	if want := o.lengths[0] / 2 * 2; op != frame.OpText || len(data) != want {
		o.Errorf("got %v of %d bytes, want %d", op, len(data), want)
	}
	if o.lengths = o.lengths[1:]; len(o.lengths) > 0 {
		o.say(s)
		return
	}
	o.client.Leave(s, frame.StatusNormalClosure)
}

func (o *caller) Refused(_ call, r *client.Response) {
	o.Errorf("refused with %d: %s", r.Status, r.Body)
}
func (o *caller) Pong(call)                   {}
func (o *caller) Closed(_ call, e client.End) { o.end <- e }

// TestClient: package client with the servers of other libraries.
func TestClient(t *testing.T) {
	for name, echo := range echoes {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(echo)
			defer srv.Close()
			o := &caller{
				T: t, host: srv.Listener.Addr().String(), end: make(chan client.End, 1),
				lengths: []int{0, 1, 125, 126, 65_535, 65_536, 1 << 20},
			}
			engine, err := stream.New(stream.Config[client.Extra]{Loops: 1, ReadAlways: true, Weigh: client.Weigh},
				func(l *client.Loop[struct{}]) stream.Handler[client.Session[struct{}], client.Extra] {
					o.client = client.New(l, o, client.Config{Timeout: time.Hour})
					return o.client
				})
			if err != nil {
				t.Fatal(err)
			}
			defer engine.Close()
			if err := engine.Start(); err != nil {
				t.Fatal(err)
			}
			err = engine.Loops()[0].Post(func() {
				if _, err := o.client.Dial(netip.MustParseAddrPort(o.host), netip.Addr{}, struct{}{}); err != nil {
					t.Error(err)
					o.end <- client.End{Kind: client.CannotConnect}
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			if end := <-o.end; end != (client.End{}) || len(o.lengths) > 0 || o.chosen != "echo" {
				t.Errorf("ended by %v, %d messages not said, subprotocol %q", end, len(o.lengths), o.chosen)
			}
		})
	}
}
