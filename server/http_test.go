//go:build linux

package server

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/usher-ws/usher/upgrade"
	"golang.org/x/sys/unix"
)

// gated is a Handler whose requests the test lets be answered: each is told to in by its path.
type gated struct {
	in   chan string
	gate chan bool
}

func newGated() gated { return gated{make(chan string, 1000), make(chan bool, 1000)} }

// ServeHTTP answers with the path and the body.
func (g gated) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.in <- r.URL.Path
	<-g.gate
	body, err := io.ReadAll(r.Body)
	fmt.Fprintf(w, "%s %s %v", r.URL.Path, body, err)
}

// patient is a server that gives requests all the time they need.
func patient(s *Server) *Server {
	s.HandshakeTimeout, s.MessageTimeout = -1, -1
	return s
}

// send opens a connection and says something on it.
func send(t testing.TB, addr, text string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(time.Hour))
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	return c
}

// answerOf reads a whole answer, which ends the connection.
func answerOf(t testing.TB, c net.Conn) (status int, body string) {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func get(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: h\r\n\r\n" }

// inUse waits until so many requests are with net/http, and so many wait.
func inUse(t testing.TB, s *Server, inside, waiting int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d are inside and %d wait", inside, waiting), func() bool {
		in, wait := s.http.inUse()
		return in == inside && wait == waiting
	})
}

// TestRequestsWait: no more than MaxRequests are with the Handler, the others wait on their
// loops, and all of them count as connections and towards MaxBuffered.
func TestRequestsWait(t *testing.T) {
	g := newGated()
	s := patient(&Server{MaxRequests: 2, Loops: 2, Handler: g})
	addr := start(t, s)
	var all []net.Conn
	for k := range 7 {
		all = append(all, send(t, addr, get(fmt.Sprint("/", k))))
	}
	inUse(t, s, 2, 5)
	if n := s.Sockets(); n != 7 {
		t.Errorf("%d sockets are counted, want 7", n)
	}
	if st := s.Stats(); st.Buffered < 2*requestCost || st.Requests != 2 || st.RequestsWaiting != 5 {
		t.Errorf("got %d bytes, %d requests and %d waiting, want %d, 2 and 5", st.Buffered, st.Requests, st.RequestsWaiting, 2*requestCost)
	}
	for range all {
		g.gate <- true
	}
	for k, c := range all {
		if status, body := answerOf(t, c); status != 200 || body != fmt.Sprintf("/%d  <nil>", k) {
			t.Errorf("%d: got %d %q", k, status, body)
		}
		c.Close()
	}
	inUse(t, s, 0, 0)
	eventually(t, "nothing is buffered", func() bool { return s.Stats().Buffered == 0 })
}

// from is send, from 127.0.0.k.
func from(t testing.TB, addr string, k byte, text string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, k)}}
	c, err := d.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestRequestsByTurns: a newcomer's request passes by those of an address that has many.
func TestRequestsByTurns(t *testing.T) {
	g := newGated()
	s := patient(&Server{MaxRequests: 1, Loops: 1, Handler: g})
	addr := start(t, s)
	for k := range 5 {
		from(t, addr, 1, get(fmt.Sprint("/many/", k)))
		inUse(t, s, 1, k)
	}
	from(t, addr, 2, get("/one"))
	inUse(t, s, 1, 5)
	var order []string
	for range 6 {
		order = append(order, <-g.in)
		g.gate <- true
	}
	if got := strings.Join(order[:3], " "); !strings.Contains(got, "/one") {
		t.Errorf("the order is %q, want /one among the first three", order)
	}
}

// TestBodies: a small body is there before the Handler has anything to do with the request, so
// that those who send it slowly take no place of others; and of the others, half may be
// taken by those who send large ones.
func TestBodies(t *testing.T) {
	g := newGated()
	s := patient(&Server{MaxRequests: 4, Loops: 2, Handler: g})
	addr := start(t, s)
	var slow, upload []net.Conn
	for k := range 20 {
		slow = append(slow, send(t, addr, fmt.Sprintf("POST /slow/%d HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhe", k)))
	}
	for k := range 10 {
		upload = append(upload, send(t, addr, fmt.Sprintf("POST /upload/%d HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", k)))
	}
	for range 2 {
		if path := <-g.in; !strings.HasPrefix(path, "/upload/") {
			t.Errorf("%s is inside", path)
		}
	}
	inUse(t, s, 2, 8)
	g.gate <- true // an upload reads its body
	g.gate <- true
	for range 30 {
		c := send(t, addr, get("/quick"))
		if path := <-g.in; path != "/quick" {
			t.Errorf("%s is inside", path)
		}
		g.gate <- true
		if status, body := answerOf(t, c); status != 200 || body != "/quick  <nil>" {
			t.Errorf("got %d %q", status, body)
		}
	}
	for range len(slow) + len(upload) {
		g.gate <- true
	}
	for k, c := range slow {
		io.WriteString(c, "llo")
		if status, body := answerOf(t, c); status != 200 || body != fmt.Sprintf("/slow/%d hello <nil>", k) {
			t.Errorf("got %d %q", status, body)
		}
	}
	for _, c := range upload {
		io.WriteString(c, "0\r\n\r\n")
	}
	for k, c := range upload {
		if status, body := answerOf(t, c); status != 200 || body != fmt.Sprintf("/upload/%d abc <nil>", k) {
			t.Errorf("got %d %q", status, body)
		}
	}
}

