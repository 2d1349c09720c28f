package forwardauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/usher-ws/usher/internal/leak"
	"github.com/usher-ws/usher/upgrade"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := leak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// service returns a Service whose answers are h's.
func service(t *testing.T, h http.HandlerFunc) *Service {
	t.Helper()
	web := httptest.NewServer(h)
	t.Cleanup(web.Close)
	return at(t, web.URL+"/auth")
}

func at(t *testing.T, url string) *Service {
	t.Helper()
	s, err := New(url)
	if err != nil {
		t.Fatal(err)
	}
	s.Logger = slog.New(slog.DiscardHandler)
	t.Cleanup(s.Close)
	return s
}

// raw returns a Service whose answer is written as it is.
func raw(t *testing.T, serve func(conn net.Conn)) *Service {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			_ = conn.SetDeadline(time.Now().Add(time.Hour))
			serve(conn)
			conn.Close()
		}
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return at(t, "http://"+ln.Addr().String())
}

// knock asks s about an upgrade with more lines.
func knock(t *testing.T, ctx context.Context, s *Service, target string, lines ...string) (*upgrade.Request, error) {
	t.Helper()
	head := "GET " + target + " HTTP/1.1\r\nHost: chat.example\r\n" + strings.Join(append(lines, ""), "\r\n") + "\r\n"
	r := new(upgrade.Request)
	if err := new(upgrade.Upgrader).Parse([]byte(head), r); err != nil {
		t.Fatal(err)
	}
	r.RemoteAddr = netip.MustParseAddrPort("192.0.2.1:4711")
	return r, s.Authorize(ctx, r)
}

// rejection returns what the client is told.
func rejection(t *testing.T, err error) *upgrade.Rejection {
	t.Helper()
	var e *upgrade.Rejection
	if !errors.As(err, &e) {
		t.Fatalf("%v is no Rejection", err)
	}
	return e
}

