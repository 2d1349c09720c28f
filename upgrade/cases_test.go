package upgrade

import (
	"strings"
	"time"

	"github.com/usher-ws/usher/internal/jwt"
)

type knockCase struct {
	name string
	door *Upgrader
	head string
	want string // status and code
}

// cases is the table of heads; their answers are in testdata/answers.golden.
var cases = func() (all []knockCase) {
	open := func(name, head, want string) { all = append(all, knockCase{name, openDoor, head, want}) }
	auth := func(name, head, want string) { all = append(all, knockCase{name, authDoor, head, want}) }
	acceptedCases(open)
	headCases(open)
	lineCases(open)
	requestLineCases(open)
	bodyCases(open)
	handshakeCases(open)
	originCases(open)
	anyOriginCases(
		func(name, head, want string) { all = append(all, knockCase{name, anyDoor, head, want}) },
		func(name, head, want string) { all = append(all, knockCase{name, namedDoor, head, want}) },
	)
	probeCases(open, auth)
	subprotocolCases(open, auth)
	tokenCases(auth)
	deflateCases(func(name, head, want string) { all = append(all, knockCase{name, deflateDoor, head, want}) })
	return all
}()

type add func(name, head, want string)

func acceptedCases(open add) {
	open("the RFC's own", up(), "101")
	open("lower case names", strings.NewReplacer("Host", "host", "Upgrade:", "upgrade:", "Connection", "connection", "Sec-WebSocket", "sec-websocket").Replace(up()), "101")
	open("upper case names", strings.NewReplacer("Sec-WebSocket-Key", "SEC-WEBSOCKET-KEY", "Sec-WebSocket-Version", "SEC-WEBSOCKET-VERSION").Replace(up()), "101")
	open("upper case values", up("Upgrade: WebSocket", "Connection: UPGRADE"), "101")
	open("Firefox", up("Connection: keep-alive, Upgrade"), "101")
	open("two Connection lines", up("Connection: keep-alive", "+Connection: Upgrade"), "101")
	open("two Connection lines, upgrade first", up("Connection: Upgrade", "+Connection: keep-alive"), "101")
	open("Connection with empty elements", up("Connection: , keep-alive, , Upgrade"), "101")
	open("Connection with spaces for commas", up("Connection: keep-alive Upgrade"), "400 bad_connection")
	open("Connection with a string", up(`Connection: "x", Upgrade`), "400 bad_connection")
	open("Upgrade with a choice", up("Upgrade: h2c, websocket"), "101")
	open("two Upgrade lines", up("Upgrade: h2c", "+Upgrade: websocket"), "101")
	open("a Host with a port", up("Host: chat.example:8080"), "101")
	open("an IPv6 Host", up("Host: [::1]:8080"), "101")
	open("an empty Host", up("Host:"), "101")
	open("an absolute target", up("GET http://other.example/ws HTTP/1.1"), "101")
	open("an absolute ws target without path", up("GET ws://other.example:80 HTTP/1.1"), "101")
	open("a query", up("GET /ws?a=b&c=%20?/ HTTP/1.1"), "101")
	open("an escaped path", up("GET /ws%2froom HTTP/1.1"), "101")
	open("a double slash", up("GET //ws HTTP/1.1"), "101")
	open("Content-Length 0", up("Content-Length: 0"), "101")
	open("no space behind the colon", up("Upgrade:websocket"), "101")
	open("tabs around a value", up("Upgrade:\twebsocket\t "), "101")
	open("an empty value", up("X-Empty:"), "101")
	open("Latin-1 in a value", up("X-Name: caf\xe9"), "101")
	open("a tab in a value", up("X-Name: a\tb"), "101")
	open("a colon in a value", up("X-Name: a:b"), "101")
	open("a key with padding bits", up("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAB=="), "101")
	open("an extension offered", up("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"), "101")
	open("a nonsensical extension", up(`Sec-WebSocket-Extensions: ;;=,"`), "101")
	open("an invalid deflate offer", up("Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=99"), "101")
	open("100 lines", up(strings.Split(strings.TrimSuffix(strings.Repeat("+X: y|", 95), "|"), "|")...), "101")
	open("16384 bytes", fill(16384), "101")
	open("frames behind the head", up()+"\x81\x85abcd\x00\x01\x02\x03\x04", "101")
	open("a line longer than gobwas/ws's buffer", up("Cookie: a="+strings.Repeat("x", 5000)), "101")
	open("HTTP/1.1 with Expect", up("Expect: 100-continue"), "101")
}

