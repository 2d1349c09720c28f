//go:build linux

package guard

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"

	"github.com/usher-ws/usher/client"
	"github.com/usher-ws/usher/internal/text"
	"github.com/usher-ws/usher/upgrade"
)

// maxBody is how much of the body of an application's refusal goes on, in bytes.
const maxBody = 64 << 10

// answer is what an application has answered to a request that was passed on, as the client
// gets it.
type answer struct {
	response []byte // the whole head, and the body of a refusal
	status   int
	n        int  // how many bytes the application's own answer has: frames follow a 101
	deflate  bool // messages may come compressed
	takeover bool // and the client's may refer to those before them
}

// passAnswer reads an application's answer from b, where it ended if eof, and appends what the
// client gets for it to dst. r is the client's request, and f what it was passed on with;
// forgetful says that the client is not to refer to earlier messages when it compresses, as
// some of them may be left out. A zero answer without an error means that b is too short. An
// error is errInvalid, with what was wrong for the log.
func (f *Forward) passAnswer(dst []byte, r *upgrade.Request, forgetful bool, b []byte, eof bool) (answer, error) {
	resp, n, err := client.ParseResponse(b, eof)
	switch {
	case err != nil:
		return answer{}, invalid("%w", err)
	case n == 0 && eof:
		return answer{}, invalid("it ends within the head")
	case n == 0:
		return answer{}, nil
	}
	for line := range bytes.SplitSeq(resp.Header, []byte("\r\n")) {
		if len(resp.Header) > 0 && !isField(line) {
			return answer{}, invalid("header line %.64q", line)
		}
	}
	if resp.Status != http.StatusSwitchingProtocols {
		return answer{response: appendRefusal(dst, &resp), status: resp.Status, n: n}, nil
	}
	protocol, deflate, err := f.checkUpgrade(r, &resp)
	if err != nil {
		return answer{}, err
	}
	dst = append(dst, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"...)
	dst = appendLine(dst, "Sec-WebSocket-Accept", acceptOf(r))
	if protocol != "" {
		dst = appendLine(dst, "Sec-WebSocket-Protocol", protocol)
	}
	takeover := false
	if deflate != nil {
		dst = append(append(dst, "Sec-WebSocket-Extensions: "...), deflate...)
		if takeover = !hasParameter(deflate, clientForgets); takeover && forgetful {
			dst = append(append(dst, "; "...), clientForgets...) // RFC 7692 §7.1.1.2: also where it was not offered
			takeover = false
		}
		dst = append(dst, "\r\n"...)
	}
	dst = appendFields(dst, &resp)
	return answer{append(dst, "\r\n"...), resp.Status, n, deflate != nil, takeover}, nil
}

const clientForgets = "client_no_context_takeover"

// invalid is errInvalid with what was wrong.
func invalid(format string, args ...any) error {
	return fmt.Errorf("guard: the answer of the application: "+format+": %w", append(args, errInvalid)...)
}

// checkUpgrade judges a 101 (RFC 6455 §4.2.2), and returns the subprotocol that it names, or
// else "bearer" if the client has sent its token that way; and the extension.
func (f *Forward) checkUpgrade(r *upgrade.Request, resp *client.Response) (protocol string, deflate []byte, err error) {
	switch {
	case resp.Minor == 0:
		return "", nil, invalid("a 101 in HTTP/1.0")
	case !names(resp, "Upgrade", "websocket"):
		return "", nil, invalid("no Upgrade: websocket")
	case !names(resp, "Connection", "upgrade"):
		return "", nil, invalid("no Connection: Upgrade")
	case only(resp, "Sec-WebSocket-Accept") != acceptOf(r):
		return "", nil, invalid("wrong Sec-WebSocket-Accept")
	}
	if resp.Get("Sec-WebSocket-Protocol") != nil {
		if protocol = only(resp, "Sec-WebSocket-Protocol"); !f.offered(r, protocol) {
			return "", nil, invalid("a subprotocol that was not offered")
		}
	} else {
		protocol = r.Subprotocol()
	}
	for line := range resp.All("Sec-WebSocket-Extensions") {
		for e := range elements(line) {
			name, _, _ := bytes.Cut(e, []byte(";"))
			if deflate != nil || string(bytes.TrimRight(name, " \t")) != "permessage-deflate" || len(appendOffers(nil, r)) == 0 {
				return "", nil, invalid("an extension that was not offered: %.64q", e)
			}
			deflate = e
		}
	}
	return protocol, deflate, nil
}

// offered reports whether an application may choose a subprotocol.
func (f *Forward) offered(r *upgrade.Request, protocol string) bool {
	for p := range r.Subprotocols() {
		if string(p) == protocol {
			return true
		}
	}
	return f.Token && protocol != "" && protocol == r.Subprotocol() // bearer went on, too
}

// acceptOf is what a server answers to the request's key (RFC 6455 §4.2.2).
func acceptOf(r *upgrade.Request) string {
	sum := sha1.Sum(append(r.Header("Sec-WebSocket-Key"), "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"...))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// only returns the value of a header that there is once, else "".
func only(resp *client.Response, name string) (value string) {
	n := 0
	for v := range resp.All(name) {
		value = string(v)
		n++
	}
	if n != 1 {
		return ""
	}
	return value
}

// names reports whether a list header names token in any of its lines.
func names(resp *client.Response, header, token string) bool {
	for list := range resp.All(header) {
		for item := range text.Elements(list) {
			if bytes.EqualFold(item, []byte(token)) {
				return true
			}
		}
	}
	return false
}

// hasParameter reports whether an extension has a parameter without a value.
func hasParameter(extension []byte, name string) bool {
	for p := range bytes.SplitSeq(extension, []byte(";")) {
		if string(bytes.Trim(p, " \t")) == name {
			return true
		}
	}
	return false
}

// appendRefusal appends an answer that is no upgrade.
func appendRefusal(dst []byte, resp *client.Response) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(resp.Status), 10)
	dst = append(append(append(dst, ' '), http.StatusText(resp.Status)...), "\r\n"...)
	dst = appendFields(dst, resp)
	body := resp.Body[:min(len(resp.Body), maxBody)]
	if resp.Status != http.StatusNoContent && resp.Status != http.StatusNotModified { // RFC 9110 §8.6
		dst = appendLine(dst, "Content-Length", strconv.Itoa(len(body)))
	}
	return append(append(dst, "Connection: close\r\n\r\n"...), body...)
}

