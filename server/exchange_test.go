//go:build linux

package server

import (
	"bytes"
	"errors"
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
	large := make([]byte, 16<<20) // no kernel takes that
	page := upgrade.Record(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(large) }), httptestGet)
	ended := make(chan error, 100)
	s := &Server{Loops: 2, WriteTimeout: 200 * time.Millisecond, HandshakeTimeout: time.Hour, MaxRequests: 3, MaxBuffered: -1,
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
	const n = 5
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