// fill pads an upgrade to n bytes.
func fill(n int) string {
	return up("X-Fill: " + strings.Repeat("x", n-len(up("X-Fill: "))))
}

func headCases(open add) {
	open("nothing", "", "more")
	open("half a request line", "GET /ws HT", "more")
	open("no empty line", strings.TrimSuffix(up(), "\r\n"), "more")
	open("16385 bytes", fill(16385), "431 header_too_large")
	open("60 KiB of header", fill(60<<10), "431 header_too_large")
	open("16384 bytes and no end", fill(16386)[:16384], "431 header_too_large")
	open("101 lines", up(strings.Split(strings.TrimSuffix(strings.Repeat("+X: y|", 96), "|"), "|")...), "431 header_too_large")
	open("a long target", up("GET /"+strings.Repeat("a", 17000)+" HTTP/1.1"), "414 uri_too_long")
	open("a long target without end", "GET /"+strings.Repeat("a", 17000), "414 uri_too_long")
	open("a long line of garbage", strings.Repeat("a", 17000), "400 bad_request")
	open("a TLS ClientHello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400 bad_request")
	open("SSH", "SSH-2.0-OpenSSH_9.6\r\n", "400 bad_request")
	open("a Redis command", "*1\r\n$4\r\nPING\r\n", "400 bad_request")
	open("SOCKS", "\x05\x01\x00", "400 bad_request")
	open("NULs", "\x00\x00\x00\x00", "400 bad_request")
	open("an empty line first", "\r\n"+up(), "400 bad_request")
	open("a space first", " "+up(), "400 bad_request")
	open("bare LF throughout", strings.ReplaceAll(up(), "\r", ""), "400 bad_request")
	open("bare LF behind the request line", strings.Replace(up(), "\r\n", "\n", 1), "400 bad_request")
	open("bare LF behind a header", strings.Replace(up(), "example\r\n", "example\n", 1), "400 bad_request")
	open("bare LF as the empty line", strings.TrimSuffix(up(), "\r\n")+"\n", "400 bad_request")
	open("LF LF at the end", strings.TrimSuffix(up(), "\r\n\r\n")+"\n\n", "400 bad_request")
	open("a bare CR in a value", up("X: a\rb"), "400 bad_request")
	open("a bare CR behind a line", strings.Replace(up(), "example\r\n", "example\r\r\n", 1), "400 bad_request")
	open("CR CR LF at the end", strings.TrimSuffix(up(), "\r\n")+"\r\r\n", "400 bad_request")
	open("a NUL in a value", up("X: a\x00b"), "400 bad_request")
	open("an escape in a value", up("X: \x1b[31m"), "400 bad_request")
	open("a DEL in a value", up("X: a\x7fb"), "400 bad_request")
	open("a vertical tab in a name", up("X\x0bY: a"), "400 bad_request")
	open("a control byte, and no end", up()[:40]+"\x01", "400 bad_request")
}

func lineCases(open add) {
	open("a space before the colon", up("Upgrade : websocket"), "400 bad_request")
	open("Host and a space before the colon", up("Host : chat.example"), "400 bad_request")
	open("a tab before the colon", up("X-Tab\t: a"), "400 bad_request")
	open("a folded line", up("X-Fold: a", "+ b: c"), "400 bad_request")
	open("a folded line with a tab", up("X-Fold: a", "+\tb"), "400 bad_request")
	open("a folded first line", strings.Replace(up(), "Host:", " Host:", 1), "400 bad_request")
	open("a line of one space", up("+ "), "400 bad_request")
	open("no colon", up("X-Nothing"), "400 bad_request")
	open("an empty name", up(": empty"), "400 bad_request")
	open("a name with a space", up("X Y: a"), "400 bad_request")
	open("a name that is no token", up("X(Y): a"), "400 bad_request")
	open("a name in Latin-1", up("X-Caf\xe9: a"), "400 bad_request")
	open("a name in UTF-8", up("X-Café: a"), "400 bad_request")
	open("two Hosts", up("+Host: evil.example"), "400 bad_request")
	open("two equal Hosts", up("+Host: chat.example"), "400 bad_request")
	open("two Hosts in two cases", up("+hOST: evil.example"), "400 bad_request")
	open("no Host", up("-Host"), "400 bad_request")
	open("a Host with a space", up("Host: chat example"), "400 bad_request")
	open("a Host with a slash", up("Host: chat.example/x"), "400 bad_request")
	open("a Host with a user", up("Host: a@chat.example"), "400 bad_request")
	open("two Keys", up("+Sec-WebSocket-Key: "+testKey), "400 bad_request")
	open("two Keys and no Upgrade", up("-Upgrade", "+Sec-WebSocket-Key: "+testKey), "400 bad_request")
	open("two faults", up("+Host: evil.example", "Sec-WebSocket-Version: 8", "Connection: close"), "400 bad_request")
}

