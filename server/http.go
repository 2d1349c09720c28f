//go:build linux

package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"

	"github.com/usher-ws/usher/upgrade"
)

// handOver gives a request that no route matched to Server.Handler, by way of
// net/http: the descriptor leaves the loop, and what was read of it is replayed.
// The connection goes on counting until net/http closes it.
func (l *loop) handOver(i uint32, s *slot, q quota, head, early []byte) {
	if l.srv.Handler == nil {
		q.release(l.srv)
		l.said = nil
		l.refuse(i, s, nil, &l.req, errNotFound)
		return
	}
	replay := append(append(make([]byte, 0, len(head)+len(early)), head...), early...)
	fd, isReserved := int(s.fd), s.flags&reserved != 0
	if err := l.poll.Remove(fd); err != nil {
		l.release(i, s, err)
		return
	}
	l.vacate(i, s)
	l.unroutedTally.Passed++
	srv := l.srv
	gone := func() { q.release(srv); srv.discount(isReserved) }
	go srv.http.take(fd, replay, gone)
}

// httpSide is a net/http server whose connections come from the loops.
type httpSide struct {
	server *http.Server
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newHTTPSide(s *Server) *httpSide {
	h := &httpSide{conns: make(chan net.Conn), closed: make(chan struct{})}
	h.server = &http.Server{
		Handler:           s.Handler,
		ReadHeaderTimeout: s.handshakeTimeout(),
		ReadTimeout:       s.messageTimeout(),
		ErrorLog:          slog.NewLogLogger(s.logger().Handler(), slog.LevelWarn),
	}
	h.server.SetKeepAlivesEnabled(false) // the next request belongs to a loop
	go func() { _ = h.server.Serve(h) }()
	return h
}

// take makes a net.Conn of fd, which is dup'd and closed on the way.
func (h *httpSide) take(fd int, replay []byte, gone func()) {
	file := os.NewFile(uintptr(fd), "")
	if file == nil {
		gone()
		return
	}
	conn, err := net.FileConn(file)
	file.Close()
	if err != nil {
		gone()
		return
	}
	c := &httpConn{Conn: conn, replay: replay, gone: gone}
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

// stop ends the requests that are still running.
func (h *httpSide) stop(ctx context.Context) error {
	if h == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lingerTime)
	defer cancel()
	if err := h.server.Shutdown(ctx); err != nil {
		return errors.Join(h.server.Close())
	}
	return nil
}

// httpConn is a connection that net/http serves: it reads what the loop has read
// before, and lingers when it is closed.
type httpConn struct {
	net.Conn
	replay []byte
	gone   func()
	once   sync.Once
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
func (c *httpConn) CloseWrite() error { return c.Conn.(*net.TCPConn).CloseWrite() }

// Close is net.Conn's. It does not block: lingering, which is bounded, goes on by
// itself.
func (c *httpConn) Close() error {
	c.once.Do(func() {
		go func() {
			upgrade.Linger(c.Conn)
			c.gone()
		}()
	})
	return nil
}
