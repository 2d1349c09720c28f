//go:build linux

package main_test

import (
	"fmt"
	"html/template"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/gorilla/websocket"
)

// usher.js, as the program serves it, in Node and in a page of another origin. What needs no
// server is in testdata/clients/usher_unit.mjs.

// follow is evaluated where usher.js runs: visit connects and keeps what is told.
const follow = `globalThis.visit = (name, url, options) => {
	const link = connect(url, options);
	link.log = [];
	for (const type of ["open", "message", "state", "refused", "unsent", "close"]) {
		link.addEventListener(type, event => link.log.push({...event, error: null, type}));
	}
	(globalThis.links ??= {})[name] = link;
}; 0`

// linkEvent is what a connection tells.
type linkEvent struct {
	Type, State, Reason, Word, Data string
	Code                            int
	At, Wait                        float64
	Final                           bool
	Problem                         *struct {
		Status       int
		Code, Detail string
	}
	Messages []struct {
		ID   int
		Data string
	}
}

// log returns what a connection was told of one type.
func (p person) log(link, of string) (all []linkEvent) {
	p.t.Helper()
	p.do(p.name, "evaluate", &all, fmt.Sprintf("links.%s.log.filter(({type}) => type === %q)", link, of))
	return all
}

// visits connects. The options are JavaScript.
func (p person) visits(link, url, options string) {
	p.t.Helper()
	p.do(p.name, "evaluate", nil, fmt.Sprintf("visit(%q, %q, %s)", link, url, options))
}

// is waits for a state.
func (p person) is(link, state string) {
	p.t.Helper()
	p.until(fmt.Sprintf("links.%s.state === %q", link, state))
}

// refused waits until a connection was refused, and checks why.
func (p person) refused(link string, status int, code string, final bool) {
	p.t.Helper()
	p.until(fmt.Sprintf(`links.%s.log.some(({type}) => type === "refused")`, link))
	r := p.log(link, "refused")[0]
	if r.Problem.Status != status || r.Problem.Code != code || r.Problem.Detail == "" || r.Final != final || !final && r.Wait <= 0 {
		p.t.Errorf("%s: got %+v, %+v, want %d %s, final: %t", link, r, *r.Problem, status, code, final)
	}
	if final {
		p.is(link, "closed")
	}
}

// hosted is a page of nobody's, which imports usher.js from the program that its query names.
var hosted = template.Must(template.New("").Parse(`<!DOCTYPE html>
<title>Another page</title>
<script type="module">
import {connect} from "http://{{.}}/usher.js";
globalThis.connect = connect;
</script>`))

// hostPages serves pages of another origin until the test ends.
func hostPages(t *testing.T) (origin string) {
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _ = hosted.Execute(w, r.URL.RawQuery) }))
	t.Cleanup(site.Close)
	return site.URL
}

// everywhere runs f for usher.js in a page of the origin, and in Node with each of its
// WebSockets. comes has it from the program.
func everywhere(t *testing.T, f func(t *testing.T, origin string, comes func(p *program) person)) {
	t.Parallel()
	t.Run("firefox", func(t *testing.T) {
		path := exotic(t, "firefox-esr")
		origin := hostPages(t)
		f(t, origin, func(p *program) person {
			page := person{startScript(t, "firefox_peer.mjs", exotic(t, "node"), "../exotic/firefox_peer.mjs", path, origin+"/?"+p.addr), "page"}
			page.until(`typeof connect === "function"`)
			page.do(page.name, "evaluate", nil, follow)
			return page
		})
	})
	t.Run("chromium", func(t *testing.T) {
		t.Parallel()
		origin := hostPages(t)
		b := newBrowser(t)
		f(t, origin, func(p *program) person {
			page := b.opens("page", origin+"/?"+p.addr, nil)
			page.until(`typeof connect === "function"`)
			page.do("page", "evaluate", nil, follow)
			return page
		})
	})
	for _, kind := range []string{"ws", "undici", "global"} {
		t.Run("node "+kind, func(t *testing.T) {
			t.Parallel()
			f(t, "https://unused.example", func(p *program) person { return newPeer(t, kind, p) })
		})
	}
}