func requestLineCases(open add) {
	open("garbage", "garbage\r\n\r\n", "400 bad_request")
	open("no target", up("GET HTTP/1.1 HTTP/1.1"), "400 bad_request")
	open("HTTP/0.9", "GET /ws\r\n\r\n", "400 bad_request")
	open("two spaces", up("GET  /ws HTTP/1.1"), "400 bad_request")
	open("two spaces before the version", up("GET /ws  HTTP/1.1"), "400 bad_request")
	open("a space behind the version", up("GET /ws HTTP/1.1 "), "400 bad_request")
	open("a tab", strings.Replace(up(), "GET /ws", "GET\t/ws", 1), "400 bad_request")
	open("a space in the target", up("GET /w s HTTP/1.1"), "400 bad_request")
	open("a method that is no token", up("G(T /ws HTTP/1.1"), "400 bad_request")
	open("an endless method", strings.Repeat("G", 40), "400 bad_request")
	open("a target in UTF-8", up("GET /café HTTP/1.1"), "400 bad_request")
	open("a target in Latin-1", up("GET /caf\xe9 HTTP/1.1"), "400 bad_request")
	open("a control byte in the target", up("GET /a\x01b HTTP/1.1"), "400 bad_request")
	open("a relative target", up("GET ws HTTP/1.1"), "400 bad_request")
	open("a fragment", up("GET /ws#here HTTP/1.1"), "400 bad_request")
	open("a bad escape", up("GET /%zz HTTP/1.1"), "400 bad_request")
	open("half an escape", up("GET /%2 HTTP/1.1"), "400 bad_request")
	open("an asterisk", up("GET * HTTP/1.1"), "400 bad_request")
	open("another scheme", up("GET ftp://chat.example/ws HTTP/1.1"), "400 bad_request")
	open("a URL without host", up("GET http:///ws HTTP/1.1"), "400 bad_request")
	open("a URL with a user", up("GET http://a@chat.example/ws HTTP/1.1"), "400 bad_request")
	open("a URL with IPv4 in brackets", up("GET http://[127.0.0.1]/ws HTTP/1.1"), "400 bad_request")
	open("a URL with an IPv6 zone", up("GET http://[fe80::1%25eth0]/ws HTTP/1.1"), "400 bad_request")
	open("a URL with IPv6", up("GET http://[::ffff:127.0.0.1]:80/ws HTTP/1.1"), "101")
	open("a URL with a query and no path", up("GET http://chat.example?a=b HTTP/1.1"), "101")
	open("a URL with a bad port", up("GET http://chat.example:x/ws HTTP/1.1"), "400 bad_request")
	open("a lower case version", up("GET /ws http/1.1"), "400 bad_request")
	open("HTTP/1.:", up("GET /ws HTTP/1.:"), "400 bad_request")
	open("HTTP/11.1", up("GET /ws HTTP/11.1"), "400 bad_request")
	open("HTTP/1", up("GET /ws HTTP/1"), "400 bad_request")
	open("ICY/1.1", strings.Replace(up(), "HTTP/1.1", "ICY/1.1", 1), "400 bad_request")
	open("HTTP/1.0", up("GET /ws HTTP/1.0"), "505 version_not_supported")
	open("HTTP/1.0 without Host", up("GET /ws HTTP/1.0", "-Host"), "505 version_not_supported")
	open("HTTP/1.0 and two Hosts", up("GET /ws HTTP/1.0", "+Host: evil.example"), "400 bad_request")
	open("HTTP/1.2", up("GET /ws HTTP/1.2"), "505 version_not_supported")
	open("HTTP/2.0", up("GET /ws HTTP/2.0"), "505 version_not_supported")
	open("the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505 version_not_supported")
}

