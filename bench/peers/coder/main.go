// Coder echoes with github.com/coder/websocket on net/http: a goroutine for each
// connection. At /refuse nobody gets in.
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

func refuse(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Connection", "close")
	http.Error(w, "no token", http.StatusUnauthorized)
}

func main() {
	http.HandleFunc("/", echo)
	http.HandleFunc("/refuse", refuse)
	listen := flag.String("listen", "127.0.0.1:9001", "address")
	flag.Parse()
	log.Fatal(http.ListenAndServe(*listen, nil))
}