// newPeer starts Node with a kind of WebSocket.
func newPeer(t *testing.T, kind string, p *program) person {
	t.Helper()
	node(t, "ws", "ws")
	args := []string{"usher_peer.mjs", kind, "http://" + p.addr + "/usher.js"}
	interpreter := node(t, "undici", "undici")
	if kind == "global" {
		has := func(flags ...string) bool {
			out, _ := exec.Command(interpreter, append(flags, "-p", "typeof WebSocket")...).Output()
			return strings.TrimSpace(string(out)) == "function"
		}
		const flag = "--experimental-websocket" // until Node 22
		switch {
		case has():
		case has(flag):
			args = append([]string{flag}, args...)
		default:
			t.Skip("this Node has no WebSocket of its own")
		}
	}
	peer := person{startScript(t, "usher_peer.mjs", interpreter, args...), "node"}
	peer.do("node", "evaluate", nil, follow)
	return peer
}

// TestModuleRefused: whoever is refused is told why, and comes back when the server lets them.
func TestModuleRefused(t *testing.T) {
	everywhere(t, func(t *testing.T, origin string, comes func(p *program) person) {
		p := serve(t, "--rooms", "tea", "--max-conns-per-user", "1", "--origin", origin)
		js := comes(p)
		tea := "ws://" + p.addr + "/ws/tea"
		js.visits("bad", tea, `{token: "letmein"}`)
		js.refused("bad", 401, "token_invalid", true)
		js.visits("malformed", tea, `{token: "let me in"}`)
		js.refused("malformed", 401, "token_invalid", true)
		js.visits("stranger", tea, `{}`)
		js.refused("stranger", 401, "token_missing", true)
		js.visits("forbidden", tea, fmt.Sprintf("{token: %q}", token("dora", "garden")))
		js.refused("forbidden", 403, "room_forbidden", true)
		js.visits("unknown", "ws://"+p.addr+"/ws/attic", fmt.Sprintf("{token: %q}", token("dora")))
		js.refused("unknown", 404, "room_unknown", true)
		if c := js.log("unknown", "close"); len(c) != 1 || c[0].Reason != "refused" || c[0].Problem.Status != 404 {
			t.Errorf("close: got %+v", c)
		}

		js.visits("first", tea, fmt.Sprintf("{token: %q}", token("alice")))
		js.is("first", "open")
		js.visits("second", tea, fmt.Sprintf("{token: %q}", token("alice")))
		js.refused("second", 429, "too_many_requests", false)
		if s := js.log("second", "state"); s[0].State != "waiting" || s[0].At == 0 {
			t.Errorf("second: got %+v", s)
		}
		js.do(js.name, "evaluate", nil, "links.first.close()")
		js.is("second", "open") // by itself

		js.visits("renewed", tea, fmt.Sprintf(`{token: ({renew}) => renew ? %q : "letmein"}`, token("bob")))
		js.is("renewed", "open")
		if r := js.log("renewed", "refused"); len(r) != 0 {
			t.Errorf("renewed: got %+v", r)
		}
		js.visits("ticket", tea, fmt.Sprintf("{token: %q, ticket: true}", token("carol")))
		js.is("ticket", "open")
		js.until(`links.ticket.socket.url.includes("?ticket=") && !links.ticket.socket.protocol`)
		js.until(`links.ticket.log.some(({data}) => data === "Server: carol has joined the chat")`)
		js.visits("noticket", tea, `{token: "letmein", ticket: "/ticket"}`)
		js.refused("noticket", 401, "token_invalid", true)
	})
}

// TestModuleFull: a page of another origin is told of a 503, too.
func TestModuleFull(t *testing.T) {
	everywhere(t, func(t *testing.T, origin string, comes func(p *program) person) {
		p := serve(t, "--echo-auth", "/echo", "--max-conns", "1", "--origin", origin)
		js := comes(p)
		js.visits("first", "ws://"+p.addr+"/echo", fmt.Sprintf("{token: %q}", token("alice")))
		js.is("first", "open")
		js.visits("second", "ws://"+p.addr+"/echo", fmt.Sprintf("{token: %q}", token("bob")))
		js.refused("second", 503, "full", false)
		js.do(js.name, "evaluate", nil, "links.first.close()")
		js.is("second", "open")
	})
}