func bodyCases(open add) {
	open("a body", up("Content-Length: 5")+"hello", "400 bad_request")
	open("a chunked body", up("Transfer-Encoding: chunked"), "400 bad_request")
	open("an identity coding", up("Transfer-Encoding: identity"), "400 bad_request")
	open("two Content-Lengths", up("Content-Length: 0", "+Content-Length: 0"), "400 bad_request")
	open("a negative Content-Length", up("Content-Length: -1"), "400 bad_request")
	open("a signed Content-Length", up("Content-Length: +0"), "400 bad_request")
	open("an empty Content-Length", up("Content-Length:"), "400 bad_request")
	open("a Content-Length in hex", up("Content-Length: 0x0"), "400 bad_request")
	open("a Content-Length list", up("Content-Length: 0, 0"), "400 bad_request")
	open("an endless Content-Length", up("Content-Length: 99999999999999999999"), "400 bad_request")
	open("POST with a body", head("POST /ws HTTP/1.1", "Host: h", "Content-Length: 5")+"hello", "405 method_not_allowed")
	open("POST with chunks", head("POST /ws HTTP/1.1", "Host: h", "Transfer-Encoding: chunked"), "405 method_not_allowed")
	open("POST with both", head("POST /ws HTTP/1.1", "Host: h", "Content-Length: 5", "Transfer-Encoding: chunked"), "400 bad_request")
	open("POST with an unknown coding", head("POST /ws HTTP/1.1", "Host: h", "Transfer-Encoding: gzip, chunked"), "400 bad_request")
	open("POST with a framing trailer", head("POST /ws HTTP/1.1", "Host: h", "Transfer-Encoding: chunked", "Trailer: X, content-length"), "400 bad_request")
}

func handshakeCases(open add) {
	open("POST", up("POST /ws HTTP/1.1"), "405 method_not_allowed")
	open("lower case get", up("get /ws HTTP/1.1"), "405 method_not_allowed")
	open("an unknown method", up("BREW /ws HTTP/1.1"), "405 method_not_allowed")
	open("POST and all else wrong", up("POST /ws HTTP/1.1", "-Upgrade", "-Sec-WebSocket-Key", "Origin: null"), "405 method_not_allowed")
	open("HEAD", head("HEAD /ws HTTP/1.1", "Host: chat.example"), "426")
	open("HEAD with everything", up("HEAD /ws HTTP/1.1"), "426")
	open("HEAD and two Hosts", head("HEAD /ws HTTP/1.1", "Host: a", "Host: b"), "400")
	open("OPTIONS", head("OPTIONS /ws HTTP/1.1", "Host: chat.example"), "204")
	open("OPTIONS *", head("OPTIONS * HTTP/1.1", "Host: chat.example"), "204")
	open("OPTIONS from a friend", head("OPTIONS /ws HTTP/1.1", "Host: chat.example", "Origin: https://friend.example", "Access-Control-Request-Method: GET"), "204")
	open("OPTIONS from a foreigner", head("OPTIONS /ws HTTP/1.1", "Host: chat.example", "Origin: https://evil.example", "Access-Control-Request-Method: GET"), "204")
	open("a browser's GET", head("GET /ws HTTP/1.1", "Host: chat.example", "Accept: text/html,*/*;q=0.8"), "426 upgrade_required")
	open("HTTP/1.0 without Upgrade", head("GET /ws HTTP/1.0"), "426 upgrade_required")
	open("no Upgrade", up("-Upgrade"), "426 upgrade_required")
	open("an empty Upgrade", up("Upgrade:"), "426 upgrade_required")
	open("another Upgrade", up("Upgrade: h2c"), "426 upgrade_required")
	open("nearly websocket", up("Upgrade: websockets"), "426 upgrade_required")
	open("no Upgrade and a body", head("GET /ws HTTP/1.1", "Host: h", "Content-Length: 5")+"hello", "426 upgrade_required")
	open("no version", up("-Sec-WebSocket-Version"), "426 upgrade_required")
	open("an empty version", up("Sec-WebSocket-Version:"), "426 upgrade_required")
	open("version 8", up("Sec-WebSocket-Version: 8"), "426 upgrade_required")
	open("version 013", up("Sec-WebSocket-Version: 013"), "426 upgrade_required")
	open("version 13, 8", up("Sec-WebSocket-Version: 13, 8"), "426 upgrade_required")
	open("two versions", up("+Sec-WebSocket-Version: 13"), "426 upgrade_required")
	open("version 8 before the key", up("Sec-WebSocket-Version: 8", "-Sec-WebSocket-Key", "Origin: null"), "426 upgrade_required")
	open("no key", up("-Sec-WebSocket-Key"), "400 bad_key")
	open("an empty key", up("Sec-WebSocket-Key:"), "400 bad_key")
	open("24 bytes that are no base64", up("Sec-WebSocket-Key: !!!!!!!!!!!!!!!!!!!!!!=="), "400 bad_key")
	open("base64 of 18 bytes", up("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAAA"), "400 bad_key")
	open("base64 of 17 bytes", up("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAA="), "400 bad_key")
	open("base64url", up("Sec-WebSocket-Key: -_AAAAAAAAAAAAAAAAAAAA=="), "400 bad_key")
	open("a short key", up("Sec-WebSocket-Key: dGhl"), "400 bad_key")
	open("no Connection", up("-Connection"), "400 bad_connection")
	open("Connection: close", up("Connection: close"), "400 bad_connection")
	open("Connection: upgraded", up("Connection: keep-alive, upgraded"), "400 bad_connection")
	open("Connection before Origin", up("Connection: close", "Origin: null"), "400 bad_connection")
	open("a key before Origin", up("-Sec-WebSocket-Key", "Origin: null"), "400 bad_key")
}

