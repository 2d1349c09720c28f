package upgrade

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/gobwas/ws"
)

// handshake runs gobwas/ws's Upgrader over memory: the Upgrader reads a head from in
// and appends the 101 to out, while its callbacks call our guards. Each request takes one
// from the pool; the callbacks are bound once.
type handshake struct {
	ws ws.Upgrader

	// Of the present request.
	guards []Guard
	r      *Request
	in     []byte // what gobwas/ws has yet to read
	out    []byte
	errs   []error // the first error of each guard
	failed int     // the first guard that failed, or len(guards)
	header http.Header

	normal []byte // memory for a head that is rewritten for gobwas/ws
}

// errStop makes gobwas/ws give up. Nobody reads its answer.
var errStop = ws.RejectConnectionError(ws.RejectionStatus(http.StatusBadRequest))

var handshakes = sync.Pool{New: func() any {
	h := new(handshake)
	h.ws = ws.Upgrader{
		ProtocolCustom:  h.protocol,
		OnRequest:       h.onRequest,
		OnHost:          h.onHost,
		OnHeader:        h.onHeader,
		OnBeforeUpgrade: h.onBeforeUpgrade,
	}
	return h
}}

// handshake runs the guards and appends the 101 to dst; for a probe it runs only the
// guards. After an error dst is unchanged.
func (u *Upgrader) handshake(dst []byte, r *Request, probe bool) ([]byte, error) {
	h := handshakes.Get().(*handshake)
	h.guards, h.r, h.out = u.Guards, r, dst
	h.failed = len(u.Guards)
	h.errs = append(h.errs[:0], make([]error, len(u.Guards))...)
	err := h.run(probe)
	out := h.out
	clear(h.errs)
	h.guards, h.r, h.header, h.in, h.out = nil, nil, nil, nil, nil
	handshakes.Put(h)
	if err != nil || probe {
		return out[:len(dst)], err
	}
	return out, nil
}

// run lets the guards judge and gobwas/ws answer. If all guards look at the whole
// request only, they are asked first: gobwas/ws need not parse what they refuse.
func (h *handshake) run(probe bool) error {
	up := h.upgrader()
	if up.OnRequest == nil && up.OnHost == nil && up.OnHeader == nil {
		if err := h.judge(); err != nil || probe {
			return err
		}
		up.OnBeforeUpgrade, up.Header = nil, h.lines()
	}
	h.normal = h.r.appendNormal(h.normal[:0], up.OnHost != nil, up.OnHeader != nil)
	h.in = h.normal
	_, err := up.Upgrade(h)
	if h.failed < len(h.errs) {
		return h.errs[h.failed]
	}
	if err != nil {
		return internal(fmt.Errorf("gobwas/ws disagrees with the gate: %w", err))
	}
	return nil
}

// upgrader returns gobwas/ws's Upgrader with the callbacks that some guard needs.
func (h *handshake) upgrader() ws.Upgrader {
	up := ws.Upgrader{ProtocolCustom: h.ws.ProtocolCustom}
	if h.r.deflate != noDeflate {
		up.OnBeforeUpgrade = h.ws.OnBeforeUpgrade // which returns the answer
	}
	for i := range h.guards {
		g := &h.guards[i]
		up.OnBeforeUpgrade = h.ws.OnBeforeUpgrade // which returns the verdict
		if g.OnRequest != nil {
			up.OnRequest = h.ws.OnRequest
		}
		if g.OnHost != nil {
			up.OnHost = h.ws.OnHost
		}
		if g.OnHeader != nil {
			up.OnHeader = h.ws.OnHeader
		}
	}
	return up
}

// Read gives gobwas/ws the head and nothing behind it: bytes that its pooled reader
// takes too much are lost.
func (h *handshake) Read(p []byte) (int, error) {
	if len(h.in) == 0 {
		return 0, io.EOF
	}
	n := copy(p, h.in)
	h.in = h.in[n:]
	return n, nil
}

// Write takes the 101, or gobwas/ws's own refusal, which handshake drops.
func (h *handshake) Write(p []byte) (int, error) {
	h.out = append(h.out, p...)
	return len(p), nil
}

func (h *handshake) protocol([]byte) (string, bool) { return h.r.subprotocol, true }

