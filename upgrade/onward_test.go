package upgrade

import (
	"strings"
	"testing"
)

// TestOnward: what a program that passes requests on sees of them.
func TestOnward(t *testing.T) {
	var u Upgrader
	var r Request
	head := "GET / HTTP/1.1\r\nHost: h\r\nSEC-WebSocket-Protocol: v1, bearer\r\nX-a:  b \r\nSec-WebSocket-Protocol: x.y.z, v2,bearer\r\n\r\n"
	if _, err := u.Read([]byte(head), 0, &r); err != nil {
		t.Fatal(err)
	}
	var fields, offers []string
	for name, value := range r.Fields() {
		fields = append(fields, string(name)+"="+string(value))
	}
	for p := range r.Subprotocols() {
		offers = append(offers, string(p))
	}
	if got, want := strings.Join(fields, "|"), "Host=h|SEC-WebSocket-Protocol=v1, bearer|X-a=b|Sec-WebSocket-Protocol=x.y.z, v2,bearer"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := strings.Join(offers, "|"); got != "v1|v2" {
		t.Errorf("got %q, want v1|v2", got)
	}
	for range r.Fields() {
		break // and nothing more is yielded
	}
	for range r.Subprotocols() {
		break
	}
}
