//go:build linux

package main

import (
	_ "embed"
	"encoding/json"
	"net/http"
	"strings"

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
	w.Header().Set("Vary", "Accept")
	if strings.Contains(r.Header.Get("Accept"), "text/html") {
		statsPage.ServeHTTP(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(struct {
		server.Stats
		Reloads       int64 `json:"reloads"`        // that changed the settings
		ReloadsFailed int64 `json:"reloads_failed"` // that did not, as something was wrong with them
	}{a.usher.Stats(), a.reloads.OK.Load(), a.reloads.Failed.Load()})
}
