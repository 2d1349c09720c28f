//go:build linux

package server

import (
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"sync"

	"github.com/usher-ws/usher/upgrade"
)

// handOver gives a request that no route matched to Server.Handler, by way of
// net/http: the descriptor leaves the loop, and what was read of it is replayed.
// The connection goes on counting until net/http closes it.
func (d *door) handOver(s link, q quota, head, early []byte) {
	srv := d.srv
	replay := append(append(make([]byte, 0, len(head)+len(early)), head...), early...)
	d.Buffers.Put(s.Extra().head)
	fd, discount, err := s.Detach()
	if err != nil {
		q.release(srv)
		s.Data().facts.become(over)
		s.Cut(err)
		return
	}
	d.unroutedTally.Passed++
	c := srv.http.expect(replay, func() { q.release(srv); discount() })
	go srv.http.take(fd, c)
}

// httpSide is a net/http server whose connections come from the loops.
type httpSide struct {
	server *http.Server
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once

	mu    sync.Mutex
	all   map[*httpConn]struct{} // those whose socket may be open
	cut   bool                   // none of them is to be
	empty chan struct{}          // closed when there are none after the cut
	ended sync.Once
}

func newHTTPSide(s *Server) *httpSide {
	h := &httpSide{
		conns: make(chan net.Conn), closed: make(chan struct{}),
		all: make(map[*httpConn]struct{}), empty: make(chan struct{}),
	}
	log := &LogRing{s.log.Ring, s.log.logger.Handler()}
	h.server = &http.Server{
		Handler:           told{s.Handler, s.log},
		ReadHeaderTimeout: s.handshakeTimeout(),
		ReadTimeout:       s.messageTimeout(),
		ErrorLog:          slog.NewLogLogger(log, slog.LevelWarn),
	}
	h.server.SetKeepAlivesEnabled(false) // the next request belongs to a loop
	go func() { _ = h.server.Serve(h) }()
	return h
}

// told is a Handler that logs when it ends by runtime.Goexit, as net/http logs a panic.
type told struct {
	http.Handler
	log *logWriter
}

// ServeHTTP is http.Handler's.
func (h told) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	returned := false
	defer func() {
		if returned {
			return
		}
		if p := recover(); p != nil {
			panic(p) // net/http's business
		}
		h.log.error("server: panic in a handler", "panic", errExited, "stack", string(debug.Stack()))
	}()
	h.Handler.ServeHTTP(w, r)
	returned = true
}

// expect notes a connection that is about to come.
func (h *httpSide) expect(replay []byte, gone func()) *httpConn {
	c := &httpConn{side: h, replay: replay, gone: gone}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all[c] = struct{}{}
	return c
}

// take makes a net.Conn of fd, which is dup'd and closed on the way.
func (h *httpSide) take(fd int, c *httpConn) {
	file := os.NewFile(uintptr(fd), "")
	if file == nil {
		c.forget()
		return
	}
	conn, err := net.FileConn(file)
	file.Close()
	if err != nil {
		c.forget()
		return
	}
	h.mu.Lock()
	c.Conn = conn
	cut := h.cut
	h.mu.Unlock()
	if cut {
		conn.Close()
		c.forget()
		return
	}
	select {
	case h.conns <- c:
	case <-h.closed:
		c.Close()
	}
}

// Accept is net.Listener's.
func (h *httpSide) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

// Close is net.Listener's.
func (h *httpSide) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

// Addr is net.Listener's; nobody asks for it.
func (h *httpSide) Addr() net.Addr { return &net.TCPAddr{} }

// stop closes all sockets there are. Handlers that still run find theirs closed; they are
// not waited for.
func (h *httpSide) stop() {
	if h == nil {
		return
	}
	_ = h.Close()
	h.mu.Lock()
	h.cut = true
	var open []*httpConn
	for c := range h.all {
		if c.Conn != nil { // else take closes it
			open = append(open, c)
		}
	}
	h.note()
	h.mu.Unlock()
	for _, c := range open {
		c.Conn.Close()
		c.forget()
	}
	<-h.empty
	_ = h.server.Close()
}

// httpConn is a connection that net/http serves: it reads what the loop has read
// before, and lingers when it is closed.
type httpConn struct {
	net.Conn
	side    *httpSide
	replay  []byte
	gone    func()
	closing sync.Once
	ending  sync.Once
}

// Read is net.Conn's.
func (c *httpConn) Read(b []byte) (int, error) {
	if len(c.replay) > 0 {
		n := copy(b, c.replay)
		c.replay = c.replay[n:]
		return n, nil
	}
	return c.Conn.Read(b)
}

// CloseWrite lets net/http say FIN before it closes.
func (c *httpConn) CloseWrite() error { return c.Conn.(interface{ CloseWrite() error }).CloseWrite() }

// Close is net.Conn's. It does not block: lingering, which is bounded, goes on by
// itself.
func (c *httpConn) Close() error {
	c.closing.Do(func() {
		go func() {
			upgrade.Linger(c.Conn)
			c.forget()
		}()
	})
	return nil
}

// forget is called when the socket is closed.
func (c *httpConn) forget() {
	c.ending.Do(func() {
		c.gone()
		h := c.side
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.all, c)
		h.note()
	})
}

// note says when there are none after the cut. It is called under mu.
func (h *httpSide) note() {
	if h.cut && len(h.all) == 0 {
		h.ended.Do(func() { close(h.empty) })
	}
}
