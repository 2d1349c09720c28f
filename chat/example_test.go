//go:build linux

package chat_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"

	"github.com/gorilla/websocket"

	"github.com/usher-ws/usher/chat"
	"github.com/usher-ws/usher/login"
	"github.com/usher-ws/usher/server"
	"github.com/usher-ws/usher/upgrade"
)

// The whole chat behind a log-in, and a user who talks to himself in it.
func Example() {
	provider, err := login.New(login.Config{
		Secret: []byte("a secret of 32 bytes or more ..."), CheckPassword: login.CheckDemo,
	})
	if err != nil {
		log.Fatal(err)
	}
	app, err := chat.New(chat.Config{Guards: []upgrade.Guard{provider.Bearer()}, LogIn: chat.ByDemo})
	if err != nil {
		log.Fatal(err)
	}
	s := &server.Server{Addr: "127.0.0.1:0", Handler: provider.Handler(app.Handler()), Answer: provider.Answer(app.Answer)}
	s.Route(chat.Pattern, app.Route())
	if err := s.Start(); err != nil {
		log.Fatal(err)
	}
	defer func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // do not wait for the clients to go
		_ = s.Shutdown(ctx)
	}()
	host := s.Addrs()[0].String()

	// Log in.
	resp, err := http.Post("http://"+host+"/token", "application/json",
		bytes.NewBufferString(`{"username": "bob", "password": "builder"}`))
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

	// Enter the lobby, and say something.
	conn, _, err := websocket.DefaultDialer.Dial("ws://"+host+"/ws/lobby?token="+grant.AccessToken, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	for _, text := range []string{"hello?", "/who"} {
		if err := conn.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
			log.Fatal(err)
		}
	}
	for range 3 {
		_, line, err := conn.ReadMessage()
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s\n", line)
	}

	// Output:
	// Server: bob has joined the chat
	// bob: hello?
	// Server: 1 here: bob
}
