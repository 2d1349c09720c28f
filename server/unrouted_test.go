//go:build linux

package server

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/usher-ws/usher/upgrade"
	"golang.org/x/sys/unix"
)

// TestAnswer: what Server.Answer answers never comes to the Handler, and the rest does. One
// that panics is a 500 for that request.
func TestAnswer(t *testing.T) {
	page := upgrade.Record(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "page") }), httptestGet)
	for _, handler := range []http.Handler{nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "handler") })} {
		s := &Server{Handler: handler, Answer: func(dst []byte, r *upgrade.Request) []byte {
			switch r.Path() {
			case "/page":
				return page.AppendTo(dst, r, time.Now())
			case "/panic":
				panic("told of")
			}
			return dst
		}}
		s.Route("/ws", Route{})
		addr := start(t, s)
		rest := 404
		if handler != nil {
			rest = 200
		}
		for _, x := range []struct {
			request string
			status  int
			body    string
		}{
			{get("/page"), 200, "page"},
			{"GET /page HTTP/1.0\r\n\r\n", 200, "page"},
			{"POST /page HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nx", 200, "page"},
			{get("/panic"), 500, "internal"},
			{get("/other"), rest, "h"},
			{"GET /page HTTP/1.1\r\nHost: h\r\nExpect: x\r\n\r\n", map[bool]int{true: 404, false: 417}[handler == nil], ""},
			{get("/ws"), 426, "upgrade"},
		} {
			status, body := answerOf(t, send(t, addr, x.request))
			if status != x.status || !strings.Contains(body, x.body) {
				t.Errorf("%q: got %d %q", x.request, status, body)
			}
		}
		c := send(t, addr, "HEAD /page HTTP/1.1\r\nHost: h\r\n\r\n")
		if got, _ := io.ReadAll(c); !bytes.Contains(got, []byte("\r\nContent-Length: 4\r\n")) || !bytes.HasSuffix(got, []byte("\r\n\r\n")) {
			t.Errorf("HEAD: got %q", got)
		}
	}
}

// What Server.Answer says takes turns: in one pass it says so much, and what is asked for beyond
// waits, with all that was read of it, and is answered in the next ones, in order.
func TestAnswersTakeTurns(t *testing.T) {
	const size, clients = 100 << 10, 30
	b := newBench(t, new(Server))
	b.l.srv.Answer = func(dst []byte, r *upgrade.Request) []byte {
		if r.Path() != "/page" {
			return dst
		}
		return append(append(dst, "HTTP/1.1 200 OK\r\n\r\n"+string(r.RawQuery())...), make([]byte, size)...)
	}
	request := func(path string) (peer int) {
		b.connect()
		b.send("POST " + path + " HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhello")
		readable(b)
		peer, b.peer = b.peer, -1
		t.Cleanup(func() { unix.Close(peer) })
		return peer
	}
	var peers []int
	for k := range clients {
		peers = append(peers, request(fmt.Sprintf("/page?%02d", k)))
	}
	request("/other") // which waits for its body
	answered := func() (n int) {
		for ; n < clients; n++ {
			head := make([]byte, 21)
			if k, _, _ := unix.Recvfrom(peers[n], head, unix.MSG_PEEK); k < len(head) {
				break
			}
			if want := fmt.Sprintf("\r\n\r\n%02d", n); !strings.HasSuffix(string(head), want) {
				t.Fatalf("client %d: got %q", n, head)
			}
		}
		return n
	}
	if got, want := answered(), answerBytesPerTurn/size+1; got != want {
		t.Errorf("in the first pass %d were answered, want %d", got, want)
	}
	for before := answered(); before < clients; {
		b.drive.After()
		b.drive.Wake()
		now := answered()
		if now == before || now > before+mailBytesPerTurn/size+1 {
			t.Fatalf("in one pass %d were answered", now-before)
		}
		before = now
	}
}