func originCases(open add) {
	pass := func(host, origin string) {
		open("Origin "+origin+" at "+host, up("Host: "+host, "Origin: "+origin), "101")
	}
	stop := func(host, origin string) {
		open("Origin "+origin+" at "+host, up("Host: "+host, "Origin: "+origin), "403 origin_not_allowed")
	}
	pass("chat.example", "https://chat.example")
	pass("chat.example", "http://chat.example")
	pass("chat.example", "https://CHAT.example")
	pass("chat.example:443", "https://chat.example")
	pass("chat.example", "http://chat.example:80")
	pass("chat.example:8080", "http://chat.example:8080")
	pass("[::1]:8080", "http://[::1]:8080")
	pass("chat.example", "https://friend.example")
	pass("chat.example", "http://friend.example")
	pass("chat.example", "https://a.club.example")
	pass("chat.example", "https://a.b.club.example")
	pass("chat.example", "https://safe.example")
	pass("chat.example", "https://safe.example:443")
	pass("chat.example", "http://dev.example:3000")
	stop("chat.example", "null")
	stop("chat.example", "")
	stop("chat.example", "https://evil.example")
	stop("chat.example", "https://chat.example.evil.example")
	stop("chat.example", "https://evilchat.example")
	stop("chat.example", "http://chat.example:8080")
	stop("chat.example:8080", "http://chat.example")
	stop("chat.example", "https://friend.example:8443")
	stop("chat.example", "https://club.example")
	stop("chat.example", "https://evilclub.example")
	stop("chat.example", "http://safe.example")
	stop("chat.example", "http://dev.example")
	stop("chat.example", "chat.example")
	stop("chat.example", "https://chat.example/path")
	stop("chat.example", "https://user@chat.example")
	stop("chat.example", "file://")
	stop("chat.example", "chrome-extension://abcdefgh")
	open("two good Origins", up("Origin: https://chat.example", "+Origin: https://chat.example"), "403 origin_not_allowed")
	open("an Origin of the target's host", up("GET http://other.example/ws HTTP/1.1", "Origin: http://other.example"), "101")
	open("an Origin of the overruled Host", up("GET http://other.example/ws HTTP/1.1", "Origin: http://chat.example"), "403 origin_not_allowed")
}

