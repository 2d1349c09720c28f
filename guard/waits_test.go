//go:build linux

package guard

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/server"
	"github.com/usher-ws/usher/upgrade"
)

// halfway serves an application that says half of a message, when it has heard one, and the rest
// when it hears of it. What it hears at the end goes to heard.
func halfway(t *testing.T) (g *Guard, rest chan<- bool, heard <-chan error) {
	t.Helper()
	more, told := make(chan bool), make(chan error, 1)
	return application(t, func(c *websocket.Conn) {
		c.SetCloseHandler(func(int, string) error { return nil })
		if _, _, err := c.ReadMessage(); err != nil {
			told <- err
			return
		}
		_, _ = io.WriteString(c.NetConn(), "\x82\x04ab")
		if <-more {
			_, _ = io.WriteString(c.NetConn(), "cd")
		}
		_, _, err := c.ReadMessage()
		told <- err
	}), more, told
}

// half connects a client that has half of a message.
func half(t *testing.T, url string) *websocket.Conn {
	t.Helper()
	c := connect(t, url)
	_ = c.WriteMessage(websocket.TextMessage, []byte("begin"))
	head := make([]byte, 4)
	if _, err := io.ReadFull(c.NetConn(), head); err != nil || string(head) != "\x82\x04ab" {
		t.Fatalf("heard %q, %v", head, err)
	}
	return c
}

// TestEndWithinFrame: an end of ours waits for the end of the frame that is passed on, whatever it is for,
// and the application hears 1001 or what it has to.
func TestEndWithinFrame(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(srv *server.Server, c *websocket.Conn)
		want string // the client's close frame
	}{
		"drain": {func(srv *server.Server, c *websocket.Conn) {
			go func() { _ = srv.Shutdown(context.Background()) }()
		}, "\x03\xe9draining"},
		"the client breaks the protocol": {func(_ *server.Server, c *websocket.Conn) {
			_, _ = io.WriteString(c.NetConn(), "\x83\x80abcd")
		}, "\x03\xea"},
		"the client's message is too long": {func(_ *server.Server, c *websocket.Conn) {
			_, _ = c.NetConn().Write(fragment(frame.OpText, false, make([]byte, 2*small))[:8])
		}, "\x03\xf1"},
	} {
		srv := &server.Server{MaxMessage: small, Drain: time.Hour, WriteTimeout: time.Hour}
		g, rest, heard := halfway(t)
		url := front(t, g, srv)
		conn := half(t, url)
		before := srv.Stats().Total.BytesIn
		c.end(srv, conn)
		for srv.Stats().Total.BytesIn == before && !srv.Draining() {
			time.Sleep(time.Millisecond)
		}
		rest <- true
		b, err := io.ReadAll(conn.NetConn())
		if err != nil || !strings.HasPrefix(string(b), "cd\x88") || !strings.HasPrefix(string(b[min(4, len(b)):]), c.want) {
			t.Errorf("%s: the client heard %q, %v", name, b, err)
		}
		conn.Close()
		if err := <-heard; !isClose(err, 1001, "") {
			t.Errorf("%s: the application heard %v", name, err)
		}
		if n := srv.Stats().Truncated; n != 0 {
			t.Errorf("%s: %d were truncated", name, n)
		}
	}
}

// TestFrameThatNeverEnds: where the rest of a frame does not come in time the client is cut, and
// counted.
func TestFrameThatNeverEnds(t *testing.T) {
	srv := &server.Server{WriteTimeout: 100 * time.Millisecond}
	g, rest, heard := halfway(t)
	c := half(t, front(t, g, srv))
	_, _ = io.WriteString(c.NetConn(), "\x83\x80abcd")
	if b, err := io.ReadAll(c.NetConn()); err != nil && !strings.Contains(err.Error(), "reset") || len(b) > 0 {
		t.Errorf("the client heard %q, %v", b, err)
	}
	rest <- false
	if err := <-heard; err == nil {
		t.Error("the application heard a message")
	}
	if n := srv.Stats().Truncated; n != 1 {
		t.Errorf("%d were truncated, want 1", n)
	}
}

// listener serves an application that listens only.
func listener(t *testing.T) (g *Guard, heard <-chan error) {
	told := make(chan error, 1)
	return application(t, func(c *websocket.Conn) {
		_, _, err := c.ReadMessage()
		told <- err
	}), told
}

