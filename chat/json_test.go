//go:build linux

package chat_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/usher-ws/usher/chat"
	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/server"
)

// TestTwoDialects: members of one room hear each other, each in their own dialect.
func TestTwoDialects(t *testing.T) {
	t.Parallel()
	addr := serve(t, chat.Config{})
	bob := join(t, addr, "bob", "lobby")
	alice := dialJSON(t, addr, "alice", "lobby")
	alice.wantObjects(`{"count":2,"type":"joined","user":"alice"}`)
	bob.want("Server: alice has joined the chat")

	alice.send(`{"type":"say","text":"hi <b>\"you\"</b>"}`)
	alice.wantObjects(`{"from":"alice","text":"hi \u003cb\u003e\"you\"\u003c/b\u003e","type":"message"}`)
	bob.want(`alice: hi <b>"you"</b>`)
	bob.say(`{"type":"say","text":"ho"}`) // is only a line here
	bob.want(`bob: {"type":"say","text":"ho"}`)
	alice.wantObjects(`{"from":"bob","text":"{\"type\":\"say\",\"text\":\"ho\"}","type":"message"}`)

	alice.send(`{"type":"direct","to":"bob","text":"psst"}`)
	bob.want("alice to bob (private): psst")
	alice.wantObjects(`{"from":"alice","text":"psst","to":"bob","type":"direct"}`)
	bob.say("/msg alice what?")
	bob.want("bob to alice (private): what?")
	alice.wantObjects(`{"from":"bob","text":"what?","to":"alice","type":"direct"}`)

	alice.send(`{"type":"status","status":"away"}`)
	alice.wantObjects(`{"status":"away","type":"status","user":"alice"}`)
	bob.want("Server: alice is away")
	alice.send(`{"type":"who"}`)
	alice.wantObjects(`{"count":2,"type":"who","users":[{"status":"away","user":"alice"},{"status":"","user":"bob"}]}`)
	alice.send(`{"type":"status","status":""}`)
	alice.wantObjects(`{"status":"","type":"status","user":"alice"}`)
	bob.want("Server: alice is back")

	bob.leave()
	alice.wantObjects(`{"count":1,"type":"left","user":"bob"}`)
}

// TestDirectReachesAllConnections of both users, in each connection's dialect, and
// nobody else's.
func TestDirectReachesAllConnections(t *testing.T) {
	t.Parallel()
	addr := serve(t, chat.Config{})
	alice, alice2 := dialJSON(t, addr, "alice", "lobby"), join(t, addr, "alice", "lobby")
	bob, bob2 := join(t, addr, "bob", "lobby"), dialJSON(t, addr, "bob", "lobby")
	carol := join(t, addr, "carol", "lobby")
	alice.send(`{"type":"direct","to":"bob","text":"psst"}`)
	alice.send(`{"type":"say","text":"end"}`)
	for _, c := range []client{alice2, bob} {
		before := c.until("alice: end")
		if got := before[len(before)-1]; got != "alice to bob (private): psst" {
			t.Errorf("got %q before the end", got)
		}
	}
	for _, c := range []jsonClient{alice, bob2} {
		for c.hear()["text"] != "psst" {
		}
		c.wantObjects(`{"from":"alice","text":"end","type":"message"}`)
	}
	carol.want("alice: end")
}

// TestNothingIsEscapedForHTML: a text arrives as it was said, in the room, at one user, from
// the history and in an error.
func TestNothingIsEscapedForHTML(t *testing.T) {
	t.Parallel()
	addr := serve(t, chat.Config{})
	alice := dialJSON(t, addr, "a<&>b", "lobby")
	heard := func(c jsonClient, want string) {
		t.Helper()
		if got, err := c.next(); err != nil || !strings.Contains(got, want) {
			t.Errorf("got %q, error %v; want %q in it", got, err, want)
		}
	}
	heard(alice, `"user":"a<&>b"`)
	for _, said := range []string{
		`{"type":"say","text":"1 < 2 && 3 > 2"}`, `{"type":"direct","to":"a<&>b","text":"1 < 2 && 3 > 2"}`,
		`{"type":"status","status":"1 < 2 && 3 > 2"}`, `{"type":"who"}`, `{"type":"direct","to":"1<2&&3>2","text":"x"}`,
	} {
		alice.send("%s", said)
	}
	for range 4 {
		heard(alice, `"1 < 2 && 3 > 2"`)
	}
	heard(alice, `"1<2&&3>2 is not`)
	heard(dialJSON(t, addr, "bob", "lobby"), `"1 < 2 && 3 > 2"`)
}

