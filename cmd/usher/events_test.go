//go:build linux

package main_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// eventsKey is what tests sign events with.
var eventsKey = "whsec_" + base64.StdEncoding.EncodeToString([]byte("a secret of tests of 32 bytes ok"))

// eventsKeyFile writes keys into a file.
func eventsKeyFile(t *testing.T, keys ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "events.key")
	if err := os.WriteFile(path, []byte(strings.Join(keys, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// happened is an event as a backend reads it.
type happened struct {
	Type, Connection, User, Room, Route, Path, Remote, Subprotocol string
	Text, Data                                                     *string
	Code                                                           int
	Reason                                                         string
	Count                                                          int
}

// said is what there is to compare in most tests.
func (e happened) said() string {
	switch e.Type {
	case "disconnected":
		return fmt.Sprint(e.Type, " ", e.User, " ", e.Path, " ", e.Code)
	case "message":
		if e.Text != nil {
			return e.Type + " " + e.User + " " + *e.Text
		}
		return e.Type + " " + e.User + " " + *e.Data
	case "joined", "left":
		return e.Type + " " + e.User + " " + e.Room
	}
	return e.Type + " " + e.User + " " + e.Path
}

// eventsBackend keeps the events that it is told, signed by key, once each, and holds them to
// docs/events.schema.json.
type eventsBackend struct {
	t      *testing.T
	url    string
	schema *jsonschema.Schema

	mu     sync.Mutex
	key    string
	ids    map[string]bool
	events []happened
	bad    int // requests without a good signature, which are answered with 401
}

func newEventsBackend(t *testing.T) *eventsBackend {
	t.Helper()
	schema, err := jsonschema.NewCompiler().Compile("../../docs/events.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	b := &eventsBackend{t: t, schema: schema, key: eventsKey, ids: make(map[string]bool)}
	web := httptest.NewServer(b)
	t.Cleanup(web.Close)
	b.url = web.URL + "/usher?token=hidden"
	return b
}

// ServeHTTP implements http.Handler.
func (b *eventsBackend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	id := r.Header.Get("webhook-id")
	secret, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(b.key, "whsec_"))
	mac := hmac.New(sha256.New, secret)
	fmt.Fprintf(mac, "%s.%s.%s", id, r.Header.Get("webhook-timestamp"), body)
	good := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	if !slices.Contains(strings.Fields(r.Header.Get("webhook-signature")), good) {
		b.bad++
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(string(body)))
	if err == nil {
		err = b.schema.Validate(v)
	}
	if err != nil {
		b.t.Errorf("%s: %v", body, err)
	}
	var all struct{ Events []happened }
	_ = json.Unmarshal(body, &all)
	if !b.ids[id] {
		b.events = append(b.events, all.Events...)
	}
	b.ids[id] = true
}

// told returns the events so far.
func (b *eventsBackend) told() []happened {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.events)
}

// await returns the events when there are n.
func (b *eventsBackend) await(n int) []happened {
	b.t.Helper()
	becomes(b.t, "events", n, func(testing.TB) int { return len(b.told()) })
	return b.told()
}

// want compares all events so far.
func (b *eventsBackend) want(lines ...string) []happened {
	b.t.Helper()
	if !patiently(func() bool { return len(b.told()) >= len(lines) }) {
		b.t.Errorf("got %d events, want %d", len(b.told()), len(lines))
	}
	events := b.told()
	var got []string
	for _, e := range events {
		got = append(got, e.said())
	}
	if !slices.Equal(got, lines) {
		b.t.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(lines, "\n"))
	}
	return events
}

// flags are what a program needs to tell b.
func (b *eventsBackend) flags(types string) []string {
	return []string{"--events", b.url, "--events-key-file", eventsKeyFile(b.t, b.key), "--events-types", types}
}

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

// TestEventsMistakes: nothing is sent unsigned, and no mistake tells the key.
func TestEventsMistakes(t *testing.T) {
	t.Parallel()
	good := eventsKeyFile(t, eventsKey)
	short := "whsec_" + base64.StdEncoding.EncodeToString([]byte("too short"))
	for args, says := range map[string]string{
		"serve --events=http://127.0.0.1:9/":                                                                                            "--events-key-file",
		"serve --events-key-file=" + good:                                                                                               "name a URL",
		"serve --events=http://127.0.0.1:9/ --events-key-file=/nowhere":                                                                 "--events-key-file",
		"serve --events=http://127.0.0.1:9/ --events-key-file=" + eventsKeyFile(t, short):                                               "9 bytes",
		"serve --events=http://127.0.0.1:9/ --events-key-file=" + eventsKeyFile(t, eventsKey, "", eventsKey):                            "line 2",
		"serve --events=http://127.0.0.1:9/ --events-key-file=" + eventsKeyFile(t, eventsKey[6:]):                                       "whsec_",
		"serve --events=http://127.0.0.1:9/ --events-key-file=" + eventsKeyFile(t):                                                      "empty",
		"guard --upstream=http://127.0.0.1:9 --events=http://127.0.0.1:9/ --events-types=message --events-key-file=" + good:             "--events-types",
		"check guard --upstream=http://127.0.0.1:9 --events=http://127.0.0.1:9/ --events-types=message --events-key-file=" + good:       "--events-types",
		"check --events=http://127.0.0.1:9/ --events-key-file=" + eventsKeyFile(t, short) + " --listen=127.0.0.1:0 --events-types=left": "9 bytes",
	} {
		got := finish(t, []string{"USHER_SECRET=" + secret}, strings.Fields(args)...)
		if got.code == 0 || !strings.Contains(got.stderr, says) || strings.Count(got.stderr, "\n") != 1 || strings.Contains(got.stderr, eventsKey[6:]) || strings.Contains(got.stderr, short[6:]) {
			t.Errorf("usher %s: got %+v, want %q", args, got, says)
		}
	}
	if got := finish(t, []string{"USHER_SECRET=" + secret}, "check", "--events=http://127.0.0.1:9/?token=hidden", "--events-key-file="+good); got.code != 0 || strings.Contains(got.stdout, "hidden") {
		t.Errorf("got %+v", got)
	}
}

// TestEventsDocument: the backends in docs/EVENTS.md work as they are.
func TestEventsDocument(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/EVENTS.md")
	if err != nil {
		t.Fatal(err)
	}
	block := func(language string) string {
		_, code, _ := strings.Cut(string(text), "```"+language+"\n")
		code, _, ok := strings.Cut(code, "```\n")
		if !ok {
			t.Fatalf("docs/EVENTS.md has no %s", language)
		}
		return code
	}
	key := "EVENTS_KEY=" + eventsKey
	t.Run("python", func(t *testing.T) {
		t.Parallel()
		if _, err := os.Stat(debian); err != nil {
			missing(t, "python3", "not installed; see make deps")
		}
		serving := "http.server.HTTPServer((\"127.0.0.1\", 9000), Backend).serve_forever()"
		code := strings.Replace(block("python"), serving,
			"web = http.server.HTTPServer((\"127.0.0.1\", 0), Backend)\nprint(f\"http://127.0.0.1:{web.server_port}\", flush=True)\nweb.serve_forever()", 1)
		cmd := exec.Command(debian, "-c", code)
		cmd.Env = append(os.Environ(), key)
		tellForeign(t, cmd)
	})
	t.Run("node", func(t *testing.T) {
		t.Parallel()
		interpreter := node(t, "standardwebhooks", "standardwebhooks")
		code := strings.Replace(block("js"), "listen(9000", "listen(0", 1) +
			"server.on('listening', () => console.log(`http://127.0.0.1:${server.address().port}`))\n"
		cmd := exec.Command(interpreter, "--input-type=module", "--eval", code)
		cmd.Dir = clientsDir // where its modules are
		cmd.Env = append(os.Environ(), key)
		tellForeign(t, cmd)
	})
	t.Run("json", func(t *testing.T) {
		t.Parallel()
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(block("json")))
		if err != nil {
			t.Fatal(err)
		}
		if err := newEventsBackend(t).schema.Validate(v); err != nil {
			t.Error(err)
		}
	})
}

