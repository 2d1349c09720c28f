package interop

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	gorilla "github.com/gorilla/websocket"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/upgrade"
)

// BenchmarkConn echoes over loopback, to a client that takes no time of its own to speak
// of: a Conn's server, and gorilla's beside it.
func BenchmarkConn(b *testing.B) {
	ours := func(w http.ResponseWriter, req *http.Request) {
		conn, r, early, err := openDoor.UpgradeHTTP(w, req)
		if err != nil {
			return
		}
		c := upgrade.NewConn(conn, r, early)
		defer c.Close(frame.StatusNormalClosure, "")
		for {
			op, msg, err := c.ReadMessage()
			if err != nil || c.WriteMessage(op, msg) != nil {
				return
			}
		}
	}
	theirs := func(w http.ResponseWriter, req *http.Request) {
		c, err := new(gorilla.Upgrader).Upgrade(w, req, nil)
		if err != nil {
			return
		}
		defer c.Close()
		for {
			op, msg, err := c.ReadMessage()
			if err != nil || c.WriteMessage(op, msg) != nil {
				return
			}
		}
	}
	for _, size := range []int{20, 512, 16 << 10, 64 << 10} {
		for name, echo := range map[string]http.HandlerFunc{"usher": ours, "gorilla": theirs} {
			b.Run(fmt.Sprintf("%d/%s", size, name), func(b *testing.B) {
				s := httptest.NewServer(echo)
				defer s.Close()
				c, err := net.Dial("tcp", s.Listener.Addr().String())
				if err != nil {
					b.Fatal(err)
				}
				defer c.Close()
				fmt.Fprint(c, "GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
					"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
				answer := make([]byte, 4096)
				for n := 0; !strings.HasSuffix(string(answer[:n]), "\r\n\r\n"); {
					m, err := c.Read(answer[n:])
					if err != nil {
						b.Fatal(err)
					}
					n += m
				}
				p := frame.New(&frame.Config{Client: true})
				in, _ := p.AppendMessage(nil, frame.OpBinary, make([]byte, size))
				out := make([]byte, len(frame.AppendFrame(nil, frame.OpBinary, make([]byte, size))))
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := c.Write(in); err != nil {
						b.Fatal(err)
					}
					if _, err := io.ReadFull(c, out); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
