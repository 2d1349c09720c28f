//go:build linux

package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// TestPrintRoutes holds the output of --print-routes: all that a message passes, in order.
func TestPrintRoutes(t *testing.T) {
	t.Parallel()
	const want = `/ws/{room}
  guards      origin: same host, chat.example
              bearer
              not-banned
              room
              connections of a user: 3
  limits      messages: 50/s, burst 100
              messages of a user: 5/s, burst 100
              over: delay
              close after 20 in a minute
  middleware  logging (refused, open, message, close)
/echo
  guards      origin: same host, chat.example
              connections of a user: 3
  limits      messages of a user: 5/s, burst 100
              over: delay
              close after 20 in a minute
  middleware  logging (refused, open, message, close)
/auth
  guards      origin: same host, chat.example
              bearer
              not-banned
              connections of a user: 3
  limits      messages: 50/s, burst 100
              messages of a user: 5/s, burst 100
              over: delay
              close after 20 in a minute
  middleware  logging (refused, open, message, close)
anything else
  http.Handler
`
	got := finish(t, nil, strings.Fields("serve --print-routes --access-log --echo /echo --echo-auth /auth --origin chat.example "+
		"--max-conns-per-user 3 --user-rate 5/s --over-limit delay --close-after 20")...)
	if got.code != 0 || got.stderr != "" || got.stdout != want {
		t.Errorf("got %+v\nwant\n%s", got, want)
	}
	// The same from everywhere.
	config := filepath.Join(t.TempDir(), "usher.yaml")
	settings := "access-log: true\necho: /other\norigin: [chat.example]\nmax-conns-per-user: 3\nuser-rate: 6/s\nover-limit: drop\nclose-after: 20\n"
	if err := os.WriteFile(config, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	got = finish(t, []string{"USHER_CONFIG=" + config, "USHER_ECHO_AUTH=/auth", "USHER_USER_RATE=5/s", "USHER_OVER_LIMIT=close", "USHER_PORT=tcp://10.0.0.7:80"},
		"serve", "--print-routes", "--echo", "/echo", "--over-limit", "delay")
	if got.code != 0 || got.stderr != "" || got.stdout != want {
		t.Errorf("from everywhere: got %+v\nwant\n%s", got, want)
	}
	got = finish(t, nil, "serve", "--print-routes")
	if got.code != 0 || !strings.Contains(got.stdout, "  middleware  none\n") || strings.Contains(got.stdout, "listening") {
		t.Errorf("got %+v", got)
	}
}

// TestAccessLog: with --access-log there is a line for each connection that opened, was
// refused or ended, without a token in it; without the flag there is none.
func TestAccessLog(t *testing.T) {
	t.Parallel()
	loud, quiet := serve(t, "--access-log", "--log-format", "json"), serve(t)
	good := token("alice")
	for _, p := range []*program{loud, quiet} {
		conn, _, err := websocket.DefaultDialer.Dial("ws://"+p.addr+"/ws/lobby?token="+good, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, resp, _ := websocket.DefaultDialer.Dial("ws://"+p.addr+"/ws/lobby?token="+good+"x", nil); resp == nil || resp.StatusCode != 401 {
			t.Errorf("got %v, want 401", resp)
		}
		conn.WriteMessage(websocket.TextMessage, []byte("hello"))
		conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, "bye"), time.Now().Add(time.Second))
		for err == nil {
			_, _, err = conn.ReadMessage()
		}
		conn.Close()
	}
	select {
	case line := <-loud.stderr.await(`"msg":"closed"`):
		for _, part := range []string{`"route":"/ws/{room}"`, `"user":"alice"`, `"messages":1,"bytes":5,"code":1000,"reason":"bye"`} {
			if !strings.Contains(line, part) {
				t.Errorf("got %s, want %s", line, part)
			}
		}
	case <-time.After(patience):
		t.Fatal("nobody was logged to have left")
	}
	said := loud.stderr.String()
	if !strings.Contains(said, `"msg":"accepted"`) || !strings.Contains(said, `"msg":"refused"`) || strings.Contains(said, good[:20]) {
		t.Errorf("got %s", said)
	}
	if got := quiet.stderr.String(); got != "" {
		t.Errorf("without the flag: got %s", got)
	}
}
