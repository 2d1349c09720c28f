//go:build linux

package chat

import (
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/usher-ws/usher/upgrade"
)

var (
	rejectPath = upgrade.Reject(http.StatusNotFound, upgrade.CodeNotFound,
		"There is nothing at this path. The page is at /, rooms are at "+Pattern+".")
	rejectMethod = upgrade.Reject(http.StatusMethodNotAllowed, upgrade.CodeMethodNotAllowed,
		"This path does not take this method; Allow names those it takes.").WithHeader("Allow", "GET, HEAD, OPTIONS")
)

// Handler returns the HTTP side: the page at /, or its JSON for programs. Every other path
// is refused with 404. Every refusal is a problem of RFC 9457, like those of the door.
func (c *Chat) Handler() http.Handler {
	preflight := c.door.CORS(http.HandlerFunc(c.serveIndex), http.MethodGet, http.MethodHead) // load balancers ask
	missing := c.door.CORS(refusal(rejectPath))
	method := refusal(rejectMethod)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path != "/":
			missing.ServeHTTP(w, r)
		case r.Method == http.MethodOptions:
			preflight.ServeHTTP(w, r)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			method.ServeHTTP(w, r)
		default:
			c.serveIndex(w, r)
		}
	})
}

// refusal returns a handler that answers with e.
func refusal(e *upgrade.Rejection) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		e.ServeHTTP(w, r)
	})
}

// serveIndex answers GET / with the page, or with JSON to a client that prefers it.
func (c *Chat) serveIndex(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Vary", "Accept")
	if !prefersJSON(r) {
		c.page.ServeHTTP(w, r)
		return
	}
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(c.index)))
	h.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(c.index) // a client that is gone is not an error here
}

// prefersJSON reports whether a client names JSON and does not name HTML. Every browser
// names HTML.
func prefersJSON(r *http.Request) bool {
	named := false
	for _, line := range r.Header.Values("Accept") {
		for part := range strings.SplitSeq(line, ",") {
			switch media, _, _ := mime.ParseMediaType(part); media {
			case "application/json":
				named = true
			case "text/html", "application/xhtml+xml":
				return false
			}
		}
	}
	return named
}
