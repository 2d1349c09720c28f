package upgrade

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

type outcome struct {
	r     *Request
	early []byte
	err   error
}

// serve runs u.Upgrade for every connection to the returned address, and hands
// each outcome to then, which owns conn if there is no error.
func serve(t *testing.T, u *Upgrader, then func(conn net.Conn, o outcome)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				var o outcome
				o.r, o.early, o.err = u.Upgrade(conn)
				then(conn, o)
			})
		}
	})
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	return ln.Addr().String()
}

func dial(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(time.Hour))
	return conn.(*net.TCPConn)
}

func TestUpgrade(t *testing.T) {
	t.Parallel()
	outcomes := make(chan outcome, 1)
	addr := serve(t, authDoor, func(conn net.Conn, o outcome) {
		outcomes <- o
		if o.err == nil {
			_, _ = io.Copy(conn, conn)
			conn.Close()
		}
	})
	c := dial(t, addr)
	fmt.Fprint(c, up("Authorization: Bearer "+goodToken("alice")), "frames")
	resp, err := http.ReadResponse(bufio.NewReaderSize(c, 16), nil)
	if err != nil || resp.StatusCode != 101 {
		t.Fatalf("%v, %v", err, resp)
	}
	o := <-outcomes
	if o.err != nil || o.r.Identity == nil || o.r.Identity.Subject != "alice" || o.r.Path() != "/ws" ||
		o.r.RemoteAddr.String() != c.LocalAddr().String() {
		t.Errorf("got %+v", o)
	}
	fmt.Fprint(c, " and more")
	_ = c.CloseWrite()
	rest, err := io.ReadAll(c)
	if got := string(o.early) + string(rest); err != nil || got != "frames and more" {
		t.Errorf("input %q, %v", got, err)
	}
}

// TestRefusalArrives: 50 clients that still send their 60 KiB head when it is
// refused, and read only then, all get the whole refusal.
func TestRefusalArrives(t *testing.T) {
	t.Parallel()
	addr := serve(t, authDoor, func(_ net.Conn, o outcome) {
		if o.err == nil {
			t.Error("let in")
		}
	})
	for name, c := range map[string]struct{ head, want string }{
		"60 KiB": {fill(60 << 10), "431 header_too_large"},
		"16 KiB": {fill(16 << 10), "401 token_missing"},
		"body":   {head("POST / HTTP/1.1", "Host: h", "Content-Length: 200000") + strings.Repeat("x", 200000), "405 method_not_allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			var wg sync.WaitGroup
			for range 50 {
				conn := dial(t, addr)
				wg.Go(func() {
					if _, err := io.WriteString(conn, c.head); err != nil {
						t.Errorf("write: %v", err)
					}
					answer, err := io.ReadAll(conn)
					if err != nil || verdict(string(answer)) != c.want {
						t.Errorf("got %v, %q", err, answer)
					}
					conn.Close()
				})
			}
			wg.Wait()
		})
	}
}

func TestUpgradeTimeout(t *testing.T) {
	t.Parallel()
	late := func(timeout time.Duration, sent string) (said string) {
		outcomes := make(chan outcome, 1)
		addr := serve(t, &Upgrader{Timeout: timeout}, func(_ net.Conn, o outcome) { outcomes <- o })
		c := dial(t, addr)
		fmt.Fprint(c, sent)
		answer, err := io.ReadAll(c)
		if err != nil {
			t.Errorf("after %q: %v", sent, err)
		}
		c.Close()
		if o := <-outcomes; !errors.Is(o.err, os.ErrDeadlineExceeded) {
			t.Errorf("after %q: %v", sent, o.err)
		}
		return verdict(string(answer))
	}
	if got := late(30*time.Millisecond, ""); got != "more" {
		t.Errorf("nothing was sent: got %q", got)
	}
	for timeout, got := 30*time.Millisecond, "more"; got == "more"; timeout *= 2 { // even what is sent at once can be later
		if got = late(timeout, "GET /ws"); got != "more" && got != "408 timeout" {
			t.Errorf("half a line was sent: got %q", got)
		}
	}
}

