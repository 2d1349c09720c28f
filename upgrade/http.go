package upgrade

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
)

// UpgradeHTTP is Upgrade inside net/http: the same verdicts and the same bytes
// for a request that net/http has read. The wildcards of the pattern that
// routed req are the Request's path values.
//
// The connection is hijacked, also for a refusal, so that it can linger. If w cannot be
// hijacked, as in HTTP/2, a refusal goes through w, and an upgrade that would have
// succeeded is refused with a 500. net/http has judged the syntax before us, in its own
// way; Timeout bounds only the writing.
//
// After an error the request has been answered and conn is nil: the handler returns.
func (u *Upgrader) UpgradeHTTP(w http.ResponseWriter, req *http.Request) (conn net.Conn, r *Request, early []byte, err error) {
	r, out, err := u.judgeHTTP(req)
	if err != nil {
		u.turnAway(w, req, out, err)
		return nil, nil, nil, err
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		out, err = u.Refuse(nil, r, fmt.Errorf("cannot hijack: %w", err))
		u.tell(r, err)
		replay(w, req, out)
		return nil, nil, nil, err
	}
	if err := deliver(conn, out, u.timeout(), nil); err != nil {
		return nil, nil, nil, err
	}
	if n := rw.Reader.Buffered(); n > 0 {
		early = make([]byte, n)
		_, _ = io.ReadFull(rw.Reader, early) // it is all there
	}
	return conn, r, early, nil
}

// headOf writes a head that says what net/http has read. HTTP/2 is written as
// HTTP/1.1: it has no Upgrade to grant, but it can ask with a probe.
func headOf(req *http.Request) []byte {
	target := req.RequestURI
	if target == "" {
		target = req.URL.RequestURI() // not from a server: a test, perhaps
	}
	proto := req.Proto
	if req.ProtoMajor != 1 {
		proto = "HTTP/1.1"
	}
	b := fmt.Appendf(make([]byte, 0, 1024), "%s %s %s\r\n", req.Method, target, proto)
	if req.Host != "" || req.ProtoAtLeast(1, 1) {
		b = appendLine(b, "Host", req.Host)
	}
	if len(req.TransferEncoding) > 0 {
		b = appendLine(b, "Transfer-Encoding", strings.Join(req.TransferEncoding, ", "))
	}
	for _, key := range slices.Sorted(maps.Keys(req.Header)) {
		for _, value := range req.Header[key] {
			b = appendLine(b, key, value)
		}
	}
	return append(b, "\r\n"...)
}

func appendLine(b []byte, key, value string) []byte {
	b = append(append(b, key...), ": "...)
	return append(append(b, value...), "\r\n"...)
}

// setPathValues copies the wildcards of the pattern, "/ws/{room}", that
// net/http's mux matched.
func setPathValues(r *Request, req *http.Request) {
	for rest := req.Pattern; ; {
		_, after, ok := strings.Cut(rest, "{")
		if !ok {
			return
		}
		name, behind, _ := strings.Cut(after, "}")
		if name = strings.TrimSuffix(name, "..."); name != "$" {
			r.SetPathValue(name, req.PathValue(name))
		}
		rest = behind
	}
}

// replay sends response, a whole one, through w.
func replay(w http.ResponseWriter, req *http.Request, response []byte) {
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(response)), req)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	defer resp.Body.Close()
	maps.Copy(w.Header(), resp.Header)
	if w.Header().Set("Connection", "close"); req.ProtoMajor != 1 {
		w.Header().Del("Connection") // HTTP/2 has neither, RFC 9113 §8.2.2
		w.Header().Del("Upgrade")
	} else if resp.Header.Get("Upgrade") != "" {
		w.Header().Set("Connection", "close, Upgrade")
	}
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(w, resp.Body)
}
