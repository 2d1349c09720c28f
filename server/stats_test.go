//go:build linux

package server

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/internal/websocket"
	"github.com/usher-ws/usher/upgrade"
)

// countingConn counts what a client of another's making sends and gets.
type countingConn struct {
	net.Conn
	in, out atomic.Int64
}

func (c *countingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.in.Add(int64(n))
	return n, err
}

func (c *countingConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.out.Add(int64(n))
	return n, err
}

// TestStats: the counters agree to the byte with what the clients counted, at every
// moment at which a client can know.
func TestStats(t *testing.T) {
	s := &Server{Loops: 2, Handler: http.NotFoundHandler()}
	room := NewGroup()
	s.Route("/echo", Route{Message: echo})
	s.Route("/room", Route{
		Open:    func(c Conn) error { return room.Join(c) },
		Message: func(c Conn, m Message) error { return room.Send(m.Opcode, m.Data) },
	})
	s.Route("/never", Route{Guards: []upgrade.Guard{{OnRequest: func(*upgrade.Request) error {
		return upgrade.Reject(403, "not_today", "")
	}}}})
	addr := start(t, s)

	const conns, messages = 7, 50
	var all []*websocket.Conn
	var in, out int64
	for range conns {
		c, counted := dialCounted(t, addr, "/echo")
		headIn, headOut := counted.in.Load(), counted.out.Load()
		for k := range messages {
			say(t, c, strings.Repeat("x", k*k))
			read(t, c)
		}
		in, out = in+counted.in.Load()-headIn, out+counted.out.Load()-headOut
		all = append(all, c)
	}
	echoed := routeStats(t, s, "/echo")
	if want := (RouteStats{
		Route: "/echo", Conns: conns, Opened: conns, MessagesIn: conns * messages, MessagesOut: conns * messages,
		BytesIn: out, BytesOut: in,
	}); fmt.Sprint(echoed) != fmt.Sprint(want) {
		t.Errorf("got %+v, want %+v", echoed, want)
	}

	var members []*websocket.Conn
	for k := range 3 {
		members = append(members, dial(t, addr, "/room"))
		say(t, members[k], "hi")
		for _, m := range members {
			read(t, m)
		}
	}
	if got := routeStats(t, s, "/room"); got.MessagesIn != 3 || got.MessagesOut != 1+2+3 || got.BytesOut != 4*6 {
		t.Errorf("a group: got %+v", got)
	}

	all[0].WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(4711, ""), time.Now().Add(time.Second))
	closeOf(t, all[0])
	all[1].WriteMessage(websocket.PingMessage, nil)
	all[1].WriteMessage(websocket.TextMessage, []byte{0xff})
	closeOf(t, all[1])
	all[2].UnderlyingConn().(*countingConn).Conn.(*net.TCPConn).SetLinger(0)
	all[2].Close()
	eventually(t, "three ends", func() bool { return routeStats(t, s, "/echo").Conns == conns-3 })
	if got, want := routeStats(t, s, "/echo").Closes, map[string]int64{"4xxx": 1, "1007": 1, "1006": 1}; !maps.Equal(got, want) {
		t.Errorf("closes: got %v, want %v", got, want)
	}

	for range 2 {
		if _, resp, _ := websocket.DefaultDialer.Dial("ws://"+addr+"/never", nil); resp.StatusCode != 403 {
			t.Errorf("got %v", resp)
		}
	}
	probe, _ := http.NewRequest("GET", "http://"+addr+"/echo", nil)
	probe.Header.Set("Accept", "application/problem+json")
	if resp, err := http.DefaultClient.Do(probe); err != nil || resp.Body.Close() != nil || resp.StatusCode != 200 {
		t.Errorf("got %v %v", resp, err)
	}
	if resp, err := http.Get("http://" + addr + "/elsewhere"); err != nil || resp.Body.Close() != nil {
		t.Error(err)
	}
	st := s.Stats()
	if got := routeStats(t, s, "/never").Refusals; !maps.Equal(got, map[string]int64{"not_today": 2}) || st.Refused != 2 {
		t.Errorf("refusals: got %v, %d in all", got, st.Refused)
	}
	if got := routeStats(t, s, ""); got.Passed != 1 {
		t.Errorf("no route: got %+v", got)
	}
	if st.Total.Conns != conns-3+3 || st.Total.MessagesIn != conns*messages+3 || len(st.Loops) != 2 || st.Uptime <= 0 {
		t.Errorf("in all: got %+v", st)
	}
	b, err := json.Marshal(st)
	if err != nil || !strings.Contains(string(b), `"messages_in":353`) {
		t.Errorf("got %s, %v", b, err)
	}
}