// TestExpiry: when its token expires a client hears 4401, and the application 1001.
func TestExpiry(t *testing.T) {
	g, heard := listener(t)
	exp := time.Now().Add(3 * time.Second) // which is more than it takes to come in
	url := frontAt(t, new(server.Server), server.Route{Relay: g.Relay(), Guards: []upgrade.Guard{{
		OnBeforeUpgrade: func(r *upgrade.Request) (http.Header, error) {
			r.Identity = &upgrade.Identity{Subject: "alice", ExpiresAt: exp}
			return nil, nil
		},
	}}})
	if _, _, err := connect(t, url).ReadMessage(); !isClose(err, 4401, "token_expired") {
		t.Errorf("the client heard %v", err)
	}
	if err := <-heard; !isClose(err, 1001, "") {
		t.Errorf("the application heard %v", err)
	}
	if time.Now().Before(exp) {
		t.Error("it was too early")
	}
}

// TestMaxLifetime: a connection that has lasted for as long as it may ends, for both sides.
func TestMaxLifetime(t *testing.T) {
	g, heard := listener(t)
	g.MaxLifetime = time.Second
	url, began := front(t, g, new(server.Server)), time.Now()
	if _, _, err := connect(t, url).ReadMessage(); !isClose(err, 1001, "max_lifetime") {
		t.Errorf("the client heard %v", err)
	}
	if err := <-heard; !isClose(err, 1001, "") {
		t.Errorf("the application heard %v", err)
	}
	if took := time.Since(began); took < g.MaxLifetime*9/10 {
		t.Errorf("it lasted %v", took)
	}
}

// TestPings: the client is asked whether it is there, and the application hears nothing of its
// answer; but what the application asks reaches the client, and its answer comes back.
func TestPings(t *testing.T) {
	pongs, asked := make(chan string, 100), make(chan bool)
	g := application(t, func(c *websocket.Conn) {
		c.SetPongHandler(func(s string) error { pongs <- s; return nil })
		go func() {
			<-asked
			_ = c.WriteControl(websocket.PingMessage, []byte("app"), time.Time{})
		}()
		_, _, _ = c.ReadMessage()
		close(pongs)
	})
	c := connect(t, front(t, g, &server.Server{PingInterval: 100 * time.Millisecond}))
	pings := make(chan string, 100)
	c.SetPingHandler(func(s string) error {
		pings <- s
		_ = c.WriteControl(websocket.PongMessage, []byte(s), time.Time{})
		if s == "app" {
			return c.WriteMessage(websocket.TextMessage, []byte("end"))
		}
		return nil
	})
	done := make(chan bool)
	go func() {
		defer close(done)
		_, _, _ = c.ReadMessage()
	}()
	for range 3 {
		if got := <-pings; len(got) != 8 {
			t.Errorf("asked %q", got)
		}
	}
	close(asked)
	var all []string
	for got := range pongs {
		all = append(all, got)
	}
	if len(all) != 1 || all[0] != "app" {
		t.Errorf("the application heard %q, want what it asked", all)
	}
	c.Close()
	<-done
}

// TestHalfCloses: a close that the other side does not answer is not waited for longer than the
// write-timeout.
func TestHalfCloses(t *testing.T) {
	over := make(chan bool)
	g := application(t, func(c *websocket.Conn) {
		c.SetCloseHandler(func(int, string) error { return nil })
		if _, b, _ := c.ReadMessage(); string(b) == "close" {
			_ = c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(4000, "bye"), time.Time{})
			_, _ = io.Copy(io.Discard, c.NetConn()) // up to the end, which comes
			return
		}
		<-over
	})
	srv := &server.Server{WriteTimeout: 100 * time.Millisecond}
	url := front(t, g, srv)
	defer close(over)
	c := connect(t, url)
	c.SetCloseHandler(func(int, string) error { return nil })
	_ = c.WriteMessage(websocket.TextMessage, []byte("close"))
	if _, _, err := c.ReadMessage(); !isClose(err, 4000, "bye") { // and is not answered
		t.Errorf("the client heard %v", err)
	}
	if _, err := c.NetConn().Read(make([]byte, 1)); err == nil {
		t.Error("there is more")
	}
	c = connect(t, url)
	_ = c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(4000, "bye"), time.Time{})
	if _, _, err := c.ReadMessage(); !isClose(err, 1005, "") {
		t.Errorf("the client heard %v", err)
	}
}
