//go:build linux

package guard

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/usher-ws/usher/server"
)

// change goes over to other URLs.
func change(t *testing.T, p *Pool, urls ...string) {
	t.Helper()
	take, err := p.Change(urls)
	if err != nil {
		t.Fatal(err)
	}
	take()
}

// named returns the names of the upstreams that are known, with what is left in brackets.
func named(p *Pool) (all []string) {
	for _, u := range p.Stats().Upstreams {
		if u.IsLeft {
			u.Name = "(" + u.Name + ")"
		}
		all = append(all, u.Name)
	}
	return all
}

// TestChange: newcomers come to the upstreams that there are now. Who is connected to one that is
// left stays so, and that is forgotten then, unless it comes back.
func TestChange(t *testing.T) {
	a, b := reserve(t, echoes), reserve(t, echoes)
	a.begin()
	b.begin()
	p := open(t, Upstreams{URLs: []string{a.url()}})
	url := front(t, &Guard{Upstream: p}, new(server.Server))
	echo := func(c *websocket.Conn) {
		t.Helper()
		if err := c.WriteMessage(websocket.TextMessage, []byte("hi")); err != nil {
			t.Fatal(err)
		}
		if _, got, err := c.ReadMessage(); string(got) != "hi" {
			t.Errorf("got %q, %v", got, err)
		}
	}
	knows := func(want ...string) {
		t.Helper()
		if got := named(p); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	first, _, _, _ := knock(t, url)
	if _, err := p.Change([]string{b.url(), b.url()}); err == nil {
		t.Error("the same one twice: no error")
	}
	knows(a.url())

	change(t, p, b.url())
	knows("("+a.url()+")", b.url())
	second, _, _, _ := knock(t, url)
	echo(first)
	echo(second)
	if s := p.Stats().Upstreams; s[0].Conns != 1 || s[0].Addresses != 0 || s[1].Conns != 1 {
		t.Errorf("got %+v", s)
	}
	change(t, p, a.url(), b.url())
	knows(a.url(), b.url())
	change(t, p, b.url())
	first.Close()
	eventually(t, "what is left is forgotten", func() bool { return len(named(p)) == 1 })
	knows(b.url())
	change(t, p, a.url())
	third, _, _, _ := knock(t, url)
	echo(third)
	knows(a.url(), "("+b.url()+")")
	for range 2 { // plain requests, too
		resp, err := http.Get("http" + strings.TrimPrefix(url, "ws"))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if s := p.Stats().Upstreams; s[0].Answered < 3 || s[1].Answered != 1 {
			t.Errorf("got %+v", s)
		}
	}
	second.Close()
	third.Close()
}

// TestChangeKeepsHealth: one that stays rests on, and those that wait for it are let on when there is
// another.
func TestChangeKeepsHealth(t *testing.T) {
	down, other := reserve(t, echoes), reserve(t, echoes)
	other.begin()
	p := open(t, Upstreams{URLs: []string{down.url()}, HoldRestart: time.Hour})
	url := front(t, &Guard{Upstream: p}, new(server.Server))
	let := make(chan int)
	go func() {
		_, resp, err := websocket.DefaultDialer.Dial(url, nil)
		if err != nil {
			t.Error(err)
			close(let)
			return
		}
		let <- resp.StatusCode
	}()
	eventually(t, "it waits", func() bool { return p.Stats().Waiting == 1 })
	fails := func() int {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.roster.targets[0].fails
	}
	before := fails()
	change(t, p, down.url(), other.url())
	if got := <-let; got != http.StatusSwitchingProtocols {
		t.Errorf("got %d", got)
	}
	if after := fails(); before == 0 || after < before {
		t.Errorf("it had failed %d times, and then %d", before, after)
	}
}
