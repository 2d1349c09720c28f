//go:build linux

package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/usher-ws/usher/login"
)

// exchange asks the server of r something on a connection of its own, and returns the answer.
func exchange(t *testing.T, r *running, method, target string, header ...string) (status int, body string) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	peer := os.NewFile(uintptr(fds[1]), "peer")
	defer peer.Close()
	if err := r.srv.Adopt(fds[0]); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(peer, "%s %s HTTP/1.1\r\nHost: h\r\n%s\r\n\r\n", method, target, strings.Join(header, "\r\n"))
	resp, err := http.ReadResponse(bufio.NewReader(peer), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusSwitchingProtocols {
		b, _ := io.ReadAll(resp.Body)
		body = string(b)
	}
	return resp.StatusCode, body
}

var upgradeLines = []string{"Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="}

// TestBanned: row 9b of docs/CODES.md at all doors with tokens, for upgrades and probes, with tokens
// and tickets, behind a bad token and before an unknown room; also once the settings were read again.
func TestBanned(t *testing.T) {
	secret := strings.Repeat("s", 32)
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	token, err := login.Token{Subject: "alice", Issued: time.Now(), TTL: time.Hour}.Sign([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		args   []string
		paths  []string
		in     int // what is answered when nobody is banned
		unseen string
	}{
		"serve": {[]string{"serve", "--secret-file", file, "--echo-auth", "/auth", "--rooms", "lobby"}, []string{"/ws/lobby", "/auth"}, 101, "/ws/attic"},
		"guard": {[]string{"guard", "--secret-file", file, "--upstream", "unix:" + filepath.Join(t.TempDir(), "nobody")}, []string{"/x"}, 502, "/y"},
	} {
		r := runHere(t, tt.args...)
		wants := func(what string, status int, code string, target string, header ...string) {
			t.Helper()
			got, body := exchange(t, r, "GET", target, header...)
			if got != status || code != "" && !strings.Contains(body, `"code":"`+code+`"`) {
				t.Errorf("%s, %s: %s is answered %d %s, want %d %s", name, what, strings.Split(target, "?")[0], got, body, status, code)
			}
		}
		ticket := func() string {
			status, body := exchange(t, r, "POST", "/ticket", "Authorization: Bearer "+token, "Content-Length: 0")
			_, after, ok := strings.Cut(body, `"ticket":"`)
			if status != 200 || !ok {
				t.Fatalf("POST /ticket: %d %s", status, body)
			}
			return strings.Split(after, `"`)[0]
		}
		banned := func(what string) {
			t.Helper()
			for _, path := range append(tt.paths, tt.unseen) {
				wants(what, 403, "banned", path+"?token="+token, upgradeLines...)
				wants(what+", a probe", 403, "banned", path+"?token="+token, "Accept: application/problem+json")
				wants(what+", a bad token", 401, "token_invalid", path+"?token=x"+token, upgradeLines...)
				if name == "serve" {
					wants(what+", a ticket", 403, "banned", path+"?ticket="+ticket(), upgradeLines...)
				}
			}
		}
		if err := r.srv.Ban("alice", time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		banned("at first")
		if _, _, err := r.readAgain(tt.args, new(sources)); err != nil {
			t.Fatal(err)
		}
		banned("after a reload")
		if n := r.srv.Stats().Total.Refusals["banned"]; n == 0 {
			t.Errorf("%s: no refusals are counted", name)
		}
		r.srv.Unban("alice")
		for _, path := range tt.paths {
			wants("unbanned", tt.in, "", path+"?token="+token, upgradeLines...)
		}
	}
}

// TestBannedByService: who is banned, and is named by the service of --auth-url alone, is refused in the
// place of its verdict: behind an unknown room, for which it is not asked.
func TestBannedByService(t *testing.T) {
	asked := make(chan string, 10)
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Header.Get("X-Original-URI")
		w.Header().Set("X-Usher-Sub", "alice")
	}))
	defer service.Close()
	r := runHere(t, "serve", "--auth-url", service.URL, "--echo-auth", "/auth", "--rooms", "lobby")
	wants := func(target string, status int, code string, header ...string) {
		t.Helper()
		got, body := exchange(t, r, "GET", target, header...)
		if got != status || !strings.Contains(body, code) {
			t.Errorf("%s is answered %d %s, want %d %s", target, got, body, status, code)
		}
	}
	wants("/ws/lobby", 101, "", upgradeLines...)
	if err := r.srv.Ban("alice", time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	wants("/ws/lobby", 403, `"banned"`, upgradeLines...)
	wants("/ws/lobby", 403, `"banned"`, "Accept: application/problem+json")
	wants("/auth", 403, `"banned"`, upgradeLines...)
	wants("/ws/attic", 404, `"room_unknown"`, upgradeLines...)
	if len(asked) != 4 {
		t.Errorf("the service was asked %d times, want for the room and /auth only", len(asked))
	}
}
