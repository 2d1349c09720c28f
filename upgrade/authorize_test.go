package upgrade

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// asker is a door whose Authorize is f, over a connection and inside net/http.
func asker(t *testing.T, f func(ctx context.Context, r *Request) error) (u *Upgrader, addrs map[string]string, outcomes chan outcome) {
	u = guarded()
	u.Authorize = f
	outcomes = make(chan outcome, 1)
	over := serve(t, u, func(conn net.Conn, o outcome) {
		outcomes <- o
		if o.err == nil {
			_, _ = io.Copy(struct{ io.Writer }{conn}, conn) // the runtime keeps the pipe it would splice with
			conn.Close()
		}
	})
	inside := strings.TrimPrefix(start(t, mux(u, func(o outcome) { outcomes <- o })), "http://")
	return u, map[string]string{"Upgrade": over, "UpgradeHTTP": inside}, outcomes
}

func TestAuthorize(t *testing.T) {
	t.Parallel()
	_, addrs, outcomes := asker(t, func(_ context.Context, r *Request) error {
		switch string(r.RawQuery()) {
		case "no":
			return Reject(403, CodeForbidden, "No.")
		case "late":
			return fmt.Errorf("asking: %w", context.DeadlineExceeded)
		case "bug":
			return errors.New("password is wonderland")
		}
		r.Identity = &Identity{Subject: "alice"}
		return nil
	})
	for name, addr := range addrs {
		for query, want := range map[string]string{
			"yes": "101", "no": "403 forbidden", "late": "503 unavailable", "bug": "500 internal",
		} {
			for _, probe := range []bool{false, true} {
				c := dial(t, addr)
				h := up("GET /ws/x?" + query + " HTTP/1.1")
				if probe {
					h = head("GET /ws/x?"+query+" HTTP/1.1", "Host: h", "Accept: "+problemJSON)
				}
				fmt.Fprint(c, h)
				first := make([]byte, 1)
				if _, err := io.ReadFull(c, first); err != nil {
					t.Fatal(err)
				}
				_ = c.CloseWrite() // not before: that would be hanging up
				answer, err := io.ReadAll(c)
				answer = append(first, answer...)
				o := <-outcomes
				if o.err == nil && (o.r.Identity == nil || o.r.Identity.Subject != "alice") {
					t.Errorf("%s: %+v came in", name, o.r.Identity)
				}
				want := want
				if probe && want == "101" {
					want = "200 ok"
				}
				if v := verdict(strings.TrimSuffix(string(answer), hello)); err != nil || v != want || strings.Contains(string(answer), "wonderland") {
					t.Errorf("%s, %s, probe %v: %v, %q", name, query, probe, err, answer)
				}
			}
		}
	}
}

// TestAuthorizeEarlyBytes: what comes while the authorizer runs is not lost.
func TestAuthorizeEarlyBytes(t *testing.T) {
	t.Parallel()
	asked, answer := make(chan struct{}), make(chan struct{})
	_, addrs, outcomes := asker(t, func(context.Context, *Request) error {
		asked <- struct{}{}
		<-answer
		return nil
	})
	for name, addr := range addrs {
		c := dial(t, addr)
		fmt.Fprint(c, up("GET /ws/x HTTP/1.1")+"early ")
		<-asked
		fmt.Fprint(c, strings.Repeat("x", 100_000))
		answer <- struct{}{}
		o := <-outcomes
		if o.err != nil {
			t.Fatal(o.err)
		}
		if !strings.HasPrefix(string(o.early), "early ") {
			t.Errorf("%s: early %q", name, o.early)
		}
		if name == "Upgrade" {
			_ = c.CloseWrite()
			rest, err := io.ReadAll(c)
			_, echoed, _ := strings.Cut(string(rest), "\r\n\r\n")
			if got := string(o.early) + echoed; err != nil || got != "early "+strings.Repeat("x", 100_000) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		}
		c.Close()
	}
}

// TestAuthorizeHangUp: a client that goes ends the question, one that waits gets
// 503 after Timeout.
func TestAuthorizeHangUp(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{})
	u, addrs, outcomes := asker(t, func(ctx context.Context, _ *Request) error {
		asked <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	})
	for name, addr := range addrs {
		c := dial(t, addr)
		fmt.Fprint(c, up("GET /ws/x HTTP/1.1"))
		<-asked
		c.Close()
		if o := <-outcomes; !errors.Is(o.err, context.Canceled) {
			t.Errorf("%s: %v", name, o.err)
		}
	}
	for timeout, reached := 30*time.Millisecond, false; !reached; timeout *= 2 { // a head can be late
		hasty := *u
		hasty.Timeout = timeout
		over := make(chan struct{})
		c := dial(t, serve(t, &hasty, func(net.Conn, outcome) { close(over) }))
		fmt.Fprint(c, up())
		select {
		case <-asked:
			reached = true
		case <-over:
		}
		answer, err := io.ReadAll(c)
		if reached && (err != nil || verdict(string(answer)) != "503 unavailable" || !strings.Contains(string(answer), "Retry-After: ")) {
			t.Errorf("%v, %q", err, answer)
		}
	}
}

// TestRespondDoesNotAsk: the pure part stays pure.
func TestRespondDoesNotAsk(t *testing.T) {
	t.Parallel()
	u := guarded(Guard{OnBeforeUpgrade: func(*Request) (http.Header, error) { return nil, nil }})
	u.Authorize = func(context.Context, *Request) error { panic("asked") }
	if answer, _, err := knock(u, up()); err != nil {
		t.Errorf("%v, %q", err, answer)
	}
}

// TestRejectionBody: a body of one's own, as long as it fits.
func TestRejectionBody(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ media, body, want string }{
		{"text/html", "<p>no", "Content-Type: text/html\r\nContent-Length: 5\r\n|\r\n\r\n<p>no"},
		{"", "no", "Content-Type: text/plain; charset=utf-8\r\nContent-Length: 2\r\n|\r\n\r\nno"},
		{"a/b\r\nSet-Cookie: x", "no", "Content-Type: a/b  Set-Cookie: x\r\n"},
		{"text/html", strings.Repeat("x", 1023), "Content-Type: text/html\r\nContent-Length: 1023\r\n"},
		{"text/html", strings.Repeat("x", 1024), "Content-Type: " + problemJSON + "\r\n|\"code\":\"forbidden\""},
		{"text/html", "", "Content-Type: " + problemJSON + "\r\n|\"code\":\"forbidden\""},
	} {
		e := Reject(403, CodeForbidden, "No.")
		e.Body, e.ContentType = []byte(c.body), c.media
		answer := string(e.AppendTo(nil, nil, testNow))
		for _, part := range strings.Split(c.want, "|") {
			if !strings.Contains(answer, part) {
				t.Errorf("no %q in %q", part, answer)
			}
		}
	}
}