// requests are messages of a client, and the code of the error that each deserves.
var requests = []struct{ said, code string }{
	{`{"type":"say","text":"hi"}`, ""},
	{`{"type":"say","text":"a\tb","unknown":{"a":[1e999]}}`, ""},
	{`{"type":"say","text":"` + strings.Repeat("ü", 4096) + `"}`, ""},
	{`{"type":"direct","to":"bob","text":"hi","status":1}`, "user_unknown"},
	{`{"type":"status","status":"` + strings.Repeat("ü", 64) + `"}`, ""},
	{`{"type":"status","status":""}`, ""},
	{`{"type":"status","status":" \u3164"}`, ""},
	{`{"type":"who","text":7}`, ""},
	{`{"type":"say","text":"hi","id":7}`, ""},
	{`{"type":"say","text":"hi","id":""}`, ""},

	{`hi`, "bad_json"},
	{``, "bad_json"},
	{`null`, "bad_json"},
	{`[]`, "bad_json"},
	{`"say"`, "bad_json"},
	{`{"type":"who"}}`, "bad_json"},
	{`{"type":"say","text":"hi"`, "bad_json"},
	{strings.Repeat(`[`, 20_000), "bad_json"},
	{`{}`, "unknown_type"},
	{`{"type":1}`, "unknown_type"},
	{`{"type":null}`, "unknown_type"},
	{`{"type":"shout","text":"hi"}`, "unknown_type"},
	{`{"Type":"who"}`, "unknown_type"},
	{`{"type":"Who"}`, "unknown_type"},
	{`{"type":"say"}`, "bad_field"},
	{`{"type":"say","TEXT":"hi"}`, "bad_field"},
	{`{"type":"say","text":null}`, "bad_field"},
	{`{"type":"say","text":["hi"]}`, "bad_field"},
	{`{"type":"say","text":""}`, "bad_field"},
	{`{"type":"say","text":"   "}`, "bad_field"},
	{`{"type":"say","text":"\u3164\u2800"}`, "bad_field"},
	{`{"type":"direct","to":"bob","text":"\u200b"}`, "bad_field"},
	{`{"type":"direct","to":"\ufeff","text":"hi"}`, "bad_field"},
	{`{"type":"direct","text":"hi"}`, "bad_field"},
	{`{"type":"direct","to":"","text":"hi"}`, "bad_field"},
	{`{"type":"direct","to":"bob"}`, "bad_field"},
	{`{"type":"status"}`, "bad_field"},
	{`{"type":"say","text":"` + strings.Repeat("x", 4097) + `"}`, "too_long"},
	{`{"type":"direct","to":"` + strings.Repeat("x", 65) + `","text":"hi"}`, "too_long"},
	{`{"type":"status","status":"` + strings.Repeat("x", 65) + `"}`, "too_long"},
	{`{"type":"say","text":"a\nServer: bob has left the chat"}`, "control_characters"},
	{`{"type":"say","text":"a\u2028b"}`, "control_characters"},
	{`{"type":"say","text":"a\u0085b"}`, "control_characters"},
	{`{"type":"say","text":"a\u0000"}`, "control_characters"},
	{`{"type":"direct","to":"b\u001bb","text":"hi"}`, "control_characters"},
	{`{"type":"status","status":"a\u007f"}`, "control_characters"},
}

// TestRequests: what the schema allows is understood, and nothing else.
func TestRequests(t *testing.T) {
	t.Parallel()
	alice := dialJSON(t, serve(t, chat.Config{}), "alice", "lobby")
	alice.hear()
	for i, r := range requests {
		if flaw := alice.in.flaw(r.said); (flaw == nil) != (r.code == "" || r.code == "user_unknown") {
			t.Errorf("%.80s: the schema says %v, want %q", r.said, flaw, r.code)
		}
		alice.say(r.said)
		end := fmt.Sprint("end ", i)
		alice.say(`{"type":"say","text":"` + end + `"}`)
		code := ""
		for o := alice.hear(); o["text"] != end; o = alice.hear() {
			if o["type"] == "error" {
				code = o["code"].(string)
			}
		}
		if code != r.code {
			t.Errorf("%.80s: got error %q, want %q", r.said, code, r.code)
		}
	}
}

