//go:build linux

package main_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// soakEnv is how long TestSoak takes, as in 30m; see make soak.
const soakEnv = "USHER_SOAK"

// TestSoak serves people of every kind for a long time: some say hello now and then, come and
// go, stall, reset, are refused, or do not read. Memory, files and goroutines stay where they
// were after the warm-up, and are as before when all have left.
func TestSoak(t *testing.T) {
	long, err := time.ParseDuration(os.Getenv(soakEnv))
	if err != nil {
		t.Skip("make soak takes its time")
	}
	path, err := buildPlain()
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, command(path, "serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--echo", "/echo", "--echo-auth", "/auth",
		"--handshake-timeout", "3s", "--message-timeout", "3s", "--write-timeout", "3s", "--max-buffered", "32MiB"))
	s := &soak{T: t, p: p, admin: strings.TrimSpace(strings.TrimPrefix(<-p.stdout.await("admin on "), "admin on "))}
	if conn, err := sit(p.addr); err == nil { // what is opened at first use is open now
		conn.Close()
	}
	eventually(t, "nobody is there", func() bool { return s.look().sockets == 0 })
	before := s.look()
	seen := s.people(long)
	third := len(seen) / 3
	warm, late := worst(seen[third:2*third]), worst(seen[2*third:])
	if late.rss > warm.rss*11/10+4<<20 {
		t.Errorf("memory grows: %v in the second third, %v in the last", warm, late)
	}
	if late.files > warm.files*5/4+20 || late.goroutines > warm.goroutines*5/4+20 {
		t.Errorf("files or goroutines grow: %v in the second third, %v in the last", warm, late)
	}
	eventually(t, "all are gone", func() bool { return s.look().sockets == 0 })
	eventually(t, "files and goroutines are what they were", func() bool {
		now := s.look()
		return now.files <= before.files && now.goroutines <= before.goroutines
	})
	after := s.look()
	t.Logf("before %v\nafter  %v", before, after)
	if after.rss > warm.rss+4<<20 {
		t.Errorf("memory stays: %v with everybody, %v without", warm, after)
	}
}

// soak is a program and its people.
type soak struct {
	*testing.T
	p     *program
	admin string // base URL

	mu   sync.Mutex
	done map[string]int
}

// footprint is what the program needs at a moment.
type footprint struct{ rss, files, goroutines, sockets int }

func (f footprint) String() string {
	return fmt.Sprintf("%.1f MiB resident, %d files, %d goroutines, %d sockets", float64(f.rss)/(1<<20), f.files, f.goroutines, f.sockets)
}

// look asks for the footprint. The connection it asks by is not in it.
func (s *soak) look() (f footprint) {
	s.Helper()
	http.DefaultClient.CloseIdleConnections()
	series := scrape(s.T, s.admin)
	http.DefaultClient.CloseIdleConnections()
	f = footprint{rss: s.p.memory(s, "VmRSS"), goroutines: series["go_goroutines"], sockets: series["usher_sockets"]}
	f.files = s.p.fds(s)
	return f
}

func worst(all []footprint) (w footprint) {
	for _, f := range all {
		w.rss, w.files = max(w.rss, f.rss), max(w.files, f.files)
		w.goroutines, w.sockets = max(w.goroutines, f.goroutines), max(w.sockets, f.sockets)
	}
	return w
}

// people come for so long. It returns what was seen meanwhile, and tells of it about
// once a minute.
func (s *soak) people(long time.Duration) (seen []footprint) {
	s.done = make(map[string]int)
	ctx, cancel := context.WithTimeout(context.Background(), long)
	defer cancel()
	var all sync.WaitGroup
	for _, kind := range []struct {
		name string
		n    int // how many there are at a time
		do   func(ctx context.Context, rng *rand.Rand) error
	}{
		{"resident", 100, s.resident}, {"visitor", 8, s.visitor}, {"named", 40, s.named}, {"stall", 60, s.stall},
		{"reset", 4, s.reset}, {"refused", 4, s.refused}, {"slow reader", 10, s.slowReader},
	} {
		for k := range kind.n {
			rng := rand.New(rand.NewPCG(7, uint64(k)))
			all.Go(func() {
				for rest(ctx, rng, 400*time.Millisecond) {
					came := time.Now()
					if err := kind.do(ctx, rng); err != nil && ctx.Err() == nil {
						s.Errorf("%s of %v, there for %v: %v", kind.name, came.UTC().Format(time.StampMilli), time.Since(came), err)
					}
					s.mu.Lock()
					s.done[kind.name]++
					s.mu.Unlock()
				}
			})
		}
	}
	begin, every := time.Now(), max(min(long/30, time.Minute/6), time.Second)
	told := begin
	tick := time.NewTicker(every)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-tick.C:
			now := s.look()
			seen = append(seen, now)
			if time.Since(told) >= min(time.Minute, long/6) {
				told = time.Now()
				s.mu.Lock()
				s.Logf("%v: %v; so far %v", time.Since(begin).Round(time.Second), now, s.done)
				s.mu.Unlock()
			}
		case <-ctx.Done():
		}
	}
	all.Wait()
	return slices.Clip(seen)
}

