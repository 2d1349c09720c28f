package interop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	coder "github.com/coder/websocket"
	"github.com/gobwas/httphead"
	"github.com/gobwas/ws"
	gorilla "github.com/gorilla/websocket"
	"github.com/lxzan/gws"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/upgrade"
)

// closers are clients of three libraries. They close with 4001 "enough" if they shall, wait
// for the server to close in any case, and return what they were told.
var closers = map[string]func(t *testing.T, url string, first bool) (code int, reason string){
	"gorilla": func(t *testing.T, url string, first bool) (int, string) {
		c, _, err := gorilla.DefaultDialer.Dial(url, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if first {
			_ = c.WriteMessage(gorilla.CloseMessage, gorilla.FormatCloseMessage(4001, "enough"))
		}
		_, _, err = c.ReadMessage()
		var bye *gorilla.CloseError
		if !errors.As(err, &bye) {
			t.Fatal(err)
		}
		return bye.Code, bye.Text
	},
	"coder": func(t *testing.T, url string, first bool) (int, string) {
		transport := &http.Transport{}
		defer transport.CloseIdleConnections()
		c, _, err := coder.Dial(context.Background(), url, &coder.DialOptions{HTTPClient: &http.Client{Transport: transport}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.CloseNow()
		if first {
			if err := c.Close(4001, "enough"); err != nil {
				t.Errorf("coder's Close: %v", err)
			}
			return 4001, "" // it has seen that the codes agree
		}
		_, _, err = c.Read(context.Background())
		var bye coder.CloseError
		if !errors.As(err, &bye) {
			t.Fatal(err)
		}
		return int(bye.Code), bye.Reason
	},
	"gws": func(t *testing.T, url string, first bool) (int, string) {
		r := &gwsReader{messages: make(chan []byte, 1), closed: make(chan error, 1)}
		c, _, err := gws.NewClient(r, &gws.ClientOption{Addr: url})
		if err != nil {
			t.Fatal(err)
		}
		if first {
			_ = c.WriteClose(4001, []byte("enough")) // and hangs up, so that nobody hears the answer
			return 4001, ""
		}
		c.ReadLoop()
		var bye *gws.CloseError
		if err := <-r.closed; !errors.As(err, &bye) {
			t.Fatal(err)
		}
		return int(bye.Code), string(bye.Reason)
	},
}

// TestForeignClientsClose: clients of three libraries close, and are closed.
func TestForeignClientsClose(t *testing.T) {
	t.Parallel()
	for name, dial := range closers {
		for _, first := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/%t", name, first), func(t *testing.T) {
				t.Parallel()
				heard := make(chan string, 1)
				addr := serve(t, openDoor, func(conn net.Conn, o outcome) {
					c := upgrade.NewConn(conn, o.r, o.early)
					if first {
						heard <- echo(c)
					} else {
						heard <- "nothing"
					}
					if err := c.Close(4002, "go"); err != nil {
						t.Errorf("Close: %v", err)
					}
				})
				code, reason := dial(t, "ws://"+addr, first)
				wantCode, wantReason, wantHeard := 4002, "go", "nothing"
				if first {
					wantCode, wantReason, wantHeard = 4001, "", fmt.Sprintf("[close 4001 %x]", "enough")
				}
				if got := <-heard; code != wantCode || reason != wantReason || got != wantHeard {
					t.Errorf("the client %d %q, the server %s", code, reason, got)
				}
			})
		}
	}
}

