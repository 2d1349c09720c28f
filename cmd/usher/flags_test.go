//go:build linux

package main

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/server"
)

// parse returns usher serve with the flags.
func parse(t *testing.T, args ...string) *serveCmd {
	t.Helper()
	var c cli
	parser, err := kong.New(&c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(append([]string{"serve"}, args...)); err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	return &c.Serve
}

// TestDefaults: the server gets the defaults that the flags show.
func TestDefaults(t *testing.T) {
	cmd := parse(t)
	got := cmd.server(nil)
	want := server.Server{
		MaxHead: 16 << 10, MaxMessage: 64 << 10, MaxBuffered: 256<<20 - 32<<20, // the rest is for histories
		HandshakeTimeout: 10 * time.Second, MessageTimeout: 30 * time.Second, WriteTimeout: 30 * time.Second,
		PingInterval: 25 * time.Second, IdleTimeout: 2 * time.Minute, Drain: 10 * time.Second,
	}
	if !slices.Equal(cmd.Listen, []string{"127.0.0.1:8080"}) || got.Loops != 0 || got.MaxConns != 0 || got.MaxConnsPerIP != 0 || got.MaxConnsPerUser != 0 ||
		got.MaxHead != want.MaxHead || got.MaxMessage != want.MaxMessage || got.MaxBuffered != want.MaxBuffered ||
		got.HandshakeTimeout != want.HandshakeTimeout || got.MessageTimeout != want.MessageTimeout ||
		got.WriteTimeout != want.WriteTimeout || got.PingInterval != want.PingInterval || got.IdleTimeout != want.IdleTimeout || got.Drain != want.Drain || got.Origins != nil {
		t.Errorf("got %+v, want %+v", got, &want)
	}
	limits := cmd.limits()
	if limits.Messages != (limiter.Rate{Limit: 50, Burst: 100}) || !limits.Bytes.Unlimited() || limits.Over != server.Warn {
		t.Errorf("limits: got %+v, want 50/s, 100 at once, no byte rate, warn", limits)
	}
}

// TestZeroIsNoLimit: 0 on the command line becomes the server's -1 for no limit, not its 0
// for the default.
func TestZeroIsNoLimit(t *testing.T) {
	cmd := parse(t, "--rate=0", "--max-message=0", "--max-buffered=0", "--handshake-timeout=0", "--message-timeout=0",
		"--write-timeout=0", "--ping-interval=0", "--idle-timeout=0", "--drain=0")
	got := cmd.server(nil)
	for name, n := range map[string]int{
		"MaxMessage": got.MaxMessage, "MaxBuffered": got.MaxBuffered,
		"HandshakeTimeout": int(got.HandshakeTimeout), "MessageTimeout": int(got.MessageTimeout),
		"WriteTimeout": int(got.WriteTimeout), "PingInterval": int(got.PingInterval), "IdleTimeout": int(got.IdleTimeout), "Drain": int(got.Drain),
	} {
		if n >= 0 {
			t.Errorf("%s: got %d, want a negative number", name, n)
		}
	}
	if got := cmd.limits().Messages; !got.Unlimited() {
		t.Errorf("messages: got %+v, want no limit", got)
	}
}

func TestLists(t *testing.T) {
	cmd := parse(t, "--listen", "127.0.0.1:1,[::1]:2", "--listen", ":3", "--origin", "a.example,*.b.example", "--rooms", "a", "--rooms", "b,c")
	if got, want := strings.Join(cmd.Listen, ","), "127.0.0.1:1,[::1]:2,:3"; got != want {
		t.Errorf("--listen: got %q, want %q", got, want)
	}
	if len(cmd.Origin) != 2 || len(cmd.Rooms) != 3 {
		t.Errorf("got origins %q and rooms %q, want 2 and 3", cmd.Origin, cmd.Rooms)
	}
}

// TestByteBurst: the largest message fits into the burst, or it would never pass.
func TestByteBurst(t *testing.T) {
	for _, tt := range []struct {
		rate, largest string
		want          int
	}{
		{"100KiB/s", "64KiB", 100 << 10}, {"1KiB/s", "64KiB", 64<<10 + 14}, {"1KiB/s", "0", 1 << 10},
	} {
		cmd := parse(t, "--byte-rate", tt.rate, "--max-message", tt.largest)
		if got := cmd.limits().Bytes.Burst; got != tt.want {
			t.Errorf("%s with messages up to %s: got %d, want %d", tt.rate, tt.largest, got, tt.want)
		}
	}
}

func TestReachable(t *testing.T) {
	for addr, want := range map[string]string{
		"0.0.0.0:80": "127.0.0.1:80", "[::]:80": "[::1]:80", "10.0.0.1:80": "10.0.0.1:80",
	} {
		if got := reachable(netip.MustParseAddrPort(addr)).String(); got != want {
			t.Errorf("reachable(%s): got %s, want %s", addr, got, want)
		}
	}
}