// rest waits up to most, and reports whether to go on.
func rest(ctx context.Context, rng *rand.Rand, most time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(time.Duration(rng.Int64N(int64(most)))):
		return true
	}
}

// resident stays for a while and says hello now and then.
func (s *soak) resident(ctx context.Context, rng *rand.Rand) error {
	conn, err := sit(s.p.addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	for range 200 {
		if !rest(ctx, rng, 400*time.Millisecond) {
			return nil
		}
		if err := sayHello(conn); err != nil {
			return err
		}
	}
	return nil
}

// visitor says hello and goodbye.
func (s *soak) visitor(_ context.Context, _ *rand.Rand) error {
	conn, err := sit(s.p.addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, masked(opClose, "\x03\xe8")); err != nil {
		return err
	}
	got, err := io.ReadAll(conn)
	if string(got) != "\x88\x02\x03\xe8" {
		return fmt.Errorf("goodbye: got %q, %v", got, err)
	}
	return nil
}

// named comes to a room as somebody that was never there, says something that the room hears,
// and goes.
func (s *soak) named(ctx context.Context, rng *rand.Rand) error {
	conn, err := net.Dial("tcp", s.p.addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	conn.SetDeadline(time.Now().Add(patience))
	name := fmt.Sprintf("user-%x", rng.Uint64())
	io.WriteString(conn, head(upgradeTo(fmt.Sprintf("/ws/room-%d?token=%s", rng.IntN(8), token(name)))...)+masked(opText, "Hello!"))
	in := bufio.NewReader(conn)
	for {
		text, err := in.ReadString('!') // of what it hears at last
		switch {
		case err != nil:
			return fmt.Errorf("%s got %q: %w", name, text, err)
		case strings.HasSuffix(text, name+": Hello!"):
			return nil
		}
	}
}

// leaves are what a client may have said when it loses its interest.
func (s *soak) leaves(rng *rand.Rand) string {
	all := head(upgradeTo("/echo")...) + masked(opText, "Hello") + masked(opBinary, strings.Repeat("x", 30_000))
	if rng.IntN(4) == 0 {
		all = "POST /token HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nusername=alice"
	}
	return all[:rng.IntN(len(all))]
}

// stall begins something and waits for the server, or for patience, to end it.
func (s *soak) stall(ctx context.Context, rng *rand.Rand) error {
	conn, err := net.Dial("tcp", s.p.addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	io.WriteString(conn, s.leaves(rng))
	if rng.IntN(3) == 0 {
		conn.(*net.TCPConn).CloseWrite()
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	io.Copy(io.Discard, conn) // it may be told why, or be welcome
	return nil
}

// reset vanishes in the middle of something.
func (s *soak) reset(_ context.Context, rng *rand.Rand) error {
	conn, err := net.Dial("tcp", s.p.addr)
	if err != nil {
		return err
	}
	io.WriteString(conn, s.leaves(rng))
	conn.(*net.TCPConn).SetLinger(0)
	return conn.Close()
}

// refused has a bad token, and reads what it is told.
func (s *soak) refused(_ context.Context, _ *rand.Rand) error {
	conn, err := net.Dial("tcp", s.p.addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	io.WriteString(conn, head(upgradeTo("/auth?token=letmein")...)+strings.Repeat("x", 20_000))
	got, err := io.ReadAll(conn)
	if !strings.HasPrefix(string(got), "HTTP/1.1 401 ") || !strings.HasSuffix(string(got), "}") {
		return fmt.Errorf("got %q, %v", got, err)
	}
	return nil
}

// slowReader asks for more than it reads, and reads all of it in the end or goes.
func (s *soak) slowReader(ctx context.Context, rng *rand.Rand) error {
	conn, err := sit(s.p.addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(6 * time.Second))
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	message := masked(opBinary, strings.Repeat("x", 60_000))
	asked := 0
	for range 100 {
		conn.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
		n, err := io.WriteString(conn, message)
		asked += n
		if err != nil {
			break
		}
	}
	rest(ctx, rng, 2*time.Second)
	if rng.IntN(2) == 0 {
		return nil
	}
	conn.SetReadDeadline(time.Now().Add(2 * time.Second))
	if n, err := io.CopyN(io.Discard, conn, int64(asked/len(message))*60_004); err != nil && ctx.Err() == nil {
		return fmt.Errorf("of the echoes of %d bytes %d came: %w", asked, n, err)
	}
	return nil
}
