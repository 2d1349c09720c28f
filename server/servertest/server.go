//go:build linux

package servertest

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/usher-ws/usher/server"
)

// Host is the host of all requests, so http://Host is the Origin of a page of the server's
// own.
const Host = "servertest"

// Server is a server.Server that runs until its test ends, without a port. Its methods may
// be called on any goroutine.
type Server struct {
	srv *server.Server
	tb  testing.TB
}

// New starts srv, which must be without an Addr, and shuts it down when the test ends:
// connections that are there then are cut. If it cannot start the test fails at once. A
// srv without a Logger logs to the test.
func New(tb testing.TB, srv *server.Server) *Server {
	tb.Helper()
	if srv.Addr != "" {
		tb.Fatalf("servertest: the server has the Addr %q, and would listen there", srv.Addr)
	}
	if srv.Logger == nil {
		srv.Logger = slog.New(slog.NewTextHandler(tb.Output(), nil))
	}
	if err := srv.Start(); err != nil {
		tb.Fatalf("servertest: %v", err)
	}
	s := &Server{srv, tb}
	tb.Cleanup(s.close)
	return s
}

// NewRoute is New of a server with default settings and one route, for all paths. A route
// that needs values of its path has New.
func NewRoute(tb testing.TB, r server.Route) *Server {
	tb.Helper()
	srv := new(server.Server)
	srv.Route("/{path...}", r)
	return New(tb, srv)
}

// close cuts what is left. A test that has shut the server down itself did that already.
func (s *Server) close() {
	cut, cancel := context.WithCancel(context.Background())
	cancel()
	_ = s.srv.Shutdown(cut) // what went wrong is Wait's to say
	if err := s.srv.Wait(); err != nil {
		s.tb.Errorf("servertest: %v", err)
	}
}

// DialContext returns the client's end of a new connection to the server, whatever the
// address. It fits the field of that name, or NetDial, of other libraries' diallers.
func (s *Server) DialContext(context.Context, string, string) (net.Conn, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	file := os.NewFile(uintptr(fds[1]), Host)
	conn, err := net.FileConn(file) // has a copy
	file.Close()
	if err == nil {
		err = s.srv.Adopt(fds[0])
	}
	if err != nil {
		unix.Close(fds[0])
		if conn != nil {
			conn.Close()
		}
		return nil, err
	}
	return conn, nil
}

// HTTPClient returns a client whose requests all go to the server, on a new connection
// each: for Server.Handler, or to be refused without a handshake. It follows no redirects.
func (s *Server) HTTPClient() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{DialContext: s.DialContext, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
