//go:build linux

package main_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	gobwas "github.com/gobwas/ws"
	"github.com/nats-io/nats.go"
)

// nodeEcho starts testdata/guard/node_echo.mjs, and returns its URL.
func nodeEcho(t *testing.T) string {
	t.Helper()
	interpreter := node(t, "ws", "ws")
	modules, err := filepath.Abs(clientsDir)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(interpreter, "node_echo.mjs")
	cmd.Dir, cmd.Env = guardDir, append(cmd.Environ(), "NODE_APP_MODULES="+modules)
	return foreignService(t, cmd)
}

// TestGuardTold: what a backend has the guard say comes behind a message of the application's that
// is under way, in fragments and compressed, and not in its middle; and it is not compressed.
func TestGuardTold(t *testing.T) {
	t.Parallel()
	app := nodeEcho(t)
	p, b := serveAPI(t, func(t testing.TB, flags ...string) *program { return guardOf(t, app, flags...) })
	w := join(t, p.addr, upgradeTo("/echo", bearer(token("alice")), "Sec-WebSocket-Extensions: permessage-deflate")...)
	frame := func(want gobwas.Header) (payload string) {
		t.Helper()
		h, err := gobwas.ReadHeader(w.in)
		if err != nil {
			t.Fatal(err)
		}
		all := make([]byte, h.Length)
		if _, err := io.ReadFull(w.in, all); err != nil {
			t.Fatal(err)
		}
		if h.Length = 0; h != want {
			t.Fatalf("got %+v with %q, want %+v", h, all, want)
		}
		return string(all)
	}
	const text, compressed = gobwas.OpText, 4
	say := func(text string) {
		t.Helper()
		if n := b.want(t, "POST", "/v1/users/alice/messages", fmt.Sprintf(`{"text":%q}`, text), 200)["connections"]; n != 1.0 {
			t.Fatalf("said to %v connections, want 1", n)
		}
	}
	say("at once")
	if got := frame(gobwas.Header{Fin: true, OpCode: text}); got != "at once" {
		t.Errorf("got %q", got)
	}
	w.write(masked(opText, "(first"))
	frame(gobwas.Header{OpCode: text, Rsv: compressed})
	say("one")
	say("two")
	w.write(masked(opText, "(second"))
	frame(gobwas.Header{OpCode: gobwas.OpContinuation})
	say("three")
	w.write(masked(opText, ")third"))
	frame(gobwas.Header{Fin: true, OpCode: gobwas.OpContinuation})
	for _, want := range []string{"one", "two", "three"} {
		if got := frame(gobwas.Header{Fin: true, OpCode: text}); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestGuardToldTakeover: the two sides compress with what they have said before, and understand each
// other, whatever is said between their messages.
func TestGuardToldTakeover(t *testing.T) {
	t.Parallel()
	const size, n = 3000, 20
	app, interpreter := nodeEcho(t), python(t)
	p, b := serveAPI(t, func(t testing.TB, flags ...string) *program { return guardOf(t, app, flags...) })
	r := newRelay(t, p)
	rng, letters := rand.New(rand.NewPCG(7692, 0)), make([]byte, size) // of which nothing is there twice
	for i := range letters {
		letters[i] = byte('a' + rng.IntN(26))
	}
	var seen struct {
		Told   []int
		Echoed int
		Else   []string
	}
	runIn(t, guardDir, &seen, interpreter, "python_told.py", "ws://"+r.addr+"/echo?token="+token("alice"), b.base, backendKey, "alice", string(letters), fmt.Sprint(n))
	r.wait()
	if seen.Echoed != n || len(seen.Told) != n || !slices.IsSorted(seen.Told) || seen.Else != nil {
		t.Errorf("got %+v, want %d of both", seen, n)
	}
	if up := r.up.Len(); up > n*size {
		t.Errorf("%d bytes up, as if nothing referred to what was said before", up)
	}
}

// TestGuardToldSlowly: a client that does not read hears all that it was told, in order and between
// the application's messages, when it reads on; and is sent away if that is too much.
func TestGuardToldSlowly(t *testing.T) {
	const size, told = 256 << 10, 40
	app := httptest.NewServer(&teller{size: size, n: told})
	defer app.Close()
	p, b := serveAPI(t, func(t testing.TB, flags ...string) *program { return guardOf(t, app.URL, flags...) }, "--write-timeout", "1h", "--ping-interval", "0")
	begin := func() *wire { return join(t, p.addr, upgradeTo("/flood", bearer(token("alice")))...) }
	w := begin()
	const line = "a line of the backend's, "
	for k := range told {
		b.want(t, "POST", "/v1/users/alice/messages", fmt.Sprintf(`{"text":"%s%d"}`, line, k), 200)
	}
	for theirs, ours := 0, 0; theirs < told || ours < told; {
		f, err := w.next()
		if err != nil {
			t.Fatalf("after %d and %d: %v", theirs, ours, err)
		}
		switch {
		case f.op == opText && f.payload == fmt.Sprint(line, ours):
			ours++
		case f.op == opBinary && f.payload == strings.Repeat(string(rune('a'+theirs%26)), size):
			theirs++
		default:
			t.Fatalf("after %d and %d: got %d bytes: %.40q", theirs, ours, len(f.payload), f.payload)
		}
	}
	w.conn.Close()

	w = begin()
	large := fmt.Sprintf(`{"text":%q}`, strings.Repeat("x", 200<<10))
	eventually(t, "it is told too much", func() bool {
		status, answer := b.ask(t, "POST", "/v1/users/alice/messages", large)
		return status == 200 && answer["connections"] == 0.0
	})
	for {
		f, err := w.next()
		if err != nil {
			t.Fatal(err)
		}
		if f.op == opClose {
			if reason := w.endsBy(f, nil, 1013); reason != "backlog" {
				t.Errorf("got %q", reason)
			}
			break
		}
	}
}

// TestGuardToldFastAPI: while people talk in an application on uvicorn a backend talks to one of
// them, and neither loses a word.
func TestGuardToldFastAPI(t *testing.T) {
	t.Parallel()
	socket, n := filepath.Join(t.TempDir(), "app"), 100
	fastAPI(t, socket)
	p, b := serveAPI(t, func(t testing.TB, flags ...string) *program {
		return guardOf(t, "unix:"+socket, append(flags, "--path", "/ws/{room}")...)
	})
	a := join(t, p.addr, upgradeTo("/ws/hall", bearer(token("alice")))...)
	a.want(opText, "alice has joined")
	id := b.want(t, "GET", "/v1/users/alice", "", 200)["connections"].([]any)[0].(map[string]any)["id"].(string)
	var telling sync.WaitGroup
	telling.Go(func() {
		for k := range n {
			if status, answer := b.ask(t, "POST", "/v1/connections/"+id+"/messages", fmt.Sprintf(`{"json":[%d]}`, k)); status != 200 {
				t.Errorf("got %d, %v", status, answer)
			}
		}
	})
	telling.Go(func() {
		for k := range n {
			a.write(masked(opText, fmt.Sprint("hello ", k)))
		}
	})
	for theirs, ours := 0, 0; theirs < n || ours < n; {
		switch f, err := a.next(); {
		case err == nil && f.payload == fmt.Sprintf("[%d]", ours):
			ours++
		case err == nil && f.payload == fmt.Sprint("alice: hello ", theirs):
			theirs++
		default:
			t.Fatalf("after %d and %d: got %v, %v", theirs, ours, f, err)
		}
	}
	telling.Wait()
}

// TestGuardToldInCluster: a user of one guard hears what a backend asks another for, and what NATS
// clients publish.
func TestGuardToldInCluster(t *testing.T) {
	t.Parallel()
	token1, first, clients := clusterTokenFile(t, clusterToken), keptAddr(t), keptAddr(t)
	app := serve(t, "--echo", "/echo")
	guards := func(t testing.TB, flags ...string) *program { return guardOf(t, "http://"+app.addr, flags...) }
	a := serveNode(t, guards, "a", "--cluster", "embedded", "--cluster-listen", first, "--cluster-client-listen", clients, token1)
	b := serveNode(t, guards, "b", "--cluster", "embedded", "--cluster-listen", keptAddr(t), "--cluster-peers", first, token1)
	meet(t, a, b)
	w := join(t, a.addr, upgradeTo("/echo", bearer(token("alice")))...)
	w.write(masked(opText, "hi"))
	w.want(opText, "hi")
	if answer := b.api.want(t, "POST", "/v1/users/alice/messages", `{"json":{"a": "<b>"}}`, 200); answer["connections"] != 1.0 || answer["nodes"] != 2.0 {
		t.Errorf("got %v", answer)
	}
	w.want(opText, `{"a":"<b>"}`)
	id := b.api.want(t, "GET", "/v1/users/alice", "", 200)["connections"].([]any)[0].(map[string]any)["id"].(string)
	b.api.want(t, "POST", "/v1/connections/"+id+"/messages", `{"text":"only you"}`, 200)
	w.want(opText, "only you")
	nc, err := nats.Connect("nats://"+clients, nats.Token(clusterToken))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := nc.Publish("usher.user.alice", []byte(`{"text":"over NATS","from":"ignored"}`)); err != nil {
		t.Fatal(err)
	}
	w.want(opText, "over NATS")
}
