//go:build linux

package server

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
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
			after(later, dueNow)(b)
		})(b)
		got := b.receive()
		head, body, _ := strings.Cut(got, "\r\n\r\n")
		if !strings.HasPrefix(head, "HTTP/1.1 503 ") || !strings.Contains(head, "\r\nRetry-After: ") ||
			strings.Contains(body, `"code":"unavailable"`) != (method == "GET") {
			t.Errorf("%s: got %q", method, got)
		}
	}
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
