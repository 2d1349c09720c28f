// Gws echoes with github.com/lxzan/gws and its own server: a goroutine for each
// connection, messages in pooled buffers.
package main

import (
	"flag"
	"log"

	"github.com/lxzan/gws"
)

type handler struct{ gws.BuiltinEventHandler }

func (handler) OnPing(c *gws.Conn, payload []byte) { _ = c.WritePong(payload) }

func (handler) OnMessage(c *gws.Conn, m *gws.Message) {
	defer m.Close()
	_ = c.WriteMessage(m.Opcode, m.Bytes())
}

func main() {
	listen := flag.String("listen", "127.0.0.1:9001", "address")
	flag.Parse()
	log.Fatal(gws.NewServer(handler{}, &gws.ServerOption{}).Run(*listen))
}