// TestAnswersCarryTheID: an answer has the id that the client gave the request, also in the
// history and for others; what cannot be an id is ignored.
func TestAnswersCarryTheID(t *testing.T) {
	t.Parallel()
	addr := serve(t, chat.Config{})
	alice := dialJSON(t, addr, "alice", "lobby")
	alice.hear()
	for said, want := range map[string]string{
		`{"type":"say","text":"hi","id":"a1"}`:                                 `{"from":"alice","id":"a1","text":"hi","type":"message"}`,
		`{"type":"direct","to":"alice","text":"hi","id":"é"}`:                  `{"from":"alice","id":"é","text":"hi","to":"alice","type":"direct"}`,
		`{"type":"status","status":"away","id":"a3"}`:                          `{"id":"a3","status":"away","type":"status","user":"alice"}`,
		`{"type":"direct","to":"bob","text":"hi","id":"a5"}`:                   `{"code":"user_unknown","detail":"bob is not in this room","id":"a5","type":"error"}`,
		`{"type":"status","status":"","id":7}`:                                 `{"status":"","type":"status","user":"alice"}`,
		`{"type":"status","status":"","id":"a\nb"}`:                            `{"status":"","type":"status","user":"alice"}`,
		`{"type":"status","status":"","id":"` + strings.Repeat("x", 65) + `"}`: `{"status":"","type":"status","user":"alice"}`,
	} {
		alice.send("%s", said)
		alice.wantObjects(want)
	}
	for said, code := range map[string]string{
		`{"type":"shout","id":"a6"}`:                                           "unknown_type",
		`{"type":"say","text":"","id":"a6"}`:                                   "bad_field",
		`{"type":"say","text":"` + strings.Repeat("x", 4097) + `","id":"a6"}`:  "too_long",
		`{"type":"status","status":"a\u0000","id":"a6"}`:                       "control_characters",
		`{"type":"say","text":"` + strings.Repeat("x", 100) + `\n","id":"a6"}`: "control_characters",
	} {
		alice.say(said)
		if o := alice.hear(); o["code"] != code || o["id"] != "a6" {
			t.Errorf("%.80s: got %s, want %s of a6", said, o, code)
		}
	}
	alice.send(`{"type":"who","id":"a7"}`)
	if o := alice.hear(); o["type"] != "who" || o["id"] != "a7" {
		t.Errorf("got %s, want who of a7", o)
	}
	bob := dialJSON(t, addr, "bob", "lobby")
	if o := bob.hear(); !strings.Contains(o.String(), `"id":"a1"`) {
		t.Errorf("got %s, want a history with a1", o)
	}
}

// TestMalformedEnds: a client is closed if all its messages are not of the dialect; one good
// message among them is enough to stay.
func TestMalformedEnds(t *testing.T) {
	t.Parallel()
	alice := dialJSON(t, serve(t, chat.Config{}), "alice", "lobby")
	alice.hear()
	wrong := func(n int) {
		for range n {
			alice.say("wrong")
			if o := alice.hear(); o["code"] != "bad_json" {
				t.Fatalf("got %s, want bad_json", o)
			}
		}
	}
	wrong(9)
	alice.send(`{"type":"who"}`)
	alice.hear()
	wrong(9)
	// A message of the dialect that is not allowed is a mistake, not another language.
	long := strings.Repeat("x", 4097)
	for _, said := range []string{
		`{"type":"say","text":"` + long + `"}`, `{"type":"direct","to":"bob","text":"` + long + `"}`,
		`{"type":"direct","to":"` + long + `","text":"hi"}`, `{"type":"status","status":"` + long + `"}`,
		`{"type":"say","text":""}`, `{"type":"say","text":" "}`, `{"type":"say","text":"\u0007"}`,
	} {
		for range 10 {
			alice.say(said)
			if o := alice.hear(); o["type"] != "error" {
				t.Fatalf("%.60s: got %s, want an error", said, o)
			}
		}
	}
	wrong(10)
	got, err := alice.next()
	var e *websocket.CloseError
	if !errors.As(err, &e) || e.Code != websocket.ClosePolicyViolation || e.Text != "malformed_messages" {
		t.Errorf("got %q, error %v; want close 1008 malformed_messages", got, err)
	}
}

// TestRateLimitedTellsWhen: a member over the rate learns how long to wait.
func TestRateLimitedTellsWhen(t *testing.T) {
	t.Parallel()
	addr := serve(t, chat.Config{Limits: server.Limits{Messages: limiter.Rate{Limit: 10. / 60, Burst: 1}}})
	alice := dialJSON(t, addr, "alice", "lobby")
	alice.hear()
	alice.send(`{"type":"say","text":"1"}`)
	alice.wantObjects(`{"from":"alice","text":"1","type":"message"}`)
	alice.send(`{"type":"say","text":"2"}`)
	o := alice.hear()
	wait, _ := o["retry_after_ms"].(float64)
	if o["code"] != "rate_limited" || wait <= 0 || wait > 6000 {
		t.Errorf("got %s, want rate_limited for up to 6 s", o)
	}
}

// TestBinaryIsClosedJSON: JSON is text.
func TestBinaryIsClosedJSON(t *testing.T) {
	t.Parallel()
	alice := dialJSON(t, serve(t, chat.Config{}), "alice", "lobby")
	alice.hear()
	if err := alice.WriteMessage(websocket.BinaryMessage, []byte(`{"type":"who"}`)); err != nil {
		t.Fatal(err)
	}
	alice.wantClose(websocket.CloseUnsupportedData)
}
