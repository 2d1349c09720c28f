//go:build linux

package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// serveAdmin is serve with --admin. It also returns the admin's base URL.
func serveAdmin(t *testing.T, flags ...string) (p *program, base string) {
	t.Helper()
	return adminOf(t, serve(t, append([]string{"--admin", "127.0.0.1:0"}, flags...)...))
}

// adminOf returns p, and the URL of its --admin.
func adminOf(t *testing.T, p *program) (_ *program, base string) {
	t.Helper()
	select {
	case line := <-p.stdout.await("admin on "):
		_, base, _ = strings.Cut(strings.TrimSpace(line), "admin on ")
	case <-time.After(patience):
		t.Fatalf("no admin in %q", p.stdout)
	}
	return p, base
}

// fetchPage returns status and body of a GET.
func fetchPage(t testing.TB, url string) (status int, body string) {
	t.Helper()
	resp, err := http.Get(url)
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

// scrape returns the value of each series, as in `name{label="value"}`.
func scrape(t testing.TB, base string) map[string]int {
	t.Helper()
	status, text := fetchPage(t, base+"/metrics")
	if status != http.StatusOK {
		t.Fatalf("/metrics: got %d", status)
	}
	series := make(map[string]int)
	for line := range strings.Lines(text) {
		name, value, ok := cutLast(strings.TrimSpace(line), " ")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		f, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatalf("/metrics: %q: %v", line, err)
		}
		series[name] = int(f)
	}
	return series
}

func cutLast(s, sep string) (before, after string, ok bool) {
	at := strings.LastIndex(s, sep)
	if at < 0 {
		return s, "", false
	}
	return s[:at], s[at+len(sep):], true
}

