//go:build linux

package api_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/hub"
	"github.com/usher-ws/usher/hub/api"
	"github.com/usher-ws/usher/server"
)

// A backend says something to a room that nobody is in, and looks for somebody.
func Example() {
	rooms := &hub.Hub{}
	s := &server.Server{Addr: "127.0.0.1:0"}
	s.Route("/{room}", server.Route{Open: func(c server.Conn) error {
		_, err := rooms.Join(c.PathValue("room"), "somebody", c)
		return err
	}})
	if err := s.Start(); err != nil {
		log.Fatal(err)
	}
	defer func() { _ = s.Shutdown(context.Background()) }()

	a := &api.API{Server: s, Hub: rooms, Encode: func(from, text string, json []byte) (hub.Encoder, error) {
		return func(int) []byte { return fmt.Appendf(nil, "%s%s", text, json) }, nil
	}}
	a.SetKeys([]byte("a key that nobody guesses, of 32 bytes or more"))
	front := httptest.NewServer(a)
	defer front.Close()

	ask := func(method, path, body string) {
		req, err := http.NewRequest(method, front.URL+path, strings.NewReader(body))
		if err != nil {
			log.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer a key that nobody guesses, of 32 bytes or more")
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			log.Fatal(err)
		}
		defer resp.Body.Close()
		answer, _ := io.ReadAll(resp.Body)
		fmt.Printf("%d %s", resp.StatusCode, answer)
	}
	ask("POST", "/v1/rooms/lobby/messages", `{"text":"Dinner is ready.","retain":true}`)
	ask("DELETE", "/v1/users/mallory", "")
	m, _ := rooms.Retained("lobby", 0)
	fmt.Println(m.Opcode == frame.OpText, string(m.Data))
	// Output:
	// 200 {"connections":0,"nodes":1}
	// 404 {"type":"about:blank","title":"Not Found","status":404,"detail":"The user has no connection.","code":"user_unknown"}true Dinner is ready.
}