func TestUpgradeEnds(t *testing.T) {
	t.Parallel()
	for sent, want := range map[string]string{
		"":                     "more",
		"GET /ws":              "400 bad_request",
		up("X: \x01"):          "400 bad_request",
		up("GET / HTTP/1.0"):   "505 version_not_supported",
		"\x16\x03\x01\x02\x00": "400 bad_request",
	} {
		outcomes := make(chan outcome, 1)
		addr := serve(t, openDoor, func(_ net.Conn, o outcome) { outcomes <- o })
		c := dial(t, addr)
		fmt.Fprint(c, sent)
		_ = c.CloseWrite()
		answer, err := io.ReadAll(c)
		if err != nil || verdict(string(answer)) != want {
			t.Errorf("after %q: %v, %q", sent, err, answer)
		}
		var rej *Rejection
		if o := <-outcomes; o.err == nil || errors.As(o.err, &rej) != (want != "more") {
			t.Errorf("after %q: %v", sent, o.err)
		}
	}
}

// TestUpgradeBroken: a connection that fails at any call is closed.
func TestUpgradeBroken(t *testing.T) {
	t.Parallel()
	for calls := range 5 {
		for _, h := range []string{up(), up("-Upgrade")} {
			c := &broken{in: strings.NewReader(h), left: calls}
			_, _, err := openDoor.Upgrade(c)
			if err == nil != (!c.closed) || calls < 4 && err == nil {
				t.Errorf("after %d calls: error %v, closed %v", calls, err, c.closed)
			}
		}
	}
}

// TestUpgradePanics: nothing leaks when a guard panics.
func TestUpgradePanics(t *testing.T) {
	t.Parallel()
	u := guarded(Guard{OnHost: func(*Request, []byte) error { panic("oops") }})
	c := &broken{in: strings.NewReader(up()), left: 100}
	defer func() {
		if p := recover(); p != "oops" || !c.closed {
			t.Errorf("recovered %v, closed %v", p, c.closed)
		}
	}()
	_, _, _ = u.Upgrade(c)
}

// broken is a connection whose calls fail once left of them were made.
type broken struct {
	net.Conn
	in     io.Reader
	left   int
	closed bool
}

var errBroken = errors.New("broken")

func (c *broken) use() error {
	if c.left--; c.left < 0 {
		return errBroken
	}
	return nil
}

func (c *broken) Read(p []byte) (int, error) {
	if err := c.use(); err != nil {
		return 0, err
	}
	return c.in.Read(p)
}

func (c *broken) Write(p []byte) (int, error) { return len(p), c.use() }
func (c *broken) SetDeadline(time.Time) error { return c.use() }
func (c *broken) Close() error                { c.closed = true; return nil }
func (c *broken) RemoteAddr() net.Addr        { return nil }

// TestUpgradePipe: a connection without CloseWrite, one byte at a time.
func TestUpgradePipe(t *testing.T) {
	t.Parallel()
	for h, want := range map[string]string{up(): "101", up("-Upgrade"): "426 upgrade_required"} {
		client, server := net.Pipe()
		done := make(chan error, 1)
		go func() {
			_, _, err := openDoor.Upgrade(server)
			done <- err
		}()
		for i := range h {
			if _, err := client.Write([]byte{h[i]}); err != nil {
				t.Fatal(err)
			}
		}
		buf := make([]byte, 4096)
		n, err := client.Read(buf)
		if err != nil || verdict(string(buf[:n])) != want {
			t.Errorf("%v, %q", err, buf[:n])
		}
		if want != "101" {
			client.Close() // or the server lingers for it
		}
		if err := <-done; (err == nil) != (want == "101") {
			t.Errorf("%s: %v", want, err)
		}
		client.Close()
		server.Close()
	}
}

func TestVerifierErrors(t *testing.T) {
	t.Parallel()
	busy := Reject(503, "keys_unavailable", "Try again.").WithRetryAfter(time.Second)
	for _, c := range []struct {
		id   *Identity
		err  error
		want string
	}{
		{nil, nil, "401 token_invalid"},
		{nil, errors.New("key 7 of 10.0.0.7 is unknown"), "401 token_invalid"},
		{nil, fmt.Errorf("since noon: %w", ErrTokenExpired), "401 token_expired"},
		{nil, fmt.Errorf("no keys: %w", busy), "503 keys_unavailable"},
		{&Identity{Subject: "a"}, nil, "101"},
	} {
		u := guarded(Bearer(fixed{c.id, c.err}))
		answer, _, err := knock(u, up("Authorization: Bearer x"))
		if verdict(answer) != c.want || strings.Contains(answer, "10.0.0.7") {
			t.Errorf("got %q, want %s", answer, c.want)
		}
		if c.err != nil && !errors.Is(err, c.err) && !errors.Is(c.err, ErrTokenExpired) {
			t.Errorf("%v does not wrap %v", err, c.err)
		}
	}
}

type fixed struct {
	id  *Identity
	err error
}

func (f fixed) Verify([]byte, time.Time) (*Identity, error) { return f.id, f.err }
