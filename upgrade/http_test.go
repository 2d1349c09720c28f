package upgrade

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// hello is the frame every accepted client of the tests is sent.
const hello = "\x81\x05hello"

// mux answers at /ws/{room} through u and reports each outcome.
func mux(u *Upgrader, then func(o outcome)) http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("/ws/{room}", func(w http.ResponseWriter, req *http.Request) {
		conn, r, early, err := u.UpgradeHTTP(w, req)
		then(outcome{r, early, err})
		if err == nil {
			_, _ = io.WriteString(conn, hello)
			_, _ = io.Copy(io.Discard, conn)
			conn.Close()
		}
	})
	return m
}

// start serves h without keeping hijacked connections in the way of Close.
func start(t *testing.T, h http.Handler) (url string) {
	t.Helper()
	var wg sync.WaitGroup
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		wg.Add(1)
		defer wg.Done()
		h.ServeHTTP(w, req)
	}))
	t.Cleanup(func() { s.Close(); wg.Wait() })
	return s.URL
}

// TestSameBytes: what net/http lets through gets the very bytes that a raw
// connection gets.
func TestSameBytes(t *testing.T) {
	t.Parallel()
	doors := map[*Upgrader]string{}
	for _, u := range []*Upgrader{openDoor, authDoor, deflateDoor, anyDoor, namedDoor} {
		doors[u] = strings.TrimPrefix(start(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if conn, _, _, err := u.UpgradeHTTP(w, req); err == nil {
				conn.Close()
			}
		})), "http://")
	}
	same := 0
	for _, c := range cases {
		want, _, _ := knock(c.door, c.head)
		if v := verdict(want); c.door.MaxHeaderBytes == 0 && (strings.HasPrefix(v, "400 bad_request") || v == "more" || v == "400") ||
			strings.Contains(c.head, "Expect") || strings.HasPrefix(c.head, "OPTIONS *") || strings.HasPrefix(c.head, "PRI") || len(c.head) > 8000 {
			continue // net/http has its own word for these, or another size
		}
		conn := dial(t, doors[c.door])
		fmt.Fprint(conn, c.head)
		_ = conn.CloseWrite()
		got, err := io.ReadAll(conn)
		conn.Close()
		if strings.HasPrefix(string(got), "HTTP/1.1 505 HTTP Version Not Supported: ") {
			continue
		}
		if err != nil || string(got) != want {
			t.Errorf("%s: %v\n got %q\nwant %q", c.name, err, got, want)
		}
		same++
	}
	if same < 100 {
		t.Errorf("only %d heads compared", same)
	}
}

func TestUpgradeHTTPEarlyBytes(t *testing.T) {
	t.Parallel()
	outcomes := make(chan outcome, 1)
	url := start(t, mux(openDoor, func(o outcome) { outcomes <- o }))
	c := dial(t, strings.TrimPrefix(url, "http://"))
	fmt.Fprint(c, up("GET /ws/lobby HTTP/1.1")+"frames")
	_ = c.CloseWrite()
	answer, err := io.ReadAll(c)
	o := <-outcomes
	if err != nil || o.err != nil || !strings.HasSuffix(string(answer), "\r\n\r\n"+hello) {
		t.Fatalf("%v, %+v, %q", err, o, answer)
	}
	if string(o.early) != "frames" || o.r.PathValue("room") != "lobby" || o.r.RemoteAddr.String() != c.LocalAddr().String() {
		t.Errorf("early %q, room %q, from %v", o.early, o.r.PathValue("room"), o.r.RemoteAddr)
	}
}

// TestRefusalArrivesHTTP: as TestRefusalArrives, with a body that nobody reads.
func TestRefusalArrivesHTTP(t *testing.T) {
	t.Parallel()
	url := start(t, mux(openDoor, func(outcome) {}))
	h := head("POST /ws/x HTTP/1.1", "Host: h", "Content-Length: 200000") + strings.Repeat("x", 200000)
	var wg sync.WaitGroup
	for range 50 {
		conn := dial(t, strings.TrimPrefix(url, "http://"))
		wg.Go(func() {
			if _, err := io.WriteString(conn, h); err != nil {
				t.Errorf("write: %v", err)
			}
			answer, err := io.ReadAll(conn)
			if err != nil || verdict(string(answer)) != "405 method_not_allowed" {
				t.Errorf("got %v, %q", err, answer)
			}
			conn.Close()
		})
	}
	wg.Wait()
}

// TestNoHijack: if w cannot be hijacked, the answer goes through w.
func TestNoHijack(t *testing.T) {
	t.Parallel()
	for h, want := range map[string]string{
		head("GET /ws HTTP/1.1", "Host: h"):                                     "426 upgrade_required",
		head("GET /ws HTTP/1.1", "Host: h", "Accept: application/problem+json"): "200 ok",
		head("OPTIONS /ws HTTP/1.1", "Host: h"):                                 "204",
		up():                                                                    "500 internal",
	} {
		lines := strings.Split(h, "\r\n")
		req := httptest.NewRequest(strings.Fields(lines[0])[0], "/ws", nil)
		for _, l := range lines[2 : len(lines)-2] {
			k, v, _ := strings.Cut(l, ": ")
			req.Header.Set(k, v)
		}
		w := httptest.NewRecorder()
		conn, r, early, err := openDoor.UpgradeHTTP(w, req)
		if err == nil || conn != nil || r != nil || early != nil {
			t.Errorf("%q: %v %v %v %v", h, conn, r, early, err)
		}
		_, code, _ := strings.Cut(w.Body.String(), `"code":"`)
		if got := strings.TrimSpace(fmt.Sprint(w.Code, " ", strings.TrimSuffix(code, `"}`))); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// TestHTTP2: over HTTP/2 a probe is answered, and an upgrade is refused.
func TestHTTP2(t *testing.T) {
	t.Parallel()
	errs := make(chan error, 2)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		_, _, _, err := openDoor.UpgradeHTTP(w, req)
		errs <- err
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	for accept, want := range map[string]int{problemJSON: 200, "*/*": 426} {
		req, _ := http.NewRequest("GET", s.URL+"/ws", nil)
		req.Header.Set("Accept", accept)
		resp, err := s.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if err := <-errs; resp.ProtoMajor != 2 || resp.StatusCode != want || errors.Is(err, ErrProbe) != (want == 200) {
			t.Errorf("got %v, %v, want %d", resp, err, want)
		}
	}
}

// TestTLS: Upgrade runs over any net.Conn, and its refusal arrives there too.
func TestTLS(t *testing.T) {
	t.Parallel()
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	defer s.Close()
	client, server := net.Pipe()
	done := make(chan error, 1)
	go func() {
		_, _, err := openDoor.Upgrade(tls.Server(server, s.TLS))
		done <- err
	}()
	conf := s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	conf.ServerName = "example.com"
	c := tls.Client(client, conf)
	fmt.Fprint(c, up("-Upgrade"))
	answer, err := io.ReadAll(c)
	c.Close()
	if err != nil || verdict(string(answer)) != "426 upgrade_required" {
		t.Errorf("%v, %q", err, answer)
	}
	if err := <-done; err == nil {
		t.Error("let in")
	}
}
