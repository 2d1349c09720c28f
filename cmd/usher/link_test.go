//go:build linux

package main_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// link stands between clients and the program, and can fail in ways that neither end
// notices.
type link struct {
	addr string

	listener   net.Listener
	deafUp     atomic.Bool // what clients send is lost
	deafDown   atomic.Bool // what is sent to them is lost
	passing    sync.WaitGroup
	mu         sync.Mutex
	connection map[net.Conn]bool // both ends of each
	closed     bool
}

// newLink returns a link to the program, for any number of clients.
func newLink(t *testing.T, p *program) *link {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k := &link{addr: l.Addr().String(), listener: l, connection: make(map[net.Conn]bool)}
	k.passing.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			k.passing.Go(func() { k.pass(client, p.addr) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		k.mu.Lock()
		k.closed = true
		k.mu.Unlock()
		k.cut()
		k.passing.Wait()
	})
	return k
}

func (k *link) pass(client net.Conn, to string) {
	program, err := net.Dial("tcp", to)
	if err != nil {
		client.Close()
		return
	}
	k.mu.Lock()
	k.connection[client], k.connection[program] = true, true
	closed := k.closed
	k.mu.Unlock()
	if closed {
		k.cut()
	}
	var both sync.WaitGroup
	both.Go(func() { carry(program, client, &k.deafUp) })
	both.Go(func() { carry(client, program, &k.deafDown) })
	both.Wait()
	client.Close()
	program.Close()
	k.mu.Lock()
	delete(k.connection, client)
	delete(k.connection, program)
	k.mu.Unlock()
}

// carry copies until an end hangs up. As long as the way is deaf, everything that comes is
// lost, a hang-up included.
func carry(to, from net.Conn, deaf *atomic.Bool) {
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		if n > 0 && !deaf.Load() {
			_, _ = to.Write(buf[:n]) // an error is a hang-up, which Read tells of
		}
		if err != nil {
			if !deaf.Load() {
				_ = to.(*net.TCPConn).CloseWrite()
			}
			return
		}
	}
}

// deafen makes the link lose all that passes, one way or both, or carry it again.
func (k *link) deafen(up, down bool) {
	k.deafUp.Store(up)
	k.deafDown.Store(down)
}

// cut ends all connections there are.
func (k *link) cut() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for c := range k.connection {
		_ = c.Close()
	}
}

// under puts the program below a path, behind a proxy that removes the path, and returns the
// page's address. refuse, if not "", is a path that the proxy does not know.
func under(t *testing.T, p *program, prefix, refuse string) string {
	t.Helper()
	target, err := url.Parse("http://" + p.addr)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if refuse != "" && r.URL.Path == refuse || !strings.HasPrefix(r.URL.Path, prefix) {
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, "nothing here")
			return
		}
		http.StripPrefix(prefix, proxy).ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL + prefix
}
