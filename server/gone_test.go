//go:build linux

package server

import (
	"net/netip"
	"testing"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/internal/websocket"
	"github.com/usher-ws/usher/upgrade"
)

// on runs f as a callback of c, and returns when it is done.
func on(t testing.TB, c Conn, f func(c Conn)) {
	t.Helper()
	done := make(chan bool)
	if err := c.Run(func(c Conn) { defer close(done); f(c) }); err != nil {
		t.Fatalf("Run: %v", err)
	}
	<-done
}

// named is a guard that recognises whom the path names.
var named = upgrade.Guard{OnRequest: func(r *upgrade.Request) error {
	r.Identity = &upgrade.Identity{Subject: r.PathValue("user")}
	return nil
}}

// TestGone: what was asked of a connection in its Close and in Group.Left is what it was; once
// they have returned nothing is known of it, also while its last bytes are still leaving
// and its slot is not free, and nothing can be kept with it.
func TestGone(t *testing.T) {
	var kept Attachment[string]
	told := make(chan string, 10)
	opened := make(chan Conn, 1)
	knows := func(c Conn) string {
		a, _ := kept.Get(c)
		d, _ := c.Data().(string)
		return c.Route() + " " + c.PathValue("user") + " " + c.Identity().Subject + " " + c.Subprotocol() + " " + d + " " + a
	}
	s := &Server{Loops: 1}
	g := &Group{Left: func(c Conn) { told <- knows(c) }}
	s.Route("/{user}", Route{
		Guards:       []upgrade.Guard{named},
		Subprotocols: []string{"p"},
		Open: func(c Conn) error {
			c.SetData("data")
			kept.Set(c, "kept")
			opened <- c
			return g.Join(c)
		},
		Close: func(c Conn, _ error) {
			c.SetData("late")
			kept.Set(c, "late")
			told <- knows(c)
		},
	})
	addr := start(t, s)
	dialer := websocket.Dialer{Subprotocols: []string{"p"}}
	join := func(user string) (*websocket.Conn, Conn) {
		c, _, err := dialer.Dial("ws://"+addr+"/"+user, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c, <-opened
	}
	_, other := join("other")
	client, gone := join("gone") // which does not end its side: the socket lingers
	gone.Close(frame.StatusNormalClosure, "")
	for _, where := range []string{"Close", "Left"} {
		if got, want := <-told, "/{user} gone gone p data kept"; got != want {
			t.Errorf("in %s: got %q, want %q", where, got, want)
		}
	}
	check := func(when string) {
		t.Helper()
		on(t, other, func(Conn) {
			gone.SetData("late")
			kept.Set(gone, "late")
			kept.Delete(gone)
			_, has := kept.Get(gone)
			if r := gone.Route(); r != "" || gone.PathValue("user") != "" || gone.Identity() != nil || gone.Subprotocol() != "" ||
				gone.Data() != nil || has || gone.RemoteAddr() != (netip.AddrPort{}) || gone.Buffered() != 0 {
				t.Errorf("%s: it is still known: %q %v %v %v", when, r, gone.Identity(), gone.Data(), has)
			}
			if err := gone.Renew(&upgrade.Identity{Subject: "gone"}); err == nil || err == ErrRenew {
				t.Errorf("%s: Renew: %v", when, err)
			}
		})
	}
	check("while it lingers")
	client.Close()
	eventually(t, "its slot is free", func() bool { return s.total() == 1 })
	check("when its slot is free")
	passing, next := join("next")
	for n := 0; next.slot != gone.slot; n++ { // a slot rests before it is another's
		if n == 5000 {
			t.Fatalf("slot %d was not used again", gone.slot)
		}
		passing.Close()
		<-told // by Close, and by Left
		<-told
		passing, next = join("next")
	}
	check("when another has its slot")
	on(t, next, func(c Conn) {
		if got, want := knows(c), "/{user} next next p data kept"; got != want {
			t.Errorf("the next one: got %q, want %q", got, want)
		}
	})
}
