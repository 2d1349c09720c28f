package upgrade

import (
	"bytes"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
)

func TestRequestString(t *testing.T) {
	t.Parallel()
	jwt := goodToken("alice")
	for target, want := range map[string]string{
		"/ws/lobby":                          "/ws/lobby",
		"/ws?a=b&c=%20d":                     "/ws?a=b&c=%20d",
		"/ws?":                               "/ws?",
		"/ws?token=s3cret&room=lobby":        "/ws?token=REDACTED&room=lobby",
		"/ws?room=lobby&ticket=s3cret":       "/ws?room=lobby&ticket=REDACTED",
		"/ws?access_token=s3cret;x=y":        "/ws?access_token=REDACTED;x=y",
		"/ws?X-Api-KEY=s3cret":               "/ws?X-Api-KEY=REDACTED",
		"/ws?%74oken=s3cret":                 "/ws?%74oken=REDACTED",
		"/ws?token=s3cret=s3cret":            "/ws?token=REDACTED",
		"/ws?token=&token":                   "/ws?token=&token",
		"/ws?next=/a?token=s3cret":           "/ws?next=REDACTED",
		"/ws?next=%2fa%3ftoken%3ds3cret":     "/ws?next=REDACTED",
		"/ws?next=%252fa%253ftoken%253d3cre": "/ws?next=REDACTED",
		"/ws?q=" + jwt:                       "/ws?q=REDACTED",
		"/ws?" + jwt:                         "/ws?REDACTED",
		"/ws/" + jwt + "/x?y=z":              "/ws/REDACTED/x?y=z",
		"http://h/ws?token=s3cret":           "http://h/ws?token=REDACTED",
		"/ws?next=/a/tokens":                 "/ws?next=/a/tokens",
		"/ws?a&&=b&":                         "/ws?a&&=b&",
	} {
		r := new(Request)
		h := up("GET "+target+" HTTP/1.1", "Authorization: Bearer s3cret", "Cookie: token=s3cret", "Sec-WebSocket-Protocol: bearer, s3cret")
		if err := openDoor.Parse([]byte(h), r); err != nil {
			t.Fatal(err)
		}
		r.RemoteAddr = netip.MustParseAddrPort("192.0.2.1:4711")
		if got := r.String(); got != "GET "+want {
			t.Errorf("%s: got %q, want %q", target, got, "GET "+want)
		}
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("refused", "request", r)
		line := log.String()
		if strings.Contains(line, "3cre") || strings.Contains(line, jwt[10:30]) ||
			!strings.Contains(line, "request.method=GET") || !strings.Contains(line, "request.remote=192.0.2.1:4711") {
			t.Errorf("%s: logged %s", target, line)
		}
	}
	if got := new(Request).String(); got != " " {
		t.Errorf("the zero Request is %q", got)
	}
}

// TestErrorsHoldNoToken: what comes back for the log does not tell the token.
func TestErrorsHoldNoToken(t *testing.T) {
	t.Parallel()
	for _, c := range cases {
		_, _, err := knock(c.door, c.head)
		if err == nil {
			continue
		}
		for _, word := range strings.FieldsFunc(c.head, func(r rune) bool { return strings.ContainsRune(" =;,\r\n.&", r) }) {
			if len(word) > 24 && strings.HasPrefix(word, "eyJ") && strings.Contains(err.Error(), word) {
				t.Errorf("%s: %v", c.name, err)
			}
		}
	}
}
