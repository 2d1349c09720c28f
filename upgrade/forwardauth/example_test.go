package forwardauth_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/usher-ws/usher/upgrade"
	"github.com/usher-ws/usher/upgrade/forwardauth"
)

// A service that knows alice by her cookie decides who may come to a handler of
// net/http.
func ExampleService_Authorize() {
	decide := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if c, err := req.Cookie("session"); err != nil || c.Value != "of-alice" {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusUnauthorized)
			io.WriteString(w, `{"code":"session_unknown"}`)
			return
		}
		w.Header().Set("X-Usher-Sub", "alice")
	}))
	defer decide.Close()

	auth, err := forwardauth.New(decide.URL)
	if err != nil {
		log.Fatal(err)
	}
	defer auth.Close()
	door := &upgrade.Upgrader{Authorize: auth.Authorize}
	server := httptest.NewServer(door.Handler(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		fmt.Println(upgrade.FromContext(req.Context()).Identity.Subject, "came in")
	})))
	defer server.Close()

	for _, session := range []string{"of-alice", "of-nobody"} {
		req, err := http.NewRequest("GET", server.URL+"/ws", nil)
		if err != nil {
			log.Fatal(err)
		}
		req.Header = http.Header{
			"Upgrade": {"websocket"}, "Connection": {"Upgrade"}, "Cookie": {"session=" + session},
			"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			log.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if len(body) > 0 {
			fmt.Println(resp.StatusCode, string(body))
		}
	}
	http.DefaultClient.CloseIdleConnections()
	// Output:
	// alice came in
	// 401 {"code":"session_unknown"}
}
