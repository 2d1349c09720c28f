package forwardauth

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/usher-ws/usher/upgrade"
)

// TestTurns: with a slow service one address can take no more than there is, is told so, and
// keeps no other address waiting for more than a turn.
func TestTurns(t *testing.T) {
	t.Parallel()
	let := make(chan struct{})
	s := service(t, func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("X-Forwarded-For") == "192.0.2.1" {
			<-let
		}
	})
	s.Timeout = time.Hour
	const flood = 2 * (maxAsked + maxWaiting)
	const head = "GET /ws HTTP/1.1\r\nHost: h\r\n\r\n"
	var wg sync.WaitGroup
	errs := make(chan error, flood)
	for range flood {
		wg.Go(func() {
			_, err := ask(t, s, nil, "192.0.2.1", head)
			errs <- err
		})
	}
	for range flood - maxAsked - maxWaiting {
		if e := rejection(t, <-errs); e.Status != 503 || e.RetryAfter < time.Second {
			t.Fatalf("got %v, want 503", e)
		}
	}
	if st := s.Stats(); st.Asked != maxAsked || st.Waiting != maxWaiting {
		t.Errorf("%+v", st)
	}
	other := make(chan error, 1)
	wg.Go(func() {
		_, err := ask(t, s, nil, "192.0.2.2", head)
		other <- err
	})
	// It takes the place of one that waits.
	if e := rejection(t, <-errs); e.Status != 503 {
		t.Errorf("got %v, want 503", e)
	}
	let <- struct{}{}
	let <- struct{}{}
	if err := <-other; err != nil {
		t.Errorf("another address: %v", err)
	}
	close(let)
	wg.Wait()
	for range maxAsked + maxWaiting - 1 {
		if err := <-errs; err != nil {
			t.Errorf("one that had its turn: %v", err)
		}
	}
	if s.Stats().Failed != flood-maxAsked-maxWaiting+1 {
		t.Errorf("%+v", s.Stats())
	}
}

// TestReusedConnections: that the service closes a connection on which it might have been asked
// again is no error, even if it does not say so.
func TestReusedConnections(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(conn *net.TCPConn){
		"closed": func(*net.TCPConn) {},
		"reset":  func(conn *net.TCPConn) { _ = conn.SetLinger(0) },
	} {
		s := raw(t, func(conn net.Conn) {
			_, _ = conn.Read(make([]byte, 4096))
			_, _ = io.WriteString(conn, "HTTP/1.1 204 No Content\r\nX-Usher-Sub: bob\r\n\r\n")
			_, _ = conn.Read(make([]byte, 1)) // the next question, or its end
			end(conn.(*net.TCPConn))
		})
		for range 20 {
			if _, err := knock(t, context.Background(), s, "/ws"); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		s.Close() // ends the last connection
	}
}

// TestBehindProxies: the service is told what a trusted proxy says of the client, and nothing
// that the client says of itself.
func TestBehindProxies(t *testing.T) {
	t.Parallel()
	var got http.Header
	s := service(t, func(_ http.ResponseWriter, req *http.Request) { got = req.Header })
	trusted, err := upgrade.ParseProxies([]string{"192.0.2.0/24"})
	if err != nil {
		t.Fatal(err)
	}
	const head = "GET /ws HTTP/1.1\r\nHost: inner\r\nX-Forwarded-For: 10.0.0.1, 198.51.100.7\r\n" +
		"X-Forwarded-Host: chat.example\r\nX-Forwarded-Proto: https\r\n\r\n"
	for peer, want := range map[string]string{
		"192.0.2.1:4711":   "[198.51.100.7] [chat.example] [https] [https://chat.example/ws]",
		"203.0.113.9:4711": "[203.0.113.9] [inner] [http] [http://inner/ws]",
	} {
		door, r := &upgrade.Upgrader{TrustedProxies: trusted}, new(upgrade.Request)
		if err := door.Parse([]byte(head), r); err != nil {
			t.Fatal(err)
		}
		if err := door.Trace(r, netip.MustParseAddrPort(peer)); err != nil {
			t.Fatal(err)
		}
		if err := s.Authorize(context.Background(), r); err != nil {
			t.Fatal(err)
		}
		if told := fmt.Sprint(got["X-Forwarded-For"], got["X-Forwarded-Host"], got["X-Forwarded-Proto"], got["X-Original-Url"]); told != want {
			t.Errorf("%s: told %s, want %s", peer, told, want)
		}
	}
}

// TestCookies: those of a page that only "*" lets in are not its own.
func TestCookies(t *testing.T) {
	t.Parallel()
	var got string
	s := service(t, func(_ http.ResponseWriter, req *http.Request) { got = fmt.Sprint(req.Header["Cookie"]) })
	for _, c := range []struct{ origins, origin, want string }{
		{"", "", "[a=b]"},
		{"", "Origin: https://h", "[a=b]"},
		{"*", "Origin: https://h", "[a=b]"},
		{"*", "Origin: https://evil.example", "[]"},
		{"*,null", "Origin: null", "[]"},
		{"*,app.example", "Origin: https://app.example", "[a=b]"},
		{"", "Origin: https://h\r\nOrigin: https://h", "[]"},
	} {
		head := "GET /ws HTTP/1.1\r\nHost: h\r\nCookie: a=b\r\n" + c.origin + "\r\n\r\n"
		if c.origin == "" {
			head = strings.TrimSuffix(head, "\r\n")
		}
		r := new(upgrade.Request)
		door := &upgrade.Upgrader{Origins: strings.FieldsFunc(c.origins, func(r rune) bool { return r == ',' })}
		if err := door.Parse([]byte(head), r); err != nil {
			t.Fatal(err)
		}
		_, _ = door.Respond(nil, r)
		if err := s.Authorize(context.Background(), r); err != nil || got != c.want {
			t.Errorf("%+v: got %s, %v", c, got, err)
		}
	}
}

// TestSilentTLS: a service that says nothing in the TLS handshake keeps no place for good.
func TestSilentTLS(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				_, err := io.Copy(io.Discard, conn) // until the other side gives up
				conn.Close()
				ended <- err
			}()
		}
	}()
	t.Cleanup(func() { ln.Close() })
	s := at(t, "https://"+ln.Addr().String())
	s.Timeout = 200 * time.Millisecond
	if _, err := knock(t, context.Background(), s, "/ws"); rejection(t, err).Status != 503 {
		t.Errorf("got %v", err)
	}
	<-ended
}
