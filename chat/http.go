//go:build linux

package chat

import (
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/usher-ws/usher/upgrade"
)

var (
	rejectPath = upgrade.Reject(http.StatusNotFound, upgrade.CodeNotFound,
		"There is nothing at this path. The page is at /, rooms are at "+Pattern+".")
	rejectMethod = upgrade.Reject(http.StatusMethodNotAllowed, upgrade.CodeMethodNotAllowed,
		"This path does not take this method; Allow names those it takes.")
)

// Handler returns the HTTP side: the page, its JSON, POST /token and
// POST /ticket. Every refusal is a problem of RFC 9457, like those of the door.
func (c *Chat) Handler() http.Handler {
	index := allow(c.serveIndex, http.MethodGet, http.MethodHead)
	health := c.door.CORS(index, http.MethodGet, http.MethodHead) // of load balancers, which ask for OPTIONS
	token := c.door.CORS(allow(c.serveToken, http.MethodPost), http.MethodPost)
	ticket := c.door.CORS(c.tickets.Handler(c.config.Verifier), http.MethodPost)
	missing := c.door.CORS(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { refuse(w, rejectPath) }))
	if c.config.login() == byToken { // which are made elsewhere
		token = missing
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/":
			if r.Method == http.MethodOptions {
				health.ServeHTTP(w, r)
				return
			}
			index(w, r)
		case "/token":
			token.ServeHTTP(w, r)
		case "/ticket":
			ticket.ServeHTTP(w, r)
		default:
			missing.ServeHTTP(w, r)
		}
	})
}

// allow returns h for these methods, and the refusal of all others but OPTIONS, which
// is answered before.
func allow(h http.HandlerFunc, methods ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !slices.Contains(methods, r.Method) {
			refuse(w, rejectMethod.WithHeader("Allow", strings.Join(append(methods[:len(methods):len(methods)], http.MethodOptions), ", ")))
			return
		}
		h(w, r)
	}
}

// index is the front door for programs.
type index struct {
	Name      string `json:"name"`
	Token     string `json:"token,omitempty"` // where there is a log-in
	WebSocket string `json:"websocket"`
}

// serveIndex answers GET / with the page, or with JSON to who prefers it.
func (c *Chat) serveIndex(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Vary", "Accept")
	if prefersJSON(r) {
		page := index{Name: "usher", WebSocket: Pattern}
		if c.config.login() != byToken {
			page.Token = "/token"
		}
		writeJSON(w, "application/json", http.StatusOK, page)
		return
	}
	c.page.ServeHTTP(w, r)
}

// prefersJSON reports whether a client names JSON and does not name HTML, as
// every browser does.
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

// problem is the body of a refusal.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Code   string `json:"code"`
}

// refuse answers with an error's *Rejection, or with a bare 500, in the shape of
// [upgrade.Rejection.AppendTo].
func refuse(w http.ResponseWriter, err error) {
	rej := &upgrade.Rejection{Status: http.StatusInternalServerError, Code: upgrade.CodeInternal, Detail: "Something went wrong here."}
	errors.As(err, &rej)
	h := w.Header()
	for key, values := range rej.Header {
		h[key] = values
	}
	h.Set("Cache-Control", "no-store")
	h.Set("Connection", "close")
	if rej.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer") // RFC 9110 §15.5.2
	}
	if rej.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int((rej.RetryAfter+time.Second-1)/time.Second)))
	}
	writeJSON(w, "application/problem+json", rej.Status, problem{
		Type:   "about:blank",
		Title:  http.StatusText(rej.Status),
		Status: rej.Status,
		Detail: rej.Detail,
		Code:   rej.Code,
	})
}

// writeJSON writes a whole answer. A client that is gone is not an error here.
func writeJSON(w http.ResponseWriter, media string, status int, v any) {
	body, _ := json.Marshal(v) // structs of strings and numbers: there is no error
	h := w.Header()
	h.Set("Content-Type", media)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