// tellForeign has a backend of others told of a user, and wants it to take what is signed and
// nothing else.
func tellForeign(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	f, line := launch(t, cmd, "http://")
	url := strings.TrimSpace(line)
	p := serve(t, "--events", url, "--events-key-file", eventsKeyFile(t, "whsec_"+strings.Repeat("A", 32), eventsKey), "--leave-grace", "0")
	c, _, err := websocket.DefaultDialer.Dial("ws://"+p.addr+"/ws/lobby?token="+token("Zoë"), nil)
	if err != nil {
		t.Fatal(err)
	}
	end(t, c, 1000, "")
	for _, want := range []string{"connected Zoë lobby", "joined Zoë lobby", "disconnected Zoë lobby", "left Zoë lobby"} {
		eventually(t, want, func() bool { return strings.Count(f.String(), want) == 1 })
	}
	req, _ := http.NewRequest(http.MethodPost, url, strings.NewReader(`{"events":[{"type":"forged"}]}`))
	req.Header.Set("webhook-id", "msg_x")
	req.Header.Set("webhook-timestamp", fmt.Sprint(time.Now().Unix()))
	req.Header.Set("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(make([]byte, 32)))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized || strings.Contains(f.String(), "forged") {
		t.Errorf("a forgery: got %s", resp.Status)
	}
}
