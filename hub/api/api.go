//go:build linux

package api

import (
	"context"
	"encoding/json"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/usher-ws/usher/hub"
	"github.com/usher-ws/usher/server"
	"github.com/usher-ws/usher/upgrade"
)

// API is an http.Handler for a backend: what it answers is docs/openapi.json. The fields are to be
// set before it is used; the keys can change, see SetKeys. It must not be copied. Its methods are
// safe for any goroutine but those of callbacks: a loop would wait for itself.
type API struct {
	// Server has the connections. It must have been started before the first request.
	Server *server.Server

	// Hub has the rooms; nil means that there are none, and every question about a room is
	// answered with 404.
	Hub *hub.Hub

	// Encode makes a message of a text, or of a JSON value if that is not nil: for rooms, and for
	// single connections, each in the dialect that Hub.DialectOf says. from may be empty. Its error is
	// the backend's: a *upgrade.Rejection, or what is wrong in words. nil means Verbatim.
	Encode func(from, text string, json []byte) (hub.Encoder, error)

	// Retold is the dialect in which the API tells what a room has retained: one in JSON, if there is
	// any.
	Retold int

	// HasRoom reports whether there can be a room of a name, which comes as it was asked for; nil is
	// for any.
	HasRoom func(name string) bool

	// Nodes are the other nodes of a cluster, each of which serves an API, too; nil means that there
	// are none. Serve has this one answer them.
	Nodes hub.Nodes

	// Done is called behind each request that was answered, on the request's goroutine. It may be
	// nil.
	Done func(Call)

	keys   atomic.Pointer[[]digest]
	recent recent
}

// Call is a request that was answered.
type Call struct {
	Op       string // the operationId in docs/openapi.json; "" if there is none, or without a good key
	Method   string
	Path     string // escaped, without the query
	Remote   string // of the backend, as net/http has it
	Status   int
	Code     string // of a refusal; "" otherwise
	Duration time.Duration
}

// Most of what one request may be, or bring back.
const (
	maxBody = 256 << 10 // bytes
	maxPage = 1000      // rooms, members, connections or bans

	defaultPage = 100
)

// askTime is how long the other nodes have for their answers. A node that is gone is known to be so
// within seconds, and is not asked any more.
const askTime = 2 * time.Second

// lookTime is how long the loops have to tell what they know of connections, and to have them join a
// room: less than askTime, so that the node answers of which one is held up.
const lookTime = time.Second

// ServeHTTP answers one request. net/http has read its head; how long that, and its body, may take
// is for the http.Server to say.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	c := Call{Method: r.Method, Path: r.URL.EscapedPath(), Remote: r.RemoteAddr}
	op, answer, err := a.handle(w, r)
	if op != nil {
		c.Op = op.id
	}
	if err != nil {
		no := refusalOf(err)
		c.Status, c.Code = no.StatusCode(), no.Word()
		refuse(w, r, no)
	} else {
		c.Status = write(w, r, answer)
	}
	if a.Done != nil {
		c.Duration = time.Since(began)
		a.Done(c)
	}
}

// handle does what a request asks for.
func (a *API) handle(w http.ResponseWriter, r *http.Request) (*operation, any, error) {
	if err := a.authorize(r); err != nil {
		return nil, nil, err
	}
	op, names, err := find(r)
	if err != nil {
		return nil, nil, err
	}
	if op.ofRooms && a.Hub == nil {
		return op, nil, errNoRooms
	}
	q := &question{ctx: context.WithoutCancel(r.Context()), names: names}
	if err := q.read(w, r, op); err != nil {
		return op, nil, err
	}
	if op.room >= 0 && a.HasRoom != nil && !a.HasRoom(names[op.room]) {
		return op, nil, errRoomUnknown
	}
	answer, err := op.do(a, q)
	return op, answer, err
}

// partial is an answer that nodes may have had no part in.
type partial interface{ isPartial() bool }

// write answers with v, 202 if it is not the whole answer to a question that changes something.
func write(w http.ResponseWriter, r *http.Request, v any) (status int) {
	status = http.StatusOK
	if p, ok := v.(partial); ok && p.isPartial() && r.Method != http.MethodGet && r.Method != http.MethodHead {
		status = http.StatusAccepted
	}
	body, err := json.Marshal(v)
	if err != nil {
		upgrade.RefuseHTTP(w, r, err)
		return http.StatusInternalServerError
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
	return status
}

// refuse answers with no. The connection stays, unless it is a stranger's.
func refuse(w http.ResponseWriter, r *http.Request, no *upgrade.Rejection) {
	if no.Status != http.StatusUnauthorized {
		w = lasting{w}
	}
	no.ServeHTTP(w, r)
}

// lasting is a ResponseWriter for a connection that goes on after a refusal.
type lasting struct{ http.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (w lasting) WriteHeader(status int) {
	w.Header().Del("Connection")
	w.ResponseWriter.WriteHeader(status)
}