// fail records a guard's error. The guards behind it do not matter any more.
func (h *handshake) fail(i int, err error) {
	h.errs[i] = err
	h.failed = i
}

func (h *handshake) onRequest([]byte) error {
	for i := 0; i < h.failed; i++ {
		if f := h.guards[i].OnRequest; f != nil {
			if err := f(h.r); err != nil {
				h.fail(i, err)
			}
		}
	}
	return nil
}

func (h *handshake) onHost(host []byte) error {
	for i := 0; i < h.failed; i++ {
		if f := h.guards[i].OnHost; f != nil {
			if err := f(h.r, host); err != nil {
				h.fail(i, err)
			}
		}
	}
	return nil
}

func (h *handshake) onHeader(key, value []byte) error {
	for i := 0; i < h.failed; i++ {
		if f := h.guards[i].OnHeader; f != nil {
			if err := f(h.r, key, value); err != nil {
				h.fail(i, err)
			}
		}
	}
	return nil
}

// onBeforeUpgrade returns the verdict.
func (h *handshake) onBeforeUpgrade() (ws.HandshakeHeader, error) {
	if h.judge() != nil {
		return nil, errStop
	}
	return h.lines(), nil
}

// lines returns the header lines of the 101 that do not belong to the handshake.
func (h *handshake) lines() ws.HandshakeHeader {
	if len(h.header) == 0 {
		return deflateLines[h.r.deflate]
	}
	if h.r.deflate != noDeflate {
		h.header[extensionsName] = []string{deflateAnswers[h.r.deflate]}
	}
	return ws.HandshakeHeaderHTTP(h.header)
}

// judge asks the guards before the first that has failed, and returns the error of the
// first that fails.
func (h *handshake) judge() error {
	for i := 0; i < h.failed; i++ {
		f := h.guards[i].OnBeforeUpgrade
		if f == nil {
			continue
		}
		more, err := f(h.r)
		if err != nil {
			h.fail(i, err)
			break
		}
		h.header = merge(h.header, more)
	}
	if h.failed < len(h.guards) {
		return h.errs[h.failed]
	}
	return nil
}

// merge adds the headers that a guard wants in the 101 to dst, without those that belong
// to the handshake.
func merge(dst, src http.Header) http.Header {
	for key, values := range src {
		switch strings.ToLower(key) {
		case "upgrade", "connection", "content-length", "transfer-encoding", "trailer",
			"sec-websocket-accept", "sec-websocket-protocol", "sec-websocket-extensions":
			continue
		}
		if dst == nil {
			dst = make(http.Header, len(src))
		}
		dst[key] = append(dst[key], values...)
	}
	return dst
}

// probeKey stands in for the key that a probe does not have. Its 101 is never sent.
const probeKey = "dGhlIHNhbXBsZSBub25jZQ=="

// appendNormal appends the head as gobwas/ws is to read it: one line for each name
// that it looks for, the host if a guard wants to see it, and all other lines as they were
// sent if a guard wants to see those. The upgrade has been judged already. So gobwas/ws
// need not get what it would refuse (two Connection lines), overlook (a URL for a target)
// or only skip (most lines, in a third of the time). For a probe it gets the upgrade that
// the probe asks about.
func (r *Request) appendNormal(dst []byte, host, others bool) []byte {
	dst = append(dst, "GET / HTTP/1.1\r\nHost: "...)
	if host {
		dst = append(dst, r.bytes(r.host)...)
	}
	dst = append(dst, "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "...)
	if r.upgrade {
		dst = append(dst, r.firstOf(hKey)...)
	} else {
		dst = append(dst, probeKey...)
	}
	if r.subprotocol != "" {
		dst = append(append(dst, "\r\nSec-WebSocket-Protocol: "...), r.subprotocol...)
	}
	dst = append(dst, "\r\n"...)
	for _, f := range r.fields {
		if !others {
			break
		}
		switch knownName(r.bytes(f.name)) {
		case hHost, hKey, hUpgrade, hConnection, hVersion, hProtocol:
			continue
		}
		dst = append(append(dst, r.bytes(f.name)...), ": "...)
		dst = append(append(dst, r.bytes(f.value)...), "\r\n"...)
	}
	return append(dst, "\r\n"...)
}