func TestNew(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "auth", "/auth", "127.0.0.1:9000", "ftp://h/", "http://", "http://:80/", "http://h:x", "http://a b",
		"http://me:secret@h/", "http://h/#a"} {
		if _, err := New(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

// TestQuestion: what the service is told of a request, and nothing else.
func TestQuestion(t *testing.T) {
	t.Parallel()
	var got http.Header
	s := service(t, func(w http.ResponseWriter, req *http.Request) {
		got = req.Header
		if req.Method != "GET" || req.URL.Path != "/auth" {
			t.Errorf("asked %s %s", req.Method, req.URL)
		}
		w.Header().Set("X-Usher-Sub", "alice")
		w.WriteHeader(204)
	})
	r, err := knock(t, context.Background(), s, "/ws/a%2Fb?ticket=s3cret&x=%20", "Authorization: Bearer a.b.c", "Cookie: a=b", "Cookie: c=d",
		"Origin: https://chat.example", "X-Forwarded-For: 10.0.0.1", "X-Real-IP: 10.0.0.1", "X-Original-URI: /other", "X-Usher-Probe: true", "X-Usher-Sub: root",
		"X-Secret: x", "User-Agent: y")
	if err != nil || r.Identity == nil || r.Identity.Subject != "alice" {
		t.Fatalf("%v, %+v", err, r.Identity)
	}
	const target = "/ws/a%2Fb?ticket=s3cret&x=%20"
	want := http.Header{
		"Authorization": {"Bearer a.b.c"}, "Cookie": {"a=b", "c=d"}, "Origin": {"https://chat.example"},
		"X-Original-Uri": {target}, "X-Original-Url": {"http://chat.example" + target}, "X-Original-Method": {"GET"},
		"X-Forwarded-Uri": {target}, "X-Forwarded-Method": {"GET"}, "X-Forwarded-Proto": {"http"}, "X-Forwarded-Host": {"chat.example"},
		"X-Forwarded-For": {"192.0.2.1"}, "X-Real-Ip": {"192.0.2.1"},
	}
	delete(got, "User-Agent")
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("\n got %v\nwant %v", got, want)
	}
	if _, err := knock(t, context.Background(), s, "/ws", "Accept: application/problem+json"); err != nil || got.Get("X-Usher-Probe") != "true" {
		t.Errorf("probe: %v, %v", err, got)
	}
	if _, err := knock(t, context.Background(), s, "/ws", "Sec-WebSocket-Protocol: bearer, a.b.c, chat"); err != nil || got.Get("Authorization") != "Bearer a.b.c" {
		t.Errorf("a token among the subprotocols: %v, %v", err, got)
	}
	_, err = knock(t, context.Background(), s, "/ws", "Sec-WebSocket-Protocol: bearer, a.b.c", "Authorization: Bearer other")
	if e := rejection(t, err); e.Status != 400 || e.Code != upgrade.CodeTokenAmbiguous {
		t.Errorf("two tokens: %v", err)
	}
}

// TestVerdicts: what each answer of the service becomes.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	type header = map[string]string
	const problem = "application/problem+json"
	long := strings.Repeat("é", 700)
	for _, c := range []struct {
		status       int
		header       header
		body         string
		want         int
		code         string
		says, absent string
	}{
		{200, nil, strings.Repeat("x", 1<<20), 0, "", "", ""},
		{299, nil, "", 0, "", "", ""},
		{401, header{"WWW-Authenticate": `Basic realm="x"`, "Content-Type": "text/html"}, "<p>no", 401, "token_invalid",
			"WWW-Authenticate: Basic realm=\"x\"\r\n|Content-Type: text/html\r\n|Content-Length: 5\r\n|\r\n\r\n<p>no", "Bearer"},
		{401, nil, "", 401, "token_invalid", "WWW-Authenticate: Bearer\r\n|\"code\":\"token_invalid\"", ""},
		{403, header{"Content-Type": problem}, `{"code":"banned"}`, 403, "banned", "Content-Type: " + problem + "\r\n|\r\n\r\n{\"code\":\"banned\"}", ""},
		{403, header{"Content-Type": problem}, `{"code":"not a word\n"}`, 403, "forbidden", `{"code":"not a word\n"}`, ""},
		{403, header{"Content-Type": problem}, `{"code":"` + strings.Repeat("x", 2000), 403, "forbidden", `"code":"forbidden"`, "xxx"},
		{403, header{"Content-Type": "text/plain"}, long, 403, "forbidden", "Content-Length: 1022\r\n|" + strings.Repeat("é", 511), strings.Repeat("é", 512)},
		{403, header{"Content-Type": "text/plain", "Content-Encoding": "gzip"}, "\x1f\x8b", 403, "forbidden", `"code":"forbidden"`, "\x1f"},
		{404, header{"Set-Cookie": "a=b", "X-Powered-By": "x"}, "nothing", 404, "not_found", "\r\n\r\nnothing", "Set-Cookie"},
		{429, header{"Retry-After": "77"}, "", 429, "too_many_requests", "Retry-After: 77\r\n", ""},
		{429, header{"Retry-After": time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)}, "", 429, "too_many_requests", "Retry-After: 3", "Retry-After: 1\r\n"},
		{429, header{"Retry-After": "soon"}, "", 429, "too_many_requests", "Retry-After: 1\r\n", "soon"},
		{429, header{"Retry-After": "4000000000"}, "", 429, "too_many_requests", "Retry-After: 86400\r\n", ""},
		{301, header{"Location": "http://127.0.0.1:1/"}, "", 503, "unavailable", "Retry-After: ", "Location"},
		{400, header{"Connection": "X-Y", "X-Y": "z"}, "bad", 400, "", "Connection: close\r\n|\r\n\r\nbad", "X-Y"},
		{402, header{"Content-Type": problem}, `{"code":"no_seat"}`, 402, "no_seat", `{"code":"no_seat"}`, "Retry-After"},
		{422, header{"Content-Type": "application/json"}, `{"detail":[]}`, 422, "", "Content-Type: application/json\r\n|[]", ""},
		{403, header{"WWW-Authenticate": "x\ty"}, "", 403, "forbidden", "WWW-Authenticate: x y\r\n", ""},
		{407, header{"Proxy-Authenticate": "Basic"}, "", 503, "unavailable", "Retry-After: ", "Basic"},
		{408, nil, "slow", 503, "unavailable", "Retry-After: ", "slow"},
		{421, nil, "", 503, "unavailable", "Retry-After: ", ""},
		{426, nil, "", 503, "unavailable", "Retry-After: ", "Upgrade"},
		{500, nil, "at line 7 of auth.py", 503, "unavailable", "Retry-After: ", "auth.py"},
		{503, header{"Retry-After": "999"}, "", 503, "unavailable", "Retry-After: ", "999"},
	} {
		s := service(t, func(w http.ResponseWriter, _ *http.Request) {
			for k, v := range c.header {
				w.Header().Set(k, v)
			}
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body)
		})
		r, err := knock(t, context.Background(), s, "/ws?token=x")
		if c.want == 0 {
			if err != nil || r.Identity != nil {
				t.Errorf("%d: %v, %+v", c.status, err, r.Identity)
			}
			continue
		}
		e := rejection(t, err)
		answer := string(e.AppendTo(nil, nil, time.Now()))
		if e.Status != c.want || e.Code != c.code || c.absent != "" && strings.Contains(answer, c.absent) {
			t.Errorf("%d: got %v\n%s", c.status, e, answer)
		}
		for _, part := range strings.Split(c.says, "|") {
			if !strings.Contains(answer, part) {
				t.Errorf("%d: no %q in\n%s", c.status, part, answer)
			}
		}
		if _, body, _ := strings.Cut(answer, "\r\n\r\n"); len(body) >= 1024 {
			t.Errorf("%d: a body of %d bytes", c.status, len(body))
		}
	}
	s := service(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) })
	if _, err := knock(t, context.Background(), s, "/ws"); rejection(t, err).Code != upgrade.CodeTokenMissing {
		t.Errorf("without a credential: %v", err)
	}
}