// anyOriginCases are what "*" lets in, and what that is not good for.
func anyOriginCases(every, named add) {
	for _, origin := range []string{
		"null", "file://", "https://chat.example/", "https://evil.example", "https://evil.example/", "chrome-extension://abcdefgh",
		"moz-extension://a-b-c", "app://.", "evil.example", "https://user:pw@evil.example", "https://evil.example:", "x", "",
	} {
		every("any Origin: "+origin, up("Origin: "+origin), "101")
		every("a probe of any Origin: "+origin, head("GET /ws HTTP/1.1", "Host: chat.example", "Accept: "+problemJSON, "Origin: "+origin), "200 ok")
	}
	every("any two Origins", up("Origin: null", "+Origin: https://evil.example"), "101")
	name := func(origin, upgrade, probe string) {
		named("the named Origin "+origin, up("Origin: "+origin), upgrade)
		named("a probe of the named Origin "+origin, head("GET /ws HTTP/1.1", "Host: chat.example", "Accept: "+problemJSON, "Origin: "+origin), probe)
	}
	for _, origin := range []string{
		"null", "file://", "FILE://", "chrome-extension://abcdefgh", "app://.", "http://[::1]:3000", "http://[0:0::0:1]:3000",
		"https://a.club.example", "https://a.club.example:443",
	} {
		name(origin, "101", "200 ok")
	}
	for _, origin := range []string{
		"NULL", "file:///", "file://x", "chrome-extension://other", "app://", "http://null", "http://[::2]:3000", "https://club.example",
		"http://a.club.example", "https://a.club.example.", "https://a.club.example:0443", "https://a.club.example:65979",
		"https://u@a.club.example", "https://a.club.example/",
	} {
		name(origin, "403 origin_not_allowed", "403 origin_not_allowed")
	}
}

func probeCases(open, auth add) {
	probe := func(lines ...string) string {
		return head(append([]string{"GET /ws HTTP/1.1", "Host: chat.example"}, lines...)...)
	}
	accept := "Accept: application/problem+json"
	open("a probe", probe(accept), "200 ok")
	open("a probe among others", probe("Accept: text/html, Application/Problem+JSON;q=0.5"), "200 ok")
	open("a probe in two lines", probe("Accept: text/html", accept), "200 ok")
	open("a probe from a friend", probe(accept, "Origin: https://friend.example"), "200 ok")
	open("a probe from a foreigner", probe(accept, "Origin: https://evil.example"), "403 origin_not_allowed")
	open("a probe from nobody", probe(accept, "Origin: null"), "403 origin_not_allowed")
	open("a probe in HTTP/1.0", head("GET /ws HTTP/1.0", accept), "200 ok")
	open("a POST is no probe", head("POST /ws HTTP/1.1", "Host: h", accept), "405 method_not_allowed")
	open("a HEAD is no probe", head("HEAD /ws HTTP/1.1", "Host: h", accept), "426")
	open("an upgrade is no probe", up(accept), "101")
	open("a probe of Java's, which offers h2c with everything", probe("Connection: Upgrade, HTTP2-Settings", "Content-Length: 0", "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA", "Upgrade: h2c", accept), "200 ok")
	open("a probe that offers other protocols", probe(accept, "Upgrade: h2c, TLS/1.2", "Upgrade: IRC/6.9"), "200 ok")
	open("an upgrade to h2c or websocket is no probe", up(accept, "Upgrade: h2c, websocket"), "101")
	open("an upgrade among lines is no probe", up(accept, "Upgrade: h2c", "+Upgrade: WebSocket"), "101")
	open("h2c and no Accept is no probe", probe("Upgrade: h2c"), "426 upgrade_required")
	auth("a probe of Java's without a token", probe(accept, "Upgrade: h2c"), "401 token_missing")
	open("application/json is no probe", probe("Accept: application/json"), "426 upgrade_required")
	auth("a probe without a token", probe(accept, "Origin: https://friend.example"), "401 token_missing")
	auth("a probe with a bad token", probe(accept, "Authorization: Bearer x"), "401 token_invalid")
	auth("a probe with a token", probe(accept, "Authorization: Bearer "+goodToken("alice")), "200 ok")
	auth("a probe with a cookie, as a page asks its own host", probe(accept, "Cookie: token="+goodToken("alice")), "200 ok")
	auth("a probe: Origin before the token", probe(accept, "Origin: https://evil.example", "Authorization: Bearer x"), "403 origin_not_allowed")
}

