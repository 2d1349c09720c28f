//go:build linux

package main_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os/exec"
	"path"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/usher-ws/usher/server"
	"github.com/usher-ws/usher/upgrade"
)

// ended is how a client saw its connection end.
type ended struct {
	Opened bool   `json:"opened"`
	Code   int    `json:"code"`
	Reason string `json:"reason"`
	Clean  bool   `json:"clean"`
}

// TestAcceptCloseNode: what a page sees of a door with AcceptClose, and of the same door
// without it. No flag turns it on, so the test has a server of its own.
func TestAcceptCloseNode(t *testing.T) {
	t.Parallel()
	node(t, "ws", "ws")
	interpreter := node(t, "undici", "undici")
	door := []upgrade.Guard{{OnBeforeUpgrade: func(r *upgrade.Request) (http.Header, error) {
		status, _ := strconv.Atoi(path.Base(r.Path()))
		return nil, upgrade.Reject(status, "", "").WithRetryAfter(1500 * time.Millisecond)
	}}}
	opened := func(server.Conn) error { t.Error("Open was called"); return nil }
	srv := &server.Server{Addr: "127.0.0.1:0", Drain: -1, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
	srv.Route("/page/{status}", server.Route{Guards: door, AcceptClose: true, Open: opened})
	srv.Route("/http/{status}", server.Route{Guards: door, Open: opened})
	if err := srv.Start(); err != nil {
		t.Fatal(err)
	}
	defer srv.Shutdown(context.Background())

	var urls []string
	var want []ended
	for _, c := range []struct {
		path string
		ended
	}{
		{"/page/401", ended{true, 4401, "unauthorized; retry-after-ms=1500", true}},
		{"/page/403", ended{true, 4403, "forbidden; retry-after-ms=1500", true}},
		{"/page/404", ended{true, 4404, "not_found; retry-after-ms=1500", true}},
		{"/page/429", ended{true, 4429, "too_many_requests; retry-after-ms=1500", true}},
		{"/page/503", ended{false, 1006, "", false}},
		{"/http/401", ended{false, 1006, "", false}},
	} {
		urls = append(urls, "ws://"+srv.Addrs()[0].String()+c.path)
		want = append(want, c.ended)
	}
	list, err := json.Marshal(urls)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, interpreter, "node_accept_close.mjs", string(list))
	cmd.Dir = clientsDir
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	var seen map[string][]ended
	if err := json.Unmarshal(out, &seen); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, client := range []string{"ws", "undici"} {
		for i, got := range seen[client] {
			if client == "undici" {
				got.Clean = want[i].Clean // it says so of every end
			}
			if got != want[i] {
				t.Errorf("%s at %s: got %+v, want %+v", client, urls[i], got, want[i])
			}
		}
		if len(seen[client]) != len(want) {
			t.Errorf("%s saw %d ends, want %d", client, len(seen[client]), len(want))
		}
	}
}
