//go:build linux

package client

import "testing"

// TestAccept is the example of RFC 6455 §1.3, as bytes.
func TestAccept(t *testing.T) {
	if got, want := Key([]byte("the sample nonce")).accept(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="; string(got[:]) != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestRequest(t *testing.T) {
	r := Request{
		Host: "h:1", Path: "/p?q", Origin: "http://o", Subprotocols: "p, q", Token: "t7",
		Header: [][2]string{{"X-A", "b"}},
	}
	want := "GET /p?q HTTP/1.1\r\nHost: h:1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nOrigin: http://o\r\nSec-WebSocket-Protocol: p, q\r\n" +
		"Authorization: Bearer t7\r\nX-A: b\r\n\r\n"
	if got := string(r.Append(nil, Key{})); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	r.First = 5
	if got := r.Append([]byte("x"), Key{}); string(got) != "xGET /" {
		t.Errorf("first five bytes: got %q", got)
	}
}
