//go:build linux

package guard_test

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/usher-ws/usher/guard"
	"github.com/usher-ws/usher/upgrade"
)

// What an application is asked for alice, whose token was in the query.
func ExampleForward_AppendRequest() {
	head := "GET /chat?room=a&token=x.y.z HTTP/1.1\r\nHost: example.org\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX-Usher-Subject: root\r\nUser-Agent: it\r\n\r\n"
	var door upgrade.Upgrader
	var r upgrade.Request
	if _, err := door.Read([]byte(head), 0, &r); err != nil {
		panic(err)
	}
	r.RemoteAddr = netip.MustParseAddrPort("192.0.2.7:1234")
	r.Identity = &upgrade.Identity{Subject: "alice"} // as Bearer does

	f := guard.Forward{Params: []string{"token"}}
	fmt.Print(strings.ReplaceAll(string(f.AppendRequest(nil, &r, "", "7f3a")), "\r\n", "\n"))
	// Output:
	// GET /chat?room=a HTTP/1.1
	// Host: example.org
	// Upgrade: websocket
	// Connection: Upgrade
	// Sec-WebSocket-Version: 13
	// Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==
	// User-Agent: it
	// X-Forwarded-For: 192.0.2.7
	// X-Forwarded-Host: example.org
	// X-Forwarded-Proto: http
	// X-Request-Id: 7f3a
	// X-Usher-Subject: alice
}
