//go:build linux

package main

import (
	_ "embed"
	"net/http"

	"github.com/usher-ws/usher/chat"
	"github.com/usher-ws/usher/server"
)

// statsHTML is a page that fetches the JSON once a second.
//
//go:embed stats.html
var statsHTML string

var statsPage = chat.NewPage(statsHTML)

// stats answers with the server's counters: as a page to browsers, which ask for HTML, and
// as JSON to all others.
func (a *admin) stats(w http.ResponseWriter, r *http.Request) {
	if asPage(w, r, statsPage) {
		return
	}
	writeJSON(w, struct {
		server.Stats
		Reloads       int64 `json:"reloads"`        // that changed the settings
		ReloadsFailed int64 `json:"reloads_failed"` // that did not, as something was wrong with them
	}{a.usher.Stats(), a.reloads.OK.Load(), a.reloads.Failed.Load()})
}
