//go:build linux

package main_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gorilla/websocket"
)

// Made by Apache's htpasswd -nbB -C 6: alice's password is "correct horse".
const htpasswdFile = "alice:$2y$06$RJ73WfkokiGFCSkFiv3.1.uWZyFnravWh.SCunFGLhdOGqwl8DpS2\n"

// serveUsers is serve with --users and a file of these.
func serveUsers(t *testing.T, users string) *program {
	t.Helper()
	file := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(file, []byte(users), 0o600); err != nil {
		t.Fatal(err)
	}
	return serve(t, "--users", file)
}

// TestUsersWithCurl: a user in the file gets a token that opens a room. An unknown user and a
// wrong password are answered alike, and nobody can go on trying.
func TestUsersWithCurl(t *testing.T) {
	t.Parallel()
	curl, err := exec.LookPath("curl")
	if err != nil {
		missing(t, "curl", "not installed; see make deps")
	}
	p := serveUsers(t, htpasswdFile)
	post := func(name, password string) (status, body string) {
		out, err := exec.Command(curl, "-sS", "--max-time", "600", "-w", "\n%{http_code} %header{retry-after}",
			"--data-urlencode", "username="+name, "--data-urlencode", "password="+password, "http://"+p.addr+"/token").Output()
		if err != nil {
			t.Fatal(err)
		}
		body, status, _ = cutLast(string(out), "\n")
		return strings.TrimSpace(status), body
	}
	status, body := post("alice", "correct horse")
	_, after, _ := strings.Cut(body, `"access_token":"`)
	granted, _, ok := strings.Cut(after, `"`)
	if status != "200" || !ok {
		t.Fatalf("got %s %s", status, body)
	}
	conn, resp, err := websocket.DefaultDialer.Dial("ws://"+p.addr+"/ws/lobby?token="+granted, nil)
	if err != nil {
		t.Fatalf("got %v, %v", resp, err)
	}
	conn.Close()
	status, wrong := post("alice", "wonderland") // the demo's is none
	if status != "401" || !strings.Contains(wrong, "bad_credentials") {
		t.Errorf("got %s %s, want 401", status, wrong)
	}
	if status, stranger := post("eve", "correct horse"); status != "401" || stranger != wrong {
		t.Errorf("a stranger: got %s %s, want what a user gets", status, stranger)
	}
	for n := 3; ; n++ { // alice's second was the latest
		status, body := post("alice", "wrong")
		if status == "401" && n < 40 { // ten, and one more every 6 s
			continue
		}
		if n < 11 || !strings.HasPrefix(status, "429 ") || !strings.Contains(body, "too_many_requests") {
			t.Errorf("attempt %d: got %s %s, want 429 and a Retry-After", n, status, body)
		}
		break
	}
}

// TestUsersWithUndici: the same by the client that Node has built in.
func TestUsersWithUndici(t *testing.T) {
	t.Parallel()
	interpreter := node(t, "undici", "undici")
	p := serveUsers(t, htpasswdFile)
	type answer struct {
		Status int    `json:"status"`
		Code   string `json:"code"`
		Type   string `json:"token_type"`
		Later  bool   `json:"later"` // there is a Retry-After
	}
	var got []answer
	runScript(t, interpreter, "node_login.mjs", map[string]any{"url": "http://" + p.addr + "/token", "attempts": [][2]string{
		{"alice", "correct horse"}, {"eve", "wrong"}, {"alice", "wrong"},
	}, "flood": 20}, &got)
	good, bad, many := answer{200, "", "bearer", false}, answer{401, "bad_credentials", "", false}, answer{429, "too_many_requests", "", true}
	want := append([]answer{good, bad}, slices.Repeat([]answer{bad}, 10)...)
	if len(got) != 23 || !slices.Equal(got[:12], want) || !slices.Contains(got[12:], many) {
		t.Errorf("got %+v", got)
	}
}

// TestLoginQueue: bcrypt takes its time, and no more of it than one processor's. Forty
// addresses that always have several wrong passwords waiting keep nobody else out, nor do
// they alice, whose name they use.
func TestLoginQueue(t *testing.T) {
	t.Parallel()
	p := serveUsers(t, htpasswdFile)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var answered atomic.Int64
	var wg sync.WaitGroup
	for k := range 200 {
		wg.Go(func() {
			client := loginFrom(netip.AddrFrom4([4]byte{127, 0, 1, byte(k % 40)}))
			defer client.CloseIdleConnections()
			for name := range 1000 {
				form := url.Values{"username": {[]string{"alice", fmt.Sprint("stranger", name)}[k%2]}, "password": {"x"}}
				r, err := http.NewRequestWithContext(ctx, "POST", "http://"+p.addr+"/token", strings.NewReader(form.Encode()))
				if err != nil {
					t.Error(err)
					return
				}
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				resp, err := client.Do(r)
				if err != nil {
					return // it was told to go
				}
				resp.Body.Close()
				answered.Add(1)
			}
		})
	}
	eventually(t, "the crowd is there", func() bool { return answered.Load() > 20 })
	client := loginFrom(netip.MustParseAddr("127.0.0.1"))
	defer client.CloseIdleConnections()
	for range 3 {
		resp, err := client.PostForm("http://"+p.addr+"/token", url.Values{"username": {"alice"}, "password": {"correct horse"}})
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("alice: got %d, want 200", resp.StatusCode)
		}
	}
	cancel()
	wg.Wait()
}

// loginFrom returns a client with an address of its own.
func loginFrom(addr netip.Addr) *http.Client {
	dialer := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(addr, 0))}
	return &http.Client{Transport: &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true}}
}
