//go:build linux

package main_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	gorilla "github.com/gorilla/websocket"
)

// TestStatsPage: the page shows what happened, as it happens, and says when nobody
// answers any more.
func TestStatsPage(t *testing.T) {
	t.Parallel()
	p, base := serveAdmin(t, "--echo", "/echo")
	b := newBrowser(t)
	look := func(at int) map[string]any {
		return map[string]any{
			"colorScheme": looks[at].scheme, "locale": "en-GB",
			"viewport": map[string]int{"width": looks[at].width, "height": 1060},
		}
	}
	light, dark, phone := b.opens("light", base+"/stats", look(0)), b.opens("dark", base+"/stats", look(1)), b.opens("phone", base+"/stats", look(2))
	if *screenshots != "" {
		bustle(t, p.addr, time.Minute)
	}
	conn := dialEcho(t, p.addr)
	defer conn.Close()
	for range 1234 {
		if err := conn.WriteMessage(gorilla.TextMessage, []byte("hi")); err != nil {
			t.Fatal(err)
		}
		if _, _, err := conn.ReadMessage(); err != nil {
			t.Fatal(err)
		}
	}
	p.knock(t, "/ws/lobby", "nonsense")
	for _, who := range []person{light, dark, phone} {
		who.sees("#state", "Serving")
		who.sees(`table[aria-label="Refused, by code"]`, "token_invalid")
		if *screenshots == "" {
			who.finds(`figure:has-text("Connections") dd:text-is("1")`)
			who.finds(`table[aria-label="Routes"] tr:has(th:text-is("/echo")) td:text-is("1,234")`)
		}
		who.looksGood()
	}
	light.picture("stats-light")
	dark.picture("stats-dark")
	p.cmd.Process.Kill()
	<-p.done
	light.sees("#state", "No answer from the server")
}

func dialEcho(t *testing.T, addr string) *gorilla.Conn {
	t.Helper()
	conn, _, err := gorilla.DefaultDialer.Dial("ws://"+addr+"/echo", nil)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// bustle comes, talks, is refused and goes, in waves, for a picture.
func bustle(t *testing.T, addr string, d time.Duration) {
	t.Helper()
	var conns []*gorilla.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for begun := time.Now(); time.Since(begun) < d; <-tick.C {
		at := time.Since(begun).Seconds()
		want := int(90 + 60*math.Sin(at/9))
		for len(conns) < want {
			conns = append(conns, dialEcho(t, addr))
		}
		for len(conns) > want {
			conns[0].WriteControl(gorilla.CloseMessage, gorilla.FormatCloseMessage(1000, ""), time.Now().Add(patience))
			conns[0].Close()
			conns = conns[1:]
		}
		size := 20 + int(80*(1+math.Sin(at/5)))
		for _, c := range conns {
			if err := c.WriteMessage(gorilla.TextMessage, []byte(strings.Repeat("x", size))); err != nil {
				t.Fatal(err)
			}
			if _, _, err := c.ReadMessage(); err != nil {
				t.Fatal(err)
			}
		}
		if int(10*at)%4 == 0 {
			_, resp, _ := gorilla.DefaultDialer.Dial(fmt.Sprintf("ws://%s/ws/%s?token=nope", addr, "lobby"), nil)
			if resp == nil || resp.StatusCode != 401 {
				t.Fatalf("got %v, want 401", resp)
			}
		}
	}
}
