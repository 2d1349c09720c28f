package upgrade_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/upgrade"
)

// The handshake of RFC 6455 §1.3, without a socket: the key of §4.2.2 and its
// answer.
func ExampleUpgrader_Respond() {
	u := &upgrade.Upgrader{
		Origins:      []string{"http://example.com"},
		Subprotocols: []string{"chat"},
	}
	received := []byte("GET /chat HTTP/1.1\r\n" +
		"Host: server.example.com\r\n" +
		"Upgrade: websocket\r\n" +
		"Connection: Upgrade\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
		"Origin: http://example.com\r\n" +
		"Sec-WebSocket-Protocol: chat, superchat\r\n" +
		"Sec-WebSocket-Version: 13\r\n\r\n")

	var r upgrade.Request
	n, err := u.Read(received, 0, &r)
	if err != nil || n == 0 {
		log.Fatal("refused, or not yet complete")
	}
	response, err := u.Respond(nil, &r)
	fmt.Println(err)
	fmt.Print(strings.TrimSpace(strings.ReplaceAll(string(response), "\r\n", "\n")))
	// Output:
	// <nil>
	// HTTP/1.1 101 Switching Protocols
	// Upgrade: websocket
	// Connection: Upgrade
	// Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=
	// Sec-WebSocket-Protocol: chat
}

// Of two offers the first names a window that does not exist, and is declined. The second
// limits our window to 1 KiB, as in RFC 7692 §7.1.2.1, and is accepted.
func ExampleRequest_Deflate() {
	u := &upgrade.Upgrader{Deflate: true}
	head := []byte("GET /chat HTTP/1.1\r\n" +
		"Host: server.example.com\r\n" +
		"Upgrade: websocket\r\n" +
		"Connection: Upgrade\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
		"Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=16, permessage-deflate; server_max_window_bits=10\r\n" +
		"Sec-WebSocket-Version: 13\r\n\r\n")
	var r upgrade.Request
	if err := u.Parse(head, &r); err != nil {
		log.Fatal(err)
	}
	response, err := u.Respond(nil, &r)
	fmt.Println(err, r.Deflate()) // the window that frame.NewState wants to know
	fmt.Print(strings.TrimSpace(strings.ReplaceAll(string(response), "\r\n", "\n")))
	// Output:
	// <nil> 10
	// HTTP/1.1 101 Switching Protocols
	// Upgrade: websocket
	// Connection: Upgrade
	// Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=
	// Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10
}

// sessions is a Verifier: a token is good if the table has it.
type sessions map[string]string

func (s sessions) Verify(token []byte, _ time.Time) (*upgrade.Identity, error) {
	user, ok := s[string(token)]
	if !ok {
		return nil, errors.New("no such session")
	}
	return &upgrade.Identity{Subject: user}, nil
}

// For each user ten upgrades at once and one in a minute; for each address at most a
// hundred in an hour, whatever tokens come from it.
func ExampleLimit() {
	perAddr := &limiter.Keyed[netip.Addr]{Rate: limiter.Rate{Limit: 100. / 3600, Burst: 100}}
	perUser := &limiter.Keyed[string]{Rate: limiter.Rate{Limit: limiter.Every(time.Minute), Burst: 10}}
	u := &upgrade.Upgrader{Guards: []upgrade.Guard{
		upgrade.Limit(perAddr, upgrade.ByAddr),
		upgrade.Bearer(sessions{"d7a9": "alice"}),
		upgrade.Limit(perUser, upgrade.ByUser),
	}}
	fmt.Println(u.Validate())
	// Output: <nil>
}

// An upgrade over any net.Conn. The refusal has been sent, and has arrived, by
// the time Upgrade returns.
func ExampleUpgrader_Upgrade() {
	u := &upgrade.Upgrader{Guards: []upgrade.Guard{{
		OnRequest: func(r *upgrade.Request) error {
			if r.Path() != "/ws" {
				return upgrade.Reject(404, upgrade.CodeNotFound, "Nothing here.")
			}
			return nil
		},
	}}}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	done := make(chan error)
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			log.Fatal(err)
		}
		r, early, err := u.Upgrade(conn)
		if err == nil {
			c := upgrade.NewConn(conn, r, early) // or what you have for messages
			defer c.Close(frame.StatusNormalClosure, "")
		}
		done <- err
	}()

	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprint(client, "GET /elsewhere HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(client), nil)
	if err != nil {
		log.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	client.Close()
	fmt.Println(resp.Status)
	fmt.Println(string(body))

	var rej *upgrade.Rejection
	fmt.Println(errors.As(<-done, &rej), rej.Code)
	ln.Close()
	// Output:
	// 404 Not Found
	// {"type":"about:blank","title":"Not Found","status":404,"detail":"Nothing here.","code":"not_found"}
	// true not_found
}

// The same door inside net/http.
func ExampleUpgrader_UpgradeHTTP() {
	u := &upgrade.Upgrader{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		conn, r, early, err := u.UpgradeHTTP(w, req)
		if err != nil {
			return // the client has had its answer
		}
		c := upgrade.NewConn(conn, r, early) // or what you have for messages
		defer c.Close(frame.StatusNormalClosure, "")
	}))
	defer server.Close()

	resp, err := http.Get(server.URL)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status, "- use", resp.Header.Get("Upgrade"), resp.Header.Get("Sec-WebSocket-Version"))
	// Output: 426 Upgrade Required - use websocket 13
}

