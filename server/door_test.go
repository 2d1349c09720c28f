//go:build linux

package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/usher-ws/usher/internal/websocket"
	"github.com/usher-ws/usher/upgrade"
)

// knock sends a request head and returns the answer, whole.
func knock(t *testing.T, addr, head string) *http.Response {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Hour))
	fmt.Fprint(c, head)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("%v after %q", err, head)
	}
	b, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	resp.Body = io.NopCloser(strings.NewReader(string(b)))
	return resp
}

// wish is what a test's route keeps of a request.
type wish struct{ query, agent string }

// TestKeep: what a route keeps of a request is there when the connection opens, also
// when an authorizer was asked elsewhere, and outlives the request.
func TestKeep(t *testing.T) {
	keep := func(r *upgrade.Request) any {
		if len(r.RawQuery()) == 0 {
			return nil
		}
		return wish{string(r.RawQuery()), string(r.Header("User-Agent"))}
	}
	open := func(c Conn) error { return c.Send(1, fmt.Appendf(nil, "%+v", c.Data())) }
	message := func(c Conn, m Message) error {
		if string(m.Data) == "other" {
			c.SetData("other")
		}
		return c.Send(1, fmt.Appendf(nil, "%+v", c.Data()))
	}
	s := &Server{Loops: 1}
	s.Route("/now", Route{Keep: keep, Open: open, Message: message})
	s.Route("/later", Route{Keep: keep, Open: open, Message: message, Authorize: func(context.Context, *upgrade.Request) error { return nil }})
	s.Route("/broken", Route{Keep: func(*upgrade.Request) any { panic("keep") }, Authorize: func(context.Context, *upgrade.Request) error { return nil }})
	s.Route("/broken/now", Route{Keep: func(*upgrade.Request) any { panic("keep") }})
	s.MaxConnsPerIP = 2
	addr := start(t, s)
	for _, path := range []string{"/now", "/later"} {
		c, _, err := websocket.DefaultDialer.Dial("ws://"+addr+path+"?lang=fa&since=7", http.Header{"User-Agent": {"test/1"}})
		if err != nil {
			t.Fatal(err)
		}
		other := dial(t, addr, path) // its request lies where the first one did
		const want = "{query:lang=fa&since=7 agent:test/1}"
		if got := read(t, c); got != want {
			t.Errorf("%s: in Open: got %s, want %s", path, got, want)
		}
		say(t, c, "hi")
		if got := read(t, c); got != want {
			t.Errorf("%s: in Message: got %s, want %s", path, got, want)
		}
		say(t, c, "other")
		if got := read(t, c); got != "other" {
			t.Errorf("%s: after SetData: got %s", path, got)
		}
		if got := read(t, other); got != "<nil>" {
			t.Errorf("%s: kept nothing: got %s", path, got)
		}
		c.Close()
		other.Close()
		eventually(t, "both are gone", func() bool { return s.total() == 0 })
	}
	for range 3 { // the quotas come back
		for _, path := range []string{"/broken", "/broken/now"} {
			if resp := knock(t, addr, fmt.Sprintf(upgradeHead, path)); resp.StatusCode != 500 {
				t.Errorf("%s: got %d, want 500", path, resp.StatusCode)
			}
		}
	}
}

// TestMaxAuthorize: one question at a time, and the next is told to come back.
func TestMaxAuthorize(t *testing.T) {
	asked, answer := make(chan struct{}, 1), make(chan struct{})
	s := &Server{Loops: 1, MaxAuthorize: 1}
	s.Route("/ws", Route{Authorize: func(context.Context, *upgrade.Request) error {
		asked <- struct{}{}
		<-answer
		return errors.New("no")
	}})
	addr := start(t, s)
	first, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	fmt.Fprintf(first, upgradeHead, "/ws")
	<-asked
	if resp := knock(t, addr, fmt.Sprintf(upgradeHead, "/ws")); resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("got %d %v, want 503 with Retry-After", resp.StatusCode, resp.Header)
	}
	close(answer)
	for _, c := range []struct{ set, want int }{{0, 1024}, {7, 7}, {-1, 0}} {
		s := &Server{Loops: 1, MaxAuthorize: c.set}
		start(t, s)
		if s.authorizing.Max != c.want {
			t.Errorf("%d: got %d, want %d", c.set, s.authorizing.Max, c.want)
		}
	}
}