// TestNoAnswer: a service that is dead, silent, slow, mad or endless leads to a 503 in
// time.
func TestNoAnswer(t *testing.T) {
	t.Parallel()
	read := func(conn net.Conn) { _, _ = conn.Read(make([]byte, 4096)) }
	write := func(text string) *Service {
		return raw(t, func(conn net.Conn) { read(conn); _, _ = io.WriteString(conn, text) })
	}
	endless := func(start, more string) *Service {
		return raw(t, func(conn net.Conn) {
			read(conn)
			_, err := io.WriteString(conn, start)
			for err == nil {
				_, err = io.WriteString(conn, strings.Repeat(more, 100))
			}
		})
	}
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead.Close()
	for name, s := range map[string]*Service{
		"dead":               at(t, "http://"+dead.Addr().String()),
		"closing":            raw(t, func(net.Conn) {}),
		"closing later":      raw(t, read),
		"silent":             raw(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }),
		"garbage":            write("SSH-2.0-OpenSSH_9.6\r\n"),
		"half a head":        write("HTTP/1.1 200 OK\r\nX-Usher-Sub: al"),
		"no status":          write("HTTP/1.1 yes OK\r\n\r\n"),
		"status 999":         write("HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n"),
		"a bad length":       write("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"),
		"a header split":     write("HTTP/1.1 200 OK\r\nX-Usher-Sub: a\x00b\r\nContent-Length: 0\r\n\r\n"),
		"switching":          write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"),
		"endless header":     endless("HTTP/1.1 200 OK\r\n", "X-A: b\r\n"),
		"endless line":       endless("HTTP/1.1 200 OK\r\nX-A: ", "x"),
		"endless 1xx":        endless("", "HTTP/1.1 103 Early Hints\r\n\r\n"),
		"endless 302's body": endless("HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", "x"),
	} {
		s.Timeout = 300 * time.Millisecond
		r, err := knock(t, context.Background(), s, "/ws")
		e := rejection(t, err)
		if e.Status != 503 || e.Code != upgrade.CodeUnavailable || e.RetryAfter < time.Second || r.Identity != nil {
			t.Errorf("%s: %v, %+v", name, err, r.Identity)
		}
	}
	// A refusal is a refusal, whatever happens to the body.
	for name, s := range map[string]*Service{
		"endless body": endless("HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\n\r\n", "x"),
		"half a body":  write("HTTP/1.1 403 Forbidden\r\nContent-Length: 100\r\n\r\nhalf"),
	} {
		_, err := knock(t, context.Background(), s, "/ws")
		if e := rejection(t, err); e.Status != 403 || e.Body != nil {
			t.Errorf("%s: %v with %q", name, err, e.Body)
		}
	}
}

// TestClientGone: when the client hangs up, the question is cancelled.
func TestClientGone(t *testing.T) {
	t.Parallel()
	asked, taken := make(chan struct{}, 1), make(chan struct{}, 1)
	s := service(t, func(_ http.ResponseWriter, req *http.Request) {
		asked <- struct{}{}
		<-req.Context().Done()
		taken <- struct{}{}
	})
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-asked; cancel() }()
	if _, err := knock(t, ctx, s, "/ws"); !errors.Is(err, context.Canceled) || rejection(t, err).Status != 503 {
		t.Errorf("%v", err)
	}
	<-taken
	if st := s.Stats(); st.Abandoned != 1 || st.Failed != 0 {
		t.Errorf("%+v", st)
	}

	// The same over a connection: Upgrade notices.
	u := &upgrade.Upgrader{Authorize: s.Authorize}
	client, server := net.Pipe()
	done := make(chan error, 1)
	go func() {
		_, _, err := u.Upgrade(server)
		done <- err
	}()
	fmt.Fprint(client, "GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
	<-asked
	client.Close()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	<-taken
}