// A door for clients that have a token, in a header, a subprotocol, a cookie or the query.
// Here a Verifier of our own says which tokens are good; package jwt has one for JSON Web
// Tokens.
func ExampleBearer() {
	u := &upgrade.Upgrader{Guards: []upgrade.Guard{upgrade.Bearer(sessions{"d7a9": "alice"})}}
	for _, target := range []string{"/ws?token=d7a9", "/ws?token=stale", "/ws"} {
		head := []byte("GET " + target + " HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
			"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
		var r upgrade.Request
		if err := u.Parse(head, &r); err != nil {
			log.Fatal(err)
		}
		_, err := u.Respond(nil, &r)
		var rej *upgrade.Rejection
		if errors.As(err, &rej) {
			fmt.Println(rej.Status, rej.Code)
			continue
		}
		fmt.Println("welcome,", r.Identity.Subject)
	}
	// Output:
	// welcome, alice
	// 401 token_invalid
	// 401 token_missing
}

// A refusal is a value; it writes itself as a whole response.
func ExampleReject() {
	full := upgrade.Reject(503, upgrade.CodeFull, "No seat is free.").WithRetryAfter(90 * time.Second)
	response := full.AppendTo(nil, nil, time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC))
	fmt.Print(strings.ReplaceAll(string(response), "\r\n", "\n"))
	// Output:
	// HTTP/1.1 503 Service Unavailable
	// Date: Fri, 20 Nov 2026 12:00:00 GMT
	// Content-Type: application/problem+json
	// Content-Length: 107
	// Connection: close
	// Cache-Control: no-store
	// Retry-After: 90
	//
	// {"type":"about:blank","title":"Service Unavailable","status":503,"detail":"No seat is free.","code":"full"}
}

// The door in front of the WebSocket handler of another library; here one that
// takes the connection over by hand.
func ExampleUpgrader_Handler() {
	u := &upgrade.Upgrader{Guards: []upgrade.Guard{upgrade.Bearer(sessions{"d7a9": "alice"})}}
	chat := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		fmt.Println(upgrade.FromContext(req.Context()).Identity.Subject, "came in")
		// conn, err := gorilla.Upgrade(w, req, nil) …
	})
	mux := http.NewServeMux()
	mux.Handle("/ws", u.Handler(chat))
	mux.Handle("/", upgrade.Reject(404, upgrade.CodeNotFound, "Nothing here.")) // in the same shape
	server := httptest.NewServer(mux)
	defer server.Close()

	for _, target := range []string{"/ws?token=d7a9", "/ws", "/nowhere"} {
		req, err := http.NewRequest("GET", server.URL+target, nil)
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
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if len(body) > 0 {
			fmt.Println(string(body))
		}
	}
	// Output:
	// alice came in
	// {"type":"about:blank","title":"Unauthorized","status":401,"detail":"A bearer token is required.","code":"token_missing"}
	// {"type":"about:blank","title":"Not Found","status":404,"detail":"Nothing here.","code":"not_found"}
}

// A page that is always the same is made once, from the handler that describes it.
func ExampleRecord() {
	req, err := http.NewRequest(http.MethodGet, "/", nil)
	if err != nil {
		log.Fatal(err)
	}
	page := upgrade.Record(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintln(w, "hello")
	}), req)

	var door upgrade.Upgrader
	var r upgrade.Request
	if err := door.Parse([]byte("GET / HTTP/1.1\r\nHost: h\r\n\r\n"), &r); err != nil {
		log.Fatal(err)
	}
	answer := page.AppendTo(nil, &r, time.Unix(0, 0))
	fmt.Println(strings.ReplaceAll(string(answer), "\r\n", "\n"))
	// Output:
	// HTTP/1.1 200 OK
	// Content-Length: 6
	// Content-Type: text/plain; charset=utf-8
	// Date: Thu, 01 Jan 1970 00:00:00 GMT
	// Connection: close
	//
	// hello
}
