//go:build linux

package main_test

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"

	"github.com/gorilla/websocket"
)

// gorillaEnv is set to the socket of the process of gorillaMain.
const gorillaEnv = "USHER_TEST_GORILLA"

// gorillaMain is a chat on gorilla: the application of testdata/guard/node_app.mjs and
// python_app.py once more.
func gorillaMain(socket string) int {
	_ = os.Remove(socket)
	l, err := net.Listen("unix", socket)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	http.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, "index.html") })
	http.HandleFunc("GET /token", func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if want, ok := map[string]string{"alice": "wonderland", "bob": "builder"}[user]; !ok || want != password {
			http.Error(w, "wrong name or password", http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, token(user))
	})
	rooms := gorillaRooms{members: make(map[string]map[*websocket.Conn]bool)}
	http.HandleFunc("GET /ws/{room}", func(w http.ResponseWriter, r *http.Request) {
		user, err := url.PathUnescape(r.Header.Get("X-Usher-Subject"))
		if err != nil || user == "" || r.PathValue("room") == "private" {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, "members only")
			return
		}
		upgrader := websocket.Upgrader{EnableCompression: true}
		if c, err := upgrader.Upgrade(w, r, nil); err == nil {
			rooms.host(c, user, r.PathValue("room"))
		}
	})
	fmt.Println("listening")
	fmt.Println(http.Serve(l, nil))
	return 1
}

// gorillaRooms are its rooms.
type gorillaRooms struct {
	mu      sync.Mutex
	members map[string]map[*websocket.Conn]bool
}

// host has a member in a room until it leaves.
func (g *gorillaRooms) host(c *websocket.Conn, user, room string) {
	defer c.Close()
	g.do(func() {
		if g.members[room] == nil {
			g.members[room] = make(map[*websocket.Conn]bool)
		}
		g.members[room][c] = true
	})
	g.say(room, user+" has joined")
	for {
		_, text, err := c.ReadMessage()
		if err != nil {
			code := websocket.CloseAbnormalClosure
			if said, ok := err.(*websocket.CloseError); ok {
				code = said.Code
			}
			g.do(func() { delete(g.members[room], c) })
			fmt.Printf("%s has left with %d\n", user, code)
			g.say(room, user+" has left")
			return
		}
		g.say(room, user+": "+string(text))
	}
}

func (g *gorillaRooms) do(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f()
}

func (g *gorillaRooms) say(room, text string) {
	g.do(func() {
		for c := range g.members[room] {
			_ = c.WriteMessage(websocket.TextMessage, []byte(text)) // the reader hears of one that is gone
		}
	})
}