// TestModuleRestarts: it survives a drain and a crash, and says what became of each message.
func TestModuleRestarts(t *testing.T) {
	everywhere(t, func(t *testing.T, origin string, comes func(p *program) person) {
		flags := []string{"--echo-auth", "/echo", "--drain", "1s", "--origin", origin}
		p := serve(t, flags...)
		js := comes(p)
		again := func() { t.Helper(); p = start(t, usher(t, append([]string{"serve", "--listen", p.addr}, flags...)...)) }
		js.visits("a", "ws://"+p.addr+"/echo", fmt.Sprintf("{token: %q}", token("alice")))
		js.is("a", "open")
		p.signal(t, syscall.SIGTERM)
		js.until(`links.a.log.some(({state}) => state === "waiting")`)
		if s := js.log("a", "state")[1]; s.Reason != "ended" || s.Code != 1001 || s.Word != "draining" || s.At == 0 {
			t.Errorf("the drain: got %+v", s)
		}
		if code := p.exit(t, patience); code != 0 {
			t.Fatalf("exit code %d, want 0", code)
		}
		js.until(`links.a.send("meanwhile")`)
		again()
		js.until(`links.a.log.some(({data}) => data === "meanwhile")`)

		js.do(js.name, "evaluate", nil, `links.a.log.length = 0; links.a.send("once", {id: 1}); links.a.send("twice", {id: 2, resend: true})`)
		js.until(`links.a.log.some(({data}) => data === "twice")`)
		p.signal(t, syscall.SIGKILL)
		js.until(`links.a.log.some(({reason}) => reason === "unreachable")`)
		if s := js.log("a", "state")[0]; s.Reason != "lost" || s.Code != 1006 {
			t.Errorf("the crash: got %+v", s)
		}
		if u := js.log("a", "unsent"); len(u) != 1 || len(u[0].Messages) != 1 || u[0].Messages[0].ID != 1 || u[0].Messages[0].Data != "once" || u[0].Reason != "lost" {
			t.Errorf("unsent: got %+v", u)
		}
		again()
		js.until(`links.a.log.filter(({data}) => data === "twice").length === 2`)
		js.until(`links.a.confirm(2) && !links.a.confirm(1)`)
		if c := js.log("a", "close"); len(c) != 0 {
			t.Errorf("close: got %+v", c)
		}
	})
}

// TestModuleExpiry: at the end of the token another one takes its place, without a wait.
func TestModuleExpiry(t *testing.T) {
	everywhere(t, func(t *testing.T, origin string, comes func(p *program) person) {
		p := serve(t, "--echo-auth", "/echo", "--origin", origin)
		js := comes(p)
		short := sign(jwt.SigningMethodHS256, jwt.MapClaims{"sub": "alice", "exp": time.Now().Add(10 * time.Second).Unix()})
		js.visits("a", "ws://"+p.addr+"/echo", fmt.Sprintf("{token: ({renew}) => renew ? %q : %q}", token("alice"), short))
		js.until(`links.a.socket?.protocol === "bearer" && links.a.log.some(({state}) => state === "connecting")`)
		for _, s := range js.log("a", "state") {
			if s.State == "waiting" || s.State == "closed" {
				t.Errorf("got %+v", s)
			}
		}
		js.visits("b", "ws://"+p.addr+"/echo", fmt.Sprintf("{token: async () => %q}", short))
		js.refused("b", 401, "token_expired", true) // there is no other one
	})
}

