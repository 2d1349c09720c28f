package login_test

import (
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"

	"github.com/gorilla/websocket"

	"github.com/usher-ws/usher/login"
	"github.com/usher-ws/usher/upgrade"
)

// A log-in before a WebSocket handler of net/http, and a user of it. With package server,
// Bearer goes into Route.Guards, and Handler into Server.Handler.
func Example() {
	// Made by htpasswd -nbB -C 6.
	const file = "alice:$2y$06$RJ73WfkokiGFCSkFiv3.1.uWZyFnravWh.SCunFGLhdOGqwl8DpS2"
	users, err := login.ReadHtpasswd(strings.NewReader(file), nil)
	if err != nil {
		log.Fatal(err)
	}
	provider, err := login.New(login.Config{
		Secret: []byte("a secret of 32 bytes or more ..."), CheckPassword: users.Check,
	})
	if err != nil {
		log.Fatal(err)
	}
	door := &upgrade.Upgrader{Guards: []upgrade.Guard{provider.Bearer()}}
	greet := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := new(websocket.Upgrader).Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		user := upgrade.FromContext(r.Context()).Identity.Subject
		_ = conn.WriteMessage(websocket.TextMessage, []byte("welcome, "+user))
	})
	s := httptest.NewServer(provider.Handler(door.Handler(greet)))
	defer s.Close()

	resp, err := http.PostForm(s.URL+"/token", url.Values{"username": {"alice"}, "password": {"correct horse"}})
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	var grant struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&grant); err != nil {
		log.Fatal(err)
	}
	conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(s.URL, "http")+"/?token="+grant.AccessToken, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	_, text, err := conn.ReadMessage()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", text)

	// Output: welcome, alice
}
