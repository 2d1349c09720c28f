//go:build linux

package main_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

// shown is a part of what /connections says of a connection.
type shown struct {
	ID       string            `json:"id"`
	Path     map[string]string `json:"path"`
	Remote   string            `json:"remote"`
	User     string            `json:"user"`
	Opened   string            `json:"opened"`
	Messages int               `json:"messages_in"`
	Buffered int               `json:"buffered"`
	Slow     []struct{ Code string }
}

// askConnections asks /connections.
func askConnections(t *testing.T, base, query string) (all []shown, matching int) {
	t.Helper()
	var answer struct {
		Matching    int
		Connections []shown
	}
	status, body := fetchPage(t, base+"/connections?"+query)
	if err := json.Unmarshal([]byte(body), &answer); err != nil || status != 200 {
		t.Fatalf("%s: got %d %s", query, status, body)
	}
	return answer.Connections, answer.Matching
}

// TestConnectionsPage: who is there, by each order and filter, and each of them by its ID; no
// token is shown.
func TestConnectionsPage(t *testing.T) {
	t.Parallel()
	p, base := serveAdmin(t, "--loops", "2", "--echo", "/echo")
	carol := token("carol")
	conns := map[string]*websocket.Conn{}
	for k, who := range []string{"alice", "bob", "carol", "dave"} {
		credential := token(who)
		if who == "carol" {
			credential = carol
		}
		conn, _, err := websocket.DefaultDialer.Dial(fmt.Sprintf("ws://%s/ws/room-%d?token=%s", p.addr, k%2, url.QueryEscape(credential)), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conns[who] = conn
		if _, _, err := conn.ReadMessage(); err != nil { // that it has joined
			t.Fatal(err)
		}
		for said := range k {
			if err := conn.WriteMessage(websocket.TextMessage, []byte("hi")); err != nil {
				t.Fatal(err)
			}
			if _, _, err := conn.ReadMessage(); err != nil {
				t.Fatal(err, said)
			}
		}
	}
	users := func(all []shown) (names []string) {
		for _, c := range all {
			names = append(names, c.User)
		}
		return names
	}
	for query, want := range map[string][]string{
		"sort=age":                    {"alice", "bob", "carol", "dave"},
		"sort=messages":               {"dave", "carol", "bob", "alice"},
		"user=&room=&sort=messages":   {"dave", "carol", "bob", "alice"},
		"sort=age&room=room-1":        {"bob", "dave"},
		"user=carol":                  {"carol"},
		"user=carol&room=room-1":      nil,
		"user=mallory&sort=buffered":  nil,
		"sort=messages&room=room%2d0": {"carol", "alice"},
	} {
		all, matching := askConnections(t, base, query)
		if got := users(all); !slices.Equal(got, want) || matching != len(want) {
			t.Errorf("%s: got %v of %d, want %v", query, got, matching, want)
		}
	}
	all, _ := askConnections(t, base, "user=carol")
	one := all[0]
	if one.Path["room"] != "room-0" || one.Messages != 2 || !strings.HasPrefix(one.Remote, "127.0.0.1:") || one.Opened == "" {
		t.Errorf("carol: %+v", one)
	}
	status, body := fetchPage(t, base+"/connections/"+one.ID)
	var again shown
	if err := json.Unmarshal([]byte(body), &again); err != nil || status != 200 || again.ID != one.ID || again.User != "carol" {
		t.Errorf("by its ID: %d %s", status, body)
	}
	for _, part := range append(strings.Split(carol, "."), "token") {
		if strings.Contains(body, part) {
			t.Errorf("%q is in %s", part, body)
		}
	}
	conns["carol"].Close()
	eventually(t, "carol has gone", func() bool {
		status, body := fetchPage(t, base+"/connections/"+one.ID)
		return status == 404 && strings.Contains(body, `"not_found"`)
	})
	if all, matching := askConnections(t, base, ""); len(all) != 3 || matching != 3 {
		t.Errorf("%d of %d are left", len(all), matching)
	}
}

// TestConnectionsBadly: what /connections and /log-level do not understand is a 400 with a
// sentence.
func TestConnectionsBadly(t *testing.T) {
	t.Parallel()
	_, base := serveAdmin(t)
	for path, says := range map[string]string{
		"/connections?sort=name":            "buffered, age or messages",
		"/connections?sort=age&sort=age":    "give it once",
		"/connections?limit=5":              "want user, room or sort",
		"/connections?User=x":               "want user, room or sort",
		"/connections?user=%zz":             "cannot be read",
		"/connections?a=1;b=2":              "cannot be read",
		"/connections/1-2-3-4?sort=age":     "no parameters",
		"/connections?token=abcdefghijklmn": "want user, room or sort",
	} {
		status, body := fetchPage(t, base+path)
		if status != 400 || !strings.Contains(body, says) || !strings.Contains(body, `"bad_request"`) || strings.Contains(body, "abcdefgh") {
			t.Errorf("%s: got %d %s", path, status, body)
		}
	}
	for _, path := range []string{"/connections/", "/connections/1-2-3-4", "/connections/x", "/connections/1/2"} {
		if status, _ := fetchPage(t, base+path); status != 404 {
			t.Errorf("%s: got %d, want 404", path, status)
		}
	}
	for _, path := range []string{"/connections", "/connections/1-2-3-4"} {
		req, err := http.NewRequest("GET", base+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", "text/html,*/*")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 200 || !strings.Contains(string(body), "<h1>Connections") || resp.Header.Get("Content-Security-Policy") == "" {
			t.Errorf("%s in a browser: %s", path, resp.Status)
		}
	}
}

// TestLogLevelByPut: the level changes at once, and back.
func TestLogLevelByPut(t *testing.T) {
	t.Parallel()
	p, base := serveAdmin(t, "--log-level", "info")
	put := func(body string) (int, string) {
		t.Helper()
		req, err := http.NewRequest("PUT", base+"/log-level", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	refused := func() { _ = ask(t, p.addr, head(upgradeTo("/ws/lobby")...)) }
	const line = "level=DEBUG"
	if status, body := fetchPage(t, base+"/log-level"); status != 200 || body != "info\n" {
		t.Errorf("got %d %q", status, body)
	}
	refused()
	if status, body := put("debug\n"); status != 200 || body != "debug\n" {
		t.Errorf("got %d %q", status, body)
	}
	if strings.Contains(p.stderr.String(), line) {
		t.Error("debug is logged before it is asked for")
	}
	refused()
	<-p.stderr.await(line)
	if status, body := put(`{"level":"error"}`); status != 200 || body != "error\n" {
		t.Errorf("got %d %q", status, body)
	}
	for _, bad := range []string{"", "loud", "DEBUG", `"debug"`, `{"level":"loud"}`, "level=debug", strings.Repeat("debug ", 100), "info+1"} {
		if status, body := put(bad); status != 400 || !strings.Contains(body, "debug, info, warn and error") {
			t.Errorf("%q: got %d %s", bad, status, body)
		}
	}
	if _, body := fetchPage(t, base+"/log-level"); body != "error\n" {
		t.Errorf("a bad level changed it to %q", body)
	}
	for _, method := range []string{"POST", "DELETE", "OPTIONS"} {
		req, err := http.NewRequest(method, base+"/log-level", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Origin", "https://evil.example")
		req.Header.Set("Access-Control-Request-Method", "PUT")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 405 || resp.Header.Get("Access-Control-Allow-Methods") != "" {
			t.Errorf("%s: got %s", method, resp.Status)
		}
	}
}

// TestConnectionsInBrowser: the page shows the same, and each connection one of its own.
func TestConnectionsInBrowser(t *testing.T) {
	t.Parallel()
	p, base := serveAdmin(t)
	b := newBrowser(t)
	conn, _, err := websocket.DefaultDialer.Dial("ws://"+p.addr+"/ws/lobby?token="+token("<b>al</b>"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, _, err := conn.ReadMessage(); err != nil {
		t.Fatal(err)
	}
	all, _ := askConnections(t, base, "")
	look := map[string]any{"colorScheme": "light", "locale": "en-GB", "viewport": map[string]int{"width": 1280, "height": 900}}
	many := b.opens("many", base+"/connections?sort=age", look)
	many.sees("#state", "1 of 1, by age")
	many.finds(`td a:text-is("<b>al</b>")`)
	many.finds(`a[aria-current]:text-is("age")`)
	one := b.opens("one", base+"/connections/"+all[0].ID, look)
	one.finds(`td:text-is("` + all[0].ID + `")`)
	one.finds(`tr:has(th:text-is("Limits")) td:has-text("messages: 50/s")`)
	one.looksGood()
	many.looksGood()
	conn.Close()
	one.sees("#state", "There is no connection of this ID")
	many.sees("#state", "0 of 0, by age")
}
