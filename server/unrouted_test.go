//go:build linux

package server

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/usher-ws/usher/upgrade"
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
