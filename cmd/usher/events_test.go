//go:build linux

package main_test

import (
	"encoding/base64"
	"fmt"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

const allEvents = "connected,disconnected,joined,left,message"

// TestEvents: what happens in the chat and at an echo, with everything that there is to say of it.
func TestEvents(t *testing.T) {
	t.Parallel()
	b := newEventsBackend(t)
	p := serve(t, append(b.flags(allEvents), "--echo", "/echo", "--leave-grace", "0", "--admin", "127.0.0.1:0")...)
	first, _, err := websocket.DefaultDialer.Dial("ws://"+p.addr+"/ws/lobby?token="+token("alice"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	b.await(2)
	d := websocket.Dialer{Subprotocols: []string{"bearer", token("alice"), "chat.usher.v1+json"}}
	second, _, err := d.Dial("ws://"+p.addr+"/ws/lobby", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	for _, text := range []string{"hi", `"quotes" \ and` + "\t\x7f é \u2028 😀"} {
		if err := first.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	b.await(5)
	end(t, first, 4000, "I said \"bye\"")
	b.await(6)
	second.NetConn().Close()
	b.await(8)
	echo, _, err := websocket.DefaultDialer.Dial("ws://"+p.addr+"/echo", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	if err := echo.WriteMessage(websocket.BinaryMessage, []byte{0, 255, 1}); err != nil {
		t.Fatal(err)
	}
	end(t, echo, 1000, "")
	events := b.want(
		"connected alice /ws/lobby", "joined alice lobby", "connected alice /ws/lobby",
		"message alice hi", "message alice \"quotes\" \\ and\t\x7f é \u2028 😀",
		"disconnected alice /ws/lobby 4000", "disconnected alice /ws/lobby 1006", "left alice lobby",
		"connected  /echo", "message  AP8B", "disconnected  /echo 1000")
	for _, k := range []int{3, 4, 5} {
		if e := events[k]; e.Connection != events[0].Connection || e.Connection == "" || e.Route != "/ws/{room}" || e.Room != "lobby" {
			t.Errorf("got %+v after %+v", e, events[0])
		}
	}
	if e := events[2]; e.Subprotocol != "chat.usher.v1+json" || e.Connection == events[0].Connection || e.Remote != second.LocalAddr().String() {
		t.Errorf("got %+v", e)
	}
	if e := events[5]; e.Reason != "I said \"bye\"" {
		t.Errorf("got %+v", e)
	}
	if e := events[8]; e.Room != "" || e.Route != "/echo" {
		t.Errorf("got %+v", e)
	}
}

// end closes a connection and waits for the server's close frame.
func end(t *testing.T, c *websocket.Conn, code int, reason string) {
	t.Helper()
	if err := c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), time.Now().Add(patience)); err != nil {
		t.Error(err)
	}
	for err := error(nil); err == nil; {
		_, _, err = c.ReadMessage()
	}
	c.Close()
}

// TestEventsInOrder: those of each of 100 connections, and of each user, whatever the others do.
func TestEventsInOrder(t *testing.T) {
	t.Parallel()
	const conns, messages = 100, 5
	b := newEventsBackend(t)
	p := serve(t, append(b.flags(allEvents), "--leave-grace", "0", "--announce-max", "10")...)
	var all sync.WaitGroup
	for k := range conns {
		all.Go(func() {
			c, _, err := websocket.DefaultDialer.Dial(fmt.Sprintf("ws://%s/ws/lobby?token=%s", p.addr, token(fmt.Sprint("user", k))), nil)
			if err != nil {
				t.Error(err)
				return
			}
			for n := range messages {
				if err := c.WriteMessage(websocket.TextMessage, fmt.Append(nil, n)); err != nil {
					t.Error(err)
				}
			}
			end(t, c, 1000, "")
		})
	}
	all.Wait()
	of := make(map[string][]string)
	ids := make(map[string]string)
	for _, e := range b.await(conns * (4 + messages)) {
		of[e.User] = append(of[e.User], e.said())
		if e.Connection == "" {
			continue
		}
		if id := ids[e.User]; id != "" && id != e.Connection {
			t.Errorf("%s has the connections %s and %s", e.User, id, e.Connection)
		}
		ids[e.User] = e.Connection
	}
	for k := range conns {
		user := fmt.Sprint("user", k)
		want := []string{"connected " + user + " /ws/lobby", "joined " + user + " lobby"}
		for n := range messages {
			want = append(want, fmt.Sprint("message ", user, " ", n))
		}
		want = append(want, "disconnected "+user+" /ws/lobby 1000", "left "+user+" lobby")
		if !slices.Equal(of[user], want) {
			t.Errorf("%s: got %q", user, of[user])
		}
	}
}

// TestEventsOfGuard: connections that are passed on begin and end for the backend, too.
func TestEventsOfGuard(t *testing.T) {
	t.Parallel()
	b := newEventsBackend(t)
	app := serve(t, "--echo", "/live/42")
	p := guardOf(t, "http://"+app.addr, append(b.flags("connected,disconnected"), "--path", "/live/{room}", "--public", "/live/{room}")...)
	c, _, err := websocket.DefaultDialer.Dial("ws://"+p.addr+"/live/42", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.WriteMessage(websocket.TextMessage, []byte("hi")); err != nil {
		t.Fatal(err)
	}
	end(t, c, 4001, "enough")
	b.want("connected  /live/42", "disconnected  /live/42 4001")
	c, _, err = websocket.DefaultDialer.Dial("ws://"+p.addr+"/live/42?token="+token("alice"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b.await(3)
	app.cmd.Process.Kill()
	events := b.want("connected  /live/42", "disconnected  /live/42 4001", "connected alice /live/42", "disconnected alice /live/42 1014")
	if e := events[3]; e.Reason != "upstream_lost" || e.Room != "42" || e.Route != "/live/{room}" {
		t.Errorf("got %+v", e)
	}
}

// TestEventsAtTheEnd: SIGTERM tells of everybody, and a backend that is not there, or does not
// answer, holds up nobody.
func TestEventsAtTheEnd(t *testing.T) {
	t.Parallel()
	enter := func(t *testing.T, p *program, user string) {
		c, _, err := websocket.DefaultDialer.Dial("ws://"+p.addr+"/ws/lobby?token="+token(user), nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		go func() {
			for err := error(nil); err == nil; {
				_, _, err = c.ReadMessage()
			}
			c.Close()
		}()
	}
	t.Run("told", func(t *testing.T) {
		t.Parallel()
		b := newEventsBackend(t)
		p := serve(t, append(b.flags("disconnected,left"), "--leave-grace", "1h")...)
		enter(t, p, "alice")
		enter(t, p, "bob")
		p.signal(t, syscall.SIGTERM)
		if code := p.exit(t, patience); code != 0 {
			t.Errorf("exit code %d", code)
		}
		var got []string
		for _, e := range b.told() {
			got = append(got, e.said())
		}
		slices.Sort(got)
		if want := []string{"disconnected alice /ws/lobby 1001", "disconnected bob /ws/lobby 1001", "left alice lobby", "left bob lobby"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	silent := httptest.NewUnstartedServer(nil) // which accepts nobody
	t.Cleanup(func() { silent.Listener.Close() })
	for name, url := range map[string]string{"dead": "http://" + freeAddr(t), "silent": "http://" + silent.Listener.Addr().String()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := serve(t, "--events", url, "--events-key-file", eventsKeyFile(t, eventsKey), "--drain", "1s")
			enter(t, p, "alice")
			p.signal(t, syscall.SIGTERM)
			if code := p.exit(t, patience); code != 0 {
				t.Errorf("exit code %d", code)
			}
			if said := p.stderr.String(); !strings.Contains(said, "4 events were not delivered") {
				t.Errorf("got %q", said)
			}
		})
	}
}

// TestEventsOutage: while the backend is away connections go on as before, and what it has missed
// is counted where it is missing.
func TestEventsOutage(t *testing.T) {
	t.Parallel()
	b := newEventsBackend(t)
	b.key = "whsec_" + base64.StdEncoding.EncodeToString([]byte("the backend knows another one yet"))
	keyFile := eventsKeyFile(t, eventsKey)
	p, base := serveAdmin(t, "--events", b.url, "--events-key-file", keyFile, "--events-types", allEvents,
		"--echo", "/echo", "--max-buffered", "4MiB") // of which events take 256 KiB
	c, _, err := websocket.DefaultDialer.Dial("ws://"+p.addr+"/echo", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	text := strings.Repeat("x", 1000)
	const all = 1000
	for range all {
		if err := c.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if _, got, err := c.ReadMessage(); err != nil || string(got) != text {
			t.Fatalf("got %d bytes, %v", len(got), err)
		}
	}
	eventually(t, "an attempt has failed", func() bool {
		_, page := fetchPage(t, base+"/metrics")
		return !strings.Contains(page, `usher_events_requests_total{result="failed"} 0`)
	})
	_, page := fetchPage(t, base+"/metrics")
	if strings.Contains(page, `usher_events_total{result="dropped"} 0`) || !strings.Contains(page, `usher_events_total{result="sent"} 0`) {
		t.Errorf("got %s", page)
	}
	if err := os.WriteFile(keyFile, []byte(eventsKey+"\n"+b.key+"\n"), 0o600); err != nil { // another one, in good time
		t.Fatal(err)
	}
	p.signal(t, syscall.SIGHUP)
	missing := func() (n, seen int) {
		for _, e := range b.told() {
			n += e.Count
			if e.Type != "dropped" {
				seen++
			}
		}
		return n, seen
	}
	eventually(t, "all are told or counted", func() bool { n, seen := missing(); return n > 0 && n+seen == all+1 })
	b.mu.Lock()
	defer b.mu.Unlock()
	if first := b.events[0]; first.Type != "connected" || b.bad == 0 {
		t.Errorf("got %+v first, after %d bad signatures", first, b.bad)
	}
	if said := p.stderr.String(); strings.Contains(said, "hidden") || strings.Contains(said, "whsec_") || !strings.Contains(said, "401") {
		t.Errorf("got %q", said)
	}
}
