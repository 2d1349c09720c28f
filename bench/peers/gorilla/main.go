// Gorilla echoes with github.com/gorilla/websocket on net/http: a goroutine for
// each connection, write buffers pooled while they are not in use. At /fanout a
// message goes to all there, prepared once; at /refuse nobody gets in. With -cert and -key it speaks
// TLS, crypto/tls's.
package main

import (
	"flag"
	"log"
	"net/http"
	"sync"

	"github.com/gorilla/websocket"
)

var upgrader = websocket.Upgrader{
	WriteBufferPool: &sync.Pool{},
	CheckOrigin:     func(*http.Request) bool { return true },
}

func echo(w http.ResponseWriter, r *http.Request) {
	c, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer c.Close()
	for {
		kind, data, err := c.ReadMessage()
		if err != nil {
			return
		}
		if err := c.WriteMessage(kind, data); err != nil {
			return
		}
	}
}

// room is all connections at /fanout.
var room = struct {
	sync.Mutex
	members map[*websocket.Conn]bool
}{members: make(map[*websocket.Conn]bool)}

func fanout(w http.ResponseWriter, r *http.Request) {
	c, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	room.Lock()
	room.members[c] = true
	room.Unlock()
	defer func() {
		room.Lock()
		delete(room.members, c)
		room.Unlock()
		c.Close()
	}()
	for {
		kind, data, err := c.ReadMessage()
		if err != nil {
			return
		}
		m, err := websocket.NewPreparedMessage(kind, data)
		if err != nil {
			return
		}
		room.Lock()
		for member := range room.members {
			_ = member.WritePreparedMessage(m)
		}
		room.Unlock()
	}
}

func refuse(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Connection", "close")
	http.Error(w, "no token", http.StatusUnauthorized)
}

func main() {
	http.HandleFunc("/", echo)
	http.HandleFunc("/fanout", fanout)
	http.HandleFunc("/refuse", refuse)
	listen := flag.String("listen", "127.0.0.1:9001", "address")
	cert := flag.String("cert", "", "`file` with the certificate, in PEM")
	key := flag.String("key", "", "`file` with its key")
	flag.Parse()
	if *cert != "" {
		log.Fatal(http.ListenAndServeTLS(*listen, *cert, *key, nil))
	}
	log.Fatal(http.ListenAndServe(*listen, nil))
}
