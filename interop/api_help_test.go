//go:build linux

package interop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/usher-ws/usher/chat"
	"github.com/usher-ws/usher/hub"
	"github.com/usher-ws/usher/hub/api"
	"github.com/usher-ws/usher/server"
	"github.com/usher-ws/usher/upgrade"
)

const apiKey = "a-key-of-the-backend-that-is-long-enough"

// node is a server with a chat, and the API in front of it.
type node struct {
	*api.API
	spec *openAPI
	addr string // of the server
	url  string // of the API
}

// anybody lets in whom ?as= names, and nobody in particular without.
var anybody = upgrade.Guard{Name: "anybody", OnBeforeUpgrade: func(r *upgrade.Request) (http.Header, error) {
	query, err := url.ParseQuery(string(r.RawQuery()))
	if name := query.Get("as"); err == nil && name != "" {
		r.Identity = &upgrade.Identity{Subject: name, ExpiresAt: time.Now().Add(time.Hour)}
	}
	return nil, nil
}}

// newNode runs a node until the test ends. others may be nil.
func newNode(t *testing.T, spec *openAPI, others hub.Nodes, broker hub.Broker, config chat.Config) *node {
	t.Helper()
	config.Guards, config.LeaveGrace = []upgrade.Guard{anybody}, -1
	app, err := chat.New(config)
	if err != nil {
		t.Fatal(err)
	}
	app.Hub().Broker = broker
	s := &server.Server{Addr: "127.0.0.1:0", Loops: 2, Logger: slog.New(slog.DiscardHandler)}
	room := app.Route()
	room.Guards = []upgrade.Guard{anybody, s.NotBanned(), app.RoomGuard()}
	s.Route(chat.Pattern, room)
	s.Route("/echo", server.Route{Guards: []upgrade.Guard{anybody, s.NotBanned()}, Message: func(c server.Conn, m server.Message) error { return c.Send(m.Opcode, m.Data) }})
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	n := &node{spec: spec, addr: s.Addrs()[0].String(), API: &api.API{
		Server: s, Hub: app.Hub(), Encode: app.Encode, HasRoom: app.HasRoom, Retold: 1, Nodes: others,
	}}
	n.SetKeys([]byte("another-key-which-is-as-good-as-that"), []byte(apiKey))
	n.Serve()
	front := httptest.NewServer(n.API)
	n.url = front.URL
	t.Cleanup(func() {
		front.Close()
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // there is nobody left to be polite to
		_ = s.Shutdown(ctx)
	})
	return n
}

// ask puts a request to the API, with its key, and returns the answer, which is as the document says.
// A body that is taken is as the document says, too.
func (n *node) ask(t *testing.T, method, path, body string) (status int, answer map[string]any) {
	t.Helper()
	req, err := http.NewRequest(method, n.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+apiKey)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	text := n.spec.check(t, resp)
	if op, ok := n.spec.find(method, req.URL.EscapedPath()); ok && op.RequestBody != nil && resp.StatusCode < 300 {
		n.spec.judge(t, method+" "+path, op.at+"/requestBody/content/application~1json/schema", []byte(body))
	}
	if err := json.Unmarshal(text, &answer); method != http.MethodHead && err != nil {
		t.Fatalf("%s %s: %s: %v", method, path, text, err)
	}
	return resp.StatusCode, answer
}

// want fails the test if the answer to a request has not this status, and each of these members: a
// code, a number of connections, whatever. The values are compared as they are printed.
func (n *node) want(t *testing.T, method, path, body string, status int, members ...any) map[string]any {
	t.Helper()
	got, answer := n.ask(t, method, path, body)
	if got != status {
		t.Errorf("%s %s %s: got %d %v, want %d", method, path, body, got, answer, status)
	}
	for k := 0; k < len(members); k += 2 {
		if name := members[k].(string); fmt.Sprint(answer[name]) != fmt.Sprint(members[k+1]) {
			t.Errorf("%s %s %s: got %d %v, want %s %v", method, path, body, got, answer, name, members[k+1])
		}
	}
	return answer
}

// listener is a client of a node.
type listener struct {
	*websocket.Conn
	t *testing.T
}

// join opens a connection in a room, and waits until it is there.
func (n *node) join(t *testing.T, room, user string, protocols ...string) listener {
	t.Helper()
	l := n.dial(t, "/ws/"+room+"?as="+url.QueryEscape(user), protocols...)
	l.hear() // that it has joined, or what was retained
	return l
}

func (n *node) dial(t *testing.T, path string, protocols ...string) listener {
	t.Helper()
	d := websocket.Dialer{Subprotocols: protocols}
	conn, resp, err := d.Dial("ws://"+n.addr+path, nil)
	if err != nil {
		t.Fatalf("%s: %v (%v)", path, err, resp)
	}
	t.Cleanup(func() { conn.Close() })
	return listener{conn, t}
}

func (l listener) hear() string {
	l.t.Helper()
	_, b, err := l.ReadMessage()
	if err != nil {
		l.t.Fatal(err)
	}
	return string(b)
}

// wantText waits for a message.
func (l listener) wantText(want string) {
	l.t.Helper()
	if got := l.hear(); got != want {
		l.t.Errorf("got %q, want %q", got, want)
	}
}

// wantClose waits for the end, past whatever is said before.
func (l listener) wantClose(code int, reason string) {
	l.t.Helper()
	for {
		_, _, err := l.ReadMessage()
		var end *websocket.CloseError
		if errors.As(err, &end) {
			if end.Code != code || end.Text != reason {
				l.t.Errorf("closed with %d %q, want %d %q", end.Code, end.Text, code, reason)
			}
			return
		}
		if err != nil {
			l.t.Fatal(err)
		}
	}
}

// fleet is a cluster in one process: what its nodes ask each other is carried by calls.
type fleet struct {
	mu     sync.Mutex
	answer map[string]func([]byte) []byte
	silent map[string]bool // that do not answer
	down   bool            // nobody can be asked
}

// berth is a node's place in a fleet.
type berth struct {
	*fleet
	name string
}

func (b berth) Name() string { return b.name }

func (b berth) Serve(answer func([]byte) []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answer[b.name] = answer
}

// AskNode is for tickets: the API asks all.
func (b berth) AskNode(context.Context, string, []byte) ([]byte, error) { return nil, hub.ErrSilent }

func (b berth) Ask(ctx context.Context, question []byte) (answers [][]byte, silent []string, err error) {
	b.mu.Lock()
	if b.down {
		b.mu.Unlock()
		return nil, nil, errors.New("no broker")
	}
	var all []func([]byte) []byte
	for name, answer := range b.answer {
		switch {
		case name == b.name:
		case b.silent[name]:
			silent = append(silent, name)
		default:
			all = append(all, answer)
		}
	}
	b.mu.Unlock()
	for _, answer := range all {
		answers = append(answers, answer(question))
	}
	return answers, silent, nil
}

// newFleet runs nodes until the test ends.
func newFleet(t *testing.T, spec *openAPI, names ...string) (f *fleet, nodes []*node) {
	t.Helper()
	f = &fleet{answer: make(map[string]func([]byte) []byte), silent: make(map[string]bool)}
	broker := new(hub.Local)
	for _, name := range names {
		nodes = append(nodes, newNode(t, spec, berth{f, name}, broker, chat.Config{}))
	}
	return f, nodes
}

// set makes a node silent, or all unreachable.
func (f *fleet) set(silent string, down bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.silent, f.down = map[string]bool{}, down
	if silent != "" {
		f.silent[silent] = true
	}
}
