//go:build linux

package main_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// TestEveryRefusalArrives: every client that is refused while it still sends reads the
// status and the whole body. A server that closes with unread input resets the connection,
// and the response is lost.
func TestEveryRefusalArrives(t *testing.T) {
	const clients = 200
	p := serve(t, append([]string{"--handshake-timeout", "30s"}, door...)...)
	before := p.sockets(t)
	fill := func(n int) string { // an upgrade of n bytes with a bad token
		bare := len(head(upgradeTo("/auth", bearer("x"), "X-Fill: ")...))
		return head(upgradeTo("/auth", bearer("x"), "X-Fill: "+strings.Repeat("x", n-bare))...)
	}
	for _, c := range []struct {
		name   string
		sent   string
		status int
		code   string
	}{
		{"head of 60 KiB", fill(60 << 10), 431, "header_too_large"},
		{"head just under the cap", fill(16<<10 - 1), 401, "token_invalid"},
		{"head of the cap", fill(16 << 10), 401, "token_invalid"},
		{"head just over the cap", fill(16<<10 + 1), 431, "header_too_large"},
		{"60 KiB behind a head", fill(16<<10) + strings.Repeat(masked(opBinary, strings.Repeat("x", 1000)), 60), 401, "token_invalid"},
		{"request line of 60 KiB", head(upgradeTo("/" + strings.Repeat("a", 60<<10))...), 414, "uri_too_long"},
		{"garbage of 60 KiB", strings.Repeat("\x16\x03\x01", 20<<10), 400, "bad_request"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var arrived int
			var flaws []string
			var mu sync.Mutex
			var all sync.WaitGroup
			for range clients {
				w := dial(t, p.addr)
				all.Go(func() {
					flaw := refusedWhileSending(w, c.sent, c.status, c.code)
					mu.Lock()
					defer mu.Unlock()
					if flaw != "" {
						flaws = append(flaws, flaw)
						return
					}
					arrived++
				})
			}
			all.Wait()
			if arrived != clients {
				t.Errorf("%d of %d read their refusal; the first that did not: %s", arrived, clients, flaws[0])
			}
		})
	}
	becomes(t, "no socket left behind", before, p.sockets)
}

// TestLingerEnds: the server waits for clients that it refused, but not for ever. Here they
// neither read on nor hang up.
func TestLingerEnds(t *testing.T) {
	t.Parallel()
	p := serve(t, door...)
	before := p.sockets(t)
	for range 100 {
		dial(t, p.addr).write(head(upgradeTo("/auth")...))
		dial(t, p.addr).write(head(get("/")...))
	}
	becomes(t, "their sockets closed", before, p.sockets)
}

// refusedWhileSending writes everything in small chunks and only then reads. It
// returns what was wrong with the answer.
func refusedWhileSending(w *wire, sent string, status int, code string) string {
	defer w.conn.Close()
	const chunk = 512
	for i := 0; i < len(sent); i += chunk {
		if _, err := w.conn.Write([]byte(sent[i:min(i+chunk, len(sent))])); err != nil {
			return fmt.Sprintf("write at %d of %d: %v", i, len(sent), err)
		}
	}
	a := w.answer()
	if flaws := flawsOfRefusal(a, "GET", status); flaws != nil {
		return fmt.Sprintf("got %s, want %d\n%s", a, status, strings.Join(flaws, "\n"))
	}
	if a.code() != code {
		return fmt.Sprintf("got %s, want code %s", a, code)
	}
	return ""
}