// TestModuleStranger: a page that may not connect is shown no verdict.
func TestModuleStranger(t *testing.T) {
	t.Parallel()
	p := serve(t)
	page := newBrowser(t).opens("page", hostPages(t)+"/?"+p.addr, nil)
	page.until(`typeof connect === "function"`) // the module is for anybody
	page.do("page", "evaluate", nil, follow)
	page.visits("a", "ws://"+p.addr+"/ws/tea", fmt.Sprintf("{token: %q}", token("alice")))
	page.until(`links.a.log.some(({reason}) => reason === "unreachable")`)
}

// TestModuleUnits: what needs no server, with a clock of its own.
func TestModuleUnits(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(node(t, "ws", "ws"), "usher_unit.mjs", "../../../../chat/usher.js")
	cmd.Dir = clientsDir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestModuleTypes: usher.d.ts has what usher.js has, and says what can be done with it.
func TestModuleTypes(t *testing.T) {
	t.Parallel()
	var flaws []string
	runIn(t, clientsDir, &flaws, node(t, "typescript", "typescript"), "usher_types.mjs", "../../../../chat/usher.js", "../../../../chat/usher.d.ts")
	for _, flaw := range flaws {
		t.Error(flaw)
	}
}

// TestModuleBehindGuard: a page of the application has a copy, and talks to the application
// through the guard.
func TestModuleBehindGuard(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	app := newHost(t)
	p := guardOf(t, "http://"+app.addr, "--public", "/open")
	page := b.opens("page", "http://"+p.addr+"/", nil)
	page.until(`typeof connect === "function"`)
	page.do("page", "evaluate", nil, follow)
	page.visits("bad", "/ws", `{token: "letmein"}`)
	page.refused("bad", 401, "token_invalid", true)
	page.visits("open", "/open", `{}`)
	page.visits("a", "/ws", fmt.Sprintf("{token: %q}", token("alice")))
	for _, link := range []string{"a", "open"} {
		page.until(fmt.Sprintf(`links.%s.send("hi")`, link))
		page.until(fmt.Sprintf(`links.%s.log.some(({data}) => data === "hi")`, link))
	}

	example := b.opens("example", "http://"+p.addr+"/example", nil)
	example.until(`document.body.innerText.trim() === "hello" && document.title === "open"`)

	app.stop()
	page.refused("a", 502, "upstream_unreachable", false)
	if s := page.log("a", "state"); s[1].Code != 1014 || s[1].Word != "upstream_lost" {
		t.Errorf("got %+v", s)
	}
	page.until(`links.a.send("later")`)
	app.start(t)
	page.until(`links.a.log.some(({data}) => data === "later")`)
}

// host is an application with a page, a copy of usher.js and an echo, which can be restarted.
type host struct {
	addr  string
	serve *http.Server
	mu    sync.Mutex
	conns []*websocket.Conn
}

func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{addr: "127.0.0.1:0"}
	h.start(t)
	t.Cleanup(h.stop)
	return h
}

// start listens at h.addr, where the port stays the same.
func (h *host) start(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	h.addr = l.Addr().String()
	page, err := os.ReadFile("../../docs/CLIENTS.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(page), "```html\n")
	example, _, _ = strings.Cut(example, "```")
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		_ = hosted.Execute(w, r.Host)
	})
	mux.HandleFunc("GET /usher.js", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, "../../chat/usher.js")
	})
	mux.HandleFunc("GET /example", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "<!DOCTYPE html>\n<body>%s</body>", example)
	})
	mux.HandleFunc("GET /session", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"token":%q}`, token("alice"))
	})
	mux.HandleFunc("/", h.echo)
	h.serve = &http.Server{Handler: mux}
	go h.serve.Serve(l)
}

func (h *host) echo(w http.ResponseWriter, r *http.Request) {
	c, err := new(websocket.Upgrader).Upgrade(w, r, nil)
	if err != nil {
		return
	}
	h.mu.Lock()
	h.conns = append(h.conns, c)
	h.mu.Unlock()
	for {
		kind, data, err := c.ReadMessage()
		if err != nil || c.WriteMessage(kind, data) != nil {
			return
		}
	}
}

// stop ends it and all its connections, without a word.
func (h *host) stop() {
	h.serve.Close()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.conns {
		c.Close()
	}
	h.conns = nil
}