// TestMetricsAgree: a scrape while clients talk shows no less than was answered before it
// and no more than was said after it; when they are silent, exactly what they said.
func TestMetricsAgree(t *testing.T) {
	t.Parallel()
	p, base := serveAdmin(t, "--echo", "/echo", "--loops", "2", "--rate", "50/h", "--burst", "100000", "--echo-auth", "/auth")
	const clients, messages = 4, 500
	var sent, answered atomic.Int64
	var wg sync.WaitGroup
	for range clients {
		conn, _, err := websocket.DefaultDialer.Dial("ws://"+p.addr+"/echo", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		wg.Go(func() {
			for k := range messages {
				sent.Add(1)
				if err := conn.WriteMessage(websocket.BinaryMessage, make([]byte, k)); err != nil {
					t.Error(err)
					return
				}
				if _, _, err := conn.ReadMessage(); err != nil {
					t.Error(err)
					return
				}
				answered.Add(1)
			}
		})
	}
	const in, out = `usher_messages_received_total{route="/echo"}`, `usher_messages_sent_total{route="/echo"}`
	for answered.Load() < clients*messages && !t.Failed() {
		least := int(answered.Load())
		got := scrape(t, base)
		if most := int(sent.Load()); got[in] < least || got[out] < least || got[in] > most || got[out] > most {
			t.Errorf("got %d in and %d out, want between %d and %d", got[in], got[out], least, most)
		}
	}
	wg.Wait()
	for range 3 {
		if _, resp, _ := websocket.DefaultDialer.Dial("ws://"+p.addr+"/auth", nil); resp == nil || resp.StatusCode != 401 {
			t.Errorf("got %v, want 401", resp)
		}
	}
	got := scrape(t, base)
	framed := 0 // what the frames of one client take, RFC 6455 §5.2, unmasked
	for k := range messages {
		framed += 2 + k
		if k > 125 {
			framed += 2
		}
	}
	for series, want := range map[string]int{
		in: clients * messages, out: clients * messages,
		`usher_received_bytes_total{route="/echo"}`:                clients * (framed + 4*messages),
		`usher_sent_bytes_total{route="/echo"}`:                    clients * framed,
		`usher_connections{route="/echo"}`:                         clients,
		`usher_handshakes_total{route="/echo"}`:                    clients,
		`usher_handshakes_total{route="/auth"}`:                    0,
		`usher_refusals_total{code="token_missing",route="/auth"}`: 3,
		`usher_draining`:             0,
		`usher_loop_stuck{loop="1"}`: 0,
	} {
		if v, there := got[series]; !there || v != want {
			t.Errorf("%s: got %d (there: %t), want %d", series, v, there, want)
		}
	}

	var stats struct {
		Uptime int `json:"uptime_ns"`
		Total  struct {
			Conns    int            `json:"connections"`
			In       int            `json:"messages_in"`
			Refusals map[string]int `json:"refusals"`
		} `json:"total"`
	}
	status, body := fetchPage(t, base+"/stats")
	if err := json.Unmarshal([]byte(body), &stats); err != nil || status != 200 || stats.Uptime <= 0 ||
		fmt.Sprint(stats.Total) != fmt.Sprint(struct{ a, b, c any }{clients, clients * messages, map[string]int{"token_missing": 3}}) {
		t.Errorf("/stats: got %d %+v, %v", status, stats, err)
	}
}

// TestLimiterActionsAreMetrics: the metrics have what the limiter did, by route, limit and
// action, and the codes with which it closed.
func TestLimiterActionsAreMetrics(t *testing.T) {
	t.Parallel()
	p, base := serveAdmin(t, "--echo", "/echo", "--rate", "1/h", "--burst", "5", "--over-limit", "drop", "--close-after", "20")
	conn, _, err := websocket.DefaultDialer.Dial("ws://"+p.addr+"/echo", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range 25 {
		if err := conn.WriteMessage(websocket.TextMessage, []byte("hi")); err != nil {
			t.Fatal(err)
		}
	}
	for err == nil {
		_, _, err = conn.ReadMessage()
	}
	got := scrape(t, base)
	for series, want := range map[string]int{
		`usher_limit_actions_total{action="drop",limit="messages",route="/echo"}`:  19,
		`usher_limit_actions_total{action="close",limit="messages",route="/echo"}`: 1,
		`usher_messages_received_total{route="/echo"}`:                             25,
		`usher_messages_sent_total{route="/echo"}`:                                 5,
		`usher_closes_total{code="1008",route="/echo"}`:                            1,
		`usher_connections{route="/echo"}`:                                         0,
	} {
		if got[series] != want {
			t.Errorf("%s: got %d, want %d", series, got[series], want)
		}
	}
}

// TestPromtool: the metrics and the alerts pass Prometheus's own checks.
func TestPromtool(t *testing.T) {
	t.Parallel()
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		// Not part of make deps, because its package starts a service. TestLint of
		// server/metrics checks the same rules.
		t.Skip("no promtool here")
	}
	p, base := serveAdmin(t, "--echo", "/echo")
	if _, resp, _ := websocket.DefaultDialer.Dial("ws://"+p.addr+"/ws/lobby", nil); resp == nil || resp.StatusCode != 401 {
		t.Errorf("got %v, want 401", resp)
	}
	_, text := fetchPage(t, base+"/metrics")
	cmd := exec.Command(promtool, "check", "metrics")
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
	if out, err := exec.Command(promtool, "check", "rules", "../../packaging/prometheus/alerts.yaml").CombinedOutput(); err != nil {
		t.Errorf("promtool check rules: %v\n%s", err, out)
	}
}

// TestAdminWithCurl: the other pages, as a person sees them.
func TestAdminWithCurl(t *testing.T) {
	t.Parallel()
	curl, err := exec.LookPath("curl")
	if err != nil {
		missing(t, "curl", "not installed; see make deps")
	}
	p, base := serveAdmin(t)
	for _, tt := range []struct{ path, says string }{
		{"/healthz", "ok"}, {"/readyz", "ok"}, {"/debug/pprof/", "goroutine"}, {"/debug/pprof/goroutine?debug=1", "goroutine profile"},
	} {
		out, err := exec.Command(curl, "-sS", "--fail", "--max-time", "600", base+tt.path).Output()
		if err != nil || !bytes.Contains(out, []byte(tt.says)) {
			t.Errorf("%s: got %q, %v", tt.path, out, err)
		}
	}
	for _, path := range []string{"/metrics", "/debug/pprof/", "/readyz"} {
		if status, _ := fetchPage(t, "http://"+p.addr+path); status != http.StatusNotFound {
			t.Errorf("%s on the public listener: got %d, want 404", path, status)
		}
	}
}

// TestReadiness: the admin is not ready from the first moment of the drain on, but alive and
// scraped to its end, and gone after it.
func TestReadiness(t *testing.T) {
	t.Parallel()
	p, base := serveAdmin(t, "--echo", "/echo", "--drain", "3s")
	conn, _, err := websocket.DefaultDialer.Dial("ws://"+p.addr+"/echo", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if status, _ := fetchPage(t, base+"/readyz"); status != http.StatusOK {
		t.Errorf("before: got %d, want 200", status)
	}
	p.signal(t, syscall.SIGTERM)
	eventually(t, "not ready", func() bool {
		status, body := fetchPage(t, base+"/readyz")
		return status == http.StatusServiceUnavailable && body == "draining\n"
	})
	if status, _ := fetchPage(t, base+"/healthz"); status != http.StatusOK {
		t.Errorf("/healthz: got %d, want 200", status)
	}
	if got := scrape(t, base); got["usher_draining"] != 1 {
		t.Errorf("usher_draining: got %d, want 1", got["usher_draining"])
	}
	for err == nil {
		_, _, err = conn.ReadMessage()
	}
	conn.Close()
	if code := p.exit(t, patience); code != 0 {
		t.Errorf("exit code: got %d, want 0", code)
	}
	if _, err := http.Get(base + "/readyz"); err == nil {
		t.Error("the admin outlived the drain")
	}
	if _, err := os.Stat(fmt.Sprintf("/proc/%d", p.cmd.Process.Pid)); err == nil {
		t.Error("so did the process")
	}
}
