//go:build linux

package main_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// chattering is an application at an address, which echoes.
func chattering(t *testing.T, addr string) *httptest.Server {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	app := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := new(websocket.Upgrader).Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close()
		for {
			kind, b, err := c.ReadMessage()
			if err != nil || c.WriteMessage(kind, b) != nil {
				return
			}
		}
	}))
	app.Listener.Close()
	app.Listener = l
	app.Start()
	return app
}

// TestUpstreamsReload: SIGHUP has newcomers come to another application, while those that are with the
// old one stay there; and a list that cannot be read changes nothing.
func TestUpstreamsReload(t *testing.T) {
	t.Parallel()
	app, other := chattering(t, "127.0.0.1:0"), mirror(t)
	defer app.Close()
	config := writeFile(t, filepath.Join(t.TempDir(), "guard.yaml"), "upstream: "+app.URL)
	p := start(t, usher(t, "guard", "--listen", "127.0.0.1:0", "--config", config))
	stays := join(t, p.addr, upgradeTo("/", bearer(token("alice")))...)
	for _, c := range []struct {
		upstream, logs string
		status         int
	}{
		{app.URL + "," + app.URL, "is there twice", 101},
		{other, "changed=--upstream", 418},
	} {
		writeFile(t, config, "upstream: "+c.upstream)
		p.signal(t, syscall.SIGHUP)
		<-p.stderr.await(c.logs)
		if got := ask(t, p.addr, head(upgradeTo("/", bearer(token("bob")))...)); got.status != c.status {
			t.Errorf("%s: got %v, want %d", c.upstream, got, c.status)
		}
		stays.write(masked(opText, "still here"))
		stays.want(opText, "still here")
	}
}

// TestUpstreamRestarts: an application that is ended and begun again is told of by /readyz, the
// metrics and the log, and with --hold-restart newcomers do not notice.
func TestUpstreamRestarts(t *testing.T) {
	t.Parallel()
	app := chattering(t, "127.0.0.1:0")
	addr := app.Listener.Addr().String()
	p := guardOf(t, app.URL, "--admin", "127.0.0.1:0", "--access-log", "--hold-restart", "1m")
	line := <-p.stdout.await("admin on ")
	_, base, _ := strings.Cut(strings.TrimSpace(line), "admin on ")
	tells := func(ready int, series string) {
		t.Helper()
		eventually(t, series, func() bool {
			status, _ := fetchPage(t, base+"/readyz")
			_, text := fetchPage(t, base+"/metrics")
			return status == ready && strings.Contains(text, series)
		})
	}
	says := func() {
		t.Helper()
		c, resp, err := websocket.DefaultDialer.Dial("ws://"+p.addr+"/?token="+token("alice"), nil)
		if err != nil {
			t.Fatalf("%v, %+v", err, resp)
		}
		defer c.Close()
		_ = c.WriteMessage(websocket.TextMessage, []byte("hi"))
		if _, b, err := c.ReadMessage(); string(b) != "hi" {
			t.Errorf("got %q, %v", b, err)
		}
	}
	up := func(n string) string { return `usher_upstream_up{upstream="` + app.URL + `"} ` + n }
	says()
	tells(200, up("1"))
	app.CloseClientConnections()
	app.Close()
	over := make(chan bool)
	go func() {
		defer close(over)
		says() // when it is back
	}()
	tells(503, up("0"))
	tells(503, "usher_upstream_waiting 1")
	app = chattering(t, addr)
	defer app.Close()
	<-over
	tells(200, up("1"))
	for _, line := range []string{
		"an upstream does not answer; it is tried again\" upstream=" + app.URL + " why=refused",
		"an upstream answers again\" upstream=" + app.URL,
		"msg=accepted", "upstream=" + app.URL,
	} {
		select {
		case <-p.stderr.await(line):
		case <-time.After(patience):
			t.Errorf("the log does not say %q:\n%s", line, p.stderr)
		}
	}
}
