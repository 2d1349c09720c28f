//go:build linux

package server

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/usher-ws/usher/record"
)

// dialTLS does a handshake.
func dialTLS(t testing.TB, addr string) *tls.Conn {
	t.Helper()
	c, err := tls.Dial("tcp", addr, anyone)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// TestCutShort: a body that ends without a close_notify may have been cut short, and net/http is
// told so. Its answer comes all the same, and nothing is left of the connection.
func TestCutShort(t *testing.T) {
	for name, tt := range map[string]struct {
		request string
		want    error
	}{
		"half a body":           {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nhalf", record.ErrTruncated},
		"a body without an end": {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", record.ErrTruncated},
		"no body":               {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			heard := make(chan error, 1)
			addr := start(t, withTLS(&Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, err := io.Copy(io.Discard, r.Body)
				heard <- err
				io.WriteString(w, "thanks")
			})}))
			c := dialTLS(t, addr)
			io.WriteString(c, tt.request)
			if err := c.NetConn().(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if err := <-heard; err != tt.want {
				t.Errorf("the handler reads %v, want %v", err, tt.want)
			}
			if all, err := io.ReadAll(c); err != nil || !strings.HasSuffix(string(all), "thanks") {
				t.Errorf("answer: %q, %v", all, err)
			}
		})
	}
}
