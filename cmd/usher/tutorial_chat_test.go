//go:build linux

package main_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	gorilla "github.com/gorilla/websocket"
)

// The chat of the tutorial, row by row, and its last exercise, against the running program:
// a reader of the tutorial sees what it says. TestTutorial goes through it once.

// guest is somebody in a room, with a foreign client.
type guest struct {
	*gorilla.Conn
	t *testing.T
}

// enter opens a room, in the JSON dialect if a subprotocol says so, and returns the guest or
// the refusal.
func enter(t *testing.T, p *program, user, room string, subprotocols ...string) (guest, *http.Response) {
	t.Helper()
	return enterWith(t, p, token(user), room, subprotocols...)
}

func enterWith(t *testing.T, p *program, token, room string, subprotocols ...string) (guest, *http.Response) {
	t.Helper()
	d := gorilla.Dialer{Subprotocols: subprotocols, HandshakeTimeout: patience}
	conn, resp, err := d.Dial("ws://"+p.addr+"/ws/"+room+"?token="+url.QueryEscape(token), nil)
	if resp == nil {
		t.Fatalf("%s: %v", room, err)
	}
	if conn != nil {
		t.Cleanup(func() { conn.Close() })
	}
	return guest{conn, t}, resp
}

func (g guest) say(text string) {
	g.t.Helper()
	if err := g.WriteMessage(gorilla.TextMessage, []byte(text)); err != nil {
		g.t.Fatal(err)
	}
}

func (g guest) hear() string {
	g.t.Helper()
	_ = g.SetReadDeadline(time.Now().Add(patience))
	_, b, err := g.ReadMessage()
	if err != nil {
		g.t.Fatal(err)
	}
	return string(b)
}

func (g guest) wants(lines ...string) {
	g.t.Helper()
	for _, want := range lines {
		if got := g.hear(); got != want {
			g.t.Fatalf("got %q, want %q", got, want)
		}
	}
}

// wantsObjects is wants for the JSON dialect, times left out.
func (g guest) wantsObjects(objects ...string) {
	g.t.Helper()
	for _, want := range objects {
		var o map[string]any
		if err := json.Unmarshal([]byte(g.hear()), &o); err != nil {
			g.t.Fatal(err)
		}
		delete(o, "at")
		if got, _ := json.Marshal(o); string(got) != want {
			g.t.Fatalf("got %s, want %s", got, want)
		}
	}
}

func TestTutorialChatLogIn(t *testing.T) {
	t.Parallel()
	p := serve(t)
	logIn := func(password string) (status int, grant struct {
		Token string `json:"access_token"`
		Type  string `json:"token_type"`
	}) {
		resp, err := http.PostForm("http://"+p.addr+"/token", url.Values{"username": {"alice"}, "password": {password}})
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		_ = json.NewDecoder(resp.Body).Decode(&grant)
		return resp.StatusCode, grant
	}
	status, grant := logIn("wonderland")
	if status != 200 || grant.Type != "bearer" {
		t.Fatalf("got %d, %+v", status, grant)
	}
	alice, _ := enterWith(t, p, grant.Token, "lobby")
	alice.wants("Server: alice has joined the chat")
	if status, grant := logIn("builder"); status != 401 || grant.Token != "" {
		t.Errorf("with bob's password: got %d, %+v, want 401", status, grant)
	}
}

// TestTutorialChatBadToken: refused before 101, with a reason that arrives.
func TestTutorialChatBadToken(t *testing.T) {
	t.Parallel()
	p := serve(t)
	for token, code := range map[string]string{"": "token_missing", "letmein": "token_invalid"} {
		_, resp := enterWith(t, p, token, "lobby")
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != 401 || !strings.Contains(string(body), `"code":"`+code+`"`) {
			t.Errorf("token %q: got %s, %s, want 401 %s", token, resp.Status, body, code)
		}
	}
}