// TestMaxHead: the cap of a head is a setting, whether it comes in one piece or not, for
// routes and for the Handler.
func TestMaxHead(t *testing.T) {
	for set, limit := range map[int]int{0: 16 << 10, 2048: 2048, 100 << 10: 100 << 10, 1 << 20: 1 << 20} {
		s := &Server{Loops: 1, MaxHead: set, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, r.Header.Get("X-Fill")[:3])
		})}
		s.Route("/ws", Route{})
		addr := start(t, s)
		for _, path := range []string{"/ws", "/other"} {
			for _, over := range []int{0, 1} {
				head := fmt.Sprintf(upgradeHead, path)
				if path == "/other" {
					head = "GET /other HTTP/1.1\r\nHost: h\r\n\r\n"
				}
				head = strings.TrimSuffix(head, "\r\n") + "X-Fill: "
				head += strings.Repeat("x", limit-len(head)-4+over) + "\r\n\r\n"
				resp := knock(t, addr, head)
				b, _ := io.ReadAll(resp.Body)
				want := map[bool]int{true: 101, false: 200}[path == "/ws"]
				if over > 0 {
					want = 431
				}
				if resp.StatusCode != want {
					t.Errorf("%s, %d bytes of %d: got %d %s, want %d", path, len(head), limit, resp.StatusCode, b, want)
				}
				if size := fmt.Sprintf("larger than %d KiB.", limit>>10); over > 0 && !strings.Contains(string(b), size) {
					t.Errorf("got %s, want %s", b, size)
				}
			}
		}
	}
	for _, bad := range []int{-1, 1<<20 + 1} {
		if err := (&Server{Addr: "127.0.0.1:0", MaxHead: bad}).Start(); err == nil || !strings.Contains(err.Error(), "MaxHead") {
			t.Errorf("%d: got %v", bad, err)
		}
	}
}

// TestOriginsAreLogged: once, whichever loop refuses and however often.
func TestOriginsAreLogged(t *testing.T) {
	said := new(journal)
	s := &Server{Loops: 2, Logger: slog.New(slog.NewTextHandler(said, nil))}
	s.Route("/ws", Route{})
	addr := start(t, s)
	for range 20 {
		for _, origin := range []string{"https://evil.example", "null"} {
			head := strings.TrimSuffix(fmt.Sprintf(upgradeHead, "/ws"), "\r\n") + "Origin: " + origin + "\r\n\r\n"
			if resp := knock(t, addr, head); resp.StatusCode != 403 {
				t.Errorf("got %d, want 403", resp.StatusCode)
			}
		}
	}
	if err := s.Shutdown(context.Background()); err != nil { // all records are written
		t.Fatal(err)
	}
	for _, want := range []string{`level=INFO msg="server: pages of this origin may not connect" origin=https://evil.example flag="--origin https://evil.example"`, `origin=null flag="--origin null"`} {
		if n := strings.Count(said.String(), want); n != 1 {
			t.Errorf("%d lines with %s, want 1\n%s", n, want, said)
		}
	}
}

// TestPagesReadQuotas: a page of a listed origin can read what it is told before a route
// is asked.
func TestPagesReadQuotas(t *testing.T) {
	s := &Server{Loops: 1, Origins: []string{"https://friend.example"}, MaxConnsPerIP: 1}
	s.Route("/ws", Route{})
	addr := start(t, s)
	dial(t, addr, "/ws")
	for origin, want := range map[string]string{"https://friend.example": "https://friend.example", "https://evil.example": ""} {
		resp := knock(t, addr, "GET /ws HTTP/1.1\r\nHost: h\r\nAccept: application/problem+json\r\nOrigin: "+origin+"\r\n\r\n")
		if got := resp.Header.Get("Access-Control-Allow-Origin"); resp.StatusCode != 429 || got != want {
			t.Errorf("%s: got %d %q, want 429 %q", origin, resp.StatusCode, got, want)
		}
	}
}