// appendFields appends the header lines of an answer but for those of one hop, of the
// handshake, and of how long the body is.
func appendFields(dst []byte, resp *client.Response) []byte {
	for line := range bytes.SplitSeq(resp.Header, []byte("\r\n")) {
		name, value, found := bytes.Cut(line, []byte(":"))
		if !found || isOneHop(name) || names(resp, "Connection", string(name)) {
			continue
		}
		dst = appendLine(dst, string(name), bytes.Trim(value, " \t"))
	}
	return dst
}

// isOneHop reports whether a header of an answer does not go on for its name.
func isOneHop(name []byte) bool {
	switch string(bytes.ToLower(name)) {
	case "connection", "keep-alive", "proxy-connection", "proxy-authenticate", "te", "trailer", "transfer-encoding", "content-length",
		"upgrade", "sec-websocket-accept", "sec-websocket-protocol", "sec-websocket-extensions":
		return true
	}
	return false
}

// isField reports whether a line is one that every reader takes for the same header (RFC 9112
// §5): otherwise what an application lets its users write there could end the answer.
func isField(line []byte) bool {
	name, value, found := bytes.Cut(line, []byte(":"))
	if !found || len(name) == 0 {
		return false
	}
	for _, c := range name {
		if c <= ' ' || c >= 0x7F || bytes.IndexByte([]byte("\"(),/:;<=>?@[\\]{}"), c) >= 0 {
			return false
		}
	}
	for _, c := range value {
		if c < ' ' && c != '\t' || c == 0x7F {
			return false
		}
	}
	return true
}
