package upgrade

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/usher-ws/usher/frame"
	gorilla "github.com/usher-ws/usher/internal/websocket"
)

// closer is a door that refuses with e, in the accept-close view.
func closer(e error) *Upgrader {
	u := guarded(Guard{OnBeforeUpgrade: func(*Request) (http.Header, error) { return nil, e }})
	u.AcceptClose = true
	u.Subprotocols = []string{"chat.v1"}
	return u
}

// TestAcceptClose: which refusals become close frames, and which frames.
func TestAcceptClose(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err    error
		code   frame.StatusCode // 0: it stays HTTP
		reason string
	}{
		{errTokenMissing, 4401, "token_missing"},
		{errTokenExpired, 4401, "token_expired"},
		{Reject(403, CodeForbidden, "No."), 4403, "forbidden"},
		{fmt.Errorf("wrapped: %w", Reject(404, "room_unknown", "")), 4404, "room_unknown"},
		{Reject(429, CodeTooManyRequests, ""), 4429, "too_many_requests; retry-after-ms=1000"},
		{Reject(429, CodeTooManyRequests, "").WithRetryAfter(2500*time.Millisecond + 1), 4429, "too_many_requests; retry-after-ms=2501"},
		{Reject(403, CodeForbidden, "").WithRetryAfter(time.Hour), 4403, "forbidden; retry-after-ms=3600000"},
		{Reject(404, "", ""), 4404, "not_found"},
		{Reject(429, strings.Repeat("é", 200), ""), 4429, strings.Repeat("é", 51) + "; retry-after-ms=1000"},
		{Reject(400, CodeBadRequest, ""), 0, ""},
		{Reject(426, CodeUpgradeRequired, ""), 0, ""},
		{Reject(503, CodeFull, ""), 0, ""},
		{errors.New("plain"), 0, ""},
	} {
		u := closer(c.err)
		plain := *u
		plain.AcceptClose = false
		for _, h := range []string{up(), up("Sec-WebSocket-Protocol: chat.v1"), up("Sec-WebSocket-Protocol: bearer, x")} {
			answer, _, err := knock(u, h)
			refusal, _, _ := knock(&plain, h)
			want := refusal
			if c.code != 0 {
				want, _, _ = knock(&Upgrader{Subprotocols: u.Subprotocols}, h)
				want = string(frame.AppendCloseFrame([]byte(want), c.code, c.reason))
			}
			if rej := asRejection(err); rej == nil || answer != want {
				t.Errorf("%v\n got %q\nwant %q", err, answer, want)
			}
			// A probe of the same is told in HTTP.
			probe := head("GET /ws HTTP/1.1", "Host: h", "Accept: "+problemJSON)
			if told, _, _ := knock(u, probe); verdict(told) != verdict(refusal) {
				t.Errorf("the probe got %q, want %s", told, verdict(refusal))
			}
		}
	}
}

// TestAcceptCloseKnowsItsClients: what could not become a WebSocket stays HTTP.
func TestAcceptCloseKnowsItsClients(t *testing.T) {
	t.Parallel()
	u := closer(nil)
	r := new(Request)
	for _, h := range []string{
		up("-Sec-WebSocket-Key"), up("Sec-WebSocket-Version: 8"), up("-Connection"), up("POST /ws HTTP/1.1"),
		up("HEAD /ws HTTP/1.1"), up("OPTIONS /ws HTTP/1.1"), up("Sec-WebSocket-Protocol: a b"),
		head("GET /ws HTTP/1.1", "Host: h"),
		head("GET /ws HTTP/1.1", "Host: h", "Accept: "+problemJSON),
	} {
		if err := u.Parse([]byte(h), r); err != nil {
			t.Fatal(err)
		}
		out, err := u.Refuse(nil, r, errTooMany)
		if err != error(errTooMany) || !strings.HasPrefix(string(out), "HTTP/1.1 429 ") {
			t.Errorf("%v, %q for %q", err, out, h)
		}
	}
	if out, _ := u.Refuse(nil, nil, errTooMany); !strings.HasPrefix(string(out), "HTTP/1.1 429 ") {
		t.Errorf("%q without a request", out)
	}
	answer, _, err := knock(u, up("Origin: null")) // the door's own refusal
	if err != error(errOrigin) || !strings.HasSuffix(answer, "\x88\x14\x11\x33origin_not_allowed") {
		t.Errorf("%v, %q", err, answer)
	}
}

var errTooMany = Reject(429, CodeTooManyRequests, "")

// TestAcceptCloseArrives: over each adaptor, also while the client is sending.
func TestAcceptCloseArrives(t *testing.T) {
	t.Parallel()
	u := closer(Reject(403, CodeForbidden, "No."))
	let := func() { t.Error("let in") }
	web := func(h http.HandlerFunc) string { return strings.TrimPrefix(start(t, h), "http://") }
	for name, addr := range map[string]string{
		"Upgrade": serve(t, u, func(_ net.Conn, o outcome) {
			if o.err == nil {
				let()
			}
		}),
		"UpgradeHTTP": web(func(w http.ResponseWriter, req *http.Request) {
			if _, _, _, err := u.UpgradeHTTP(w, req); err == nil {
				let()
			}
		}),
		"Handler": web(u.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { let() })).ServeHTTP),
	} {
		c, _, err := gorilla.DefaultDialer.Dial("ws://"+addr+"/ws", nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_, _, err = c.ReadMessage()
		var closed *gorilla.CloseError
		if !errors.As(err, &closed) || closed.Code != 4403 || closed.Text != "forbidden" {
			t.Errorf("%s: %v", name, err)
		}
		c.Close()

		conn := dial(t, addr)
		if _, err := io.WriteString(conn, up()+strings.Repeat("\x81\x85abcdxxxxx", 10000)); err != nil {
			t.Errorf("%s: write: %v", name, err)
		}
		answer, err := io.ReadAll(conn)
		if err != nil || !strings.HasSuffix(string(answer), "\r\n\r\n\x88\x0b\x11\x33forbidden") {
			t.Errorf("%s: %v, %q", name, err, answer)
		}
		conn.Close()
	}
}
