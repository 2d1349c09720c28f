// Coder echoes with github.com/coder/websocket on net/http: a goroutine for each
// connection.
package main

import (
	"context"
	"flag"
	"log"
	"net/http"

	"github.com/coder/websocket"
)

func echo(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		InsecureSkipVerify: true, // no page is meant
		CompressionMode:    websocket.CompressionDisabled,
	})
	if err != nil {
		return
	}
	defer c.CloseNow()
	c.SetReadLimit(1 << 20)
	ctx := context.Background()
	for {
		kind, data, err := c.Read(ctx)
		if err != nil {
			return
		}
		if err := c.Write(ctx, kind, data); err != nil {
			return
		}
	}
}

func main() {
	listen := flag.String("listen", "127.0.0.1:9001", "address")
	flag.Parse()
	log.Fatal(http.ListenAndServe(*listen, http.HandlerFunc(echo)))
}
