package websocket

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	gorilla "github.com/gorilla/websocket"
)

// client is what the tests use of either library.
type client interface {
	WriteMessage(messageType int, data []byte) error
	WriteControl(messageType int, data []byte, deadline time.Time) error
	ReadMessage() (int, []byte, error)
	SetPongHandler(func(string) error)
	Subprotocol() string
	Close() error
}

// TestAsGorilla: before a server of gorilla's, this client and gorilla's see the same, and
// the server sees the same of them.
func TestAsGorilla(t *testing.T) {
	heard := make(chan []string, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/no" {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		up := gorilla.Upgrader{EnableCompression: true, Subprotocols: []string{"b"}}
		c, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close()
		_ = c.WriteControl(gorilla.PingMessage, []byte("there?"), time.Time{})
		var told []string
		c.SetPongHandler(func(data string) error { told = append(told, "pong "+data); return nil })
		for err == nil {
			var kind int
			var data []byte
			if kind, data, err = c.ReadMessage(); err != nil {
				told = append(told, err.Error())
			} else if string(data) == "hang up" {
				break
			} else if code, bye := strings.CutPrefix(string(data), "close "); bye {
				err = c.WriteControl(gorilla.CloseMessage, gorilla.FormatCloseMessage(4001, code), time.Time{})
			} else {
				err = c.WriteMessage(kind, data)
			}
		}
		heard <- told
	}))
	defer s.Close()
	url := "ws" + strings.TrimPrefix(s.URL, "http")
	protocols := []string{"a", "b"}

	for _, deflate := range []bool{false, true} {
		for _, end := range []string{"close why", "hang up", "a close"} {
			said := map[bool][]any{}
			for _, ours := range []bool{true, false} {
				var c client
				var err error
				if ours {
					c, _, err = (&Dialer{EnableCompression: deflate, Subprotocols: protocols}).Dial(url, nil)
				} else {
					c, _, err = (&gorilla.Dialer{EnableCompression: deflate, Subprotocols: protocols}).Dial(url, nil)
				}
				if err != nil {
					t.Fatal(err)
				}
				said[ours] = talk(t, c, end)
				said[ours] = append(said[ours], <-heard)
				c.Close()
			}
			if !reflect.DeepEqual(said[true], said[false]) {
				t.Errorf("deflate %t, %s:\n got %q\nwant %q", deflate, end, said[true], said[false])
			}
		}
	}

	_, resp, err := DefaultDialer.Dial(url+"/no", nil)
	if !errors.Is(err, ErrBadHandshake) || resp.StatusCode != http.StatusForbidden {
		t.Fatalf("refused: got %v, %v", err, resp)
	}
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "no\n" {
		t.Errorf("the body: got %q, %v", body, err)
	}
}

// talk echoes messages of many sizes, ends as it is told, and returns what c said.
func talk(t *testing.T, c client, end string) (said []any) {
	said = append(said, c.Subprotocol())
	c.SetPongHandler(func(data string) error { said = append(said, "pong "+data); return nil })
	if err := c.WriteControl(gorilla.PingMessage, []byte("p"), time.Time{}); err != nil {
		t.Error(err)
	}
	for i, n := range []int{0, 1, 125, 126, 4096, 4097, 65535, 65536, 300_000} {
		kind, text := gorilla.TextMessage+i%2, strings.Repeat("x", n)
		if err := c.WriteMessage(kind, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if got, data, err := c.ReadMessage(); got != kind || string(data) != text || err != nil {
			t.Fatalf("%d bytes: got %d, %d bytes, %v", n, got, len(data), err)
		}
	}
	if end == "a close" {
		said = append(said, c.WriteMessage(gorilla.CloseMessage, gorilla.FormatCloseMessage(4002, "bye")))
	} else {
		said = append(said, c.WriteMessage(gorilla.TextMessage, []byte(end)))
	}
	for range 2 { // the error stays
		_, _, err := c.ReadMessage()
		switch e := err.(type) {
		case *CloseError:
			said = append(said, e.Code, e.Text)
		case *gorilla.CloseError:
			said = append(said, e.Code, e.Text)
		default:
			said = append(said, err)
		}
	}
	if end != "hang up" { // it cannot say so
		said = append(said, c.WriteMessage(gorilla.TextMessage, nil) != nil)
	}
	return said
}
