package upgrade

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// TestHandlerSameBytes: what Handler refuses, it refuses as Upgrade does.
func TestHandlerSameBytes(t *testing.T) {
	t.Parallel()
	addrs := map[*Upgrader]string{}
	for _, u := range []*Upgrader{openDoor, authDoor, deflateDoor, anyDoor, namedDoor} {
		addrs[u] = strings.TrimPrefix(start(t, u.Handler(http.HandlerFunc(hijackHello))), "http://")
	}
	same := 0
	for _, c := range cases {
		want, _, _ := knock(c.door, c.head)
		switch v := verdict(want); v {
		case "101", "more", "400 bad_request", "400", "431 header_too_large", "414 uri_too_long", "505 version_not_supported":
			continue // 101 is next's, and syntax net/http's
		}
		if strings.HasPrefix(c.head, "OPTIONS *") {
			continue // net/http answers it
		}
		conn := dial(t, addrs[c.door])
		fmt.Fprint(conn, c.head)
		_ = conn.CloseWrite()
		got, err := io.ReadAll(conn)
		conn.Close()
		if err != nil || string(got) != want {
			t.Errorf("%s: %v\n got %q\nwant %q", c.name, err, got, want)
		}
		same++
	}
	if same < 80 {
		t.Errorf("only %d heads compared", same)
	}
}

// hijackHello takes the connection over by hand, says what was in the header
// that guards can fill, and sends back what it reads.
func hijackHello(w http.ResponseWriter, req *http.Request) {
	cookie := w.Header().Get("Set-Cookie")
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\n\r\n%s %s ", cookie, FromContext(req.Context()).Path())
	_, _ = io.Copy(conn, rw.Reader)
}

// TestHandlerEarlyBytes: next finds the connection as net/http has it.
func TestHandlerEarlyBytes(t *testing.T) {
	t.Parallel()
	u := guarded(Guard{OnBeforeUpgrade: func(*Request) (http.Header, error) {
		return http.Header{"Set-Cookie": {"a=b"}, "Sec-Websocket-Accept": {"no"}}, nil
	}})
	addr := strings.TrimPrefix(start(t, u.Handler(http.HandlerFunc(hijackHello))), "http://")
	c := dial(t, addr)
	fmt.Fprint(c, up()+"frames")
	in := bufio.NewReader(c)
	if resp, err := http.ReadResponse(in, nil); err != nil || resp.StatusCode != 101 {
		t.Fatalf("%v, %v", err, resp)
	}
	fmt.Fprint(c, " and more")
	_ = c.CloseWrite()
	if rest, err := io.ReadAll(in); err != nil || string(rest) != "a=b /ws frames and more" {
		t.Errorf("got %q, %v", rest, err)
	}
}

// TestHandlerRefusalArrives: as TestRefusalArrives.
func TestHandlerRefusalArrives(t *testing.T) {
	t.Parallel()
	addr := strings.TrimPrefix(start(t, authDoor.Handler(http.HandlerFunc(hijackHello))), "http://")
	sent := up() + strings.Repeat("x", 200000)
	var wg sync.WaitGroup
	for range 50 {
		conn := dial(t, addr)
		wg.Go(func() {
			if _, err := io.WriteString(conn, sent); err != nil {
				t.Errorf("write: %v", err)
			}
			answer, err := io.ReadAll(conn)
			if err != nil || verdict(string(answer)) != "401 token_missing" {
				t.Errorf("got %v, %q", err, answer)
			}
			conn.Close()
		})
	}
	wg.Wait()
}

func TestFromContextOfOthers(t *testing.T) {
	t.Parallel()
	if r := FromContext(context.Background()); r != nil {
		t.Errorf("got %+v, want nil", r)
	}
}

// TestHandlerNoHijack: if w cannot be hijacked, the refusal goes through w, and next
// gets the rest.
func TestHandlerNoHijack(t *testing.T) {
	t.Parallel()
	h := openDoor.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }))
	req := httptest.NewRequest("GET", "/ws", nil)
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, req); w.Code != 426 || !strings.Contains(w.Body.String(), `"code":"upgrade_required"`) {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	for name, value := range map[string]string{
		"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": testKey, "Sec-WebSocket-Version": "13",
	} {
		req.Header.Set(name, value)
	}
	w = httptest.NewRecorder()
	if h.ServeHTTP(w, req); w.Code != 204 {
		t.Errorf("got %d %s, want next's 204", w.Code, w.Body)
	}
}

// TestRejectionServeHTTP: a Rejection as a handler says what it says at the door.
func TestRejectionServeHTTP(t *testing.T) {
	t.Parallel()
	busy := Reject(503, CodeFull, "No seat is free.").WithHeader("X-Why", "a")
	url := start(t, busy)
	for _, method := range []string{"GET", "POST", "HEAD"} {
		req, err := http.NewRequest(method, url+"/x", strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		_, want, _ := strings.Cut(string(busy.AppendTo(nil, nil, testNow)), "\r\n\r\n")
		if method == "HEAD" {
			want = ""
		}
		h := resp.Header
		if err != nil || string(body) != want || resp.StatusCode != 503 || !resp.Close || h.Get("Retry-After") != "1" ||
			h.Get("Content-Type") != problemJSON || h.Get("Cache-Control") != "no-store" || h.Get("X-Why") != "a" ||
			h.Get("Content-Length") == "" || len(h["Date"]) != 1 {
			t.Errorf("%s: got %v, %v, %q, want %q", method, err, resp, body, want)
		}
	}
}

// TestRefuseHTTP: the client is told of a Rejection, and nothing of any other error.
func TestRefuseHTTP(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]*Rejection{
		fmt.Errorf("no seat: %w", errTooMany): errTooMany,
		errors.New("10.0.0.7 is down"):        errInternal,
	} {
		got, bare := httptest.NewRecorder(), httptest.NewRecorder()
		req := httptest.NewRequest("POST", "/ticket", nil)
		RefuseHTTP(got, req, err)
		want.ServeHTTP(bare, req)
		if got.Code != want.Status || got.Body.String() != bare.Body.String() {
			t.Errorf("%v: got %d %s, want %d %s", err, got.Code, got.Body, want.Status, bare.Body)
		}
	}
}