func subprotocolCases(open, auth add) {
	p := func(v string) string { return up("Sec-WebSocket-Protocol: " + v) }
	open("a protocol", p("chat.v1"), "101")
	open("the server's preference", p("chat.v1, chat.v2"), "101")
	open("two lines of protocols", up("Sec-WebSocket-Protocol: chat.v1", "+Sec-WebSocket-Protocol: chat.v2"), "101")
	open("an unknown protocol", p("soap"), "101")
	open("a protocol in another case", p("Chat.V1"), "101")
	open("no protocol in the line", p(""), "101")
	open("a list that is none", p("chat.v1 chat.v2"), "400 bad_subprotocol")
	open("a quoted protocol", p(`"chat.v1"`), "400 bad_subprotocol")
	open("a bad list before Origin", up("Sec-WebSocket-Protocol: a b", "Origin: null"), "400 bad_subprotocol")
	open("bearer at an open door", p("bearer, secret"), "101")
	auth("bearer and a token", p("bearer, "+goodToken("alice")), "101")
	auth("bearer, a token and a protocol", p("bearer, "+goodToken("alice")+", chat.v1"), "101")
	auth("bearer, a token and an unknown protocol", p("bearer, "+goodToken("alice")+", soap"), "101")
	auth("bearer alone", p("bearer"), "401 token_missing")
	auth("bearer and a protocol for a token", p("bearer, chat.v1"), "401 token_invalid")
}

func tokenCases(auth add) {
	good, other := goodToken("alice"), goodToken("bob")
	bearer := func(t string) string { return up("Authorization: Bearer " + t) }
	claims := func(c jwt.MapClaims) string { return bearer(sign(c)) }
	later, before := testNow.Add(time.Hour).Unix(), testNow.Add(-time.Second).Unix()

	auth("no token at all", up(), "401 token_missing")
	auth("a token in the header", bearer(good), "101")
	auth("bearer in any case", up("Authorization: bEARER "+good), "101")
	auth("spaces before the token", up("Authorization: Bearer   "+good), "101")
	auth("an empty token", up("Authorization: Bearer "), "401 token_missing")
	auth("a scheme but Bearer", up("Authorization: Basic YTpi"), "401 token_missing")
	auth("a token in a cookie", up("Cookie: a=b; token="+good+"; c=d", "Origin: https://chat.example"), "101")
	auth("a token behind a broken cookie", up("Cookie: a b=c; =; ;x; token="+good, "Origin: https://chat.example"), "101")
	auth("a quoted cookie", up(`Cookie: token="`+good+`"`, "Origin: https://chat.example"), "101")
	auth("two cookies, two tokens", up("Cookie: token="+good+"; token="+other), "400 token_ambiguous")
	auth("a cookie of another name", up("Cookie: tokens="+good), "401 token_missing")
	auth("two Cookie lines", up("Cookie: a=b", "+Cookie: token="+good, "Origin: https://chat.example"), "101")
	auth("a cookie from a friend", up("Cookie: token="+good, "Origin: https://friend.example"), "101")
	auth("a cookie from a foreigner", up("Cookie: token="+good, "Origin: https://evil.example"), "403 origin_not_allowed")
	auth("a cookie from nobody", up("Cookie: token="+good, "Origin: null"), "403 origin_not_allowed")
	auth("a cookie without Origin", up("Cookie: token="+good), "403 origin_not_allowed")
	auth("a bad cookie without Origin", up("Cookie: token=x"), "401 token_invalid")
	auth("an empty cookie without Origin", up("Cookie: token="), "401 token_missing")
	auth("a token in the query", up("GET /ws?token="+good+" HTTP/1.1"), "101")
	auth("an escaped query", up("GET /ws?x=y&token="+strings.ReplaceAll(good, ".", "%2E")+" HTTP/1.1"), "101")
	auth("an empty query token", up("GET /ws?token= HTTP/1.1"), "401 token_missing")
	auth("a query with a bad escape", up("GET /ws?token=%zz HTTP/1.1"), "401 token_invalid")
	auth("the same token four times", up("GET /ws?token="+good+" HTTP/1.1", "Authorization: Bearer "+good, "Cookie: token="+good, "Sec-WebSocket-Protocol: bearer, "+good), "101")
	auth("two tokens", up("GET /ws?token="+other+" HTTP/1.1", "Authorization: Bearer "+good), "400 token_ambiguous")
	auth("two tokens in two header lines", up("Authorization: Bearer "+good, "+Authorization: Bearer "+other), "400 token_ambiguous")
	auth("two tokens in a query", up("GET /ws?token="+good+"&token="+other+" HTTP/1.1"), "400 token_ambiguous")
	auth("two tokens, one bad", up("Authorization: Bearer x", "Cookie: token="+good), "400 token_ambiguous")
	auth("Origin before the token", up("Origin: https://evil.example"), "403 origin_not_allowed")
	auth("a token and no key", up("Authorization: Bearer "+good, "-Sec-WebSocket-Key"), "400 bad_key")
	auth("no JWT", bearer("letmein"), "401 token_invalid")
	auth("a changed signature", bearer(good[:len(good)-4]+"AAAA"), "401 token_invalid")
	auth("no signature", bearer(good[:strings.LastIndex(good, ".")+1]), "401 token_invalid")
	auth("alg none", bearer(unsigned(later)), "401 token_invalid")
	auth("alg HS384", bearer(signedBy(jwt.SigningMethodHS384, later)), "401 token_invalid")
	auth("expired", claims(jwt.MapClaims{"sub": "alice", "exp": before}), "401 token_expired")
	auth("expired and forged", bearer(sign(jwt.MapClaims{"sub": "alice", "exp": before})+"A"), "401 token_invalid")
	auth("no exp", claims(jwt.MapClaims{"sub": "alice"}), "401 token_invalid")
	auth("exp is no number", claims(jwt.MapClaims{"sub": "alice", "exp": "soon"}), "401 token_invalid")
	auth("no sub", claims(jwt.MapClaims{"exp": later}), "401 token_invalid")
	auth("an empty sub", claims(jwt.MapClaims{"sub": "", "exp": later}), "401 token_invalid")
	auth("sub is no string", claims(jwt.MapClaims{"sub": 7, "exp": later}), "401 token_invalid")
	auth("not yet", claims(jwt.MapClaims{"sub": "alice", "exp": later, "nbf": later}), "401 token_invalid")
}

