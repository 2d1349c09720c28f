package upgrade

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

func TestRequestString(t *testing.T) {
	t.Parallel()
	jwt := goodToken("alice")
	for target, want := range map[string]string{
		"/ws/lobby":                              "/ws/lobby",
		"/ws?a=b&c=%20d":                         "/ws?a=b&c=%20d",
		"/ws?":                                   "/ws?",
		"/ws?token=s3cret&room=lobby":            "/ws?token=REDACTED&room=lobby",
		"/ws?room=lobby&ticket=s3cret":           "/ws?room=lobby&ticket=REDACTED",
		"/ws?access_token=s3cret;x=y":            "/ws?access_token=REDACTED;x=y",
		"/ws?X-Api-KEY=s3cret":                   "/ws?X-Api-KEY=REDACTED",
		"/ws?%74oken=s3cret":                     "/ws?%74oken=REDACTED",
		"/ws?token=s3cret=s3cret":                "/ws?token=REDACTED",
		"/ws?token=&token":                       "/ws?token=&token",
		"/ws?next=/a?token=s3cret":               "/ws?next=REDACTED",
		"/ws?next=%2fa%3ftoken%3ds3cret":         "/ws?next=REDACTED",
		"/ws?next=%252fa%253ftoken%253d3cre":     "/ws?next=REDACTED",
		"/ws?q=" + jwt:                           "/ws?q=REDACTED",
		"/ws?" + jwt:                             "/ws?REDACTED",
		"/ws/" + jwt + "/x?y=z":                  "/ws/REDACTED/x?y=z",
		"http://h/ws?token=s3cret":               "http://h/ws?token=REDACTED",
		"/ws?next=/a/tokens":                     "/ws?next=/a/tokens",
		"/ws?a&&=b&":                             "/ws?a&&=b&",
		"/ws?token%3Ds3cret":                     "/ws?REDACTED",
		"/ws?token%253Ds3cret&a=b":               "/ws?REDACTED&a=b",
		"/ws?%2574oken=s3cret":                   "/ws?%2574oken=REDACTED",
		"/ws?%25252574oken=s3cret":               "/ws?%25252574oken=REDACTED",
		"/ws?pass=s3cret&PASSWD=s3cret":          "/ws?pass=REDACTED&PASSWD=REDACTED",
		"/ws?a=b;token=s3cret":                   "/ws?a=b;token=REDACTED",
		"/ws?TOKEN=s3cret&Pin=s3cret":            "/ws?TOKEN=REDACTED&Pin=REDACTED",
		"/ws;token=s3cret/x":                     "/ws;token=REDACTED/x",
		"/ws%3Btoken=s3cret":                     "/ws%3Btoken=REDACTED",
		"/ws/token=s3cret":                       "/ws/token=REDACTED",
		"/ws/token%3ds3cret/x":                   "/ws/REDACTED/x",
		"/ws/ticket/s3cret/x":                    "/ws/ticket/REDACTED/x",
		"/ws/%54icket/s3cret":                    "/ws/%54icket/REDACTED",
		"/ws/q8JkZ3creXyW0aB4cD5eFg/x":           "/ws/REDACTED/x",
		"/ws/room?q8JkZ3creXyW0aB4cD5eFg":        "/ws/room?REDACTED",
		"/ws?x=q8JkZ3creXyW0aB4cD5eFg":           "/ws?x=REDACTED",
		"/ws/a-room-of-22-letters_x/y":           "/ws/a-room-of-22-letters_x/y",
		"/ws?next=/reset/token/s3cret":           "/ws?next=REDACTED",
		"/ws?u=https%3A%2F%2Fa%3As3cret%40h":     "/ws?u=REDACTED",
		"/ws?pin%3Ds3cret&connect.sid=s3cret":    "/ws?REDACTED&connect.sid=REDACTED",
		"/ws?sid[]=s3cret&spin=a&side:b":         "/ws?sid[]=REDACTED&spin=a&side:b",
		"/ws?token:s3cret":                       "/ws?REDACTED",
		"/ws?q={%22token%22:%22s3cret%22}":       "/ws?q=REDACTED",
		"/ws/q8JkZ3creXyW0aB4cD5eFg.json":        "/ws/REDACTED",
		"/ws?x=q8JkZ3creXyW0aB4cD5eFg%0A":        "/ws?x=REDACTED",
		"/ws?x='q8JkZ3creXyW0aB4cD5eFg'":         "/ws?x=REDACTED",
		"/ws?x=%2F%3Fa%3Dq8JkZ3creXyW0aB4cD5eFg": "/ws?x=REDACTED",
		"/ws?a=b#token=s3cret":                   "/ws?a=b#token=REDACTED",
		"/ws#access_token=s3cret&b=c":            "/ws#access_token=REDACTED&b=c",
		"http://a:s3cret@h/ws":                   "http://REDACTED@h/ws",
	} {
		r := new(Request)
		h := up("GET "+target+" HTTP/1.1", "Authorization: Bearer s3cret", "Cookie: token=s3cret", "Sec-WebSocket-Protocol: bearer, s3cret")
		if err := openDoor.Parse([]byte(h), r); err != nil && err != errTarget {
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

// TestErrorsHoldNoToken: no error, which may be logged, has a token in it.
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

// TestRedact: texts of errors, lines of logs.
func TestRedact(t *testing.T) {
	t.Parallel()
	jwt := goodToken("alice")
	for text, want := range map[string]string{
		"":                                     "",
		"A bearer token is required.":          "A bearer token is required.",
		"the close reason: retry-after-ms=500": "the close reason: retry-after-ms=500",
		"open /run/secrets/jwt/key.pem: not there":                 "open /run/secrets/jwt/key.pem: not there",
		"lookup idp.example: no such host":                         "lookup idp.example: no such host",
		"/root/go/mod/x@v1.2.3/y.go:12 +0x1d":                      "/root/go/mod/x@v1.2.3/y.go:12 +0x1d",
		`Get "https://u:s3cret@h/k?sig=s3cret": dial tcp: refused`: `Get "https://REDACTED@h/k?sig=REDACTED": dial tcp: refused`,
		`parse "http://u:s3/cr@et@h/": invalid port`:               `parse "http://REDACTED@h/": invalid port`,
		"--jwks u:s3cret@h/x":                                      "--jwks REDACTED@h/x",
		"Authorization: Bearer s3cret":                             "Authorization: REDACTED",
		"authorization: Basic s3cret; Cookie: a=s3cret":            "authorization: REDACTED",
		"COOKIE: token=s3cret\r\nHost: h":                          "COOKIE: REDACTED\r\nHost: h",
		"Sec-WebSocket-Protocol: bearer, s3cret":                   "Sec-WebSocket-Protocol: REDACTED",
		"X-Api-Key: s3cret":                                        "X-Api-Key: REDACTED",
		"got Bearer s3cret9":                                       "got Bearer REDACTED",
		"the token " + jwt + " is bad":                             "the token REDACTED is bad",
		"username=alice&password=s3cret":                           "username=alice&password=REDACTED",
		"a%3As3cret%40h":                                           "REDACTED",
		"x@y%3As3cret%40h":                                         "REDACTED",
		"http://a%3As3cret%40h/x":                                  "http://REDACTED/x",
		`bad "http://u:s3\"cret@h/x"`:                              `bad "http://REDACTED@h/x"`,
		"'http://u:s3cret@h/x?key=s3cret'":                         "'http://REDACTED@h/x?key=REDACTED",
		"want scheme://host[:port], null, file:// or * for all":    "want scheme://host[:port], null, file:// or * for all",
		"password%3Ds3cret":                                        "REDACTED",
		"USHER_SECRET=s3cret":                                      "USHER_SECRET=REDACTED",
		"wss://h/ws/ticket/s3cret":                                 "wss://h/ws/ticket/REDACTED",
	} {
		got := Redact(text)
		if got != want {
			t.Errorf("%q:\n got %q\nwant %q", text, got, want)
		}
		if again := Redact(got); again != got {
			t.Errorf("%q: once more: %q", got, again)
		}
	}
}

// TestRedactURL: nothing that may be a secret is left of a URL that is a setting.
func TestRedactURL(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"https://idp.example/keys":                   "https://idp.example/keys",
		"https://idp.example:8443/keys?":             "https://idp.example:8443/keys?REDACTED",
		"https://u:s3cret@idp.example/keys?x=s3cret": "https://REDACTED@idp.example/keys?REDACTED",
		"HTTPS://s3cret@idp.example":                 "HTTPS://REDACTED@idp.example",
		"http://u:s3/cr@et@h/keys":                   "http://REDACTED@h/keys",
		"http://u:s3?cr#et@h/keys?s3cret":            "http://REDACTED@h/keys?REDACTED",
		"http://h/keys#s3cret":                       "http://h/keys#REDACTED",
		"http://h/token/s3cret/keys":                 "http://h/token/REDACTED/keys",
		"http://[::1]:80/keys":                       "http://[::1]:80/keys",
		"http://h:x/%zz?s3cret":                      "http://h:x/%zz?REDACTED",
		"https://h/@scope/keys":                      "https://h/@scope/keys",
	} {
		if got := RedactURL(text); got != want {
			t.Errorf("%q:\n got %q\nwant %q", text, got, want)
		}
	}
	cause := errors.New("refused")
	err := RedactError(fmt.Errorf("asking: %w", &url.Error{Op: "Get", URL: "http://u:s3cret@h/?s3cret", Err: cause}))
	if strings.Contains(err.Error(), "s3cret") || !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
	if got := RedactError(cause); got != cause {
		t.Errorf("got %v", got)
	}
}
