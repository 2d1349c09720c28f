//go:build linux

package server

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/usher-ws/usher/upgrade"
)

// passed is a Relay that answers plain requests with what it has got of them, and lets no
// upgrade reach another server.
func passed() Route {
	return Route{
		Guards: []upgrade.Guard{{OnBeforeUpgrade: func(*upgrade.Request) (http.Header, error) {
			return nil, upgrade.Reject(401, "judged", "as an upgrade")
		}}},
		Relay: &Relay{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			fmt.Fprintf(w, "%s %s %s room=%s", r.Method, r.RequestURI, body, r.PathValue("room"))
		})},
	}
}

// TestPlain: what is no upgrade, and no probe alone, goes to the Handler of the Relay whatever
// its method; an upgrade is judged, whatever it lists; and what no route matches is 404.
func TestPlain(t *testing.T) {
	s := &Server{Loops: 1}
	s.Route("/ws/{room}", passed())
	s.Route("/files/{path...}", passed())
	addr := start(t, s)
	const problem, list = "Accept: application/problem+json\r\n", "Accept: application/json, application/problem+json\r\n"
	const up = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	for _, tt := range []struct {
		line, header, body string
		status             int
		want               string // in the answer
	}{
		{"GET /ws/a%20b?x=1", "", "", 200, "GET /ws/a%20b?x=1  room=a b"},
		{"PUT /ws/a", "Content-Length: 0\r\n", "", 200, "PUT /ws/a"},
		{"OPTIONS /ws/a", "Origin: https://x.example\r\n", "", 200, "OPTIONS /ws/a"},
		{"DELETE /ws/a", "", "", 200, "DELETE /ws/a"},
		{"POST /ws/a", "Content-Length: 2\r\n", "hi", 200, "POST /ws/a hi"},
		{"GET /ws/a", list, "", 200, "GET /ws/a"},
		{"GET /ws/a", problem + "Accept: text/html\r\n", "", 200, "GET /ws/a"},
		{"POST /ws/a", problem + "Content-Length: 0\r\n", "", 200, "POST /ws/a"},
		{"GET /ws/a", "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n", "", 200, "GET /ws/a"},
		{"GET /ws/a", "Connection: Upgrade\r\n", "", 200, "GET /ws/a"},
		{"GET /files/", "", "", 200, "GET /files/"},
		{"GET /files/a/b%3f", "", "", 200, "GET /files/a/b%3f"},

		{"GET /ws/a", problem, "", 401, `"judged"`},
		{"GET /ws/a", problem + "Upgrade: h2c\r\nConnection: Upgrade\r\n", "", 401, `"judged"`},
		{"GET /ws/a", up, "", 401, `"judged"`},
		{"GET /ws/a", "Upgrade: h2c, websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", 401, `"judged"`},
		{"GET /ws/a", "Upgrade: websocket\r\n", "", 426, upgrade.CodeUpgradeRequired},
		{"POST /ws/a", up, "", 405, upgrade.CodeMethodNotAllowed},

		{"GET /", "", "", 404, upgrade.CodeNotFound},
		{"POST /nowhere", "Content-Length: 0\r\n", "", 404, upgrade.CodeNotFound},
		{"GET /nowhere", up, "", 404, upgrade.CodeNotFound},
		{"GET /files/../ws", "", "", 404, upgrade.CodeNotFound}, // another server could take it for /ws
		{"GET /files/..%2fws", "", "", 404, upgrade.CodeNotFound},
		{"GET /files//ws", up, "", 404, upgrade.CodeNotFound},
		{"GET /ws/..;", up, "", 404, upgrade.CodeNotFound},
	} {
		c := send(t, addr, tt.line+" HTTP/1.1\r\nHost: h\r\n"+tt.header+"\r\n"+tt.body)
		if status, body := answerOf(t, c); status != tt.status || !strings.Contains(body, tt.want) {
			t.Errorf("%s %q: got %d %s, want %d %s", tt.line, tt.header, status, body, tt.status, tt.want)
		}
	}
	st := s.Stats()
	if got := st.Routes[0].Passed + st.Routes[1].Passed; got != 12 || st.Total.Passed != got {
		t.Errorf("%d requests were passed on, %d in all, want 12", got, st.Total.Passed)
	}
}

// TestPlainPathOfAll: a route for all paths gets them as they were sent.
func TestPlainPathOfAll(t *testing.T) {
	s := &Server{Loops: 1}
	s.Route("/{path...}", passed())
	addr := start(t, s)
	for _, path := range []string{"/", "//", "/a//b", "/a/../b", "/%2e%2e/a", "/a%2fb", "/;x", "/a|b", "/a?b|c"} {
		if status, body := answerOf(t, send(t, addr, get(path))); status != 200 || !strings.HasPrefix(body, "GET "+path+" ") {
			t.Errorf("%s: got %d %s", path, status, body)
		}
	}
}

// TestPlainLimits: plain requests have the limits per address, also those that could be taken
// for probes, which spend nothing.
func TestPlainLimits(t *testing.T) {
	s, g := patient(&Server{Loops: 1, MaxConnsPerIP: 2}), newGated()
	r := passed()
	r.Relay.Handler = g
	s.Route("/{path...}", r)
	addr := start(t, s)
	const list = "GET /a HTTP/1.1\r\nHost: h\r\nAccept: text/html, application/problem+json\r\n\r\n"
	first, second := send(t, addr, list), send(t, addr, get("/b"))
	inUse(t, s, 2, 0)
	if status, body := answerOf(t, send(t, addr, get("/c"))); status != 429 || !strings.Contains(body, upgrade.CodeTooManyRequests) {
		t.Errorf("a third: got %d %s", status, body)
	}
	g.gate <- true
	g.gate <- true
	answerOf(t, first)
	answerOf(t, second)
}

// TestRoomOfRelays: each connection of a server that relays has two files.
func TestRoomOfRelays(t *testing.T) {
	with, without := &Server{Loops: 1}, &Server{Loops: 1}
	with.Route("/", Route{Relay: &Relay{}})
	without.Route("/", Route{})
	with.setRoom()
	without.setRoom()
	if with.room != without.room/2 || with.room == 0 {
		t.Errorf("there is room for %d with a Relay, for %d without", with.room, without.room)
	}
}
