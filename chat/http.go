//go:build linux

package chat

import (
	"iter"
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

// answers are what does not depend on the client, as the Handler gives it.
type answers struct{ page, index, missing, method *upgrade.Answer }

func (c *Chat) record() answers {
	h := c.Handler()
	of := func(method, path, accept string) *upgrade.Answer {
		r, _ := http.NewRequest(method, path, nil) // it is well-formed
		r.Header.Set("Accept", accept)
		return upgrade.Record(h, r)
	}
	return answers{
		page:    of(http.MethodGet, "/", ""),
		index:   of(http.MethodGet, "/", indexMedia),
		missing: of(http.MethodGet, "/missing", ""),
		method:  of(http.MethodPost, "/", ""),
	}
}

// Answer is for server.Server.Answer: it gives the answers of the Handler that are always the
// same, on the loop. It leaves to the Handler what depends on where a page comes from.
func (c *Chat) Answer(dst []byte, r *upgrade.Request) []byte {
	var a *upgrade.Answer
	isRead := r.Method() == http.MethodGet || r.Method() == http.MethodHead
	switch isRoot := r.Path() == "/"; {
	case isRoot && isRead && prefersJSON(texts(r.Values("Accept"))):
		a = c.answers.index
	case isRoot && isRead:
		a = c.answers.page
	case r.Method() == http.MethodOptions, !isRoot && r.Origin() != "":
		return dst
	case isRoot:
		a = c.answers.method
	default:
		a = c.answers.missing
	}
	return a.AppendTo(dst, r, time.Now())
}

// texts yields the values as strings.
func texts(values iter.Seq[[]byte]) iter.Seq[string] {
	return func(yield func(string) bool) {
		for v := range values {
			if !yield(string(v)) {
				return
			}
		}
	}
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
	if !prefersJSON(slices.Values(r.Header.Values("Accept"))) {
		c.page.ServeHTTP(w, r)
		return
	}
	h.Set("Content-Type", indexMedia)
	h.Set("Content-Length", strconv.Itoa(len(c.index)))
	h.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(c.index) // a client that is gone is not an error here
}

const indexMedia = "application/json"

// prefersJSON reports whether a client, by the lines of its Accept, names JSON and does not
// name HTML. Every browser names HTML.
func prefersJSON(accept iter.Seq[string]) bool {
	named := false
	for line := range accept {
		for part := range strings.SplitSeq(line, ",") {
			switch media, _, _ := mime.ParseMediaType(part); media {
			case indexMedia:
				named = true
			case "text/html", "application/xhtml+xml":
				return false
			}
		}
	}
	return named
}
