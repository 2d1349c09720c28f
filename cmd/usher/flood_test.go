//go:build linux

package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// How often each client is refused in TestRefusalsArriveInAFlood, and how many of
// it knock at once.
const (
	knocks = 300
	atOnce = 40
)

// TestRefusalsArriveInAFlood: every refused client, of every kind, reads status and body,
// while others send heads of 60 KiB and do not read the answer.
// The flood stays within the lingering reserve; beyond it see server's
// TestEvictedAreCounted.
func TestRefusalsArriveInAFlood(t *testing.T) {
	p := serve(t, door...)
	url := p.addr + "/auth?token=letmein"
	want := "401 " + ask(t, p.addr, head(upgradeTo("/auth?token=letmein")...)).body
	flood(t, p.addr)
	for _, client := range []struct {
		name  string
		knock func(t *testing.T, url string) map[string]int // how often it saw each answer
	}{
		{"net/http", refusedHTTP}, {"gorilla", refusedGorilla},
		{"ws", refusedNode}, {"python3-websockets", refusedPython}, {"curl", refusedCurl},
	} {
		t.Run(client.name, func(t *testing.T) {
			begin := time.Now()
			if seen := client.knock(t, url); len(seen) != 1 || seen[want] != knocks {
				t.Errorf("got %v, want %d times %q", seen, knocks, want)
			}
			t.Logf("%d in %v", knocks, time.Since(begin).Round(time.Millisecond))
		})
	}
}

// flood sends heads of 60 KiB until the test ends, a few at a time: each is
// refused when 16 KiB of it have come, and does not read it.
func flood(t *testing.T, addr string) {
	sent := []byte(head(upgradeTo("/auth", "X-Fill: "+strings.Repeat("x", 60<<10))...))
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	var heads atomic.Int64
	for range 8 {
		all.Go(func() {
			for ctx.Err() == nil {
				conn, err := net.Dial("tcp", addr)
				if err != nil {
					t.Error(err)
					return
				}
				conn.SetDeadline(time.Now().Add(patience))
				if _, err := conn.Write(sent); err == nil {
					heads.Add(1)
				}
				time.Sleep(5 * time.Millisecond) // it lingers
				conn.Close()
			}
		})
	}
	t.Cleanup(func() {
		cancel()
		all.Wait()
		t.Logf("meanwhile %d heads of 60 KiB", heads.Load())
	})
}

// refusedBy calls knock until there are enough refusals, and counts what it returns.
func refusedBy(knock func() string) map[string]int {
	var mu sync.Mutex
	seen := make(map[string]int)
	var left atomic.Int64
	left.Store(knocks)
	var all sync.WaitGroup
	for range atOnce {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				what := knock()
				mu.Lock()
				seen[what]++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return seen
}

// told returns what a response says, or why there is none.
func told(resp *http.Response, err error) string {
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d %s", resp.StatusCode, body)
}

func refusedHTTP(t *testing.T, url string) map[string]int {
	transport := new(http.Transport)
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: patience}
	return refusedBy(func() string {
		req, err := http.NewRequest("GET", "http://"+url, nil)
		if err != nil {
			return err.Error()
		}
		req.Header = http.Header{
			"Upgrade": {"websocket"}, "Connection": {"Upgrade"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {wsKey},
		}
		return told(client.Do(req))
	})
}

func refusedGorilla(t *testing.T, url string) map[string]int {
	dialer := websocket.Dialer{HandshakeTimeout: patience}
	return refusedBy(func() string {
		c, resp, err := dialer.Dial("ws://"+url, nil)
		switch {
		case err == nil:
			c.Close()
			return "open"
		case err == websocket.ErrBadHandshake:
			err = nil
		}
		return told(resp, err)
	})
}

func refusedNode(t *testing.T, url string) map[string]int {
	return refusedScript(t, node(t, "ws", "ws"), "node_refused.mjs", "ws://"+url)
}

func refusedPython(t *testing.T, url string) map[string]int {
	return refusedScript(t, python(t), "python_refused.py", "ws://"+url)
}

func refusedScript(t *testing.T, interpreter, script, url string) (seen map[string]int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, interpreter, script, url, strconv.Itoa(knocks), strconv.Itoa(atOnce))
	cmd.Dir = clientsDir
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, stderr.String())
	}
	if err := json.Unmarshal(out, &seen); err != nil {
		t.Fatalf("%s printed %q: %v", script, out, err)
	}
	return seen
}

// refusedCurl is one curl with many transfers, each to a file of its own.
func refusedCurl(t *testing.T, url string) map[string]int {
	path, err := exec.LookPath("curl")
	if err != nil {
		missing(t, "curl", "not installed; see make deps")
	}
	dir := t.TempDir()
	out, err := exec.Command(path, "--silent", "--show-error", "--http1.1", "--max-time", "600",
		"--parallel", "--parallel-max", strconv.Itoa(atOnce),
		"-H", "Connection: Upgrade", "-H", "Upgrade: websocket", "-H", "Sec-WebSocket-Version: 13", "-H", "Sec-WebSocket-Key: "+wsKey,
		"--write-out", "%{http_code} %{filename_effective}\n", "--output", filepath.Join(dir, "#1"),
		fmt.Sprintf("http://%s&n=[1-%d]", url, knocks)).Output()
	if err != nil {
		t.Errorf("curl: %v", err)
	}
	seen := make(map[string]int)
	for line := range strings.Lines(string(out)) {
		status, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		body, err := os.ReadFile(file)
		if err != nil {
			body = []byte(err.Error())
		}
		seen[status+" "+string(body)]++
	}
	return seen
}
