//go:build linux

package server

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/usher-ws/usher/internal/websocket"
	"github.com/usher-ws/usher/upgrade/forwardauth"
)

// TestForwardAuth: a service decides for a route, while the loop goes on; quotas
// come back however it ends.
func TestForwardAuth(t *testing.T) {
	asked, taken := make(chan struct{}, 1), make(chan struct{}, 1)
	decide := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch uri := req.Header.Get("X-Original-URI"); {
		case strings.HasSuffix(uri, "?ticket=good"):
			w.Header().Set("X-Usher-Sub", "alice")
		case strings.HasSuffix(uri, "?ticket=slow"):
			asked <- struct{}{}
			<-req.Context().Done()
			taken <- struct{}{}
		default:
			w.WriteHeader(404)
			fmt.Fprint(w, "who?")
		}
	}))
	defer decide.Close()
	auth, err := forwardauth.New(decide.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer auth.Close()
	s := &Server{Loops: 1, MaxConnsPerIP: 2, MaxConnsPerUser: 1}
	s.Route("/ws", Route{Authorize: auth.Authorize, Message: func(c Conn, m Message) error {
		return c.Send(m.Opcode, append([]byte(c.Identity().Subject+": "), m.Data...))
	}})
	addr := start(t, s)

	c := dial(t, addr, "/ws?ticket=good")
	gone, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(gone, upgradeHead, "/ws?ticket=slow")
	<-asked
	say(t, c, "hi") // the loop is not waiting
	if got := read(t, c); got != "alice: hi" {
		t.Errorf("got %q", got)
	}
	gone.Close()
	<-taken
	eventually(t, "the place of who has gone is free", func() bool { return s.asking.InUse() == 0 && s.total() == 1 })

	for query, want := range map[string]int{"?ticket=bad": 404, "?ticket=good": 429} { // one alice is enough
		_, resp, err := websocket.DefaultDialer.Dial("ws://"+addr+"/ws"+query, nil)
		if err == nil || resp == nil || resp.StatusCode != want {
			t.Fatalf("%s: got %v %v, want %d", query, resp, err, want)
		}
		var body [64]byte
		if n, _ := resp.Body.Read(body[:]); want == 404 && string(body[:n]) != "who?" {
			t.Errorf("got %q", body[:n])
		}
	}
	late := &Server{HandshakeTimeout: 3 * time.Second}
	late.Route("/ws", Route{Authorize: auth.Authorize})
	_, resp, err := websocket.DefaultDialer.Dial("ws://"+start(t, late)+"/ws?ticket=slow", nil)
	if err == nil || resp == nil || resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("got %v %v, want 503 and Retry-After", resp, err)
	}
	<-taken
}
