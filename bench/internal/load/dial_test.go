//go:build linux

package load

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"unsafe"

	"github.com/gorilla/websocket"
)

// TestPlace: what a connection costs beside its stream.
func TestPlace(t *testing.T) {
	if got := unsafe.Sizeof(place(0)); got != 4 {
		t.Errorf("got %d bytes, want 4", got)
	}
}

// obstinate is a player that dials again whatever happens.
type obstinate struct {
	idle
	client *Client
}

func (o *obstinate) Closed(i int, _ Fault) { o.client.Dial(i) }

// TestDialAgain: a player whose connections are refused at once, and that dials again each
// time, does not hold up the loop.
func TestDialAgain(t *testing.T) {
	c, err := New(Config{
		Conns:   2,
		Targets: []Target{{Addr: netip.MustParseAddrPort("127.0.0.1:1"), Host: "h", Path: "/"}},
		Sources: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, // nobody's, RFC 5737: it cannot be bound
	}, func(c *Client) Player { return &obstinate{client: c} })
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Do(func() { c.Dial(0); c.Dial(1) }); err != nil {
		t.Fatal(err)
	}
	var tally Tally
	for tally.Dialed < 10 {
		if err := c.Do(func() { part := c.Take(); tally.Append(&part) }); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// deafened is a player that does not read, and tells when it has begun not to.
type deafened struct {
	idle
	client *Client
	paused chan int
	ended  chan Fault
}

func (d *deafened) Opened(i int) {
	d.client.Pause(i)
	d.paused <- i
}

func (d *deafened) Closed(_ int, f Fault) { d.ended <- f }

// TestPausedIsHeard: what the server said before it reset a connection that is not read
// from is found all the same.
func TestPausedIsHeard(t *testing.T) {
	d := &deafened{paused: make(chan int), ended: make(chan Fault, 1)}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := new(websocket.Upgrader).Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		<-d.paused
		_ = conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(4001, "too slow"))
		_ = conn.UnderlyingConn().(*net.TCPConn).SetLinger(0)
		conn.Close()
	}))
	defer srv.Close()
	at := netip.MustParseAddrPort(srv.Listener.Addr().String())
	c, err := New(Config{Conns: 1, Targets: []Target{{Addr: at, Host: at.String(), Path: "/"}}},
		func(c *Client) Player { d.client = c; return d })
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Do(func() { c.Dial(0) }); err != nil {
		t.Fatal(err)
	}
	if got, want := <-d.ended, (Fault{Kind: Closed, Code: 4001}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if err := c.Do(func() {
		if told := c.Tally().Told; len(told) != 1 {
			t.Errorf("was told %v", told)
		}
	}); err != nil {
		t.Error(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}
