package upgrade

import (
	"bytes"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// Answer is a response that is always the same but for its date: a page, say, or the
// refusal of paths that do not exist. It is made once, so that it costs little to send, on
// an event loop too.
//
// An *Answer is never modified, so it may be shared by any number of goroutines.
type Answer struct {
	status string // and what follows it in the status line
	header string // lines
	body   []byte
}

// Record returns the answer that h gives to req: h is called once, now. A Date that h sets
// is left out, and so is Connection; each answer has its own. If h names no length, the
// body's is named. Record panics if the answer cannot be kept: an informational status.
func Record(h http.Handler, req *http.Request) *Answer {
	w := recorder{header: make(http.Header)}
	h.ServeHTTP(&w, req)
	w.WriteHeader(http.StatusOK) // if nothing was said
	for _, name := range []string{"Date", "Connection"} {
		w.sent.Del(name)
	}
	if hasBody := w.status != http.StatusNoContent && w.status != http.StatusNotModified; !hasBody {
		w.body.Reset()
	} else if w.sent.Get("Content-Length") == "" {
		w.sent.Set("Content-Length", strconv.Itoa(w.body.Len()))
	}
	var lines []byte
	for _, key := range slices.Sorted(maps.Keys(w.sent)) {
		for _, value := range w.sent[key] {
			lines = append(append(lines, spelled(key)...), ": "...)
			lines = append(appendValue(lines, value), "\r\n"...)
		}
	}
	return &Answer{
		status: strconv.Itoa(w.status) + " " + title(w.status) + "\r\n",
		header: string(lines),
		body:   w.body.Bytes(),
	}
}

// AppendTo appends the whole response to dst, as the last one of its connection. r is the
// request that it answers: for HEAD there is no body, and HTTP/1.0 is answered in its own
// version. now becomes Date.
func (a *Answer) AppendTo(dst []byte, r *Request, now time.Time) []byte {
	dst = append(dst, "HTTP/1."...)
	dst = append(append(dst, '0'+r.minor, ' '), a.status...)
	dst = append(append(dst, a.header...), "Date: "...)
	dst = append(appendDate(dst, now), "\r\nConnection: close\r\n\r\n"...)
	if string(r.bytes(r.method)) == http.MethodHead {
		return dst
	}
	return append(dst, a.body...)
}

// recorder is the http.ResponseWriter of Record.
type recorder struct {
	header, sent http.Header
	status       int
	body         bytes.Buffer
}

// Header implements http.ResponseWriter.
func (w *recorder) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *recorder) WriteHeader(status int) {
	if status < 200 {
		panic("upgrade: Record cannot keep an informational answer")
	}
	if w.sent == nil {
		w.status, w.sent = status, w.header.Clone()
	}
}

// Write implements http.ResponseWriter.
func (w *recorder) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}