// TestStatsOfAStuckLoop: Stats does not wait for a handler that blocks, and says
// which loop does not answer; after the end there are the last figures.
func TestStatsOfAStuckLoop(t *testing.T) {
	s := &Server{Loops: 1}
	blocked, release := make(chan bool), make(chan bool)
	s.Route("/echo", Route{Message: func(c Conn, m Message) error {
		blocked <- true
		<-release
		return echo(c, m)
	}})
	c := dial(t, start(t, s), "/echo")
	say(t, c, "wait")
	<-blocked
	if st := s.Stats(); !st.Loops[0].Stuck || st.Loops[0].Delay < surveyTime {
		t.Errorf("got %+v", st.Loops[0])
	}
	close(release)
	read(t, c)
	if st := s.Stats(); st.Loops[0].Stuck || st.Total.MessagesOut != 1 {
		t.Errorf("got %+v", st)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st := s.Stats(); st.Total.MessagesOut != 1 || st.Total.Conns != 0 || st.Sockets != 0 {
		t.Errorf("after the end: got %+v", st)
	}
}

// A guard that makes up words, and a handler that makes up codes, have a bound.
func TestWordsAreBounded(t *testing.T) {
	var r RouteStats
	for k := range 1000 {
		addTo(&r.Refusals, fmt.Sprint(k), 1)
		r.countClose(&CloseError{Code: frame.StatusCode(3000 + k)})
		r.countClose(&CloseError{Code: frame.StatusCode(4000 + k), byPeer: true})
	}
	if got := r.Refusals; len(got) != mostWords+1 || got["other"] != 1000-mostWords {
		t.Errorf("%d words, %d others", len(got), got["other"])
	}
	if got := r.Closes; len(got) != mostWords+1 {
		t.Errorf("%d codes", len(got))
	}
}

// The words of several loops are all told apart: an order in which some are others
// would let a counter go back.
func TestWordsOfSeveralLoops(t *testing.T) {
	var all RouteStats
	for loop := range 3 {
		var r RouteStats
		for k := range mostWords {
			addTo(&r.Refusals, fmt.Sprint(loop, k), 1)
			addTo(&r.Closes, fmt.Sprint(loop, k), 1)
		}
		all.add(&r)
	}
	if len(all.Refusals) != 3*mostWords || len(all.Closes) != 3*mostWords {
		t.Errorf("%d refusals and %d closes, want %d", len(all.Refusals), len(all.Closes), 3*mostWords)
	}
}

func routeStats(t *testing.T, s *Server, pattern string) RouteStats {
	t.Helper()
	for _, r := range s.Stats().Routes {
		if r.Route == pattern {
			return r
		}
	}
	t.Fatalf("no figures for %q", pattern)
	return RouteStats{}
}

// dialCounted is dial with a connection that counts.
func dialCounted(t *testing.T, addr, path string) (*websocket.Conn, *countingConn) {
	t.Helper()
	counted := new(countingConn)
	d := websocket.Dialer{NetDial: func(network, addr string) (_ net.Conn, err error) {
		counted.Conn, err = net.Dial(network, addr)
		return counted, err
	}}
	c, resp, err := d.Dial("ws://"+addr+path, nil)
	if err != nil {
		t.Fatalf("dial %s: %v (%v)", path, err, resp)
	}
	t.Cleanup(func() { c.Close() })
	c.SetReadDeadline(time.Now().Add(time.Hour))
	return c, counted
}
