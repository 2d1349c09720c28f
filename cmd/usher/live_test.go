//go:build linux

package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/usher-ws/usher/server"
)

// unseenSettings are those that change, but not in what seen returns: other tests look at what they
// do.
var unseenSettings = []string{
	"users", "secret-file", "public-key", "jwks-refresh", "jwks-grace", "leeway", "issuer", "audience", "max-rooms-per-user",
	"api-key-file", "events-key-file", "tls-cert", "tls-key", "tls-min", "tls-client-ca",
}

// seen returns what of a server's settings can be seen.
func (r *running) seen() string {
	p, e := r.srv.Policy(), r.now.Load()
	limits := make(map[string]server.Limits)
	for pattern, of := range p.Routes {
		limits[pattern] = of.Limits
	}
	p.Routes = nil
	var upstreams []string
	if r.pool != nil {
		for _, u := range r.pool.Stats().Upstreams {
			upstreams = append(upstreams, u.Name)
		}
	}
	return fmt.Sprintf("%+v %+v %v %v %q", p, limits, e.keysAt, r.level, upstreams)
}

// TestLive goes over all flags of serve and guard. When a setting changes while the server runs, it has
// the new value if it is live, and else it says by its name that it stays as it was.
func TestLive(t *testing.T) {
	t.Setenv("USHER_SECRET", strings.Repeat("s", 32))
	dir := t.TempDir()
	writeGoodFiles(t, dir)
	config := filepath.Join(dir, "usher.yaml")
	for command, flag := range allFlags(t) {
		if command != "serve" && command != "guard" || flag.Name == "config" {
			continue
		}
		good := goodValues(t, dir, flag)
		write := func(value string) {
			if err := os.WriteFile(config, []byte(flag.Name+": "+quoted(value)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write(good[0])
		args := append([]string{command, "--config", config}, beside(dir, command, flag.Name, 1)...)
		r := runHere(t, args...)
		before := r.seen()
		reload := func(value string, wantChanged, wantKept []string) {
			t.Helper()
			write(value)
			changed, kept, err := r.readAgain(args, new(sources))
			if err != nil || !slices.Equal(changed, wantChanged) || !slices.Equal(kept, wantKept) {
				t.Errorf("--%s, %q: changed %q, kept %q, %v, want %q and %q", flag.Name, value, changed, kept, err, wantChanged, wantKept)
			}
		}
		name := []string{"--" + flag.Name}
		reload(good[0], nil, nil)
		if isLive(flag) {
			reload(good[1], name, nil)
		} else {
			reload(good[1], nil, name)
			reload(good[1], nil, name) // it is still so
		}
		isSeen := isLive(flag) && !slices.Contains(unseenSettings, flag.Name)
		if got := r.seen(); (got != before) != isSeen {
			t.Errorf("--%s: %s\nbecame %s", flag.Name, before, got)
		}
		if isLive(flag) {
			reload(good[0], name, nil)
		} else {
			reload(good[0], nil, nil)
		}
		if got := r.seen(); got != before {
			t.Errorf("--%s, back: %s\nbecame %s", flag.Name, before, got)
		}
	}
}

// runHere runs what serve would in this process, on no port of its own.
func runHere(t *testing.T, args ...string) *running {
	t.Helper()
	p, flags, err := parseProgram(args, new(sources))
	if err != nil {
		t.Fatal(err)
	}
	level := new(slog.LevelVar)
	level.Set(p.common().level())
	ring := server.NewLogRing(slog.DiscardHandler)
	r, err := build(p, ring, level)
	if err != nil {
		t.Fatal(err)
	}
	r.settings = valuesOf(flags)
	if err := r.srv.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.srv.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		r.close()
		ring.Close(time.Hour)
	})
	return r
}

// TestLiveIsDocumented: the help of serve, and that of guard, names exactly the settings that can
// change.
func TestLiveIsDocumented(t *testing.T) {
	for command, help := range map[string]string{"serve": new(serveCmd).Help(), "guard": new(guardCmd).Help()} {
		var live []string
		for of, flag := range allFlags(t) {
			if of == command && isLive(flag) {
				live = append(live, "--"+flag.Name)
			}
		}
		slices.Sort(live)
		if want := ": " + strings.Join(live, ", ") + "."; !strings.Contains(help, want) {
			t.Errorf("the help of %s has not %q", command, want)
		}
	}
}
