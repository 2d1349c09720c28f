//go:build linux

package main_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/gorilla/websocket"
)

// outcome is what a person sees when a command has ended.
type outcome struct {
	code           int
	stdout, stderr string
}

// finish runs a command to its end, with these variables alone in its environment.
func finish(t *testing.T, env []string, args ...string) outcome {
	t.Helper()
	return finishOf(t, usher(t, args...), env)
}

func finishOf(t *testing.T, cmd *exec.Cmd, env []string) outcome {
	t.Helper()
	cmd.Env = env
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	return outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// TestMistakes: every error is one line on standard error that says what to do.
func TestMistakes(t *testing.T) {
	t.Parallel()
	path, err := buildPlain() // which starts six times as fast
	if err != nil {
		t.Fatal(err)
	}
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	short := filepath.Join(t.TempDir(), "short")
	if err := os.WriteFile(short, []byte(strings.Repeat("x", 31)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	users := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(users, []byte(htpasswdFile), 0o600); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "usher.yaml")
	if err := os.WriteFile(config, []byte("rate: 1/s\nburst: -1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	type mistake struct {
		args string
		code int
		says string
	}
	tests := []mistake{
		{"", 2, "serve"},
		{"dance", 2, "dance"},
		{"serve --dance", 2, "usher serve --help"},
		{"serve now", 2, "now"},
		{"serve --listen here", 2, "HOST:PORT"},
		{"serve --listen=", 2, "HOST:PORT"},
		{"serve --listen tls://127.0.0.1:0", 2, "--tls-cert"},
		{"serve --rate 50", 2, "50/s"},
		{"serve --rate 50/d", 2, "50/s"},
		{"serve --burst many", 2, "--burst"},
		{"serve --burst=-1", 2, "0 or more"},
		{"serve --byte-rate x", 2, "64KiB/s"},
		{"serve --max-head 0", 2, "want 1KiB to 1MiB"},
		{"serve --max-head=", 2, "--max-head"},
		{"serve --max-head 1023", 2, "want 1KiB to 1MiB"},
		{"serve --max-head 2MiB", 2, "want 1KiB to 1MiB"},
		{"serve --max-head=-1", 2, "--max-head"},
		{"serve --max-head 16kb", 2, "--max-head"},
		{"serve --ip-rate 5", 2, "like 50/s, 10/m or 3/h"},
		{"serve --close-after=-1", 2, "want 0 or more"},
		{"serve --over-limit shout", 2, "warn, drop, delay or close"},
		{"serve --max-message 64KB", 2, "64KiB"},
		{"serve --max-conns=-1", 2, "0 or more"},
		{"serve --idle-timeout 5", 2, "duration"},
		{"serve --drain=-1s", 2, "0 or more"},
		{"serve --admin 9090", 2, "HOST:PORT"},
		{"serve --admin " + busy.Addr().String(), 1, "--admin"},
		{"serve --users /does/not/exist", 1, "--users"},
		{"serve --users " + short, 2, "line 1"},
		{"serve --users " + users + " --jwks " + users, 2, "USHER_SECRET"},
		{"serve --auth-url http://127.0.0.1:9/ --users demo", 2, "USHER_SECRET"},
		{"serve --auth-url localhost:9000", 2, "http://127.0.0.1:9000/auth"},
		{"serve --auth-url http://me:letmein@h/", 2, "leave them out"},
		{"serve --log-format xml", 2, "json"},
		{"guard", 2, "--upstream"},
		{"guard --upstream 127.0.0.1:8000", 2, "http://host:port"},
		{"guard --upstream http://127.0.0.1:9 --over-limit warn", 2, "--warn-text"},
		{"guard --upstream http://127.0.0.1:9 --upstream-timeout 0", 2, "out of range"},
		{"guard --upstream http://127.0.0.1:9 --path /a/{b}=/{c}", 2, "no wildcard {c}"},
		{"guard --upstream http://127.0.0.1:9 --path /a/{b} --path /a/{c}=/c", 2, "the same paths"},
		{"guard --upstream http://127.0.0.1:9 --path /a/{b} --path /{c}/d", 2, "neither is the more special one"},
		{"guard --upstream http://127.0.0.1:9 --path a.example/ws", 2, "has a host"},
		{"guard --upstream http://127.0.0.1:9 --path /ws/=/socket/", 2, "/ws/{rest...}=/app/{rest...}"},
		{"guard --upstream http://127.0.0.1:9 --public ws", 2, "slash"},
		{"guard --upstream http://127.0.0.1:9 --forward-claims https://h/role", 2, "letters"},
		{"guard --upstream http://127.0.0.1:9 --rooms a", 2, "--rooms"},
		{"check guard --upstream http://127.0.0.1:9 --over-limit warn", 2, "--warn-text"},
		{"serve --log-level loud", 2, "warn"},
		{"serve --origin https://chat.example/", 2, "scheme://host"},
		{"serve --rooms lobby,a.b", 2, "letters"},
		{"serve --leave-grace=-1s", 2, "0 or more"},
		{"serve --announce-max=-1", 2, "0 or more"},
		{"serve --history=-1", 2, "0 or more"},
		{"serve --rooms=", 2, "leave it out"},
		{"serve --echo echo", 2, "/echo"},
		{"serve --echo /{x}", 2, "/echo"},
		{"serve --echo /a --echo-auth /a", 2, "two paths"},
		{"serve --secret-file " + short, 2, "32"},
		{"serve --secret-file /does/not/exist", 1, "--secret-file"},
		{"serve --secret-file HS512:" + short, 2, "64"},
		{"serve --secret-file RS256:" + short, 2, "HS256"},
		{"serve --public-key " + short, 2, "--public-key"},
		{"serve --public-key /does/not/exist", 1, "--public-key"},
		{"serve --jwks /does/not/exist", 1, "--jwks"},
		{"serve --jwks " + short, 1, "--jwks"},
		{"serve --jwks ftp://id.example/jwks.json", 2, "--jwks"},
		{"serve --jwks htps://u:p@id.example/jwks.json?x=y", 2, "htps://REDACTED@id.example/jwks.json?REDACTED"},
		{"serve --jwks http://", 2, "--jwks"},
		{"serve --jwks https://:8443/jwks.json", 2, "--jwks"},
		{"serve --jwks http://us:er:p/a@ss@id.example/?x", 2, "http://REDACTED@id.example/?REDACTED"},
		{"serve --leeway=-1s", 2, "0 or more"},
		{"serve --listen " + busy.Addr().String(), 1, "--listen"},
		{"serve --config " + users, 2, "line 1: want lines like"},
		{"serve --config /does/not/exist", 2, "--config"},
		{"serve --config " + config + " --user-rate 1/s", 2, "--burst comes from file " + config + ", line 2"},
		{"check --config " + config, 2, "--burst comes from file " + config + ", line 2"},
		{"token --sub alice --config " + config + "x", 2, "--config"},
		{"check --secret-file /does/not/exist", 2, "--secret-file"},
		{"check --users /does/not/exist", 2, "--users"},
		{"check --users " + short, 2, "line 1"},
		{"check --public-key " + short, 2, "--public-key"},
		{"check --jwks /does/not/exist", 2, "--jwks"},
		{"check --rate 5/s --rate 6/s", 2, "given twice"},
		{"check now", 2, "now"},
		{"token", 2, "--sub"},
		{"token --sub=", 2, "--sub"},
		{"token --sub alice", 2, "USHER_SECRET"},
		{"token --sub alice --secret-file " + short, 2, "32"},
		{"token --sub alice --key " + short, 2, "openssl genpkey"},
		{"token --sub alice --key /does/not/exist", 1, "--key"},
		{"token --sub alice --ttl 0", 2, "1s"},
		{"token --sub alice --rooms a.b", 2, "letters"},
	}
	mistaken := strings.Repeat("s3cret", 8) // given as the name of a file
	for _, args := range []string{"serve", "check", "token --sub alice", "serve --users none"} {
		tests = append(tests, mistake{args + " --secret-file " + mistaken, 2, "the secret itself"})
		tests = append(tests, mistake{args + " --secret-file HS256:" + strings.Repeat("s3cret/", 70), 2, "the secret itself"})
	}
	for _, tt := range tests {
		got := finishOf(t, command(path, strings.Fields(tt.args)...), nil)
		if strings.Contains(got.stderr, "s3cret") {
			t.Errorf("usher %s: %s", tt.args, got.stderr)
		}
		one := strings.HasPrefix(got.stderr, "usher: ") && strings.Count(got.stderr, "\n") == 1
		if got.code != tt.code || !one || !strings.Contains(got.stderr, tt.says) || got.stdout != "" {
			t.Errorf("usher %s: got %+v, want code %d and one line with %q", tt.args, got, tt.code, tt.says)
		}
	}
	for value, says := range map[string]string{"short": "has 5 bytes", "": "is empty", "  ": "begins or ends with blanks", "\n": "is empty"} {
		for _, args := range []string{"serve", "check", "token --sub alice"} {
			got := finishOf(t, command(path, strings.Fields(args)...), []string{"USHER_SECRET=" + value})
			if got.code != 2 || !strings.Contains(got.stderr, "USHER_SECRET "+says) && (value != "" || args != "token --sub alice" || !strings.Contains(got.stderr, "no secret to sign with")) {
				t.Errorf("usher %s with USHER_SECRET=%q: got %+v, want code 2", args, value, got)
			}
		}
	}
}

// TestTooLittleMemory: a --max-buffered with which no TLS handshake could be done fails at the start.
func TestTooLittleMemory(t *testing.T) {
	t.Parallel()
	path, err := buildTested()
	if err != nil {
		t.Fatal(err)
	}
	file := issue(t, t.TempDir(), "little", nil, "127.0.0.1")
	for _, program := range []string{"serve", "guard --upstream http://127.0.0.1:9"} {
		args := program + " --loops 3 --max-buffered 64KiB --listen tls://127.0.0.1:0 --tls-cert " + file.cert + " --tls-key " + file.key
		got, err := exec.Command(path, strings.Fields(args)...).CombinedOutput()
		var failed *exec.ExitError
		if !errors.As(err, &failed) || failed.ExitCode() != 2 || !strings.Contains(string(got), "raise --max-buffered") {
			t.Errorf("%s: got %v %s, want exit code 2", args, err, got)
		}
	}
}

// TestTooFewFiles: settings that the limit of open files does not allow fail at the start.
func TestTooFewFiles(t *testing.T) {
	t.Parallel()
	path, err := buildTested()
	if err != nil {
		t.Fatal(err)
	}
	keys := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(keys, []byte(strings.Repeat("k", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ files, args, says string }{
		{"300", "--loops 2 --max-conns 100000", "room for 220 connections, not for 100000"},
		{"300", "--loops 2 --max-conns 221", "not for 221"},
		{"300", "--loops 100", "room for 0 connections"},
		{"60", "--loops 2", "not for 1:"},
		{"500", "--loops 2 --max-conns 200 --api 127.0.0.1:0 --api-key-file " + keys, "room for 164 connections, not for 200"},
	} {
		got, err := exec.Command("sh", "-c", "ulimit -n "+tt.files+" && exec \"$0\" serve --listen 127.0.0.1:0 "+tt.args, path).CombinedOutput()
		var failed *exec.ExitError
		if !errors.As(err, &failed) || failed.ExitCode() != 2 || !strings.Contains(string(got), tt.says) || strings.Count(string(got), "\n") != 1 {
			t.Errorf("%s files, %s: got %v %s, want exit code 2 and %q", tt.files, tt.args, err, got, tt.says)
		}
	}
}

// TestDemoUsers: they can log in if no secret or key was given, or if they are asked for.
func TestDemoUsers(t *testing.T) {
	t.Parallel()
	users := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(users, []byte(htpasswdFile), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		flags string
		env   []string
		want  int
	}{
		{"", nil, 200},
		{"", []string{"USHER_SECRET=" + secret}, 404},
		{"--users demo", []string{"USHER_SECRET=" + secret}, 200},
		{"--users none", nil, 404},
		{"--auth-url http://127.0.0.1:9/", nil, 404},
		{"--auth-url http://127.0.0.1:9/", []string{"USHER_SECRET=" + secret}, 404},
		{"--auth-url http://127.0.0.1:9/ --users demo", []string{"USHER_SECRET=" + secret}, 200},
		{"--users none", []string{"USHER_SECRET=" + secret}, 404},
		{"--users " + users, nil, 401},
		{"--users " + users, []string{"USHER_SECRET=" + secret}, 401},
	} {
		cmd := usher(t, strings.Fields("serve --listen 127.0.0.1:0 "+tt.flags)...)
		cmd.Env = append([]string{"PATH=/bin"}, tt.env...)
		p := start(t, cmd)
		resp, err := http.PostForm("http://"+p.addr+"/token", url.Values{"username": {"alice"}, "password": {"wonderland"}})
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if media := resp.Header.Get("Content-Type"); resp.StatusCode != tt.want || tt.want != 200 && media != "application/problem+json" {
			t.Errorf("%s %q: got %s of %s, want %d", tt.flags, tt.env, resp.Status, media, tt.want)
		}
	}
}

// TestSecretsInFiles: the first of several secrets signs, and all are good; a file that is
// not of its kind is an error.
func TestSecretsInFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	first, second := file("first", strings.Repeat("1", 32)+"\n"), file("second", strings.Repeat("2", 64))
	p := serve(t, "--echo-auth", "/auth", "--secret-file", first+",HS512:"+second)
	for _, args := range []string{first, "HS512:" + second, first + ",HS512:" + second} {
		token := strings.TrimSpace(finish(t, nil, "token", "--sub", "alice", "--secret-file", args).stdout)
		conn, resp, err := websocket.DefaultDialer.Dial("ws://"+p.addr+"/auth?token="+token, nil)
		if err != nil {
			t.Errorf("%s: %v %v", args, resp, err)
			continue
		}
		conn.Close()
	}
	const mark = "\xef\xbb\xbf"
	for flag, texts := range map[string][]string{
		"--secret-file": {"", mark + strings.Repeat("s", 32), strings.Repeat("s", 32) + "\n\n"},
		"--users":       {"", "\n", mark + htpasswdFile, "a\x00l\x00"},
		"--public-key":  {"", mark + "-----BEGIN", "-----BEGIN PUBLIC KEY-----\nx"},
	} {
		for _, path := range append([]string{dir, "/dev/zero"}, func() (paths []string) {
			for k, text := range texts {
				paths = append(paths, file(fmt.Sprint(flag, k), text))
			}
			return paths
		}()...) {
			got := finish(t, []string{"USHER_SECRET=" + secret}, "serve", "--listen", "127.0.0.1:0", flag, path)
			if got.code != 2 || strings.Count(got.stderr, "\n") != 1 || !strings.Contains(got.stderr, path) {
				t.Errorf("%s %s: got %+v, want exit code 2", flag, path, got)
			}
		}
	}
}

func TestHelpAndVersion(t *testing.T) {
	t.Parallel()
	for args, says := range map[string]string{
		"--help": "serve", "serve --help": "--over-limit=warn", "token --help": "--ttl=1h", "version": "usher ",
	} {
		if got := finish(t, nil, strings.Fields(args)...); got.code != 0 || got.stderr != "" || !strings.Contains(got.stdout, says) {
			t.Errorf("usher %s: got %+v, want code 0 and %q", args, got, says)
		}
	}
	// These and no others.
	want := strings.Fields("--config --listen --reuse-port --loops --echo --echo-auth --rooms --origin --secret-file --rate --burst --byte-rate " +
		"--over-limit --close-after --user-rate --ip-rate --limit-dry-run --max-conns --max-conns-per-ip --max-conns-per-user --max-rooms-per-user --max-requests --max-head --max-message --max-buffered --handshake-timeout " +
		"--message-timeout --write-timeout --ping-interval --idle-timeout --drain --deflate --log-format --log-level --admin --api --api-key-file --help " +
		"--access-log --print-routes --users --proxy-protocol --trusted-proxy --auth-url --events --events-key-file --events-types --tls-cert --tls-key --tls-min --tls-client-ca --acme --acme-dir --acme-server " +
		"--cluster --node --cluster-listen --cluster-peers --cluster-client-listen --cluster-token-file --cluster-creds --cluster-tls-cert --cluster-tls-key --cluster-tls-ca " +
		"--leave-grace --announce-max --history --jwks --jwks-refresh --jwks-grace --public-key --issuer --audience --leeway")
	var got []string
	for _, m := range regexp.MustCompile(`(?m)^ +(?:-h, +)?(--[a-z-]+)`).FindAllStringSubmatch(finish(t, nil, "serve", "--help").stdout, -1) {
		got = append(got, m[1])
	}
	slices.Sort(want)
	slices.Sort(got)
	got = slices.Compact(got) // a line of help may begin with a flag's name
	if !slices.Equal(got, want) {
		t.Errorf("flags of usher serve:\n got %q\nwant %q", got, want)
	}
}

func TestTokenCommand(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"USHER_SECRET=" + secret}
	for _, tt := range []struct {
		args  string
		env   []string
		rooms any
		ttl   time.Duration
	}{
		{"token --sub alice", env, nil, time.Hour},
		{"token --sub alice --secret-file " + file, nil, nil, time.Hour},
		{"token --sub alice --secret-file " + file, []string{"USHER_SECRET=" + strings.Repeat("x", 40)}, nil, time.Hour},
		{"token --sub alice --ttl 90s --rooms a,b --rooms c", env, []any{"a", "b", "c"}, 90 * time.Second},
		{"token --sub alice --rooms=", env, []any{}, time.Hour},
	} {
		got := finish(t, tt.env, strings.Fields(tt.args)...)
		claims := jwt.MapClaims{}
		_, err := jwt.ParseWithClaims(strings.TrimSuffix(got.stdout, "\n"), claims, func(*jwt.Token) (any, error) {
			return []byte(secret), nil
		}, jwt.WithValidMethods([]string{"HS256"}), jwt.WithExpirationRequired())
		if err != nil || got.code != 0 || got.stderr != "" {
			t.Errorf("usher %s: got %+v, error %v", tt.args, got, err)
			continue
		}
		exp, _ := claims.GetExpirationTime()
		if left := time.Until(exp.Time); left > tt.ttl || left < tt.ttl-time.Minute {
			t.Errorf("usher %s: expires in %v, want %v", tt.args, left, tt.ttl)
		}
		if fmt.Sprint(claims["sub"], claims["rooms"]) != fmt.Sprint("alice", tt.rooms) {
			t.Errorf("usher %s: got %v, want alice and rooms %v", tt.args, claims, tt.rooms)
		}
	}
}

// TestInvitation: without a secret, what serve prints is enough to connect.
func TestInvitation(t *testing.T) {
	t.Parallel()
	cmd := usher(t, "serve", "--listen", "127.0.0.1:0", "--rooms", "cellar,lobby")
	cmd.Env = nil
	p := start(t, cmd)
	var line string
	select {
	case line = <-p.stdout.await("ws://"):
	case <-time.After(patience):
		t.Fatalf("no URL in %q", p.stdout)
	}
	link := strings.TrimSpace(line)
	if !strings.HasPrefix(link, "ws://"+p.addr+"/ws/cellar?token=") {
		t.Fatalf("got %q, want a URL of the first room", link)
	}
	conn, resp, err := websocket.DefaultDialer.Dial(link, nil)
	if err != nil {
		t.Fatalf("%s: %v (%v)", link, err, resp)
	}
	defer conn.Close()
	if _, b, err := conn.ReadMessage(); err != nil || string(b) != "Server: alice has joined the chat" {
		t.Errorf("got %q, error %v", b, err)
	}
}

// TestSecretIsNotShown: with a secret there is no invitation.
func TestSecretIsNotShown(t *testing.T) {
	t.Parallel()
	p := serve(t)
	p.signal(t, syscall.SIGINT)
	if code := p.exit(t, patience); code != 0 {
		t.Errorf("exit code after SIGINT: got %d, want 0", code)
	}
	if got, want := p.stdout.String(), "listening on http://"+p.addr+"\n"; got != want {
		t.Errorf("standard output: got %q, want %q", got, want)
	}
}

// TestSecondSignalFails: a second signal ends the drain, with exit code 1.
func TestSecondSignalFails(t *testing.T) {
	t.Parallel()
	p := serve(t, "--echo", "/echo", "--drain", "10m")
	conn, _, err := websocket.DefaultDialer.Dial("ws://"+p.addr+"/echo", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	p.signal(t, syscall.SIGTERM)
	eventually(t, "draining", func() bool {
		_, resp, _ := websocket.DefaultDialer.Dial("ws://"+p.addr+"/echo", nil)
		return resp != nil && resp.StatusCode == http.StatusServiceUnavailable
	})
	p.signal(t, syscall.SIGTERM)
	if code := p.exit(t, patience); code == 0 {
		t.Error("exit code: got 0, want another")
	}
}

// TestTutorial follows the tutorial by the command line: post a form to /token, connect with
// ?token=, say something, and be warned at --rate 10/m.
func TestTutorial(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		flags []string
		burst int
	}{
		{[]string{"--rate", "10/m", "--burst", "10"}, 10},
		{[]string{"--rate", "10/m"}, 100}, // the burst is a limit of its own
	} {
		p := serve(t, tt.flags...)
		resp, err := http.PostForm("http://"+p.addr+"/token", url.Values{"username": {"alice"}, "password": {"wonderland"}})
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var grant struct {
			Token string `json:"access_token"`
		}
		if err := json.NewDecoder(resp.Body).Decode(&grant); err != nil {
			t.Fatal(err)
		}
		conn, _, err := websocket.DefaultDialer.Dial("ws://"+p.addr+"/ws/lobby?token="+grant.Token, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		want := []string{"Server: alice has joined the chat"}
		for range tt.burst {
			want = append(want, "alice: hi")
		}
		for range tt.burst + 1 {
			if err := conn.WriteMessage(websocket.TextMessage, []byte("hi")); err != nil {
				t.Fatal(err)
			}
		}
		// The warning is sent to alice alone and may overtake what goes to the room.
		want = append(want, slowDown)
		var got []string
		for range want {
			_, b, err := conn.ReadMessage()
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(b))
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", tt.flags, got, want)
		}
	}
}
