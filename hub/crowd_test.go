//go:build linux

package hub

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/usher-ws/usher/internal/websocket"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/server"
)

const (
	crowd    = 10_000
	crowdEnv = "USHER_TEST_HUB_CROWD" // says to this binary that it is the crowd, and where to go

	// What the crowd is told: of each of so many publishers, and directly.
	crowdTalkers = 4
	crowdTalk    = 10
	crowdDirects = 3

	crowdPatience = time.Hour
)

// TestCrowd: a topic of 10,000, in which several publish, others come and go all the
// time, some are told things directly, and one takes nothing. Every member gets
// every message once, in each publisher's order. The crowd is another process, as
// one has no files for both ends.
func TestCrowd(t *testing.T) {
	if testing.Short() {
		t.Skip("10,000 members are not short")
	}
	h := &Hub{GatherAbove: 1, Moved: func(*Topic, Move) {}, History: 10}
	s := &server.Server{Addr: "127.0.0.1:0", Loops: 2, MaxBacklog: 256 << 10, Logger: slog.New(slog.DiscardHandler)}
	joined := make(chan *Member, 64)
	ended := make(chan error, 1)
	s.Route("/{user}", server.Route{
		Open: func(c server.Conn) error {
			m, err := h.Join("lobby", c.PathValue("user"), c)
			if err == nil {
				c.SetData(m)
				joined <- m
			}
			return err
		},
		Close: func(c server.Conn, err error) {
			if m := c.Data().(*Member); m.Leave() && m.User() == "stuck" {
				ended <- err
			}
		},
	})
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = s.Shutdown(ctx)
	}()
	addr := s.Addrs()[0].String()
	result := startCrowd(t, addr)
	lobby := (<-joined).Topic()
	for range crowd - 1 {
		<-joined
	}
	ws, _, err := websocket.DefaultDialer.Dial("ws://"+addr+"/stuck", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	<-joined
	guests := []server.Conn{visit(t, addr, joined), visit(t, addr, joined)}

	stirCrowd(t, lobby, guests)
	select {
	case err := <-ended: // it had 12 MB to take
		if e, ok := err.(*server.CloseError); !ok || e.Code != frame.StatusTryAgainLater {
			t.Errorf("the stuck member: got %v, want close 1013", err)
		}
	case <-time.After(patience):
		t.Error("the stuck member is still there")
	}
	if err := lobby.Publish(frame.OpText, []byte(end)); err != nil {
		t.Error(err)
	}
	if got := <-result; got != "all is well" {
		t.Error(got)
	}
	for deadline := time.Now().Add(crowdPatience); lobby.voices[0].group.Len() > len(guests); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d members are left", lobby.voices[0].group.Len())
		}
	}
}

// visit returns a connection of the process's own that is not in the topic.
func visit(t *testing.T, addr string, joined <-chan *Member) server.Conn {
	t.Helper()
	ws, _, err := websocket.DefaultDialer.Dial("ws://"+addr+"/guest", nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			if _, _, err := ws.ReadMessage(); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { ws.Close() })
	m := <-joined
	m.Leave()
	return m.conn
}

// stirCrowd has all happen at once that can happen in a topic.
func stirCrowd(t *testing.T, lobby *Topic, guests []server.Conn) {
	var all sync.WaitGroup
	for p := range crowdTalkers {
		all.Go(func() {
			publish := lobby.Publish
			if p%2 == 1 {
				publish = lobby.Record
			}
			for n := range crowdTalk {
				if err := publish(frame.OpText, fmt.Appendf(nil, "%d %d", p, n)); err != nil {
					t.Errorf("publish: %v", err)
				}
			}
		})
	}
	for first := range 2 {
		all.Go(func() {
			for n := range crowdDirects {
				for i := first; i < crowd; i += 10 {
					if got, err := lobby.Direct(strconv.Itoa(i), frame.OpText, fmt.Appendf(nil, "%d %d", crowdTalkers, n)); got != 1 || err != nil {
						t.Errorf("Direct to %d: got %d, error %v, want 1", i, got, err)
					}
				}
			}
		})
	}
	for _, c := range guests {
		all.Go(func() {
			for range 200 {
				m, err := lobby.hub.Join("lobby", "guest", c)
				if err != nil {
					t.Errorf("Join: %v", err)
					return
				}
				m.Leave()
			}
		})
	}
	all.Go(func() {
		heavy := []byte(strings.Repeat("x", 60<<10))
		for range 200 {
			_, _ = lobby.Direct("stuck", frame.OpText, heavy) // ErrBacklog is what one expects
		}
	})
	all.Wait()
}

// startCrowd runs this test binary again, as the crowd, and returns what it says in
// the end.
func startCrowd(t *testing.T, addr string) <-chan string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), crowdPatience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), crowdEnv+"="+addr)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(out).ReadString('\n')
		_ = cmd.Wait()
		said <- strings.TrimSpace(line)
	}()
	return said
}

// crowdMain is the crowd's own process: it seats all, hears what they are told until
// the end, and says whether each heard all of it in order.
func crowdMain(addr string) {
	seats := make([]*websocket.Conn, crowd)
	forAll := func(f func(i int) error) {
		var all sync.WaitGroup
		for w := range 16 {
			all.Go(func() {
				for i := w; i < crowd; i += 16 {
					if err := f(i); err != nil {
						fmt.Printf("member %d: %v\n", i, err)
						os.Exit(1)
					}
				}
			})
		}
		all.Wait()
	}
	dialer := websocket.Dialer{ReadBufferSize: 256, WriteBufferSize: 256}
	forAll(func(i int) (err error) {
		seats[i], _, err = dialer.Dial("ws://"+addr+"/"+strconv.Itoa(i), nil)
		return err
	})
	forAll(func(i int) error { return hearAll(seats[i], i%10 < 2) })
	fmt.Println("all is well")
}

// hearAll reads until the end. told says that the member is told things directly.
func hearAll(ws *websocket.Conn, told bool) error {
	want, got := [crowdTalkers + 1]int{}, [crowdTalkers + 1]int{}
	for p := range crowdTalkers {
		want[p] = crowdTalk
	}
	if told {
		want[crowdTalkers] = crowdDirects
	}
	for {
		_ = ws.SetReadDeadline(time.Now().Add(crowdPatience))
		_, b, err := ws.ReadMessage()
		if err != nil {
			return fmt.Errorf("after %v: %w", got, err)
		}
		if string(b) == end {
			break
		}
		var p, n int
		if _, err := fmt.Sscan(string(b), &p, &n); err != nil || p >= len(got) || n != got[p] {
			return fmt.Errorf("%q after %v", b, got)
		}
		got[p]++
	}
	if got != want {
		return fmt.Errorf("heard %v, want %v", got, want)
	}
	return nil
}
