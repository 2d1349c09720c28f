//go:build linux

package server

import (
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// What the watchdog says of what it sees at every tick.
func TestWatchdogNotes(t *testing.T) {
	event := func(k, route uint64) uint64 { return k<<16 | (route + 1) }
	for _, c := range []struct {
		name string
		seen []uint64 // one a tick
		want []string // in the log
	}{
		{"nothing", make([]uint64, 100), nil},
		{"many short events", []uint64{event(1, 0), event(2, 0), event(3, 0), event(4, 0), event(5, 0), event(6, 0), event(7, 0), 0}, nil},
		{"not long enough", []uint64{event(1, 0), event(1, 0), event(1, 0), event(1, 0), event(2, 0)}, nil},
		{"long", []uint64{event(1, 0), event(1, 0), event(1, 0), event(1, 0), event(1, 0), 0}, []string{"route=/a duration=100ms over=true"}},
		{"long, and another", []uint64{0, event(1, 0), event(1, 0), event(1, 0), event(1, 0), event(1, 0), event(1, 0), event(2, 1)},
			[]string{"route=/a duration=125ms over=true"}},
		{"once a route", append(repeat(event(1, 0), 10), append(repeat(event(2, 0), 50), append(repeat(event(3, 1), 9), 0)...)...),
			[]string{"route=/a duration=225ms over=true", "route=/b duration=200ms over=true"}},
		{"without end", repeat(event(1, 1), 200), []string{"route=/b duration=1s over=false"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := new(journal)
			s := &Server{log: newLogWriter(slog.New(slog.NewTextHandler(out, nil)))}
			s.Route("/a", Route{})
			s.Route("/b", Route{})
			w := &watchdog{srv: s, told: make([]bool, 2), held: make([]atomic.Int64, 2)}
			v, now := new(sighting), time.Now()
			for _, busy := range c.seen {
				w.note(v, busy, now)
				now = now.Add(watchEvery)
			}
			s.log.stop(time.Now().Add(time.Minute))
			got := strings.TrimSpace(out.String())
			if n := strings.Count(got, "\n") + 1; n != max(len(c.want), 1) || (got == "") != (len(c.want) == 0) {
				t.Errorf("got %q, want %d records", got, len(c.want))
			}
			for _, want := range c.want {
				if !strings.Contains(got, want) {
					t.Errorf("got %q, want %q", got, want)
				}
			}
		})
	}
}

func repeat(busy uint64, n int) []uint64 {
	all := make([]uint64, n)
	for k := range all {
		all[k] = busy
	}
	return all
}

// A callback that is stuck is in the log while it is stuck, whichever it is.
func TestWatchdog(t *testing.T) {
	out := new(journal)
	stuck := make(chan bool)
	s := &Server{Loops: 1, Logger: slog.New(slog.NewTextHandler(out, nil))}
	wait := func() { <-stuck }
	s.Route("/message", Route{Message: func(c Conn, m Message) error { wait(); return echo(c, m) }})
	s.Route("/open", Route{Open: func(Conn) error { wait(); return nil }, Message: echo})
	s.Route("/close", Route{Close: func(Conn, error) { wait() }, Message: echo})
	s.Route("/echo", Route{Message: echo})
	addr := start(t, s)
	for _, path := range []string{"/open", "/message", "/close"} {
		go func() {
			want := fmt.Sprintf("route=%s duration=", path)
			for !strings.Contains(out.String(), want) {
				time.Sleep(time.Millisecond)
			}
			stuck <- true
		}()
		c := dial(t, addr, path)
		if path != "/close" {
			say(t, c, "hi")
			read(t, c)
		}
		c.Close()
	}
	dialed := dial(t, addr, "/echo")
	say(t, dialed, "hi")
	read(t, dialed)
	if got := strings.Count(out.String(), "over=false"); got != 3 {
		t.Errorf("%d callbacks were told of while they were stuck, want 3:\n%s", got, out)
	}
	for path, want := range map[string]int64{"/open": 1, "/message": 1, "/close": 1, "/echo": 0} {
		eventually(t, path+" is counted", func() bool { return routeStats(t, s, path).Stalls == want })
	}
}