// deflateCases are few: the offers have a table of their own, in deflate_test.go.
func deflateCases(deflate add) {
	ext := func(v string) string { return up("Sec-WebSocket-Extensions: " + v) }
	deflate("no offer", up(), "101")
	deflate("an offer of deflate", ext("permessage-deflate; client_max_window_bits"), "101")
	deflate("an offer that limits our window to its size", ext("permessage-deflate; server_max_window_bits=15"), "101")
	deflate("an offer that limits our window", ext("permessage-deflate; server_max_window_bits=10"), "101")
	deflate("a second offer", ext("permessage-deflate; server_max_window_bits=7, permessage-deflate"), "101")
	deflate("offers in two lines", up("Sec-WebSocket-Extensions: foo", "+Sec-WebSocket-Extensions: permessage-deflate"), "101")
	deflate("an offer declined", ext("permessage-deflate; server_max_window_bits=99"), "101")
	deflate("deflate and a protocol", up("Sec-WebSocket-Protocol: chat.v1", "Sec-WebSocket-Extensions: permessage-deflate"), "101")
	deflate("extensions that are no list", ext(`;;=,"`), "400 bad_extensions")
	deflate("protocols before extensions", up("Sec-WebSocket-Protocol: a b", "Sec-WebSocket-Extensions: a b"), "400 bad_subprotocol")
	deflate("extensions before Origin", up("Sec-WebSocket-Extensions: a b", "Origin: null"), "400 bad_extensions")
	deflate("a probe with an offer", head("GET /ws HTTP/1.1", "Host: h", "Accept: application/problem+json", "Sec-WebSocket-Extensions: permessage-deflate"), "200 ok")
}

func unsigned(exp int64) string {
	s, _ := jwt.NewWithClaims(jwt.SigningMethodNone, jwt.MapClaims{"sub": "a", "exp": exp}).SignedString(nil)
	return s
}

func signedBy(m jwt.SigningMethod, exp int64) string {
	s, _ := jwt.NewWithClaims(m, jwt.MapClaims{"sub": "a", "exp": exp}).SignedString(testSecret)
	return s
}
