//go:build linux

package chat

import (
	"cmp"
	"errors"
	"fmt"
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

// front is what the chat answers over HTTP, by a Config. It never changes.
type front struct {
	config  Config
	page    Page
	index   []byte // for programs
	handler http.Handler
	answers answers // those of the handler that a loop gives by itself
}

func newFront(config Config) (*front, error) {
	if len(config.Guards) == 0 && config.Authorize == nil {
		return nil, errors.New("chat: Config.Guards is empty: it needs one that says who the user is, like upgrade.Bearer, or Config.Authorize")
	}
	if config.LogIn = cmp.Or(config.LogIn, ByToken); !config.LogIn.known() {
		return nil, fmt.Errorf("chat: there is no log-in %q", config.LogIn)
	}
	// The server in front has judged how large a head may be.
	door := &upgrade.Upgrader{Origins: config.Origins, MaxHeaderBytes: upgrade.MaxHeaderLimit}
	if err := door.Validate(); err != nil {
		return nil, fmt.Errorf("chat: %w", err)
	}
	f := &front{config: config, page: config.LogIn.page(), index: config.LogIn.index()}
	f.handler = f.newHandler(door)
	f.answers = record(f.handler)
	return f, nil
}

// Handler returns the HTTP side: the page at /, or its JSON for programs, and at /usher.js
// and /usher.d.ts what other pages need to connect as this one does. Every other path is
// refused with 404. Every refusal is a problem of RFC 9457, like those of the door.
func (c *Chat) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { c.front.Load().handler.ServeHTTP(w, r) })
}

// newHandler returns what Handler does, for pages that the door lets read it.
func (f *front) newHandler(door *upgrade.Upgrader) http.Handler {
	preflight := door.CORS(http.HandlerFunc(f.serveIndex), http.MethodGet, http.MethodHead) // load balancers ask
	missing := door.CORS(refusal(rejectPath))
	method := refusal(rejectMethod)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		module, isModule := modules[r.URL.Path]
		isRead := r.Method == http.MethodGet || r.Method == http.MethodHead
		switch {
		case isModule && isRead:
			module.ServeHTTP(w, r)
		case r.URL.Path != "/" && !isModule:
			missing.ServeHTTP(w, r)
		case r.Method == http.MethodOptions:
			preflight.ServeHTTP(w, r)
		case !isRead:
			method.ServeHTTP(w, r)
		default:
			f.serveIndex(w, r)
		}
	})
}

// answers are what does not depend on the client, as the Handler gives it.
type answers struct {
	page, index, missing, method *upgrade.Answer
	modules                      map[string]*upgrade.Answer // by path
}

func record(h http.Handler) answers {
	of := func(method, path, accept string) *upgrade.Answer {
		r, _ := http.NewRequest(method, path, nil) // it is well-formed
		r.Header.Set("Accept", accept)
		return upgrade.Record(h, r)
	}
	files := make(map[string]*upgrade.Answer, len(modules))
	for path := range modules {
		files[path] = of(http.MethodGet, path, "")
	}
	return answers{
		modules: files,
		page:    of(http.MethodGet, "/", ""),
		index:   of(http.MethodGet, "/", indexMedia),
		missing: of(http.MethodGet, "/missing", ""),
		method:  of(http.MethodPost, "/", ""),
	}
}

// Answer is for server.Server.Answer: it gives the answers of the Handler that are always the
// same, on the loop. It leaves to the Handler what depends on where a page comes from, or on
// what it has already.
func (c *Chat) Answer(dst []byte, r *upgrade.Request) []byte {
	var a *upgrade.Answer
	answers := &c.front.Load().answers
	isRead := r.Method() == http.MethodGet || r.Method() == http.MethodHead
	module, isModule := answers.modules[r.Path()]
	switch isRoot := r.Path() == "/"; {
	case isModule && isRead && r.Header("If-None-Match") == nil:
		a = module
	case isRoot && isRead && prefersJSON(texts(r.Values("Accept"))):
		a = answers.index
	case isRoot && isRead:
		a = answers.page
	case r.Method() == http.MethodOptions, isModule && isRead, !isRoot && r.Origin() != "":
		return dst
	case isRoot, isModule:
		a = answers.method
	default:
		a = answers.missing
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
func (f *front) serveIndex(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Vary", "Accept")
	if !prefersJSON(slices.Values(r.Header.Values("Accept"))) {
		f.page.ServeHTTP(w, r)
		return
	}
	h.Set("Content-Type", indexMedia)
	h.Set("Content-Length", strconv.Itoa(len(f.index)))
	h.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(f.index) // a client that is gone is not an error here
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