// servers of two libraries echo after a greeting, until a message tells them to close. They
// return what they were closed with.
var servers = map[string]func(w http.ResponseWriter, req *http.Request, deflate bool) (code int, err error){
	"gorilla": func(w http.ResponseWriter, req *http.Request, deflate bool) (int, error) {
		c, err := (&gorilla.Upgrader{EnableCompression: deflate}).Upgrade(w, req, nil)
		if err != nil {
			return 0, err
		}
		defer c.Close()
		err = c.WriteMessage(gorilla.TextMessage, []byte("hello"))
		for err == nil {
			var kind int
			var msg []byte
			kind, msg, err = c.ReadMessage()
			var bye *gorilla.CloseError
			if errors.As(err, &bye) {
				return bye.Code, nil
			}
			if string(msg) == "close" {
				_ = c.WriteMessage(gorilla.CloseMessage, gorilla.FormatCloseMessage(4002, "go"))
			} else if err == nil {
				err = c.WriteMessage(kind, msg)
			}
		}
		return 0, err
	},
	"coder": func(w http.ResponseWriter, req *http.Request, deflate bool) (int, error) {
		o := &coder.AcceptOptions{}
		if deflate {
			o.CompressionMode = coder.CompressionNoContextTakeover
		}
		c, err := coder.Accept(w, req, o)
		if err != nil {
			return 0, err
		}
		defer c.CloseNow()
		c.SetReadLimit(-1)
		err = c.Write(req.Context(), coder.MessageText, []byte("hello"))
		for err == nil {
			var kind coder.MessageType
			var msg []byte
			kind, msg, err = c.Read(req.Context())
			var bye coder.CloseError
			if errors.As(err, &bye) {
				return int(bye.Code), nil
			}
			if string(msg) == "close" {
				return 4002, c.Close(4002, "go")
			} else if err == nil {
				err = c.Write(req.Context(), kind, msg)
			}
		}
		return 0, err
	},
}

// TestForeignServers: the client's role, over connections that gobwas/ws dialled, with
// servers of two libraries.
func TestForeignServers(t *testing.T) {
	t.Parallel()
	for name, accept := range servers {
		for _, deflate := range []bool{false, true} {
			for _, first := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%t/%t", name, deflate, first), func(t *testing.T) {
					t.Parallel()
					ended := make(chan string, 1)
					s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
						code, err := accept(w, req, deflate)
						ended <- fmt.Sprint(code, err)
					}))
					defer s.Close()
					talk(t, dialGobwas(t, "ws"+strings.TrimPrefix(s.URL, "http"), deflate), first)
					want := "4002 <nil>"
					if first {
						want = "4003 <nil>"
					}
					if got := <-ended; got != want {
						t.Errorf("the server ended with %s, want %s", got, want)
					}
				})
			}
		}
	}
}

// dialGobwas makes a Conn of what gobwas/ws dials.
func dialGobwas(t *testing.T, url string, deflate bool) *upgrade.Conn {
	var dialer ws.Dialer
	window := frame.Window(0)
	if deflate {
		window = frame.MaxWindow
		dialer.Extensions = []httphead.Option{httphead.NewOption("permessage-deflate", map[string]string{
			"server_no_context_takeover": "", "client_no_context_takeover": "",
		})}
	}
	conn, br, hs, err := dialer.Dial(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	if (len(hs.Extensions) == 1) != deflate {
		t.Fatalf("agreed on %s", hs.Extensions)
	}
	var early []byte
	if br != nil {
		early, _ = br.Peek(br.Buffered())
	}
	c := upgrade.NewClientConn(conn, window, early)
	if br != nil {
		_, _ = br.Discard(len(early))
		ws.PutReader(br) // for the next, who writes to it
	}
	return c
}

// talk hears the greeting and echoes, and closes or is closed.
func talk(t *testing.T, c *upgrade.Conn, first bool) {
	c.MaxMessage = -1
	if _, msg, err := c.ReadMessage(); string(msg) != "hello" || err != nil {
		t.Fatalf("greeted with %q, %v", msg, err)
	}
	for _, n := range []int{0, 1, 125, 126, 4096, 65535, 65536, 1 << 20} {
		want := bytes.Repeat([]byte("é"), n/2)
		if err := c.WriteMessage(frame.OpText, want); err != nil {
			t.Fatal(err)
		}
		if op, got, err := c.ReadMessage(); op != frame.OpText || !bytes.Equal(got, want) || err != nil {
			t.Fatalf("%d bytes: %v, %d bytes, %v", n, op, len(got), err)
		}
	}
	if !first {
		_ = c.WriteMessage(frame.OpText, []byte("close"))
		_, msg, err := c.ReadMessage()
		if err == nil {
			t.Errorf("heard %q", msg)
		} else if got := ending(err); got != fmt.Sprintf("[close 4002 %x]", "go") {
			t.Errorf("heard %s", got)
		}
	}
	if err := c.Close(4003, "enough"); err != nil {
		t.Errorf("Close: %v", err)
	}
}
