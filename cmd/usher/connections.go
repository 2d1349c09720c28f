//go:build linux

package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/usher-ws/usher/chat"
	"github.com/usher-ws/usher/server"
	"github.com/usher-ws/usher/upgrade"
)

// connectionsHTML is a page that fetches the JSON of its own address.
//
//go:embed connections.html
var connectionsHTML string

var connectionsPage = chat.NewPage(connectionsHTML)

// listing is the answer to GET /connections.
type listing struct {
	Matching    int               `json:"matching"` // of all that are open
	Sort        string            `json:"sort"`
	Connections []server.ConnInfo `json:"connections"` // those that come first
}

// inspectTime is how long an operator waits for the loops. It is less than what they wait for
// their browsers.
const inspectTime = 10 * time.Second

// connections answers which connections come first in an order: as a page to browsers, and as
// JSON to all others.
func (a *admin) connections(w http.ResponseWriter, r *http.Request) {
	q, err := readQuery(r.URL.RawQuery)
	if err != nil {
		refuseQuery(w, r, err)
		return
	}
	if asPage(w, r, connectionsPage) {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), inspectTime)
	defer cancel()
	top, matching, err := a.usher.Inspect(ctx, q)
	if err != nil {
		failInspection(w, r, err)
		return
	}
	writeJSON(w, listing{matching, q.By.String(), top})
}

// connection answers what there is to know of one connection.
func (a *admin) connection(w http.ResponseWriter, r *http.Request) {
	if r.URL.RawQuery != "" {
		refuseQuery(w, r, errors.New("/connections/ID takes no parameters"))
		return
	}
	if asPage(w, r, connectionsPage) {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), inspectTime)
	defer cancel()
	info, ok, err := a.usher.InspectConn(ctx, r.PathValue("id"))
	switch {
	case err != nil:
		failInspection(w, r, err)
	case !ok:
		rejectGone.ServeHTTP(w, r)
	default:
		writeJSON(w, info)
	}
}

var rejectGone = upgrade.Reject(http.StatusNotFound, upgrade.CodeNotFound,
	"There is no connection of this ID: it has ended, or never was.")

// readQuery reads the parameters of /connections.
func readQuery(query string) (q server.ConnQuery, err error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return q, errors.New("the query cannot be read: want ?user=&room=&sort=buffered|age|messages")
	}
	for name, all := range values {
		switch {
		case name != "user" && name != "room" && name != "sort":
			return q, fmt.Errorf("there is no parameter %q: want user, room or sort", name)
		case len(all) > 1:
			return q, fmt.Errorf("the parameter %s is there %d times: give it once", name, len(all))
		}
	}
	q.User = values.Get("user")
	if room := values.Get("room"); room != "" {
		q.Path = map[string]string{"room": room}
	}
	if order := values.Get("sort"); order != "" {
		if err := q.By.UnmarshalText([]byte(order)); err != nil {
			return q, fmt.Errorf("sort: %w", err)
		}
	}
	return q, nil
}

func refuseQuery(w http.ResponseWriter, r *http.Request, err error) {
	upgrade.Reject(http.StatusBadRequest, upgrade.CodeBadRequest, upgrade.Redact(err.Error())).ServeHTTP(w, r)
}

// failInspection answers that the connections could not be looked at.
func failInspection(w http.ResponseWriter, r *http.Request, err error) {
	detail := "The server does not serve."
	switch {
	case errors.Is(err, server.ErrInspecting):
		detail = "The connections are being looked at already."
	case errors.Is(err, context.DeadlineExceeded):
		detail = "An event loop does not answer: see /healthz."
	}
	upgrade.Reject(http.StatusServiceUnavailable, upgrade.CodeUnavailable, detail).ServeHTTP(w, r)
}

// asPage answers with a page if a browser asks, and reports whether it did.
func asPage(w http.ResponseWriter, r *http.Request, page chat.Page) bool {
	w.Header().Set("Vary", "Accept")
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		return false
	}
	page.ServeHTTP(w, r)
	return true
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(v)
}
