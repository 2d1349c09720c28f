//go:build linux

package metrics_test

import (
	"context"
	"io"
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/usher-ws/usher/internal/leak"
	"github.com/usher-ws/usher/internal/websocket"
	"github.com/usher-ws/usher/server"
	"github.com/usher-ws/usher/server/metrics"
)

func TestMain(m *testing.M) { leak.VerifyTestMain(m) }

// TestLint: the rules of promtool check metrics, and that every family is whole.
func TestLint(t *testing.T) {
	srv := &server.Server{Addr: "127.0.0.1:0", Drain: -1, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
	srv.Route("/echo", server.Route{Message: func(c server.Conn, m server.Message) error { return c.Send(m.Opcode, m.Data) }})
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(metrics.NewCollector(srv))
	if n, err := testutil.GatherAndCount(registry); n != 0 || err != nil {
		t.Errorf("before Start: got %d series, error %v, want none", n, err)
	}
	if err := srv.Start(); err != nil {
		t.Fatal(err)
	}
	defer srv.Wait()
	defer srv.Shutdown(context.Background())
	conn, _, err := websocket.DefaultDialer.Dial("ws://"+srv.Addrs()[0].String()+"/echo", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("got %v, %v", problems, err)
	}
	if n, err := testutil.GatherAndCount(registry, "usher_connections", "usher_sent_bytes_total", "usher_sockets"); n != 3 || err != nil {
		t.Errorf("got %d series, error %v, want 3", n, err)
	}
}
