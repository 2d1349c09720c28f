package ticket_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/usher-ws/usher/upgrade"
	"github.com/usher-ws/usher/upgrade/ticket"
)

// sessions is a Verifier: a token is good if the table has it.
type sessions map[string]string

func (s sessions) Verify(token []byte, _ time.Time) (*upgrade.Identity, error) {
	user, ok := s[string(token)]
	if !ok {
		return nil, errors.New("no such session")
	}
	return &upgrade.Identity{Subject: user}, nil
}

// A page sends its token in a header, and gets a ticket that opens one WebSocket.
func Example() {
	users := sessions{"d7a9": "alice"}
	tickets := new(ticket.Issuer)
	door := &upgrade.Upgrader{Guards: []upgrade.Guard{tickets.Bearer(users)}}
	mux := http.NewServeMux()
	mux.Handle("POST /ticket", tickets.Handler(users))
	mux.Handle("/ws", door.Handler(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		fmt.Println(upgrade.FromContext(req.Context()).Identity.Subject, "came in")
	})))
	server := httptest.NewServer(mux)
	defer server.Close()

	ask, err := http.NewRequest("POST", server.URL+"/ticket", nil)
	if err != nil {
		log.Fatal(err)
	}
	ask.Header.Set("Authorization", "Bearer d7a9")
	answer, err := http.DefaultClient.Do(ask)
	if err != nil {
		log.Fatal(err)
	}
	var grant struct{ Ticket string }
	if err := json.NewDecoder(answer.Body).Decode(&grant); err != nil {
		log.Fatal(err)
	}
	answer.Body.Close()

	for range 2 {
		req, err := http.NewRequest("GET", server.URL+"/ws?ticket="+grant.Ticket, nil)
		if err != nil {
			log.Fatal(err)
		}
		req.Header = http.Header{
			"Upgrade": {"websocket"}, "Connection": {"Upgrade"},
			"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			log.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			fmt.Println(resp.Status)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	// Output:
	// alice came in
	// 401 Unauthorized
}