func TestTutorialChatBroadcast(t *testing.T) {
	t.Parallel()
	p := serve(t)
	alice, _ := enter(t, p, "alice", "lobby")
	alice.wants("Server: alice has joined the chat")
	bob, _ := enter(t, p, "bob", "lobby")
	bob.wants("Server: bob has joined the chat")
	carol, _ := enter(t, p, "carol", "cellar")
	carol.wants("Server: carol has joined the chat")
	alice.say("hi")
	alice.wants("Server: bob has joined the chat", "alice: hi")
	bob.wants("alice: hi")
	carol.say("anybody?")
	carol.wants("carol: anybody?") // rooms are apart
}

func TestTutorialChatJoinAndLeave(t *testing.T) {
	t.Parallel()
	p := serve(t)
	alice, _ := enter(t, p, "alice", "lobby")
	alice.wants("Server: alice has joined the chat")
	bob, _ := enter(t, p, "bob", "lobby")
	bob.wants("Server: bob has joined the chat")
	alice.wants("Server: bob has joined the chat")
	began := time.Now()
	bob.Close() // a browser that is closed says no more either
	alice.wants("Server: bob has left the chat")
	if took := time.Since(began); took < 2*time.Second {
		t.Errorf("bob had left after %v, want 2 s and a little", took)
	}
}

