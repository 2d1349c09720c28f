//go:build linux

package guard

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/usher-ws/usher/server"
)

// waiting has n clients come that wait, and returns what each of them is told in the end.
func waiting(t *testing.T, p *Pool, url string, n int) <-chan int {
	t.Helper()
	told, before := make(chan int, n), p.Stats().Waiting
	for range n {
		go func() {
			_, status, _, _ := knock(t, url)
			told <- status
		}()
	}
	eventually(t, "they wait", func() bool { return p.Stats().Waiting == before+n })
	return told
}

// TestHoldRestart: clients of an application that is restarted wait, and are let on when it is
// there: one, and as many more as it has answered. Those that leave the line are not waited for.
func TestHoldRestart(t *testing.T) {
	const clients = 50
	var mu sync.Mutex
	asked, most, answered := 0, 0, 0
	app := reserve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked++
		if asked > answered+1 {
			t.Errorf("%d are asked for at a time, and %d were answered", asked, answered)
		}
		most = max(most, asked)
		mu.Unlock()
		time.Sleep(time.Millisecond) // others might come
		mu.Lock()
		asked--
		answered++
		mu.Unlock()
		echoes(w, r)
	}))
	p := open(t, Upstreams{URLs: []string{app.url()}, HoldRestart: time.Hour})
	srv := &server.Server{Loops: 2}
	url := front(t, &Guard{Upstream: p}, srv)
	told := waiting(t, p, url, clients)
	if n := srv.Stats().Buffered; n < clients*1024 {
		t.Errorf("%d that wait count as %d bytes", clients, n)
	}
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "ws://"))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	eventually(t, "one more waits", func() bool { return p.Stats().Waiting == clients+1 })
	c.Close()
	eventually(t, "it has left the line", func() bool { return p.Stats().Waiting == clients })
	if status, code := probes(t, url); status != 502 || code != CodeUnreachable {
		t.Errorf("a probe is told %d %s", status, code)
	}
	app.begin()
	for range clients {
		if status := <-told; status != 101 {
			t.Errorf("got %d", status)
		}
	}
	if most < 2 {
		t.Errorf("never more than %d at a time", most)
	}
	if s := p.Stats(); s.Waiting != 0 || p.line.out != 0 {
		t.Errorf("%+v, and %d are on their way", s, p.line.out)
	}
	if _, status, _, _ := knock(t, url); status != 101 {
		t.Errorf("then: got %d", status)
	}
}

// TestHoldEnds: those that wait in vain are refused in the end, and by a drain before.
func TestHoldEnds(t *testing.T) {
	app := reserve(t, echoes)
	p := open(t, Upstreams{URLs: []string{app.url()}, HoldRestart: 100 * time.Millisecond})
	began := time.Now()
	_, status, code, header := knock(t, front(t, &Guard{Upstream: p}, new(server.Server)))
	if status != 502 || code != CodeUnreachable || header.Get("Retry-After") == "" || time.Since(began) < 100*time.Millisecond {
		t.Errorf("got %d %s, %v, after %v", status, code, header, time.Since(began))
	}
	p = open(t, Upstreams{URLs: []string{app.url()}, HoldRestart: time.Hour})
	srv := new(server.Server)
	told := waiting(t, p, front(t, &Guard{Upstream: p}, srv), 10)
	over := make(chan error)
	go func() { over <- srv.Shutdown(context.Background()) }()
	for range 10 {
		if status := <-told; status != 503 {
			t.Errorf("in a drain: got %d", status)
		}
	}
	if err := <-over; err != nil || p.Stats().Waiting != 0 {
		t.Errorf("%v; %d wait", err, p.Stats().Waiting)
	}
}

// TestHoldInFull: of more than there is memory for the server makes victims, and goes on.
func TestHoldInFull(t *testing.T) {
	const clients = 20
	app := reserve(t, echoes)
	p := open(t, Upstreams{URLs: []string{app.url()}, HoldRestart: time.Hour})
	url := front(t, &Guard{Upstream: p}, &server.Server{MaxBuffered: 16 << 10})
	told := make(chan int, clients)
	for range clients {
		go func() {
			_, resp, err := websocket.DefaultDialer.Dial(url, http.Header{"X-Much": {long(3000)}})
			switch {
			case err == nil:
				told <- 101
			case resp == nil:
				told <- 0 // cut
			default:
				told <- resp.StatusCode
			}
		}()
	}
	for n := 0; n < clients-5; n++ { // 3 KiB and 2 KiB each
		if status := <-told; status == 101 {
			t.Error("one is let in")
		}
	}
	eventually(t, "the others wait", func() bool { n := p.Stats().Waiting; return n > 0 && n <= 5 })
	app.begin()
	in := 0
	for range 5 {
		if <-told == 101 {
			in++
		}
	}
	if in == 0 {
		t.Error("none is let in")
	}
}

// TestLine: who is let on, and when.
func TestLine(t *testing.T) {
	var l line
	all := make([]*asking, 200)
	for k := range all {
		all[k] = new(asking)
		l.join(all[k], false)
	}
	next := func(want *asking) {
		t.Helper()
		if got := l.let(); got != want {
			t.Fatalf("another one was let on, or none: %p, want %p", got, want)
		}
	}
	next(all[0])
	next(nil)
	l.back(all[0], true)
	l.back(all[0], true) // counts once
	next(all[1])
	next(all[2])
	next(nil)
	l.back(all[1], false) // gone
	next(all[3])
	next(nil)
	l.leave(all[4])
	l.leave(all[4])
	l.back(all[2], true)
	next(all[5])
	next(all[6])
	next(nil)
	l.back(all[5], false)
	l.join(all[5], true) // nobody was there after all
	next(all[5])
	for k := 7; k < len(all); k++ {
		l.back(all[k-1], true)
		for l.out < l.most {
			if k < len(all) && l.waiting.Len() > 0 {
				l.let()
				continue
			}
			break
		}
	}
	if l.most > mostOut || l.out > mostOut || l.waiting.Len() != 0 {
		t.Errorf("%d are on their way of %d, and %d wait", l.out, l.most, l.waiting.Len())
	}
}