// TestNoTurn: a request whose turn does not come is told when to come back.
func TestNoTurn(t *testing.T) {
	for _, method := range []string{"GET", "HEAD"} {
		b := newBench(t, &Server{})
		busyHandler(func(b *bench) {
			b.connect()
			b.send(method + " /other HTTP/1.1\r\nHost: h\r\n\r\n")
			readable(b)
			dueNow(b)
		})(b)
		got := b.receive()
		head, body, _ := strings.Cut(got, "\r\n\r\n")
		if !strings.HasPrefix(head, "HTTP/1.1 503 ") || !strings.Contains(head, "\r\nRetry-After: ") ||
			strings.Contains(body, `"code":"unavailable"`) != (method == "GET") {
			t.Errorf("%s: got %q", method, got)
		}
	}
}

// unread is a client with a window as small as can be, that reads nothing.
func unread(t testing.TB, addr, text string) net.Conn {
	t.Helper()
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 1) })
	}}
	c, err := d.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestUnreadAnswers: whoever does not read an answer, be it the Handler's or the loop's, is
// a connection whose peer takes nothing: it ends with the write-timeout, and gives back all
// it had.
func TestUnreadAnswers(t *testing.T) {
	large := make([]byte, 32<<20) // no kernel takes that
	page := upgrade.Record(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(large) }), httptestGet)
	ended := make(chan error, 100)
	s := &Server{Loops: 2, WriteTimeout: 200 * time.Millisecond, MaxRequests: 3, MaxBuffered: -1,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/quick" {
				return
			}
			_, err := w.Write(large)
			ended <- err
		}),
		Answer: func(dst []byte, r *upgrade.Request) []byte {
			if r.Path() == "/page" {
				return page.AppendTo(dst, r, time.Now())
			}
			return dst
		}}
	addr := start(t, s)
	const n = 9
	for range n {
		unread(t, addr, get("/handler"))
		unread(t, addr, get("/page"))
	}
	for range n {
		if err := <-ended; err == nil {
			t.Error("all was taken")
		}
	}
	eventually(t, "all places are back", func() bool { return s.Sockets() == 0 })
	if status, _ := answerOf(t, send(t, addr, get("/quick"))); status != 200 {
		t.Errorf("got %d", status)
	}
}

var httptestGet, _ = http.NewRequest(http.MethodGet, "/", nil)

// TestSmallAnswersLeaveAtOnce: an answer of the Handler's that fits into what the engine keeps
// for its peer takes a place no longer than it takes to make it, whether it is read or not.
func TestSmallAnswersLeaveAtOnce(t *testing.T) {
	s := &Server{MaxRequests: 1, WriteTimeout: -1, Drain: -1, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(make([]byte, 50<<10))
	})}
	addr := start(t, s)
	for range 5 {
		unread(t, addr, get("/"))
	}
	if status, body := answerOf(t, send(t, addr, get("/"))); status != 200 || len(body) != 50<<10 {
		t.Errorf("got %d and %d bytes", status, len(body))
	}
	inUse(t, s, 0, 0)
}