// TestTutorialChatRateLimit: the sender that was too fast is warned, and nobody gets the
// message.
func TestTutorialChatRateLimit(t *testing.T) {
	t.Parallel()
	p := serve(t, "--rate", "10/m", "--burst", "2")
	alice, _ := enter(t, p, "alice", "lobby")
	alice.wants("Server: alice has joined the chat")
	for _, text := range []string{"1", "2", "3"} {
		alice.say(text)
	}
	got := []string{alice.hear(), alice.hear(), alice.hear()}
	slices.Sort(got) // a message to her alone may overtake one to the room
	if want := []string{slowDown, "alice: 1", "alice: 2"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	bob, _ := enter(t, p, "bob", "lobby")
	bob.wants("alice: 1", "alice: 2", "Server: bob has joined the chat")
}

// TestTutorialChatPage: at / there is something to click on.
func TestTutorialChatPage(t *testing.T) {
	t.Parallel()
	p := serve(t)
	resp, err := http.Get("http://" + p.addr + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if kind := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || !strings.HasPrefix(kind, "text/html") {
		t.Errorf("got %s, %q", resp.Status, kind)
	}
}

// TestTutorialChatExercisePrivateMessages: to all connections of one user and to the
// sender's, and to nobody else.
func TestTutorialChatExercisePrivateMessages(t *testing.T) {
	t.Parallel()
	p := serve(t)
	carol, _ := enter(t, p, "carol", "lobby")
	alice, _ := enter(t, p, "alice", "lobby")
	bob, _ := enter(t, p, "bob", "lobby", "chat.usher.v1+json")
	bob2, _ := enter(t, p, "bob", "lobby")
	bob2.wants("Server: bob has joined the chat")
	alice.wants("Server: alice has joined the chat", "Server: bob has joined the chat")
	alice.say("/msg bob psst")
	alice.say("/msg dora psst")
	alice.say("aloud")
	bob.wantsObjects(`{"count":3,"type":"joined","user":"bob"}`, `{"from":"alice","text":"psst","to":"bob","type":"direct"}`,
		`{"from":"alice","text":"aloud","type":"message"}`)
	bob2.wants("alice to bob (private): psst", "alice: aloud")
	alice.wants("alice to bob (private): psst", "Server: dora is not in this room; /who tells who is", "alice: aloud")
	carol.wants("Server: carol has joined the chat", "Server: alice has joined the chat", "Server: bob has joined the chat", "alice: aloud")
}

// TestTutorialChatExercisePresence: users see who is in the room, and their status.
func TestTutorialChatExercisePresence(t *testing.T) {
	t.Parallel()
	p := serve(t)
	alice, _ := enter(t, p, "alice", "lobby")
	bob, _ := enter(t, p, "bob", "lobby", "chat.usher.v1+json")
	bob.wantsObjects(`{"count":2,"type":"joined","user":"bob"}`)
	alice.say("/status away")
	bob.wantsObjects(`{"status":"away","type":"status","user":"alice"}`)
	bob.say(`{"type":"who"}`)
	bob.wantsObjects(`{"count":2,"type":"who","users":[{"status":"away","user":"alice"},{"status":"","user":"bob"}]}`)
	alice.wants("Server: alice has joined the chat", "Server: bob has joined the chat", "Server: alice is away")
	alice.say("/who")
	alice.wants("Server: 2 here: alice (away), bob")
	alice.Close()
	bob.wantsObjects(`{"count":1,"type":"left","user":"alice"}`)
}

// TestTutorialChatExerciseProtocol: a message is checked against the protocol. One that is not
// of it gets an error that says why, and many of them end the connection.
func TestTutorialChatExerciseProtocol(t *testing.T) {
	t.Parallel()
	p := serve(t)
	alice, resp := enter(t, p, "alice", "lobby", "chat.usher.v1+json")
	if got := resp.Header.Get("Sec-WebSocket-Protocol"); got != "chat.usher.v1+json" {
		t.Errorf("subprotocol: got %q", got)
	}
	alice.hear()
	alice.say(`{"type":"say","text":"hi"}`)
	alice.wantsObjects(`{"from":"alice","text":"hi","type":"message"}`)
	alice.say(`{"type":"say","text":7}`)
	alice.wantsObjects(`{"code":"bad_field","detail":"text is missing or not a string","type":"error"}`)
	for range 9 {
		alice.say("hi")
		alice.wantsObjects(`{"code":"bad_json","detail":"not a JSON object","type":"error"}`)
	}
	_, _, err := alice.ReadMessage()
	if e, ok := err.(*gorilla.CloseError); !ok || e.Code != 1008 || e.Text != "malformed_messages" {
		t.Errorf("got %v, want close 1008 malformed_messages", err)
	}
}

// TestFourthTab: with --max-conns-per-user 3 the fourth is refused and told so, the
// probe says the same without taking a place, and a tab that is closed makes room.
func TestFourthTab(t *testing.T) {
	t.Parallel()
	p := serve(t, "--max-conns-per-user", "3")
	var tabs []guest
	for range 3 {
		tab, resp := enter(t, p, "alice", "lobby")
		if resp.StatusCode != 101 {
			t.Fatalf("got %s, want 101", resp.Status)
		}
		tabs = append(tabs, tab)
	}
	_, refused := enter(t, p, "alice", "lobby")
	request, err := http.NewRequest("GET", "http://"+p.addr+"/ws/lobby?token="+token("alice"), nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", "application/problem+json")
	probe := func() *http.Response {
		resp, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		return resp
	}
	for name, resp := range map[string]*http.Response{"the upgrade": refused, "the probe": probe()} {
		var problem struct{ Code, Detail string }
		err := json.NewDecoder(resp.Body).Decode(&problem)
		if err != nil || resp.StatusCode != 429 || problem.Code != "too_many_requests" || problem.Detail == "" || resp.Header.Get("Retry-After") == "" {
			t.Errorf("%s: got %s, %+v, Retry-After %q, error %v; want 429 with a reason", name, resp.Status, problem, resp.Header.Get("Retry-After"), err)
		}
	}
	if bob, resp := enter(t, p, "bob", "lobby"); resp.StatusCode != 101 || bob.Conn == nil {
		t.Errorf("another user: got %s, want 101", resp.Status)
	}
	tabs[0].Close()
	eventually(t, "a place is free", func() bool { return probe().StatusCode == 200 })
	if _, resp := enter(t, p, "alice", "lobby"); resp.StatusCode != 101 {
		t.Errorf("when one is closed: got %s, want 101", resp.Status)
	}
}
