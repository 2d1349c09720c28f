// Gws echoes with github.com/lxzan/gws and its own server: a goroutine for each
// connection, messages in pooled buffers. At /fanout a message goes to all there,
// by the library's Broadcaster.
package main

import (
	"flag"
	"log"
	"net/http"
	"sync"

	"github.com/lxzan/gws"
)

type handler struct {
	gws.BuiltinEventHandler
	mu      sync.Mutex // guards members
	members map[*gws.Conn]bool
}

// inRoom is in the session of a connection at /fanout.
const inRoom = "room"

func authorize(r *http.Request, session gws.SessionStorage) bool {
	if r.URL.Path == "/fanout" {
		session.Store(inRoom, true)
	}
	return true
}

func isMember(c *gws.Conn) bool {
	_, in := c.Session().Load(inRoom)
	return in
}

func (h *handler) OnOpen(c *gws.Conn) {
	if isMember(c) {
		h.mu.Lock()
		h.members[c] = true
		h.mu.Unlock()
	}
}

func (h *handler) OnClose(c *gws.Conn, _ error) {
	if isMember(c) {
		h.mu.Lock()
		delete(h.members, c)
		h.mu.Unlock()
	}
}

func (h *handler) OnPing(c *gws.Conn, payload []byte) { _ = c.WritePong(payload) }

func (h *handler) OnMessage(c *gws.Conn, m *gws.Message) {
	defer m.Close()
	if !isMember(c) {
		_ = c.WriteMessage(m.Opcode, m.Bytes())
		return
	}
	b := gws.NewBroadcaster(m.Opcode, m.Bytes())
	defer b.Close()
	h.mu.Lock()
	defer h.mu.Unlock()
	for member := range h.members {
		_ = b.Broadcast(member)
	}
}

func main() {
	listen := flag.String("listen", "127.0.0.1:9001", "address")
	flag.Parse()
	h := &handler{members: make(map[*gws.Conn]bool)}
	log.Fatal(gws.NewServer(h, &gws.ServerOption{Authorize: authorize}).Run(*listen))
}
