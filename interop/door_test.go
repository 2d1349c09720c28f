package interop

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	coder "github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"

	"github.com/usher-ws/usher/upgrade"
)

// hello is the frame every accepted client of the tests is sent.
const hello = "\x81\x05hello"

// mux answers at /ws/{room} through u and reports each outcome.
func mux(u *upgrade.Upgrader, then func(o outcome)) http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("/ws/{room}", func(w http.ResponseWriter, req *http.Request) {
		conn, r, early, err := u.UpgradeHTTP(w, req)
		then(outcome{r, early, err})
		if err == nil {
			_, _ = io.WriteString(conn, hello)
			_, _ = io.Copy(io.Discard, conn)
			conn.Close()
		}
	})
	return m
}

// start serves h without keeping hijacked connections in the way of Close.
func start(t *testing.T, h http.Handler) (url string) {
	t.Helper()
	var wg sync.WaitGroup
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		wg.Add(1)
		defer wg.Done()
		h.ServeHTTP(w, req)
	}))
	t.Cleanup(func() { s.Close(); wg.Wait() })
	return s.URL
}

func authDoor() *upgrade.Upgrader {
	return &upgrade.Upgrader{Guards: []upgrade.Guard{upgrade.Bearer(keys)}, Subprotocols: []string{"chat.v1"}}
}

func TestForeignClients(t *testing.T) {
	t.Parallel()
	var rooms sync.Map
	base := "ws" + strings.TrimPrefix(start(t, mux(authDoor(), func(o outcome) {
		if o.err == nil {
			rooms.Store(o.r.PathValue("room"), o.r.Identity.Subject)
		}
	})), "http")
	good := http.Header{"Authorization": {"Bearer " + goodToken("alice")}}

	for client, dial := range map[string]func(url string, h http.Header) (string, *http.Response, error){
		"gorilla": dialGorilla, "coder": dialCoder,
	} {
		message, resp, err := dial(base+"/ws/"+client, good)
		if err != nil || message != "hello" || resp.Header.Get("Sec-Websocket-Protocol") != "chat.v1" {
			t.Errorf("%s: %v, %q, %v", client, err, message, resp)
		}
		if who, _ := rooms.Load(client); who != "alice" {
			t.Errorf("%s: %v came in", client, who)
		}
		_, resp, err = dial(base+"/ws/"+client, nil)
		if err == nil || resp == nil || resp.StatusCode != 401 {
			t.Fatalf("%s: %v, %v", client, err, resp)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || !strings.Contains(string(body), `"code":"token_missing"`) || resp.Header.Get("Www-Authenticate") != "Bearer" {
			t.Errorf("%s: %v, %q, %v", client, err, body, resp.Header)
		}
	}
}

func dialGorilla(url string, h http.Header) (string, *http.Response, error) {
	d := gorilla.Dialer{Subprotocols: []string{"chat.v1"}}
	c, resp, err := d.Dial(url, h)
	if err != nil {
		return "", resp, err
	}
	defer c.Close()
	_, b, err := c.ReadMessage()
	return string(b), resp, err
}

func dialCoder(url string, h http.Header) (string, *http.Response, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	c, resp, err := coder.Dial(ctx, url, &coder.DialOptions{
		HTTPHeader: h, Subprotocols: []string{"chat.v1"}, HTTPClient: &http.Client{Transport: transport},
	})
	if err != nil {
		return "", resp, err
	}
	defer c.CloseNow()
	_, b, err := c.Read(ctx)
	return string(b), resp, err
}

// gorillaHello and coderHello are handlers of other libraries behind the door: they
// greet by name and echo one message.
var gorillaHello = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
	up := gorilla.Upgrader{Subprotocols: []string{"chat.v1", "bearer"}, CheckOrigin: func(*http.Request) bool { return true }}
	c, err := up.Upgrade(w, req, nil)
	if err != nil {
		return
	}
	defer c.Close()
	_ = c.WriteMessage(gorilla.TextMessage, []byte(upgrade.FromContext(req.Context()).Identity.Subject))
	if kind, b, err := c.ReadMessage(); err == nil {
		_ = c.WriteMessage(kind, b)
	}
})

var coderHello = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
	c, err := coder.Accept(w, req, &coder.AcceptOptions{Subprotocols: []string{"chat.v1", "bearer"}, InsecureSkipVerify: true})
	if err != nil {
		return
	}
	defer c.CloseNow()
	ctx := context.WithoutCancel(req.Context())
	_ = c.Write(ctx, coder.MessageText, []byte(upgrade.FromContext(ctx).Identity.Subject))
	if kind, b, err := c.Read(ctx); err == nil {
		_ = c.Write(ctx, kind, b)
	}
})

// TestHandlerForeign: our door before the handlers of others, their clients
// before our door.
func TestHandlerForeign(t *testing.T) {
	t.Parallel()
	alice := goodToken("alice")
	for server, next := range map[string]http.Handler{"gorilla": gorillaHello, "coder": coderHello} {
		base := "ws" + strings.TrimPrefix(start(t, authDoor().Handler(next)), "http")
		for client, dial := range map[string]func(url string, h http.Header) (string, *http.Response, error){
			"gorilla": dialGorilla, "coder": dialCoder,
		} {
			message, resp, err := dial(base+"/ws", http.Header{"Authorization": {"Bearer " + alice}})
			if err != nil || message != "alice" || resp.Header.Get("Sec-Websocket-Protocol") != "chat.v1" {
				t.Errorf("%s to %s: %v, %q, %v", client, server, err, message, resp)
			}
			_, resp, err = dial(base+"/ws?token=x", nil)
			if err == nil || resp == nil || resp.StatusCode != 401 {
				t.Fatalf("%s to %s: %v, %v", client, server, err, resp)
			}
			if body, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(body), `"code":"token_invalid"`) {
				t.Errorf("%s to %s: %v, %q", client, server, err, body)
			}
		}
		c, resp, err := (&gorilla.Dialer{Subprotocols: []string{"bearer", alice}}).Dial(base+"/ws", nil)
		if err != nil || resp.Header.Get("Sec-Websocket-Protocol") != "bearer" {
			t.Fatalf("%s: %v, %v for a token among the protocols", server, err, resp)
		}
		c.Close()
	}
}

// TestExpiryBehindHandler: what docs/EMBEDDING.md tells others to do when a token expires,
// which the door does not see.
func TestExpiryBehindHandler(t *testing.T) {
	t.Parallel()
	id := &upgrade.Identity{Subject: "alice", ExpiresAt: time.Now().Add(100 * time.Millisecond)}
	addr := start(t, (&upgrade.Upgrader{Guards: []upgrade.Guard{upgrade.Bearer(fixed{id})}}).Handler(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		conn, err := new(gorilla.Upgrader).Upgrade(w, req, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		who := upgrade.FromContext(req.Context()).Identity
		expired := gorilla.FormatCloseMessage(4401, "token_expired")
		defer time.AfterFunc(time.Until(who.ExpiresAt), func() {
			_ = conn.WriteControl(gorilla.CloseMessage, expired, time.Now().Add(time.Second))
			_ = conn.SetReadDeadline(time.Now().Add(time.Second))
		}).Stop()
		for err == nil {
			_, _, err = conn.ReadMessage()
		}
	})))
	c, _, err := gorilla.DefaultDialer.Dial("ws"+strings.TrimPrefix(addr, "http"), http.Header{"Authorization": {"Bearer x"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, _, err := c.ReadMessage(); !gorilla.IsCloseError(err, 4401) {
		t.Errorf("got %v, want 4401", err)
	}
}