// TestShutdownCountsRequests: those that are with the Handler and those that wait are waited
// for, and cut at the end.
func TestShutdownCountsRequests(t *testing.T) {
	g := newGated()
	s := patient(&Server{MaxRequests: 1, Drain: time.Hour, Handler: g})
	addr := start(t, s)
	first, second := send(t, addr, get("/1")), send(t, addr, get("/2"))
	inUse(t, s, 1, 1)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(ctx) }()
	g.gate <- true
	for _, c := range []net.Conn{first, second} {
		if n := s.Sockets(); n == 0 {
			t.Error("no socket is counted")
		}
		if status, _ := answerOf(t, c); status != 200 {
			t.Errorf("got %d", status)
		}
		g.gate <- true
		c.Close()
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestHijacked: a hijacked connection is a net.Conn in every respect, and takes no place of the
// Handler's.
func TestHijacked(t *testing.T) {
	conns := make(chan net.Conn, 1)
	s := &Server{MaxRequests: 1, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/quick" {
			return
		}
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		early := make([]byte, rw.Reader.Buffered())
		_, _ = io.ReadFull(rw, early)
		_, _ = c.Write(early)
		conns <- c
	})}
	addr := start(t, s)
	peer := send(t, addr, get("/")+"early")
	c := <-conns
	got := make([]byte, 5)
	if _, err := io.ReadFull(peer, got); err != nil || string(got) != "early" {
		t.Errorf("got %q %v", got, err)
	}
	if status, _ := answerOf(t, send(t, addr, get("/quick"))); status != 200 {
		t.Errorf("got %d", status)
	}
	if c.RemoteAddr().String() != peer.LocalAddr().String() || c.LocalAddr().String() != peer.RemoteAddr().String() {
		t.Errorf("from %v to %v, want %v and %v", c.RemoteAddr(), c.LocalAddr(), peer.LocalAddr(), peer.RemoteAddr())
	}

	// Deadlines, of which later ones may take the place.
	_ = c.SetReadDeadline(time.Now().Add(-time.Second))
	if _, err := c.Read(got); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	if _, err := c.Read(got); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	_ = c.SetDeadline(time.Time{})

	// Both directions at once, many times what either keeps.
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<18)
	copied := make(chan error, 1)
	go func() { _, err := io.Copy(c, c); copied <- errors.Join(err, c.Close()) }()
	go func() {
		_, _ = peer.Write(data)
		_ = peer.(*net.TCPConn).CloseWrite()
	}()
	back, err := io.ReadAll(peer)
	if err != nil || !bytes.Equal(back, data) {
		t.Errorf("got %d bytes of %d, %v", len(back), len(data), err)
	}
	if err := <-copied; err != nil {
		t.Error(err)
	}
	if _, err := c.Write(got); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
	if _, err := c.Read(got); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

// TestGoneClients: a Handler learns that its client has gone, by its context and by its
// connection.
func TestGoneClients(t *testing.T) {
	in, left := make(chan bool), make(chan error)
	s := &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in <- true
		<-r.Context().Done()
		left <- r.Context().Err()
	})}
	addr := start(t, s)
	for _, reset := range []bool{false, true} {
		c := send(t, addr, get("/"))
		<-in
		if reset {
			_ = c.(*net.TCPConn).SetLinger(0)
		}
		c.Close()
		if err := <-left; err == nil {
			t.Error("the context goes on")
		}
	}
}

// TestHalfClosed: a client that says no more still gets its answer, waiting or not.
func TestHalfClosed(t *testing.T) {
	g := newGated()
	s := patient(&Server{MaxRequests: 1, Loops: 1, Handler: g})
	addr := start(t, s)
	first, second := send(t, addr, get("/1")), send(t, addr, get("/2"))
	inUse(t, s, 1, 1)
	half := send(t, addr, "POST /3 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhe")
	for _, c := range []net.Conn{first, second, half} {
		_ = c.(*net.TCPConn).CloseWrite()
	}
	inUse(t, s, 1, 2)
	for range 3 {
		g.gate <- true
	}
	for _, c := range []net.Conn{first, second} {
		if status, _ := answerOf(t, c); status != 200 {
			t.Errorf("got %d", status)
		}
	}
	if status, body := answerOf(t, half); status != 200 || body != "/3 he unexpected EOF" {
		t.Errorf("got %d %q", status, body)
	}
}

// TestClientsByHTTP: clients that we did not write, with bodies small and large, and one
// that waits for 100 Continue.
func TestClientsByHTTP(t *testing.T) {
	s := &Server{MaxRequests: 2, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	})}
	addr := start(t, s)
	client := &http.Client{Transport: &http.Transport{ExpectContinueTimeout: time.Hour}}
	defer client.CloseIdleConnections()
	for _, size := range []int{0, 5, bodyLimit, bodyLimit + 1, 1 << 20} {
		for _, chunked := range []bool{false, true} {
			for _, expect := range []string{"", "100-continue"} {
				body := strings.Repeat("x", size)
				var r io.Reader = strings.NewReader(body)
				if chunked {
					r = io.MultiReader(r)
				}
				req, _ := http.NewRequest(http.MethodPost, "http://"+addr+"/", r)
				req.Header.Set("Expect", expect)
				resp, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || string(got) != body {
					t.Errorf("%d bytes, chunked %v, %q: got %d, %v", size, chunked, expect, len(got), err)
				}
			}
		}
	}
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("there is no curl")
	}
	file := t.TempDir() + "/body"
	if err := os.WriteFile(file, bytes.Repeat([]byte("y"), 2<<20), 0o600); err != nil { // curl sends Expect
		t.Fatal(err)
	}
	for _, header := range []string{"X: y", "Transfer-Encoding: chunked"} {
		out, err := exec.Command(curl, "--silent", "--show-error", "--fail", "--header", header, "--data-binary", "@"+file, "http://"+addr+"/").CombinedOutput()
		if err != nil || len(out) != 2<<20 {
			t.Errorf("%s: got %d bytes, %v, %.200s", header, len(out), err, out)
		}
	}
}

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
